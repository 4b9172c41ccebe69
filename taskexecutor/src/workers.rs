//! The workers of a container: who lives, who is to be stopped, who ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flott_protocol::message::{StartWorker, StopWorker, WorkerExited};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::guard::{Share, Verdict, judge};
use crate::memory::{own_resident_bytes, used_by};
use crate::supervisor::{Order, Place, supervise};

/// Orders that a supervisor has not obeyed yet; more are of no use.
const ORDERS: usize = 4;

/// A worker: job, and which life.
type WorkerKey = (String, u64);

/// The supervisors of all workers.
#[derive(Debug)]
pub(crate) struct Workers {
    place: Arc<Place>,
    supervisors: JoinSet<WorkerExited>,
    living: BTreeMap<WorkerKey, Living>,
}

/// What is known of a worker that has not ended.
#[derive(Debug)]
struct Living {
    orders: mpsc::Sender<Order>,
    /// Its process; 0: none yet.
    pid: Arc<AtomicU32>,
    slots: u32,
    memory_bytes: u64,
}

/// The part of the container that a worker may use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allotment {
    pub(crate) slots: u32,
    pub(crate) memory_bytes: u64,
}

impl Workers {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place: Arc::new(place),
            supervisors: JoinSet::new(),
            living: BTreeMap::new(),
        }
    }

    /// Starts a worker; the same one again is ignored, and a new life ends the one before.
    pub(crate) fn start(&mut self, start: StartWorker, allotment: Allotment) {
        let key = (start.job.clone(), start.incarnation);
        if self.living.contains_key(&key) {
            return;
        }
        tracing::info!(
            job = start.job,
            incarnation = start.incarnation,
            "starting worker"
        );
        for ((job, incarnation), living) in &self.living {
            if *job == start.job && *incarnation < start.incarnation {
                living.order(Order::Stop(Duration::ZERO));
            }
        }
        let (orders, obeyed) = mpsc::channel(ORDERS);
        let pid = Arc::new(AtomicU32::new(0));
        let living = Living {
            orders,
            pid: Arc::clone(&pid),
            slots: allotment.slots,
            memory_bytes: allotment.memory_bytes,
        };
        self.living.insert(key, living);
        self.supervisors
            .spawn(supervise(Arc::clone(&self.place), start, obeyed, pid));
    }

    pub(crate) fn stop(&mut self, stop: &StopWorker) {
        if let Some(living) = self.living.get(&(stop.job.clone(), stop.incarnation)) {
            living.order(Order::Stop(Duration::from_millis(stop.grace_ms)));
        }
    }

    /// Looks at the memory of all workers, and has the one that takes too much slow down or end.
    pub(crate) fn guard(&self, container_bytes: u64) {
        if self.living.is_empty() {
            return;
        }
        let living: Vec<(&WorkerKey, &Living)> = self.living.iter().collect();
        let shares: Vec<Share> = living.iter().map(|(key, it)| it.share(&key.0)).collect();
        // The container's processes are this one and what workers have started.
        match judge(container_bytes, own_resident_bytes(), &shares) {
            Verdict::Fine => (),
            Verdict::Ease { worker, pause_ms } => living[worker].1.order(Order::Ease(pause_ms)),
            Verdict::Kill { worker, why } => {
                tracing::error!("{why}");
                living[worker].1.order(Order::Kill(why));
            }
        }
    }

    /// Whether a worker of the job lives.
    pub(crate) fn lives(&self, job: &str) -> bool {
        self.living.keys().any(|(owner, _)| owner == job)
    }

    /// The next worker that ended; `None` if none lives. Cancel-safe.
    pub(crate) async fn next_exit(&mut self) -> Option<WorkerExited> {
        loop {
            match self.supervisors.join_next().await? {
                Ok(exited) => {
                    self.living
                        .remove(&(exited.job.clone(), exited.incarnation));
                    return Some(exited);
                }
                // A supervisor panicked (the log says how): its worker was killed with it.
                Err(error) => tracing::error!(%error, "a worker's supervisor failed"),
            }
        }
    }

    /// Ends all workers and waits for them.
    pub(crate) async fn end_all(&mut self, grace: Duration) {
        for living in self.living.values() {
            living.order(Order::Stop(grace));
        }
        while self.next_exit().await.is_some() {}
    }
}

impl Living {
    fn order(&self, order: Order) {
        if let Err(mpsc::error::TrySendError::Full(order @ (Order::Stop(_) | Order::Kill(_)))) =
            self.orders.try_send(order)
        {
            // It is obeying another one; this one must not be lost.
            let orders = self.orders.clone();
            tokio::spawn(async move {
                // A supervisor that does not listen any more has seen its worker end.
                let _ = orders.send(order).await;
            });
        }
    }

    fn share(&self, job: &str) -> Share {
        let resident_bytes = match self.pid.load(Ordering::Relaxed) {
            0 => 0,
            pid => used_by(pid).resident_bytes,
        };
        Share {
            job: job.to_owned(),
            slots: self.slots,
            resident_bytes,
            budget_bytes: self.memory_bytes,
        }
    }
}
