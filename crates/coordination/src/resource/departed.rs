//! Containers that are gone, remembered so that late news of them is understood.

use std::collections::VecDeque;

use flott_model::ContainerId;

/// So many are remembered; news that is later than so many departures is not to be expected.
const MAXIMUM_REMEMBERED: usize = 1_000;

/// The latest departures.
#[derive(Debug, Default)]
pub(super) struct Departed {
    /// Each with whether its end may still count as a failure.
    containers: VecDeque<(ContainerId, bool)>,
}

impl Departed {
    pub(super) fn insert(&mut self, container: ContainerId, may_count: bool) {
        if self.containers.len() == MAXIMUM_REMEMBERED {
            self.containers.pop_front();
        }
        self.containers.push_back((container, may_count));
    }

    pub(super) fn contains(&self, container: &ContainerId) -> bool {
        self.containers
            .iter()
            .any(|(departed, _)| departed == container)
    }

    /// Whether the end of this container counts as a failure; it does so once at most.
    pub(super) fn count(&mut self, container: &ContainerId) -> bool {
        self.containers
            .iter_mut()
            .find(|(departed, _)| departed == container)
            .is_some_and(|(_, may_count)| std::mem::replace(may_count, false))
    }
}
