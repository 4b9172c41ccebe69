//! Which worker coordinates the sources of a job, and what its sources and it say to each other: the
//! JobMaster relays that, and keeps what was assigned for the next coordinator.

use flott_coordination::job::WorkerId;
use flott_model::{ContainerId, EnumeratorState, Incarnation};
use flott_protocol::message::{Coordinate, RunCoordinator};

/// What is kept at most, in bytes: it must fit into one message.
const LARGEST_JOURNAL: usize = 32 << 20;
/// What an entry takes besides its payload.
const ENTRY_OVERHEAD: usize = 64;

/// The coordination of one job's sources.
#[derive(Debug, Default)]
pub(crate) struct Coordination {
    coordinator: Option<WorkerId>,
    journal: Vec<Coordinate>,
    journal_bytes: usize,
    incomplete: bool,
    /// Whether what was assigned is kept for the next coordinator.
    keeps_journal: bool,
    /// What enumerators begin from: those of a checkpoint.
    restored: Vec<EnumeratorState>,
    /// The next coordinator takes over nothing, and ends an earlier one in its worker.
    anew: bool,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Relay {
    /// Send it to that worker.
    To(WorkerId, Coordinate),
    /// Nobody coordinates: choose a worker ([`Coordination::choose`]), then ask again.
    NoCoordinator(Coordinate),
    /// It is for this process only.
    Nothing,
}

impl Coordination {
    /// Keeps what is assigned for the next coordinator, or leaves that to checkpoints.
    pub(crate) fn new(keeps_journal: bool) -> Self {
        Self {
            keeps_journal,
            ..Self::default()
        }
    }

    /// Who coordinates.
    pub(crate) fn coordinator(&self) -> Option<&WorkerId> {
        self.coordinator.as_ref()
    }

    /// What enumerators that nobody has asked yet begin from.
    pub(crate) fn restored(&self) -> &[EnumeratorState] {
        &self.restored
    }

    /// All sources begin anew, with these enumerators.
    pub(crate) fn restart(&mut self, states: Vec<EnumeratorState>) {
        *self = Self {
            keeps_journal: self.keeps_journal,
            restored: states,
            anew: true,
            ..Self::default()
        };
    }

    /// A worker that gets tasks. If nobody coordinates it does from now on, and is told that.
    pub(crate) fn choose(&mut self, worker: &WorkerId) -> Option<RunCoordinator> {
        if self.coordinator.is_some() {
            return None;
        }
        self.coordinator = Some(worker.clone());
        Some(RunCoordinator {
            journal: self.journal.clone(),
            incomplete: self.incomplete,
            restored: self.restored.clone(),
            anew: std::mem::take(&mut self.anew),
        })
    }

    /// A worker is gone. Whether it coordinated.
    pub(crate) fn lost(&mut self, worker: &WorkerId) -> bool {
        let coordinated = self.coordinator.as_ref() == Some(worker);
        if coordinated {
            self.coordinator = None;
        }
        coordinated
    }

    /// All workers of a container are gone. Whether one of them coordinated.
    pub(crate) fn container_lost(&mut self, container: &ContainerId) -> bool {
        let here = |worker: &WorkerId| worker.container == *container;
        let coordinated = self.coordinator.as_ref().is_some_and(here);
        if coordinated {
            self.coordinator = None;
        }
        coordinated
    }

    /// A worker said something for the coordinator, or as the coordinator.
    pub(crate) fn relay(&mut self, from: &WorkerId, message: Coordinate) -> Relay {
        let Some(coordinator) = &self.coordinator else {
            return Relay::NoCoordinator(message);
        };
        if coordinator != from {
            return Relay::To(coordinator.clone(), message);
        }
        if message.journal && self.keeps_journal {
            self.keep(&message);
        }
        let to = WorkerId {
            container: ContainerId(message.container.clone()),
            incarnation: Incarnation(message.incarnation),
        };
        if to == *from {
            // Its own tasks have it already.
            Relay::Nothing
        } else {
            Relay::To(to, message)
        }
    }

    fn keep(&mut self, message: &Coordinate) {
        let bytes = message.payload.len() + ENTRY_OVERHEAD;
        if self.incomplete || self.journal_bytes + bytes > LARGEST_JOURNAL {
            self.incomplete = true;
            self.journal = Vec::new();
            return;
        }
        self.journal_bytes += bytes;
        self.journal.push(Coordinate {
            // Where the subtask runs changes.
            container: String::new(),
            incarnation: 0,
            ..message.clone()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(container: &str) -> WorkerId {
        WorkerId {
            container: ContainerId(container.to_owned()),
            incarnation: Incarnation(1),
        }
    }

    fn message(to: &str, payload: &[u8], journal: bool) -> Coordinate {
        Coordinate {
            container: to.to_owned(),
            incarnation: 1,
            payload: payload.to_vec(),
            journal,
            ..Coordinate::default()
        }
    }

    #[test]
    fn questions_go_to_the_coordinator_and_answers_back() {
        let mut coordination = Coordination::new(true);
        let question = message("b", b"?", false);
        let nobody = coordination.relay(&worker("b"), question.clone());
        assert_eq!(nobody, Relay::NoCoordinator(question.clone()));
        assert_eq!(
            coordination.choose(&worker("a")),
            Some(RunCoordinator::default())
        );
        assert_eq!(coordination.choose(&worker("b")), None);
        let relay = coordination.relay(&worker("b"), question.clone());
        assert_eq!(relay, Relay::To(worker("a"), question));
        let answer = message("b", b"!", true);
        let relay = coordination.relay(&worker("a"), answer.clone());
        assert_eq!(relay, Relay::To(worker("b"), answer));
        let own = coordination.relay(&worker("a"), message("a", b"own", true));
        assert_eq!(own, Relay::Nothing);
    }

    #[test]
    fn the_next_coordinator_is_told_what_was_assigned() {
        let mut coordination = Coordination::new(true);
        coordination.choose(&worker("a"));
        for (payload, journal) in [(b"1", true), (b"-", false), (b"2", true)] {
            coordination.relay(&worker("a"), message("b", payload, journal));
        }
        coordination.lost(&worker("b"));
        assert_eq!(
            coordination.choose(&worker("b")),
            None,
            "another worker was lost"
        );
        coordination.container_lost(&ContainerId("a".to_owned()));
        let start = coordination.choose(&worker("b")).unwrap();
        let journal: Vec<&[u8]> = start
            .journal
            .iter()
            .map(|entry| &entry.payload[..])
            .collect();
        assert_eq!(journal, [b"1", b"2"]);
        assert!(!start.incomplete);
    }

    #[test]
    fn too_much_is_not_kept_and_that_is_said() {
        let mut coordination = Coordination::new(true);
        coordination.choose(&worker("a"));
        for _ in 0..5 {
            coordination.relay(&worker("a"), message("b", &vec![0; 10 << 20], true));
        }
        coordination.lost(&worker("a"));
        let start = coordination.choose(&worker("b")).unwrap();
        assert!(start.incomplete && start.journal.is_empty());
    }
}
