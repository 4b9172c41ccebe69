//! The state of a job, its one entrance for events, and what the outside may see.

use std::collections::BTreeMap;

use flott_model::{ExecutionAttemptId, ExecutionState, Failure, JobGraph, JobStatus, SlotId};

use super::cause::{FailureRecord, Failures};
use super::commit::Commits;
use super::execution::Executions;
use super::message::{JobAction, JobEvent, JobSettings, Timer, WorkerId};
use super::phase::{Phase, successors};
use super::regions::Regions;
use super::restart::Restarts;
use super::slots::SlotPool;
use super::stages::Stages;
use super::topology::Topology;
use super::workers::Workers;
use crate::checkpoint::{CheckpointStatistics, Checkpoints, Origin, Request};
use crate::{SlotRequirement, Timestamp};

/// One job as a state machine.
#[derive(Debug)]
pub struct JobCore {
    pub(super) settings: JobSettings,
    pub(super) topology: Topology,
    pub(super) phase: Phase,
    pub(super) executions: Executions,
    pub(super) slots: SlotPool,
    pub(super) workers: Workers,
    pub(super) failures: Failures,
    pub(super) commits: Commits,
    /// `None` if all of the job runs or none of it.
    pub(super) stages: Option<Stages>,
    pub(super) checkpoints: Checkpoints,
    /// Number of the newest slot request.
    pub(super) request: u64,
    /// Number of the newest round of cancellation.
    pub(super) stop_round: u64,
    pub(super) restarts: Restarts,
    /// Time of the event being handled.
    pub(super) now: Timestamp,
    /// What the event being handled has led to so far.
    actions: Vec<JobAction>,
}

/// One execution, as REST shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionView<'a> {
    /// The attempt.
    pub attempt: ExecutionAttemptId,
    /// Its state.
    pub state: ExecutionState,
    /// Where it runs or ran; `None` if it was never deployed.
    pub worker: Option<&'a WorkerId>,
    /// The slot there.
    pub slot: Option<&'a SlotId>,
    /// When it entered each state it was in.
    pub entered: &'a BTreeMap<ExecutionState, Timestamp>,
    /// Why it failed, if it did.
    pub failure: Option<&'a Failure>,
}

impl JobCore {
    /// A job that was accepted and not started. The graph must be validated.
    pub fn new(settings: JobSettings, graph: &JobGraph, origin: Origin) -> Self {
        let topology = Topology::new(graph);
        let regions = Regions::new(&topology);
        let stages = (topology.is_staged() || regions.count() > 1).then_some(Stages {
            regions,
            slot_request: None,
        });
        Self {
            phase: Phase::Created,
            executions: Executions::new(settings.epoch, &topology),
            slots: SlotPool::new(topology.positions()),
            workers: Workers::new(settings.epoch),
            failures: Failures::default(),
            commits: Commits::default(),
            stages,
            checkpoints: Checkpoints::new(&settings, graph, origin),
            request: 0,
            stop_round: 0,
            restarts: Restarts::new(settings.restart_strategy, settings.jitter_seed),
            now: Timestamp::ZERO,
            actions: Vec::new(),
            settings,
            topology,
        }
    }

    /// Applies one event. All control flow begins in this match.
    pub fn handle(&mut self, now: Timestamp, event: JobEvent) -> Vec<JobAction> {
        self.now = now;
        match event {
            JobEvent::Started => self.start(),
            JobEvent::SlotsGranted(offers) => self.take_slots(offers),
            JobEvent::SlotsUnavailable(failure) => self.slots_unavailable(failure),
            JobEvent::WorkerRegistered {
                worker,
                data_address,
            } => {
                self.register(worker, data_address);
            }
            JobEvent::WorkerLost { worker, failure } => self.worker_lost(&worker, failure),
            JobEvent::ContainerLost { container, failure } => {
                self.container_lost(&container, failure);
            }
            JobEvent::TaskStateChanged {
                attempt,
                state,
                failure,
                output,
                missing,
            } => {
                self.task_changed(attempt, state, failure, output, &missing);
            }
            JobEvent::Committed { round, failure } => self.committed(round, failure),
            JobEvent::CancelRequested => self.cancel(),
            JobEvent::TimerFired(timer) => self.timer_fired(timer),
            JobEvent::CheckpointOpened {
                checkpoint,
                timestamp_ms,
                result,
            } => self.checkpoint_opened(checkpoint, timestamp_ms, result),
            JobEvent::CheckpointAcknowledged {
                attempt,
                checkpoint,
                snapshot,
            } => self.checkpoint_acknowledged(attempt, checkpoint, snapshot),
            JobEvent::CheckpointDeclined {
                attempt,
                checkpoint,
                failure,
            } => self.checkpoint_declined(attempt, checkpoint, failure),
            JobEvent::EnumeratorsSnapshotted {
                checkpoint,
                worker,
                result,
            } => self.enumerators_snapshotted(checkpoint, worker.as_ref(), result),
            JobEvent::MetadataStored { checkpoint, result } => {
                self.checkpoints.stored(now, checkpoint, result);
            }
            JobEvent::SnapshotRequested {
                request: number,
                kind,
                directory,
                cancel,
            } => self.snapshot_requested(Request {
                number,
                kind,
                directory,
                cancel,
            }),
            JobEvent::CheckpointSeen(checkpoint) => self.checkpoints.seen(checkpoint),
            JobEvent::EnumeratorsLost(failure) => self.enumerators_lost(failure),
        }
        self.settle_checkpoints();
        // A scan of everything: worth it in each test, too dear for 100,000 live tasks.
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        std::mem::take(&mut self.actions)
    }

    fn timer_fired(&mut self, timer: Timer) {
        match timer {
            Timer::SlotRequest(request) => self.slot_request_expired(request),
            Timer::WorkerStart(worker) => self.worker_start_expired(&worker),
            Timer::Cancellation(round) => self.cancellation_expired(round),
            Timer::Restart(restart) => self.restart_due(restart),
            Timer::Commit(number) => self.commit_due(number),
            Timer::CheckpointDue(number) => self.checkpoints.due(number),
            Timer::CheckpointTimeout(checkpoint) => {
                self.checkpoints.timed_out(self.now, checkpoint);
            }
        }
    }

    /// The job's status.
    pub fn status(&self) -> JobStatus {
        self.phase.status()
    }

    /// The current execution of every subtask, by vertex and subtask.
    pub fn executions(&self) -> impl Iterator<Item = ExecutionView<'_>> {
        self.executions.iter().map(|execution| ExecutionView {
            attempt: execution.attempt,
            state: execution.state,
            worker: execution.worker(),
            slot: execution.place.as_ref().map(|(_, slot)| slot),
            entered: &execution.entered,
            failure: execution.failure.as_ref(),
        })
    }

    /// What there is to tell about the job's checkpoints.
    pub fn checkpoints(&self) -> &CheckpointStatistics {
        self.checkpoints.statistics()
    }

    /// How often the job was restarted.
    pub fn restarts(&self) -> u32 {
        self.restarts.count()
    }

    /// The latest failures that ended or restarted the job, oldest first.
    pub fn failure_history(&self) -> impl Iterator<Item = &FailureRecord> {
        self.failures.records()
    }

    /// How many slots the job needs in all.
    pub fn needed_slots(&self) -> u32 {
        self.topology.required_slots().total()
    }

    pub(super) fn act(&mut self, action: JobAction) {
        self.actions.push(action);
    }

    /// Enters a phase and tells if that changes the status.
    pub(super) fn enter(&mut self, phase: Phase, failure: Option<Failure>) {
        let before = self.status();
        self.phase = phase;
        let after = self.status();
        if before != after {
            assert!(
                successors(before).contains(&after),
                "{after} after {before}"
            );
            self.act(JobAction::StatusChanged(after, failure));
        }
    }

    /// Moves an execution on and tells.
    pub(super) fn advance(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<Failure>,
    ) {
        self.executions
            .advance(self.now, attempt, state, failure.clone());
        if let Phase::Recovering(recovery) = &mut self.phase
            && state.is_terminal()
        {
            recovery.ended(attempt);
        }
        let worker = self
            .executions
            .get(attempt)
            .and_then(|execution| execution.worker())
            .cloned();
        self.act(JobAction::ExecutionChanged {
            attempt,
            state,
            worker,
            failure,
        });
    }

    /// Ends the job: gives everything back, then tells.
    pub(super) fn end(&mut self, status: JobStatus, failure: Option<Failure>) {
        self.checkpoints.ended(self.now, status);
        for worker in self.workers.drain() {
            self.act(JobAction::StopWorker(worker));
        }
        if self.topology.is_staged() {
            self.act(JobAction::ReleasePartitions);
        }
        // The requirement first: what is released must not be granted to this job again.
        self.act(JobAction::RequireSlots(SlotRequirement::none()));
        let slots = self.slots.drain();
        if !slots.is_empty() {
            self.act(JobAction::ReleaseSlots(slots));
        }
        self.enter(Phase::Ended(status), failure);
    }
}
