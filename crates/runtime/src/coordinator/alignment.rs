//! How far the watermarks of sources may go that are to stay together.

use std::collections::BTreeMap;

/// A subtask of a source: position of the operator, index of the subtask.
pub(super) type Member = (u32, u32);

/// All alignment groups of a job.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    groups: BTreeMap<String, BTreeMap<Member, i64>>,
}

impl Alignment {
    /// A member says how far it is (`i64::MAX`: nobody need wait for it); returns how far it may go.
    pub(super) fn report(
        &mut self,
        group: &str,
        member: Member,
        watermark: i64,
        max_drift_ms: i64,
    ) -> i64 {
        let members = self.groups.entry(group.to_owned()).or_default();
        members.insert(member, watermark);
        let slowest = members.values().copied().min();
        slowest.unwrap_or(i64::MAX).saturating_add(max_drift_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_that_is_not_idle_counts() {
        let mut alignment = Alignment::default();
        assert_eq!(alignment.report("a", (0, 0), 1_000, 50), 1_050);
        assert_eq!(alignment.report("a", (0, 1), 100, 50), 150);
        assert_eq!(alignment.report("b", (7, 0), 5, 50), 55);
        assert_eq!(alignment.report("a", (0, 0), 1_020, 50), 150);
        assert_eq!(alignment.report("a", (0, 1), i64::MAX, 50), 1_070);
        assert_eq!(alignment.report("a", (0, 0), i64::MAX, 50), i64::MAX);
        let nothing_yet = alignment.report("a", (0, 1), i64::MIN, 50);
        assert_eq!(nothing_yet, i64::MIN + 50);
    }
}
