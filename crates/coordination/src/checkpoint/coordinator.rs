//! The checkpoints of one job: the state, and what the job is told of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use flott_model::{
    CheckpointId, Epoch, ExecutionAttemptId, Failure, JobGraph, JobId, RuntimeMode,
    StoredCommittable, SubtaskRestore, VertexId, VertexSnapshot,
};

use super::completed::{Completed, Rest};
use super::failures::Failures;
use super::pending::Pending;
use super::request::{Closing, Request};
use super::restore::{RestorePlan, Shape};
use super::schedule::Schedule;
use super::settings::CheckpointSettings;
use super::stats::CheckpointStatistics;
use super::stored::StoredCheckpoint;
use crate::job::{JobAction, JobSettings};

/// All that a job knows about its checkpoints.
///
/// Methods note their consequences as [`Effect`]s, which the job takes and performs.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    pub(super) settings: CheckpointSettings,
    /// In STREAMING only.
    pub(super) enabled: bool,
    pub(super) identity: Identity,
    pub(super) shape: Shape,
    /// Number of the newest.
    pub(super) newest: CheckpointId,
    pub(super) pending: BTreeMap<CheckpointId, Pending>,
    pub(super) completed: Completed,
    pub(super) retired: Vec<Retired>,
    pub(super) schedule: Schedule,
    pub(super) failures: Failures,
    /// Wishes that wait for their turn.
    pub(super) queue: VecDeque<Request>,
    pub(super) closing: Option<Closing>,
    /// Directories of those that were given up lately: what still comes for them is deleted.
    pub(super) aborted: BTreeMap<CheckpointId, String>,
    /// Nothing may be shared with what the job began from, until one is complete.
    pub(super) full: bool,
    /// What tasks are deployed with.
    pub(super) plan: Option<RestorePlan>,
    /// All tasks have finished, and what they left is to be in a checkpoint.
    pub(super) sealing: bool,
    /// Enumerators must begin anew, also if there is nothing to begin from.
    pub(super) sources_reset: bool,
    /// Why the job cannot begin.
    pub(super) refusal: Option<Failure>,
    pub(super) statistics: CheckpointStatistics,
    pub(super) effects: Vec<Effect>,
}

/// A checkpoint that newer ones took the place of.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) stored: Arc<StoredCheckpoint>,
    /// Those on their way, which may use files of it.
    pub(super) awaits: BTreeSet<CheckpointId>,
}

/// What `_metadata` says of the job.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) job: JobId,
    pub(super) name: String,
    pub(super) epoch: Epoch,
    /// Without snapshots.
    pub(super) vertices: Vec<VertexSnapshot>,
}

/// What follows for the job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// The shell does this.
    Act(JobAction),
    /// All workers are told that a checkpoint is complete.
    NotifyCompleted(CheckpointId),
    /// All workers are told that a checkpoint will not be.
    NotifyAborted(CheckpointId),
    /// These can be committed now. Of the attempts nothing else is left to be committed.
    Covered(Vec<StoredCommittable>, Vec<ExecutionAttemptId>),
    /// The job fails, and may be restarted.
    FailJob(Failure),
    /// The regions that go on while others recover must go back as well.
    TakeAllBack,
    /// The job is cancelled: its savepoint is complete.
    CancelJob,
}

/// So many given-up checkpoints are remembered.
const REMEMBERED_ABORTED: usize = 64;

impl Checkpoints {
    pub(super) fn blank(settings: &JobSettings, graph: &JobGraph) -> Self {
        let checkpoints = settings.checkpoints.clone();
        let vertices = graph.vertices.iter().map(|vertex| VertexSnapshot {
            uid: vertex.uid.clone(),
            name: vertex.name.clone(),
            operators: vertex.operators.clone(),
            max_parallelism: vertex.max_parallelism,
            subtasks: Vec::new(),
        });
        Self {
            enabled: graph.mode() == RuntimeMode::Streaming && !graph.is_staged(),
            identity: Identity {
                job: settings.job,
                name: graph.name.clone(),
                epoch: settings.epoch,
                vertices: vertices.collect(),
            },
            shape: Shape::new(graph),
            newest: CheckpointId(0),
            pending: BTreeMap::new(),
            completed: Completed::new(checkpoints.num_retained, None),
            retired: Vec::new(),
            schedule: Schedule::new(checkpoints.interval, checkpoints.min_pause),
            failures: Failures::new(checkpoints.tolerable_failed),
            queue: VecDeque::new(),
            closing: None,
            aborted: BTreeMap::new(),
            full: false,
            plan: None,
            sealing: false,
            sources_reset: false,
            refusal: None,
            statistics: CheckpointStatistics::default(),
            effects: Vec::new(),
            settings: checkpoints,
        }
    }

    pub(crate) fn statistics(&self) -> &CheckpointStatistics {
        &self.statistics
    }

    /// Why the job cannot begin from what it was given, if it cannot.
    pub(crate) fn refusal(&self) -> Option<&Failure> {
        self.refusal.as_ref()
    }

    /// What a subtask is deployed with.
    pub(crate) fn restore(&self, vertex: VertexId, subtask: u32) -> Option<SubtaskRestore> {
        let plan = self.plan.as_ref()?;
        Some(plan.subtask(&self.shape, vertex, subtask))
    }

    /// What has to be done, in order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Somebody knows of a checkpoint with that number.
    pub(crate) fn seen(&mut self, checkpoint: CheckpointId) {
        self.newest = self.newest.max(checkpoint);
    }

    pub(super) fn act(&mut self, action: JobAction) {
        self.effects.push(Effect::Act(action));
    }

    /// Tells the shell that there is news of a checkpoint.
    pub(super) fn changed(&mut self, checkpoint: CheckpointId) {
        self.act(JobAction::CheckpointChanged(Some(checkpoint)));
    }

    /// Deletes what a checkpoint that is no longer retained left, and nothing else needs.
    pub(super) fn discard(
        &mut self,
        checkpoint: CheckpointId,
        directory: &str,
        files: BTreeSet<String>,
    ) {
        let on_their_way = self.pending.values().flat_map(|pending| {
            let snapshots = pending.snapshots().into_iter();
            snapshots.flat_map(|it| super::completed::files_of(it, &pending.directory))
        });
        let retired = self
            .retired
            .iter()
            .flat_map(|it| super::completed::files(&it.stored.metadata, &it.stored.directory));
        let in_use: BTreeSet<String> = on_their_way.chain(retired).collect();
        let rest = self.completed.rest(checkpoint, directory, files, &in_use);
        let Rest {
            checkpoint,
            directory,
            keep,
            files,
        } = rest;
        self.act(JobAction::Discard {
            checkpoint,
            directory,
            keep,
            files,
        });
    }

    pub(super) fn discard_stored(&mut self, stored: &StoredCheckpoint) {
        let files = super::completed::files(&stored.metadata, &stored.directory);
        let checkpoint = stored.metadata.checkpoint();
        self.discard(checkpoint, &stored.directory, files);
        self.statistics.discarded(checkpoint);
        self.changed(checkpoint);
    }

    pub(super) fn remember_aborted(&mut self, checkpoint: CheckpointId, directory: String) {
        self.aborted.insert(checkpoint, directory);
        if self.aborted.len() > REMEMBERED_ABORTED {
            self.aborted.pop_first();
        }
    }

    pub(super) fn newest_stored(&self) -> Option<Arc<StoredCheckpoint>> {
        self.completed.newest().map(Arc::clone)
    }

    /// What holds after each event.
    pub(crate) fn check_invariants(&self) {
        self.completed.check();
        for (checkpoint, pending) in &self.pending {
            assert!(*checkpoint <= self.newest, "numbers grow");
            // One that the JobManager holds has a place without a name.
            assert!(
                pending.is_triggered() || pending.directory.is_empty(),
                "what has a place is triggered"
            );
            if let super::pending::Stage::Collecting(collecting) = &pending.stage {
                collecting.check();
            }
        }
        let periodic = self.pending.values().filter(|it| it.request.is_none());
        assert!(
            periodic.count() <= self.settings.max_concurrent.max(1) as usize,
            "periodic checkpoints are limited"
        );
        assert_eq!(
            self.statistics.counts.in_progress as usize,
            self.pending.len(),
            "what is on its way is counted"
        );
        if let Some(closing) = self.closing.as_ref().filter(|_| !self.sealing) {
            let requests = self.pending.values().map(|it| it.request.as_ref());
            let own = requests.filter(|it| *it == Some(&closing.request)).count();
            let expected = usize::from(closing.savepoint.is_none() && self.queue.is_empty());
            assert_eq!(own, expected, "the last act has one savepoint");
            assert_eq!(own, self.pending.len(), "and nothing beside it");
        }
        for retired in &self.retired {
            let mut awaits = retired.awaits.iter();
            assert!(!retired.awaits.is_empty(), "what nothing needs is deleted");
            assert!(
                awaits.all(|id| self.pending.contains_key(id)),
                "only what is on its way is awaited"
            );
        }
        assert!(self.effects.is_empty(), "effects are performed");
    }

    /// The attempts that a checkpoint on its way waits for; for tests.
    pub(crate) fn participants(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        self.pending.values().flat_map(|pending| {
            let collecting = match &pending.stage {
                super::pending::Stage::Collecting(collecting) => Some(collecting),
                super::pending::Stage::Opening | super::pending::Stage::Storing(_) => None,
            };
            collecting.into_iter().flat_map(|it| it.attempts())
        })
    }
}
