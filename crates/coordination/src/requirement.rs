//! Which slots a job needs: how many of default size, and how many that offer more or something
//! smaller. A slot is named by what it is asked for; `None` is the default size.

use std::collections::BTreeMap;
use std::fmt;

use flott_model::ResourceProfile;

/// So many slots of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SlotRequirement(BTreeMap<Option<ResourceProfile>, u32>);

impl SlotRequirement {
    /// No slots.
    pub fn none() -> Self {
        Self::default()
    }

    /// Slots of default size.
    pub fn of_default_size(count: u32) -> Self {
        let mut slots = Self::none();
        slots.add(None, count);
        slots
    }

    /// More slots of a kind.
    pub fn add(&mut self, profile: Option<ResourceProfile>, count: u32) {
        if count > 0 {
            *self.0.entry(profile).or_default() += count;
        }
    }

    /// One slot of a kind less, if there is any; whether there was.
    pub fn take(&mut self, profile: Option<ResourceProfile>) -> bool {
        let Some(count) = self.0.get_mut(&profile) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&profile);
        }
        true
    }

    /// How many of a kind.
    pub fn count(&self, profile: Option<ResourceProfile>) -> u32 {
        self.0.get(&profile).copied().unwrap_or_default()
    }

    /// How many of all kinds.
    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each kind with its number, those of default size first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Option<ResourceProfile>, u32)> {
        self.0.iter().map(|(profile, count)| (*profile, *count))
    }

    /// What is missing of it where those are held. A need of default size is met by any slot that is
    /// held beyond the other needs.
    pub fn lacking(&self, held: &Self) -> Self {
        let mut lacking = Self::none();
        let mut spare = 0;
        for (profile, count) in held.iter().filter(|(profile, _)| profile.is_some()) {
            spare += count.saturating_sub(self.count(profile));
        }
        for (profile, count) in self.iter() {
            let mut met = held.count(profile);
            if profile.is_none() {
                met += spare;
            }
            lacking.add(profile, count.saturating_sub(met));
        }
        lacking
    }
}

impl FromIterator<Option<ResourceProfile>> for SlotRequirement {
    fn from_iter<I: IntoIterator<Item = Option<ResourceProfile>>>(kinds: I) -> Self {
        let mut slots = Self::none();
        for profile in kinds {
            slots.add(profile, 1);
        }
        slots
    }
}

impl fmt::Display for SlotRequirement {
    /// `2 and 1 of (0.5 cores, 700 MiB task heap)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("0");
        }
        for (index, (profile, count)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { " and " };
            write!(f, "{separator}{count}")?;
            if let Some(profile) = profile {
                write!(f, " of ({profile})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big() -> Option<ResourceProfile> {
        Some(ResourceProfile {
            cpu_millicores: 500,
            task_heap_bytes: 700 << 20,
            ..ResourceProfile::default()
        })
    }

    #[test]
    fn kinds_are_counted_and_said() {
        let slots: SlotRequirement = [None, big(), None].into_iter().collect();
        assert_eq!((slots.count(None), slots.count(big())), (2, 1));
        assert_eq!(slots.total(), 3);
        let mut rest = slots.clone();
        assert!(rest.take(big()) && !rest.take(big()));
        assert_eq!(rest, SlotRequirement::of_default_size(2));
        assert_eq!(
            slots.to_string(),
            "2 and 1 of (0.5 cores, 700 MiB task heap)"
        );
        assert_eq!(SlotRequirement::none().to_string(), "0");
        assert!(SlotRequirement::of_default_size(0).is_empty());
    }

    #[test]
    fn each_kind_lacks_its_own_and_default_needs_take_what_is_spare() {
        let needed: SlotRequirement = [None, None, big(), big()].into_iter().collect();
        let held: SlotRequirement = [None, big()].into_iter().collect();
        let lacking = needed.lacking(&held);
        assert_eq!((lacking.count(None), lacking.count(big())), (1, 1));
        let one = SlotRequirement::of_default_size(1);
        let held: SlotRequirement = [big()].into_iter().collect();
        assert!(one.lacking(&held).is_empty(), "it is spare");
        let both: SlotRequirement = [None, big()].into_iter().collect();
        assert_eq!(both.lacking(&held), one, "it is not");
        let big_one: SlotRequirement = [big()].into_iter().collect();
        assert_eq!(big_one.lacking(&one), big_one, "too small");
    }
}
