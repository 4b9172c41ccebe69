//! The workers of a container: who lives, who is to be stopped, who ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flott_protocol::message::{StartWorker, StopWorker, WorkerExited};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::supervisor::{Place, supervise};

/// A worker: job, and which life.
type WorkerKey = (String, u64);

/// The supervisors of all workers.
#[derive(Debug)]
pub(crate) struct Workers {
    place: Arc<Place>,
    supervisors: JoinSet<WorkerExited>,
    /// Tells a supervisor to end its worker, with how much grace.
    stops: BTreeMap<WorkerKey, Option<oneshot::Sender<Duration>>>,
}

impl Workers {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place: Arc::new(place),
            supervisors: JoinSet::new(),
            stops: BTreeMap::new(),
        }
    }

    /// Starts a worker; the same one again is ignored, and a new life ends the one before.
    pub(crate) fn start(&mut self, start: StartWorker) {
        let key = (start.job.clone(), start.incarnation);
        if self.stops.contains_key(&key) {
            return;
        }
        tracing::info!(
            job = start.job,
            incarnation = start.incarnation,
            "starting worker"
        );
        for ((job, incarnation), stop) in &mut self.stops {
            if *job == start.job && *incarnation < start.incarnation {
                end(stop, Duration::ZERO);
            }
        }
        let (stop, stopped) = oneshot::channel();
        self.stops.insert(key, Some(stop));
        self.supervisors
            .spawn(supervise(Arc::clone(&self.place), start, stopped));
    }

    pub(crate) fn stop(&mut self, stop: &StopWorker) {
        if let Some(sender) = self.stops.get_mut(&(stop.job.clone(), stop.incarnation)) {
            end(sender, Duration::from_millis(stop.grace_ms));
        }
    }

    /// Whether a worker of the job lives.
    pub(crate) fn lives(&self, job: &str) -> bool {
        self.stops.keys().any(|(owner, _)| owner == job)
    }

    /// The next worker that ended; `None` if none lives. Cancel-safe.
    pub(crate) async fn next_exit(&mut self) -> Option<WorkerExited> {
        loop {
            match self.supervisors.join_next().await? {
                Ok(exited) => {
                    self.stops.remove(&(exited.job.clone(), exited.incarnation));
                    return Some(exited);
                }
                // A supervisor panicked (the log says how): its worker was killed with it.
                Err(error) => tracing::error!(%error, "a worker's supervisor failed"),
            }
        }
    }

    /// Ends all workers and waits for them.
    pub(crate) async fn end_all(&mut self, grace: Duration) {
        for stop in self.stops.values_mut() {
            end(stop, grace);
        }
        while self.next_exit().await.is_some() {}
    }
}

fn end(stop: &mut Option<oneshot::Sender<Duration>>, grace: Duration) {
    if let Some(stop) = stop.take() {
        // A supervisor that does not listen any more has seen its worker end.
        let _ = stop.send(grace);
    }
}
