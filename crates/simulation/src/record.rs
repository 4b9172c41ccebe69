//! What really happened, written down outside the cores: the material of the invariants.

use std::collections::{BTreeMap, BTreeSet};

use flott_coordination::Timestamp;
use flott_model::{
    ContainerId, ExecutionAttemptId, Failure, JobId, JobStatus, ResourceProfile, SlotId,
    StoredCommittable,
};

use crate::flows::Checks;

/// What a slot is needed for, or a container was made for; `None`: of default size.
pub(crate) type Kind = Option<ResourceProfile>;

/// Of one job.
#[derive(Debug, Default)]
pub(crate) struct JobRecord {
    /// Newest attempt that was sent to a worker, by vertex and subtask.
    pub(crate) deployed: BTreeMap<(u32, u32), ExecutionAttemptId>,
    /// Attempts whose worker finished them.
    pub(crate) finished: BTreeSet<ExecutionAttemptId>,
    /// When the job took note that an attempt had finished.
    pub(crate) heard: BTreeMap<ExecutionAttemptId, Timestamp>,
    /// Where each partition was written.
    pub(crate) written: BTreeMap<ExecutionAttemptId, ContainerId>,
    /// When the job heard that a partition is gone.
    pub(crate) lost: BTreeMap<ExecutionAttemptId, Timestamp>,
    /// What channels connect, by vertex and subtask.
    pub(crate) peers: BTreeMap<(u32, u32), BTreeSet<(u32, u32)>>,
    /// The first thing that a stage did wrong.
    pub(crate) wrong_stage: Option<String>,
    /// Each commit that took effect.
    pub(crate) commits: Vec<Vec<StoredCommittable>>,
    /// Commits that a worker refused.
    pub(crate) refused_commits: u32,
    /// Workers that ended while they had a commit to do.
    pub(crate) interrupted_commits: u32,
    /// Statuses in order, with the failure that came along.
    pub(crate) statuses: Vec<(Timestamp, JobStatus, Option<Failure>)>,
    pub(crate) cancel_requested: bool,
    /// A failure of class Fatal was injected.
    pub(crate) fatal: bool,
    /// The ResourceManager said that no containers will come.
    pub(crate) given_up: bool,
    /// About its checkpoints.
    pub(crate) checks: Checks,
    /// As the ResourceManager heard it.
    pub(crate) required: BTreeMap<Kind, usize>,
    /// As the ResourceManager granted and took back: for which need.
    pub(crate) granted: BTreeMap<SlotId, Kind>,
    /// For which need each slot was offered, as the job heard it.
    pub(crate) offered: BTreeMap<SlotId, Kind>,
}

impl JobRecord {
    fn missing(&self) -> BTreeMap<Kind, usize> {
        let mut left: BTreeMap<Kind, usize> = BTreeMap::new();
        for kind in self.granted.values() {
            *left.entry(*kind).or_default() += 1;
        }
        let mut missing = self.required.clone();
        for (kind, count) in &mut missing {
            let met = (*count).min(left.get(kind).copied().unwrap_or_default());
            *count -= met;
            *left.entry(*kind).or_default() -= met;
        }
        // What is left over serves those who take anything.
        if let Some(any) = missing.get_mut(&None) {
            *any = any.saturating_sub(left.values().sum());
        }
        missing
    }

    pub(crate) fn status(&self) -> Option<(Timestamp, JobStatus, Option<&Failure>)> {
        self.statuses
            .last()
            .map(|(when, status, failure)| (*when, *status, failure.as_ref()))
    }
}

/// Of a run.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) jobs: BTreeMap<JobId, JobRecord>,
    /// What the driver was asked for last.
    pub(crate) outstanding: BTreeMap<Kind, u32>,
    /// What each container was made for.
    pub(crate) kinds: BTreeMap<ContainerId, Kind>,
    /// Containers that were launched and have neither registered nor gone.
    pub(crate) coming: BTreeSet<ContainerId>,
    /// A container that was launched though enough were coming.
    pub(crate) needless_launch: Option<ContainerId>,
    /// A slot that went where it should not, for its size.
    pub(crate) wrong_size: Option<String>,
    /// What was wrong with a partition that was kept or given up.
    pub(crate) wrong_partition: Option<String>,
    /// Attempts that ran again because their partition was lost.
    pub(crate) rewritten: u32,
}

impl Record {
    /// Slots that jobs want and do not have, by what they are needed for.
    pub(crate) fn missing(&self) -> BTreeMap<Kind, usize> {
        let mut missing = BTreeMap::new();
        for job in self.jobs.values() {
            for (kind, count) in job.missing() {
                *missing.entry(kind).or_default() += count;
            }
        }
        missing
    }

    /// How many containers of a kind are coming.
    pub(crate) fn coming(&self, kind: Kind) -> usize {
        let coming = self.coming.iter();
        coming.filter(|id| self.kinds[*id] == kind).count()
    }

    /// Of all jobs.
    pub(crate) fn sum(&self, of: impl Fn(&Checks) -> u32) -> u32 {
        self.jobs.values().map(|job| of(&job.checks)).sum()
    }

    pub(crate) fn of(&mut self, job: JobId) -> &mut JobRecord {
        self.jobs.entry(job).or_default()
    }
}

/// What a sink's subtask wants committed: it names its attempt.
pub(crate) fn output_of(attempt: ExecutionAttemptId) -> StoredCommittable {
    StoredCommittable {
        operator: u128::from(attempt.vertex.0).to_be_bytes().to_vec(),
        committable: attempt.to_string().into_bytes(),
        id: attempt.to_string(),
    }
}
