//! What users want while a job runs: savepoints, checkpoints, an end with a savepoint; and a job that
//! goes on from the savepoint of one that was stopped.

use std::collections::BTreeSet;
use std::sync::Arc;

use flott_coordination::checkpoint::{
    ClaimMode, Origin, SavepointRestore, SnapshotResult, StoredCheckpoint,
};
use flott_coordination::job::{JobCore, JobEvent};
use flott_model::{Failure, JobId, SnapshotKind, VertexId};

use super::draw::Wish;
use crate::plan::{HEALED, JobPlan};
use crate::world::{Happening, World};

impl World {
    pub(crate) fn user_wishes(&mut self, job: JobId, wish: Wish) {
        let checks = &mut self.record.of(job).checks;
        if checks.deaf {
            return;
        }
        let request = checks.wishes.len() as u64;
        checks.wishes.push((wish, None));
        let directory =
            (wish.kind.is_savepoint() && request.is_multiple_of(2)).then(|| "/s".to_owned());
        self.tell_job(
            job,
            JobEvent::SnapshotRequested {
                request,
                kind: wish.kind,
                directory,
                cancel: wish.cancel,
            },
        );
    }

    pub(crate) fn wish_is_answered(
        &mut self,
        job: JobId,
        request: u64,
        result: Result<SnapshotResult, Failure>,
    ) {
        let checks = &mut self.record.of(job).checks;
        let position = usize::try_from(request).expect("wishes are few");
        let Some((wish, answer)) = checks.wishes.get_mut(position) else {
            checks.fail(format!("request {request} was never made"));
            return;
        };
        let wish = *wish;
        if let Some(before) = answer.replace(result.clone()) {
            checks.fail(format!("request {request} was answered before: {before:?}"));
        }
        let Ok(done) = result else { return };
        if !self.flows.storage.metadata.contains_key(&done.path) {
            let what = format!("there is nothing at {}, of request {request}", done.path);
            self.record.of(job).checks.fail(what);
            return;
        }
        if wish.kind.stops() {
            self.judge_stopped(job, &done.path);
            if self.now < HEALED && self.random.percent(60) {
                self.go_on_from(job, &done);
            }
        }
    }

    /// Another job begins from the savepoint of one that was stopped, as wide as it likes.
    fn go_on_from(&mut self, job: JobId, savepoint: &SnapshotResult) {
        let plans = &self.plan.jobs;
        let Some(before) = plans.iter().find(|plan| plan.settings.job == job) else {
            return;
        };
        let mut graph = before.graph.clone();
        let mut settings = before.settings.clone();
        let cancelled = None;
        settings.job = JobId(u128::from(plans.len() as u64) + 1);
        let parallelism = self.random.small(1..5);
        for vertex in &mut graph.vertices {
            vertex.parallelism = parallelism;
        }
        let next = settings.job;
        let line = self.flows.line(job);
        self.flows.lines.insert(next, line);
        let metadata = Arc::clone(&self.flows.storage.metadata[&savepoint.path]);
        let claim = match self.random.percent(50) {
            true => ClaimMode::Claim,
            false => ClaimMode::NoClaim,
        };
        let checks = &mut self.record.of(next).checks;
        checks.origin = Some((metadata.checkpoint(), savepoint.path.clone(), claim));
        checks.begin_from(&metadata, &savepoint.path, claim == ClaimMode::Claim);
        if claim == ClaimMode::Claim {
            let owner = self.flows.storage.directories.get_mut(&savepoint.path);
            *owner.expect("the savepoint is there") = next;
        }
        let origin = Origin {
            savepoint: Some(SavepointRestore {
                checkpoint: StoredCheckpoint {
                    metadata,
                    directory: savepoint.path.clone(),
                    path: savepoint.path.clone(),
                },
                claim,
                allow_non_restored: false,
            }),
            ..Origin::default()
        };
        let plan = JobPlan {
            settings,
            graph,
            submitted: self.now,
            cancelled,
            wishes: Vec::new(),
        };
        self.record.of(next).checks.first_origin = origin.clone();
        self.submit(plan, origin);
    }

    /// A job is there from now on.
    pub(crate) fn submit(&mut self, job: JobPlan, origin: Origin) {
        let id = job.settings.job;
        let sources: BTreeSet<u32> = job.graph.edges.iter().map(|edge| edge.source).collect();
        let vertices = (0..).zip(&job.graph.vertices).map(|(number, _)| number);
        let sinks = vertices
            .filter(|vertex| !sources.contains(vertex))
            .map(VertexId);
        self.sinks.insert(id, sinks.collect());
        let core = JobCore::new(job.settings.clone(), &job.graph, origin);
        self.jobs.insert(id, core);
        self.record.of(id);
        self.at(job.submitted, Happening::Job(id, JobEvent::Started));
        if let Some(when) = job.cancelled {
            self.at(when, Happening::Job(id, JobEvent::CancelRequested));
        }
        for (when, wish) in &job.wishes {
            self.at(*when, Happening::UserWishes(id, *wish));
        }
        self.plan.jobs.push(job);
        if self.plan.kind == crate::plan::Jobs::Checkpointed {
            self.prepare_sources(id);
        }
    }
}

impl Wish {
    pub(crate) fn of(kind: SnapshotKind) -> Self {
        Self {
            kind,
            cancel: false,
        }
    }
}
