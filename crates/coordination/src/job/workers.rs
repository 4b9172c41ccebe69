//! The worker processes of a job: at most one per container.

use std::collections::BTreeMap;

use flott_model::{ContainerId, Epoch, Incarnation};

use super::message::WorkerId;

/// Workers that were started and are not known to have ended.
#[derive(Debug)]
pub(super) struct Workers {
    epoch: Epoch,
    next: u32,
    live: BTreeMap<ContainerId, Worker>,
}

#[derive(Debug)]
struct Worker {
    id: WorkerId,
    /// Where others reach it; `None` until it registers.
    address: Option<String>,
}

/// What a registration means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registration {
    /// The awaited one.
    First,
    /// It was registered already.
    Again,
    /// Superseded, ended, or never started by this job.
    Unknown,
}

impl Workers {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            next: 0,
            live: BTreeMap::new(),
        }
    }

    /// A new life in a container that has none.
    pub(super) fn start(&mut self, container: &ContainerId) -> WorkerId {
        // The epoch above the counter: incarnations grow also across JobManagers.
        let incarnation = Incarnation((u64::from(self.epoch.0) << 32) | u64::from(self.next));
        self.next += 1;
        let id = WorkerId {
            container: container.clone(),
            incarnation,
        };
        let worker = Worker {
            id: id.clone(),
            address: None,
        };
        let previous = self.live.insert(container.clone(), worker);
        assert!(previous.is_none(), "at most one worker per container");
        id
    }

    pub(super) fn register(&mut self, id: &WorkerId, data_address: String) -> Registration {
        match self
            .live
            .get_mut(&id.container)
            .filter(|worker| worker.id == *id)
        {
            None => Registration::Unknown,
            Some(Worker {
                address: Some(_), ..
            }) => Registration::Again,
            Some(worker) => {
                worker.address = Some(data_address);
                Registration::First
            }
        }
    }

    /// Forgets a worker; whether it was live.
    pub(super) fn remove(&mut self, id: &WorkerId) -> bool {
        let live = self.is_live(id);
        if live {
            self.live.remove(&id.container);
        }
        live
    }

    pub(super) fn is_live(&self, id: &WorkerId) -> bool {
        self.live
            .get(&id.container)
            .is_some_and(|worker| worker.id == *id)
    }

    /// Whether a worker was started and has not registered yet.
    pub(super) fn is_starting(&self, id: &WorkerId) -> bool {
        self.is_live(id) && self.address(id).is_none()
    }

    /// The worker of a container.
    pub(super) fn in_container(&self, container: &ContainerId) -> Option<&WorkerId> {
        self.live.get(container).map(|worker| &worker.id)
    }

    /// Where a registered worker is reached.
    pub(super) fn address(&self, id: &WorkerId) -> Option<&str> {
        let worker = self
            .live
            .get(&id.container)
            .filter(|worker| worker.id == *id)?;
        worker.address.as_deref()
    }

    /// The registered worker of a container, with its address.
    pub(super) fn registered_in(&self, container: &ContainerId) -> Option<(&WorkerId, &str)> {
        let worker = self.live.get(container)?;
        Some((&worker.id, worker.address.as_deref()?))
    }

    /// The registered workers, by container.
    pub(super) fn registered(&self) -> impl Iterator<Item = &WorkerId> {
        self.live
            .values()
            .filter(|worker| worker.address.is_some())
            .map(|worker| &worker.id)
    }

    /// Whether any worker was started and has not ended.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Gives up all.
    pub(super) fn drain(&mut self) -> Vec<WorkerId> {
        std::mem::take(&mut self.live)
            .into_values()
            .map(|worker| worker.id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superseded_worker_is_unknown() {
        let container = ContainerId("a".to_owned());
        let mut workers = Workers::new(Epoch(3));
        let first = workers.start(&container);
        assert_eq!(first.incarnation, Incarnation(3 << 32));
        assert!(workers.is_starting(&first));
        assert!(workers.remove(&first));
        let second = workers.start(&container);
        assert!(second > first);
        assert_eq!(
            workers.register(&first, "x:1".to_owned()),
            Registration::Unknown
        );
        assert_eq!(
            workers.register(&second, "x:2".to_owned()),
            Registration::First
        );
        assert_eq!(
            workers.register(&second, "x:2".to_owned()),
            Registration::Again
        );
        assert!(
            !workers.remove(&first),
            "a stale loss does not hit the successor"
        );
        assert_eq!(workers.registered_in(&container), Some((&second, "x:2")));
    }
}
