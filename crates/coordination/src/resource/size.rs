//! How large slots are, and which needs they can meet.

use flott_model::ResourceProfile;

/// What a slot offers, or what a need asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotSize {
    /// Memory of its tasks, in bytes.
    pub memory_bytes: u64,
    /// Processor cores, in thousandths.
    pub cpu_millicores: u32,
}

impl SlotSize {
    /// Enough for anything.
    pub const UNLIMITED: Self = Self {
        memory_bytes: u64::MAX,
        cpu_millicores: u32::MAX,
    };

    /// Of a slot that was made for a profile, and of a need of that profile; those without one are of
    /// default size.
    pub(super) fn of(profile: Option<ResourceProfile>, default: Self) -> Self {
        profile.map_or(default, |profile| Self {
            memory_bytes: profile.memory_bytes(),
            cpu_millicores: profile.cpu_millicores,
        })
    }

    /// Whether a slot of this size meets a need of that size.
    pub(super) fn covers(self, need: Self) -> bool {
        self.memory_bytes >= need.memory_bytes && self.cpu_millicores >= need.cpu_millicores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_covers_what_is_not_larger_in_anything() {
        let size = |memory_bytes, cpu_millicores| SlotSize {
            memory_bytes,
            cpu_millicores,
        };
        let slot = size(100, 1000);
        assert!(slot.covers(size(100, 1000)) && slot.covers(size(1, 1)));
        assert!(!slot.covers(size(101, 1)) && !slot.covers(size(1, 1001)));
        assert!(SlotSize::UNLIMITED.covers(slot));
        let profile = ResourceProfile {
            cpu_millicores: 500,
            task_heap_bytes: 20,
            task_off_heap_bytes: 3,
            managed_bytes: 1,
        };
        assert_eq!(SlotSize::of(Some(profile), slot), size(24, 500));
        assert_eq!(SlotSize::of(None, slot), slot);
    }
}
