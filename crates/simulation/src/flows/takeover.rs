//! A JobManager dies with its workers; the next one begins from what it finds in storage.

use std::sync::Arc;

use flott_coordination::SlotRequirement;
use flott_coordination::checkpoint::{Origin, StoredCheckpoint};
use flott_coordination::job::{JobCore, JobEvent};
use flott_coordination::resource::ResourceEvent;
use flott_model::{Epoch, JobId, SnapshotKind};

use crate::world::{Channel, Happening, ProcessId, World};

impl World {
    pub(crate) fn take_over(&mut self, job: JobId) {
        let started = self.record.of(job).status().is_some();
        let ended = self.jobs[&job].status().is_terminal();
        if ended || !started {
            return;
        }
        let plan = self.plan.jobs.iter().find(|it| it.settings.job == job);
        let sealed = plan.is_some_and(|plan| {
            let checkpoints = &plan.settings.checkpoints;
            checkpoints.interval.is_some() && checkpoints.after_tasks_finish
        });
        if !sealed {
            return; // Its end is in no checkpoint: what it has committed by then comes again.
        }
        let workers: Vec<ProcessId> = self
            .processes
            .keys()
            .filter(|(owner, _)| *owner == job)
            .cloned()
            .collect();
        for worker in workers {
            self.fenced.insert(worker.clone());
            self.kill_worker(&worker, "its JobManager is gone");
        }
        let mut plans = self.plan.jobs.iter_mut();
        let Some(plan) = plans.find(|plan| plan.settings.job == job) else {
            return;
        };
        plan.settings.epoch = Epoch(plan.settings.epoch.0 + 1);
        let (settings, graph) = (plan.settings.clone(), plan.graph.clone());
        self.flows.storage.delete_incomplete(job);
        let origin = self.find_origin(job);
        let seen = origin.seen;
        let checks = &mut self.record.of(job).checks;
        checks.taken_over(&origin);
        // What was only thought of may be thought of again.
        checks.newest_seen = seen.max(checks.complete.keys().next_back().copied());
        self.jobs
            .insert(job, JobCore::new(settings, &graph, origin));
        self.prepare_sources(job);
        let give_up = ResourceEvent::Required {
            job,
            slots: SlotRequirement::default(),
        };
        self.say(Channel::JobToResource(job), Happening::Resource(give_up));
        // What was said to the one before has arrived by then, at deaf ears.
        let delay = self.random.millis(9_000..12_000);
        self.after(delay, Happening::Job(job, JobEvent::Started));
    }

    /// What the next JobManager finds.
    fn find_origin(&mut self, job: JobId) -> Origin {
        let storage = &self.flows.storage;
        let own = storage.metadata.iter();
        let own = own.filter(|(path, _)| storage.directories.get(*path) == Some(&job));
        // Savepoints by which nothing was to stop are the user's affair.
        let restorable = own.filter(|(_, metadata)| {
            let kind = SnapshotKind::from_number(metadata.kind);
            kind.is_some_and(|kind| !kind.is_savepoint() || kind.stops())
        });
        let stored = restorable.map(|(path, metadata)| StoredCheckpoint {
            metadata: Arc::clone(metadata),
            directory: path.clone(),
            path: path.clone(),
        });
        let mut origin = self.record.of(job).checks.first_origin.clone();
        origin.completed = stored.collect();
        origin.seen = self.flows.storage.newest_opened(job);
        origin
    }
}
