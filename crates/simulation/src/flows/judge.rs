//! What is right, judged by what was really stored and committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_coordination::Timestamp;
use flott_coordination::checkpoint::{CheckpointStatus, ClaimMode, Origin, SnapshotResult};
use flott_coordination::job::{JobAction, TaskDeployment};
use flott_model::{
    CheckpointId, CheckpointMetadata, ExecutionAttemptId, Failure, JobId, SnapshotKind,
    SubtaskSnapshot,
};

use super::draw::Wish;
use super::source::uid;
use super::storage::files_of;
use super::{Content, Record, SPLIT_RECORDS};
use crate::world::World;

/// What a job's checkpoints were seen to do.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// The first thing that was wrong.
    pub(crate) wrong: Option<String>,
    /// Snapshots that were stored.
    stored: BTreeSet<(CheckpointId, ExecutionAttemptId)>,
    /// What a restart may begin from.
    pub(crate) complete: BTreeMap<CheckpointId, Complete>,
    notified: Option<CheckpointId>,
    pub(crate) newest_seen: Option<CheckpointId>,
    pub(crate) wishes: Vec<(Wish, Option<Result<SnapshotResult, Failure>>)>,
    /// The savepoint that the job began from.
    pub(crate) origin: Option<(CheckpointId, String, ClaimMode)>,
    pub(crate) first_origin: Origin,
    /// Shared files that the JobMaster was told of.
    pub(crate) heard: BTreeSet<String>,
    /// When checkpoints were complete.
    pub(crate) completions: Vec<Timestamp>,
    pub(crate) restores: u32,
    pub(crate) takeovers: u32,
    /// The JobMaster is not there yet.
    pub(crate) deaf: bool,
}

/// A complete checkpoint.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) path: String,
    metadata: Arc<CheckpointMetadata>,
    /// The job's own.
    pub(crate) owned: bool,
    pub(crate) discarded: bool,
}

impl Checks {
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert(what.into());
    }

    /// How many savepoints the job was stopped with: none or one.
    pub(crate) fn stopped(&self) -> u32 {
        let answers = self.wishes.iter();
        let done =
            answers.filter(|(wish, answer)| wish.kind.stops() && matches!(answer, Some(Ok(_))));
        done.count() as u32
    }

    /// Whether a savepoint was to be the last act, and was complete.
    pub(crate) fn cancelled(&self) -> bool {
        let mut answers = self.wishes.iter();
        answers.any(|(wish, answer)| wish.cancel && matches!(answer, Some(Ok(_))))
    }

    /// What a restart must begin from.
    fn newest(&self) -> Option<(CheckpointId, &Complete)> {
        let kept = self.complete.iter().filter(|(_, it)| !it.discarded);
        kept.map(|(id, it)| (*id, it)).next_back()
    }

    pub(crate) fn begin_from(
        &mut self,
        metadata: &Arc<CheckpointMetadata>,
        path: &str,
        owned: bool,
    ) {
        let complete = Complete {
            path: path.to_owned(),
            metadata: Arc::clone(metadata),
            owned,
            discarded: false,
        };
        self.complete.insert(metadata.checkpoint(), complete);
        self.newest_seen = Some(metadata.checkpoint());
    }

    /// Another JobManager begins; what it finds is what there is.
    pub(crate) fn taken_over(&mut self, origin: &Origin) {
        self.takeovers += 1;
        self.deaf = true;
        self.heard.clear();
        let unclaimed = self.origin.as_ref();
        let unclaimed = unclaimed.filter(|(_, _, claim)| *claim == ClaimMode::NoClaim);
        let unclaimed = unclaimed.map(|(id, _, _)| *id);
        self.complete.retain(|id, _| Some(*id) == unclaimed);
        for stored in &origin.completed {
            let kind = SnapshotKind::from_number(stored.metadata.kind);
            let claimed = self
                .origin
                .as_ref()
                .is_some_and(|(_, path, claim)| *claim == ClaimMode::Claim && *path == stored.path);
            let complete = Complete {
                path: stored.path.clone(),
                metadata: Arc::clone(&stored.metadata),
                owned: claimed || !kind.is_some_and(SnapshotKind::is_savepoint),
                discarded: false,
            };
            self.complete.insert(stored.metadata.checkpoint(), complete);
        }
        let lost = Failure::default();
        for (_, answer) in &mut self.wishes {
            answer.get_or_insert_with(|| Err(lost.clone()));
        }
    }
}

impl World {
    pub(crate) fn note_stored(
        &mut self,
        job: JobId,
        checkpoint: CheckpointId,
        attempt: ExecutionAttemptId,
    ) {
        let checks = &mut self.record.of(job).checks;
        checks.stored.insert((checkpoint, attempt));
    }

    /// The JobMaster hears of a snapshot.
    pub(crate) fn note_heard(&mut self, job: JobId, snapshot: &SubtaskSnapshot) {
        let handles = snapshot.operators.iter().filter_map(|it| it.keyed.as_ref());
        let shared = handles.filter(|handle| handle.file.starts_with("/shared/"));
        let shared = shared.map(|handle| handle.file.clone());
        self.record.of(job).checks.heard.extend(shared);
    }

    pub(crate) fn judge_checkpoint_action(&mut self, job: JobId, action: &JobAction) {
        let result = match action {
            JobAction::OpenCheckpoint { checkpoint, .. } => {
                let checks = &mut self.record.of(job).checks;
                let grows = checks.newest_seen < Some(*checkpoint);
                checks.newest_seen = Some(*checkpoint);
                grows
                    .then_some(())
                    .ok_or(format!("{checkpoint} was used before"))
            }
            JobAction::StoreMetadata { metadata, .. } => self.judge_whole(job, metadata),
            JobAction::NotifyCompleted { checkpoint, .. } => self.judge_complete(job, *checkpoint),
            JobAction::Discard {
                checkpoint,
                directory,
                keep,
                files,
            } => self.judge_discard(job, *checkpoint, directory, (keep, files)),
            _ => Ok(()),
        };
        if let Err(what) = result {
            self.record.of(job).checks.fail(what);
        }
    }

    /// A checkpoint is complete only with the snapshots of all subtasks, stored.
    fn judge_whole(&self, job: JobId, metadata: &CheckpointMetadata) -> Result<(), String> {
        let record = &self.record.jobs[&job];
        let checkpoint = metadata.checkpoint();
        let plan = self.plan.jobs.iter().find(|it| it.settings.job == job);
        let graph = &plan.ok_or("no such job")?.graph;
        for (vertex, (described, snapshots)) in
            (0..).zip(graph.vertices.iter().zip(&metadata.vertices))
        {
            if snapshots.subtasks.len() != described.parallelism as usize {
                return Err(format!("{checkpoint} has not all subtasks of {vertex}"));
            }
            for (subtask, snapshot) in (0..).zip(&snapshots.subtasks) {
                let attempt = record.deployed.get(&(vertex, subtask));
                let attempt = attempt.ok_or(format!("{vertex}/{subtask} never ran"))?;
                let there = match snapshot.finished {
                    true => record.finished.contains(attempt),
                    false => record.checks.stored.contains(&(checkpoint, *attempt)),
                };
                if !there {
                    return Err(format!("{checkpoint} lacks the snapshot of {attempt}"));
                }
            }
        }
        let sources = self.source_vertices(job);
        let known = sources.iter().all(|(vertex, _)| {
            let mut states = metadata.enumerators.iter();
            states.any(|state| state.operator == uid(*vertex))
        });
        known
            .then_some(())
            .ok_or(format!("{checkpoint} lacks an enumerator"))
    }

    /// A job has heard that metadata is written: from then on it may count on it.
    pub(crate) fn judge_stored(&mut self, job: JobId, checkpoint: CheckpointId) {
        let statistics = self.jobs[&job].checkpoints();
        let complete = statistics.get(checkpoint).is_some_and(|record| {
            let restorable = !record.kind.is_savepoint() || record.kind.stops();
            restorable && matches!(record.status, CheckpointStatus::Completed { .. })
        });
        if complete && let Err(what) = self.judge_complete(job, checkpoint) {
            self.record.of(job).checks.fail(what);
        }
    }

    /// Nobody is told before the metadata is there, and numbers grow.
    fn judge_complete(&mut self, job: JobId, checkpoint: CheckpointId) -> Result<(), String> {
        let storage = &self.flows.storage;
        let mut stored = storage.metadata.iter();
        let stored = stored.find(|(path, metadata)| {
            metadata.checkpoint() == checkpoint && storage.directories.get(*path) == Some(&job)
        });
        let (path, metadata) = stored.ok_or(format!("{checkpoint} is not stored"))?;
        let (path, metadata) = (path.clone(), Arc::clone(metadata));
        let now = self.now;
        let checks = &mut self.record.of(job).checks;
        if checks.notified == Some(checkpoint) {
            return Ok(()); // Another worker is told.
        }
        if checks.notified > Some(checkpoint) {
            return Err(format!(
                "{checkpoint} was complete after {:?}",
                checks.notified
            ));
        }
        checks.notified = Some(checkpoint);
        checks.completions.push(now);
        let kind = SnapshotKind::from_number(metadata.kind);
        let complete = Complete {
            path,
            metadata,
            owned: !kind.is_some_and(SnapshotKind::is_savepoint),
            discarded: false,
        };
        checks.complete.insert(checkpoint, complete);
        Ok(())
    }

    /// Nothing is deleted that a retained checkpoint needs, and no savepoint.
    fn judge_discard(
        &mut self,
        job: JobId,
        checkpoint: CheckpointId,
        directory: &str,
        (keep, files): (&[String], &[String]),
    ) -> Result<(), String> {
        let ended = self.jobs[&job].status().is_terminal();
        if directory.is_empty() {
            return Ok(()); // None was opened.
        }
        let prefix = format!("{directory}/");
        let inside = self.flows.storage.files.iter();
        let inside = inside.filter(|path| {
            let name = path.strip_prefix(&prefix);
            name.is_some_and(|name| !keep.iter().any(|kept| kept == name))
        });
        let deleted: BTreeSet<String> = inside.chain(files).cloned().collect();
        let checks = &mut self.record.of(job).checks;
        let mut done = checks.wishes.iter().filter_map(|(wish, answer)| {
            let done = answer.as_ref()?.as_ref().ok()?;
            (wish.kind.is_savepoint() && done.path == directory).then_some(done.checkpoint)
        });
        if let Some(savepoint) = done.next() {
            return Err(format!("savepoint {savepoint} is deleted"));
        }
        let newest = checks.newest().map(|(id, _)| id);
        if let Some(complete) = checks.complete.get_mut(&checkpoint)
            && complete.path == directory
        {
            if !complete.owned {
                return Err(format!("{directory} is not the job's to delete"));
            }
            if newest == Some(checkpoint) && !ended {
                return Err(format!("{checkpoint} is deleted, and it is the newest"));
            }
            complete.discarded = true;
        }
        for (id, complete) in checks.complete.iter().filter(|(_, it)| !it.discarded) {
            let used = files_of(&complete.metadata, &complete.path);
            if let Some(file) = used.iter().find(|file| deleted.contains(*file)) {
                return Err(format!("{file} of {id} is deleted with {checkpoint}"));
            }
        }
        Ok(())
    }

    /// Tasks begin from the newest complete checkpoint, and all of it is there.
    pub(crate) fn judge_restore(&mut self, job: JobId, task: &TaskDeployment) {
        let record = &mut self.record.jobs.entry(job).or_default().checks;
        let expected = record.newest().map(|(id, it)| (id.0, it.path.clone()));
        let restore = task.restore.as_ref();
        let actual = restore.map(|it| (it.checkpoint, it.directory.clone()));
        if actual != expected {
            let attempt = task.attempt;
            record.fail(format!(
                "{attempt} begins from {actual:?}, not {expected:?}"
            ));
        }
        let Some(restore) = restore else { return };
        record.restores += 1;
        let handles = restore.operators.iter().flat_map(|it| &it.keyed);
        for handle in handles.filter(|handle| !handle.file.is_empty()) {
            let path = match handle.file.contains('/') {
                true => handle.file.clone(),
                false => format!("{}/{}", restore.directory, handle.file),
            };
            if !self.flows.storage.files.contains(&path) {
                record.fail(format!(
                    "{path} is gone, of checkpoint {}",
                    restore.checkpoint
                ));
            }
        }
    }

    /// What is committed of a stopped job is what its savepoint has behind it.
    pub(crate) fn judge_stopped(&mut self, job: JobId, path: &str) {
        let metadata = Arc::clone(&self.flows.storage.metadata[path]);
        let expected = self.consumed(job, &metadata);
        let what = self.judge_output(job, &expected);
        if let Err(what) = what {
            let what = format!("stopped at {}: {what}", metadata.checkpoint());
            self.record.of(job).checks.fail(what);
        }
    }

    /// The committed output is this, each record once, and each key counted without a gap.
    pub(crate) fn judge_output(
        &self,
        job: JobId,
        expected: &BTreeSet<Record>,
    ) -> Result<(), String> {
        let line = self.flows.line(job);
        let nothing = BTreeSet::new();
        let committed = self.flows.committed.get(&line);
        let committed = committed.map_or(&nothing, |committed| &committed.records);
        let records: BTreeSet<Record> = committed.iter().map(|it| it.original()).collect();
        if let Some(lost) = expected.difference(&records).next() {
            return Err(format!("{lost:?} is not committed"));
        }
        if let Some(early) = records.difference(expected).next() {
            return Err(format!("{early:?} is committed too early"));
        }
        let mut counts: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        let mut counted = 0;
        for record in committed.iter().filter(|it| it.count > 0) {
            counts.entry(record.key()).or_default().insert(record.count);
            counted += 1;
        }
        let all: u64 = counts.values().map(|it| it.len() as u64).sum();
        let gap = counts.iter().find(|(_, counts)| {
            let last = counts.last().copied().unwrap_or(0);
            last != counts.len() as u64
        });
        match gap {
            Some((key, counts)) => Err(format!("key {key} was counted {counts:?}")),
            None if all != counted => Err("a count was given twice".to_owned()),
            None => Ok(()),
        }
    }

    /// Every record of a job's sources.
    pub(crate) fn all_records(&self, job: JobId) -> BTreeSet<Record> {
        let sources = self.source_vertices(job).into_iter();
        let splits = sources.flat_map(|(source, _)| {
            (0..self.splits_of(job, source)).map(move |split| (source, split))
        });
        splits
            .flat_map(|(source, split)| {
                (0..SPLIT_RECORDS).map(move |index| Record {
                    source,
                    split,
                    index,
                    count: 0,
                })
            })
            .collect()
    }

    /// What had been read before a savepoint.
    fn consumed(&self, job: JobId, metadata: &CheckpointMetadata) -> BTreeSet<Record> {
        let mut consumed = self.all_records(job);
        for (source, _) in self.source_vertices(job) {
            let mut states = metadata.enumerators.iter();
            let state = states.find(|state| state.operator == uid(source));
            let place = state.and_then(|it| it.state.as_slice().try_into().ok());
            let place = place.map(u64::from_le_bytes);
            let Some(Content::Enumerator(enumerator)) = place.map(|it| self.flows.read(it)) else {
                continue;
            };
            let mut unread: BTreeMap<u32, u32> = BTreeMap::new();
            unread.extend(enumerator.remaining().map(|split| (split, 0)));
            let snapshots = &metadata.vertices[source as usize].subtasks;
            for (subtask, snapshot) in (0..).zip(snapshots).filter(|(_, it)| !it.finished) {
                let handle = snapshot.operators.first().and_then(|it| it.state.as_ref());
                let content = handle.map(|handle| self.flows.read(handle.offset));
                let Some(Content::Reader { received, open }) = content else {
                    continue;
                };
                unread.extend(open.iter().copied());
                let given = enumerator.given.get(&subtask).into_iter().flatten();
                let later = given.skip(*received as usize);
                unread.extend(later.map(|split| (*split, 0)));
            }
            consumed.retain(|record| {
                let from = unread
                    .get(&record.split)
                    .filter(|_| record.source == source);
                from.is_none_or(|from| record.index < *from)
            });
        }
        consumed
    }
}
