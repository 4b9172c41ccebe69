//! Keeps a job's snapshot true to what its core announces.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_coordination::checkpoint::CheckpointStatistics;
use flott_coordination::job::{JobCore, WorkerId};
use flott_model::{
    ContainerId, ExecutionAttemptId, ExecutionState, Failure, JobGraph, JobId, JobStatus,
};
use flott_protocol::message::{JobBundle, TaskAccumulator, TaskMetrics};
use tokio::sync::watch;

use crate::obituary::Obituary;
use crate::snapshot::{FailureSnapshot, JobSnapshot, SubtaskSnapshot, UnixMillis, unix_millis};

/// Failures of tasks shown with one root cause: a lost executor fails all its tasks alike.
const MAXIMUM_CONCURRENT: usize = 16;

/// The owner of a job's snapshot; readers hold the watch's other end, and who watches over the JobMaster
/// writes its end if that cannot.
#[derive(Debug)]
pub(crate) struct JobView {
    snapshot: Arc<watch::Sender<JobSnapshot>>,
    /// Hosts of the containers the job has or had slots in.
    hosts: BTreeMap<ContainerId, String>,
    /// Failures of tasks, by the number of restarts before them.
    task_failures: BTreeMap<u32, Vec<Failure>>,
    /// When the first failure after so many restarts was seen.
    failure_times: BTreeMap<u32, UnixMillis>,
}

impl JobView {
    pub(crate) fn new(id: JobId, graph: Arc<JobGraph>, bundle: Arc<JobBundle>) -> Self {
        let (snapshot, _) = watch::channel(JobSnapshot::new(id, graph, bundle));
        Self {
            snapshot: Arc::new(snapshot),
            hosts: BTreeMap::new(),
            task_failures: BTreeMap::new(),
            failure_times: BTreeMap::new(),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<JobSnapshot> {
        self.snapshot.subscribe()
    }

    /// For whoever watches over the JobMaster.
    pub(crate) fn obituary(&self) -> Obituary {
        Obituary(Arc::clone(&self.snapshot))
    }

    pub(crate) fn add_host(&mut self, container: &ContainerId, host: &str) {
        self.hosts.insert(container.clone(), host.to_owned());
    }

    pub(crate) fn host(&self, container: &ContainerId) -> &str {
        self.hosts.get(container).map_or("", String::as_str)
    }

    /// The job's status changed; its failures are the core's, which may have corrected the cause.
    pub(crate) fn status_changed(
        &mut self,
        core: &JobCore,
        status: JobStatus,
        last: Option<Failure>,
    ) {
        let failures = self.failures(core, last);
        self.snapshot.send_modify(|job| {
            job.status = status;
            job.timestamps.insert(status, unix_millis());
            job.restarts = core.restarts();
            job.failures = failures;
        });
    }

    /// The job lost its JobMaster before its end.
    pub(crate) fn suspended(&mut self) {
        self.snapshot.send_modify(|job| {
            job.status = JobStatus::Suspended;
            job.timestamps.insert(JobStatus::Suspended, unix_millis());
        });
    }

    /// What there is to tell about checkpoints.
    pub(crate) fn checkpoints(&mut self, statistics: CheckpointStatistics) {
        let statistics = Arc::new(statistics);
        self.snapshot
            .send_modify(|job| job.checkpoints = statistics);
    }

    fn failures(&mut self, core: &JobCore, last: Option<Failure>) -> Vec<FailureSnapshot> {
        let now = unix_millis();
        let mut failures: Vec<FailureSnapshot> = Vec::new();
        for record in core.failure_history() {
            let seen = *self.failure_times.entry(record.restarts).or_insert(now);
            let mut root = record.failure.clone();
            if root.timestamp_ms == 0 {
                root.timestamp_ms = seen;
            }
            let tasks = self
                .task_failures
                .get(&record.restarts)
                .into_iter()
                .flatten();
            let echoes =
                tasks.filter(|other| other.task != root.task || other.message != root.message);
            let concurrent = echoes.cloned().collect();
            failures.insert(0, FailureSnapshot { root, concurrent });
        }
        // The final failure says why there was no further restart.
        if let (Some(newest), Some(last)) = (failures.first_mut(), last)
            && last.message.starts_with(&newest.root.message)
        {
            newest.root.message = last.message;
        }
        failures
    }

    pub(crate) fn execution_changed(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        worker: Option<&WorkerId>,
        failure: Option<Failure>,
        restarts: u32,
    ) {
        let now = unix_millis();
        if let Some(mut failure) = failure {
            failure.timestamp_ms = if failure.timestamp_ms == 0 {
                now
            } else {
                failure.timestamp_ms
            };
            let failures = self.task_failures.entry(restarts).or_default();
            if failures.len() < MAXIMUM_CONCURRENT {
                failures.push(failure);
            }
        }
        let place = worker.map(|worker| &worker.container);
        let place = place.map(|container| (container.0.clone(), self.host(container).to_owned()));
        self.with_subtask(attempt, true, |subtask| {
            if subtask.attempt != attempt.attempt {
                *subtask = SubtaskSnapshot::created(attempt.attempt, now);
            }
            subtask.state = state;
            subtask.timestamps.insert(state, now);
            if let Some((container, host)) = place {
                subtask.container = container;
                subtask.host = host;
            }
        });
    }

    /// New counters of a running or just ended task; those of older attempts are ignored.
    pub(crate) fn metrics(&mut self, attempt: ExecutionAttemptId, metrics: TaskMetrics) {
        self.with_subtask(attempt, false, |subtask| {
            if subtask.attempt == attempt.attempt {
                subtask.metrics = metrics;
            }
        });
    }

    /// What a task accumulated that has just ended; those of older attempts are ignored.
    pub(crate) fn accumulators(&mut self, attempt: ExecutionAttemptId, all: Vec<TaskAccumulator>) {
        if all.is_empty() {
            return;
        }
        self.with_subtask(attempt, false, |subtask| {
            if subtask.attempt == attempt.attempt {
                subtask.accumulators = all.into_iter().map(Into::into).collect();
            }
        });
    }

    fn with_subtask(
        &self,
        attempt: ExecutionAttemptId,
        notify: bool,
        change: impl FnOnce(&mut SubtaskSnapshot),
    ) {
        self.snapshot.send_if_modified(|job| {
            let vertex = job.vertices.get_mut(attempt.vertex.0 as usize);
            if let Some(subtask) =
                vertex.and_then(|vertex| vertex.subtasks.get_mut(attempt.subtask as usize))
            {
                change(subtask);
            }
            notify
        });
    }
}
