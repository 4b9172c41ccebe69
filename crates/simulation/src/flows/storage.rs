//! Where checkpoints are: directories, files, metadata. Slow, and at times it does not work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_coordination::Timestamp;
use flott_coordination::job::JobEvent;
use flott_model::{
    CheckpointId, CheckpointMetadata, Epoch, Failure, FailureClass, JobId, SnapshotKind,
};

use crate::world::{Happening, World};

/// What is stored.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) directories: BTreeMap<String, JobId>,
    /// Whole paths.
    pub(crate) files: BTreeSet<String>,
    /// By directory.
    pub(crate) metadata: BTreeMap<String, Arc<CheckpointMetadata>>,
    /// The directory of each checkpoint that was opened.
    opened: BTreeMap<(JobId, CheckpointId), String>,
    /// Until then nothing works.
    outage: Timestamp,
    /// What is done for a checkpoint is done in order.
    latest: BTreeMap<(JobId, CheckpointId), Timestamp>,
    next: u64,
}

/// Something that a JobMaster has done in storage.
#[derive(Debug, Clone)]
pub(crate) enum StorageCall {
    Open(SnapshotKind, Option<String>),
    Store(String, Arc<CheckpointMetadata>),
    Discard {
        directory: String,
        keep: Vec<String>,
        files: Vec<String>,
    },
}

impl Storage {
    pub(crate) fn unique(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn works(&self, now: Timestamp) -> bool {
        now >= self.outage
    }

    /// A file in a directory that is there, or a shared one.
    pub(crate) fn write_file(&mut self, path: &str) -> bool {
        let (directory, _) = path.rsplit_once('/').expect("paths are whole");
        let possible = directory == "/shared" || self.directories.contains_key(directory);
        possible && self.files.insert(path.to_owned())
    }

    fn delete(&mut self, directory: &str, keep: &[String], files: &[String]) {
        self.metadata.remove(directory);
        let prefix = format!("{directory}/");
        self.files.retain(|path| {
            let inside = path.strip_prefix(&prefix);
            inside.is_none_or(|name| keep.iter().any(|kept| kept == name))
        });
        for file in files {
            self.files.remove(file);
        }
        self.remove_empty(directory);
        for file in files {
            let (parent, _) = file.rsplit_once('/').expect("paths are whole");
            if !self.metadata.contains_key(parent) {
                self.remove_empty(parent);
            }
        }
    }

    /// The greatest number of a checkpoint that has or had a directory.
    pub(crate) fn newest_opened(&self, job: JobId) -> Option<CheckpointId> {
        let first = (job, CheckpointId(0));
        let last = (job, CheckpointId(u64::MAX));
        let opened = self.opened.range(first..=last).next_back();
        opened.map(|((_, checkpoint), _)| *checkpoint)
    }

    fn remove_empty(&mut self, directory: &str) {
        let prefix = format!("{directory}/");
        if !self.files.iter().any(|path| path.starts_with(&prefix)) {
            self.directories.remove(directory);
        }
    }

    /// What an earlier JobMaster left without metadata.
    pub(crate) fn delete_incomplete(&mut self, job: JobId) {
        let incomplete = self.directories.iter();
        let incomplete = incomplete
            .filter(|(directory, owner)| **owner == job && !self.metadata.contains_key(*directory));
        let incomplete: Vec<String> = incomplete.map(|(directory, _)| directory.clone()).collect();
        let in_use = self.in_use(job);
        for directory in incomplete {
            let prefix = format!("{directory}/");
            self.files
                .retain(|path| !path.starts_with(&prefix) || in_use.contains(path));
            self.remove_empty(&directory);
        }
    }

    /// Whole paths of the files that complete checkpoints of a job need.
    pub(crate) fn in_use(&self, job: JobId) -> BTreeSet<String> {
        let complete = self.metadata.iter();
        let own = complete.filter(|(directory, _)| self.directories.get(*directory) == Some(&job));
        own.flat_map(|(directory, metadata)| files_of(metadata, directory))
            .collect()
    }
}

/// Whole paths.
pub(crate) fn files_of(metadata: &CheckpointMetadata, directory: &str) -> Vec<String> {
    let whole = |name: &str| match name.contains('/') {
        true => name.to_owned(),
        false => format!("{directory}/{name}"),
    };
    metadata.files().map(whole).collect()
}

impl World {
    pub(crate) fn begin_outage(&mut self) {
        let length = self.random.millis(1_000..30_000);
        self.flows.storage.outage = self.now + length;
    }

    /// Has something done in storage: later, and in order for each checkpoint.
    pub(crate) fn call_storage(&mut self, job: JobId, checkpoint: CheckpointId, call: StorageCall) {
        let slow = self.trouble();
        let delay = self.random.millis(if slow { 0..8_000 } else { 5..200 });
        let latest = self.flows.storage.latest.entry((job, checkpoint));
        let latest = latest.or_default();
        let when = (self.now + delay).max(*latest);
        *latest = when;
        let epoch = self.epoch_of(job);
        self.at(when, Happening::StorageDoes(job, epoch, checkpoint, call));
    }

    pub(crate) fn storage_does(
        &mut self,
        job: JobId,
        epoch: Epoch,
        checkpoint: CheckpointId,
        call: StorageCall,
    ) {
        if epoch != self.epoch_of(job) {
            return; // A deposed JobMaster's: fenced.
        }
        match call {
            StorageCall::Open(kind, directory) => self.open(job, checkpoint, kind, directory),
            StorageCall::Store(directory, metadata) => {
                self.store(job, checkpoint, directory, metadata);
            }
            StorageCall::Discard {
                directory,
                keep,
                files,
            } => {
                let opened = self.flows.storage.opened.get(&(job, checkpoint));
                let directory = match directory.is_empty() {
                    true => opened.cloned(),
                    false => Some(directory),
                };
                if let Some(directory) = directory {
                    self.flows.storage.delete(&directory, &keep, &files);
                }
            }
        }
    }

    fn open(
        &mut self,
        job: JobId,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
        directory: Option<String>,
    ) {
        let place = match directory {
            Some(_) => format!("/s{}", self.flows.storage.unique()),
            None if kind.is_savepoint() => format!("/d{}", self.flows.storage.unique()),
            None => format!("/{}-{checkpoint}", job.0),
        };
        let failed = self.trouble() || !self.flows.storage.works(self.now);
        let result = if failed {
            Err(unavailable())
        } else if self.flows.storage.directories.contains_key(&place) {
            Err(Failure::new(FailureClass::Transient, "it exists"))
        } else {
            let storage = &mut self.flows.storage;
            storage.directories.insert(place.clone(), job);
            storage.opened.insert((job, checkpoint), place.clone());
            Ok(place)
        };
        self.answer_job(
            job,
            JobEvent::CheckpointOpened {
                checkpoint,
                timestamp_ms: i64::try_from(self.now.as_millis()).expect("a run is short"),
                result,
            },
        );
    }

    fn store(
        &mut self,
        job: JobId,
        checkpoint: CheckpointId,
        directory: String,
        metadata: Arc<CheckpointMetadata>,
    ) {
        let failed = self.trouble() || !self.flows.storage.works(self.now);
        let result = if failed {
            Err(unavailable())
        } else {
            let storage = &mut self.flows.storage;
            storage.metadata.insert(directory.clone(), metadata);
            Ok(directory)
        };
        self.answer_job(job, JobEvent::MetadataStored { checkpoint, result });
    }

    /// An answer within the JobManager's process: a little later, unless it dies before.
    pub(crate) fn answer_job(&mut self, job: JobId, event: JobEvent) {
        let slow = self.trouble();
        let delay = self.random.millis(if slow { 0..3_000 } else { 0..20 });
        let epoch = self.epoch_of(job);
        self.after(delay, Happening::ShellAnswers(job, epoch, event));
    }

    pub(crate) fn shell_answers(&mut self, job: JobId, epoch: Epoch, event: JobEvent) {
        if epoch == self.epoch_of(job) {
            self.tell_job(job, event);
        }
    }

    pub(crate) fn epoch_of(&self, job: JobId) -> Epoch {
        let mut plans = self.plan.jobs.iter();
        let plan = plans.find(|plan| plan.settings.job == job);
        plan.map_or(Epoch(0), |plan| plan.settings.epoch)
    }
}

fn unavailable() -> Failure {
    Failure::new(FailureClass::Transient, "the storage does not answer")
}
