//! The last act of a job with outputs: one worker commits them all.
//!
//! Committing is idempotent, so it is asked for again until an answer comes.

use flott_model::{Failure, FailureClass, JobStatus};

use super::cause::Weight;
use super::core::JobCore;
use super::message::{JobAction, SubtaskOutput, WorkerId};
use super::phase::Phase;

/// So many rounds may report a failure before the job fails.
const MAXIMUM_FAILED_ROUNDS: u32 = 3;
/// So many processes may be lost on the way; more generous, because the data is complete.
const MAXIMUM_LOST_PROCESSES: u32 = 10;

/// The progress of a commit.
#[derive(Debug)]
pub(super) struct Commit {
    outputs: Vec<SubtaskOutput>,
    /// Number of the newest request.
    round: u64,
    /// Who was asked last, and whether its answer is awaited.
    worker: Option<WorkerId>,
    awaited: bool,
    failed_rounds: u32,
    lost_processes: u32,
}

impl JobCore {
    /// Every subtask has finished.
    pub(super) fn begin_commit(&mut self) {
        let outputs = self.executions.outputs();
        if outputs.is_empty() {
            self.end(JobStatus::Finished, None);
            return;
        }
        // One process is enough from here on: lost containers need no replacement.
        self.slots.shrink_to(1);
        self.act(JobAction::RequireSlots(1));
        self.enter(
            Phase::Committing(Commit {
                outputs,
                round: 0,
                worker: None,
                awaited: false,
                failed_rounds: 0,
                lost_processes: 0,
            }),
            None,
        );
        self.continue_commit();
    }

    /// Sends the request if nobody has it: to the next worker in turn, or to one that is started.
    pub(super) fn continue_commit(&mut self) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        if commit.awaited {
            return;
        }
        let last = commit.worker.as_ref();
        let next = self
            .workers
            .registered()
            .find(|worker| Some(*worker) > last);
        if let Some(worker) = next.or_else(|| self.workers.registered().next()).cloned() {
            commit.round += 1;
            commit.worker = Some(worker.clone());
            commit.awaited = true;
            let (round, outputs) = (commit.round, commit.outputs.clone());
            self.act(JobAction::Commit {
                worker,
                round,
                outputs,
            });
            return;
        }
        if !self.workers.is_empty() {
            return; // One is starting.
        }
        match self.slots.containers().pop_first() {
            Some(container) => self.start_worker(&container),
            None => {
                // The standing requirement brings a slot; only the wait is limited.
                self.request += 1;
                self.schedule_slot_timeout();
            }
        }
    }

    pub(super) fn committed(&mut self, round: u64, failure: Option<Failure>) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        if !commit.awaited || commit.round != round {
            return; // An earlier round's answer; the newest round's decides.
        }
        commit.awaited = false;
        let Some(failure) = failure else {
            self.end(JobStatus::Finished, None);
            return;
        };
        commit.failed_rounds += 1;
        let hopeless = failure.class() == FailureClass::Fatal;
        if hopeless || commit.failed_rounds >= MAXIMUM_FAILED_ROUNDS {
            let rounds = commit.failed_rounds;
            self.commit_failed(
                failure,
                &format!("after {rounds} of at most {MAXIMUM_FAILED_ROUNDS} rounds"),
            );
        } else {
            self.continue_commit();
        }
    }

    pub(super) fn commit_process_lost(&mut self, worker: &WorkerId, failure: Failure) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        if commit.awaited && commit.worker.as_ref() != Some(worker) {
            return; // Another one is at work.
        }
        commit.awaited = false;
        commit.lost_processes += 1;
        if commit.lost_processes >= MAXIMUM_LOST_PROCESSES {
            let lost = commit.lost_processes;
            self.commit_failed(failure, &format!("{lost} processes were lost on the way"));
        } else {
            self.continue_commit();
        }
    }

    fn commit_failed(&mut self, mut failure: Failure, remark: &str) {
        failure.message = format!(
            "the outputs of the job were not committed: {}\n({remark})",
            failure.message
        );
        let weight = Weight::of_process(&failure);
        self.fail_for_good(failure, weight);
    }
}
