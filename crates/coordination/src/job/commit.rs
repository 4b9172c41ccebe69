//! The last act of a job with outputs: one worker commits them all.
//!
//! Committing is idempotent, so it is asked for again, after a pause, until an answer comes.

use std::time::Duration;

use flott_model::{ContainerId, Failure, FailureClass, JobStatus, StoredCommittable};

use super::cause::Weight;
use super::core::JobCore;
use super::message::{JobAction, Timer, WorkerId};
use super::phase::Phase;

/// So many rounds may report a failure before the job fails.
const MAXIMUM_FAILED_ROUNDS: u32 = 3;
/// So many processes may be lost on the way; more generous, because the data is complete.
const MAXIMUM_LOST_PROCESSES: u32 = 10;
/// Pause after the first trouble; it doubles up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAXIMUM_PAUSE: Duration = Duration::from_secs(30);

/// The progress of a commit.
#[derive(Debug)]
pub(super) struct Commit {
    outputs: Vec<StoredCommittable>,
    step: Step,
    /// Number of the newest request.
    round: u64,
    /// Where it was tried last: the next try goes elsewhere if it can.
    last: Option<ContainerId>,
    failed_rounds: u32,
    lost_processes: u32,
}

#[derive(Debug)]
enum Step {
    /// Waits for a slot or for a worker to register.
    Ready,
    /// Waits for the answer of a worker.
    Asked(WorkerId),
    /// Waits before the next try.
    Pausing(u64),
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
        let commit = Commit {
            outputs,
            step: Step::Ready,
            round: 0,
            last: None,
            failed_rounds: 0,
            lost_processes: 0,
        };
        self.enter(Phase::Committing(commit), None);
        self.continue_commit();
    }

    /// Asks the next worker in turn; without one, starts one; without a slot, waits for one.
    pub(super) fn continue_commit(&mut self) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        if !matches!(commit.step, Step::Ready) {
            return;
        }
        let last = commit.last.as_ref();
        let workers: Vec<WorkerId> = self.workers.registered().cloned().collect();
        if let Some(worker) = next_in_turn(workers, |worker| &worker.container, last) {
            commit.round += 1;
            commit.step = Step::Asked(worker.clone());
            commit.last = Some(worker.container.clone());
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
        let containers = self.slots.containers().into_iter().collect();
        match next_in_turn(containers, |container| container, last) {
            Some(container) => {
                commit.last = Some(container.clone());
                self.start_worker(&container);
            }
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
        if !matches!(commit.step, Step::Asked(_)) || commit.round != round {
            return; // An earlier round's answer; the newest round's decides.
        }
        let Some(failure) = failure else {
            self.end(JobStatus::Finished, None);
            return;
        };
        commit.failed_rounds += 1;
        let rounds = commit.failed_rounds;
        if failure.class() == FailureClass::Fatal || rounds >= MAXIMUM_FAILED_ROUNDS {
            self.commit_failed(
                failure,
                &format!("round {rounds} of {MAXIMUM_FAILED_ROUNDS}"),
            );
        } else {
            self.pause_commit();
        }
    }

    pub(super) fn commit_process_lost(&mut self, worker: &WorkerId, failure: Failure) {
        let idle = self.workers.is_empty();
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        let in_use = match &commit.step {
            Step::Asked(asked) => asked == worker,
            Step::Ready => idle,
            Step::Pausing(_) => false,
        };
        if !in_use {
            return;
        }
        commit.lost_processes += 1;
        let lost = commit.lost_processes;
        if lost >= MAXIMUM_LOST_PROCESSES {
            self.commit_failed(failure, &format!("{lost} processes were lost on the way"));
        } else {
            self.pause_commit();
        }
    }

    fn pause_commit(&mut self) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        let tries = commit.failed_rounds + commit.lost_processes;
        commit.step = Step::Pausing(u64::from(tries));
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (tries - 1).min(5))
            .min(MAXIMUM_PAUSE);
        let due = self.now.saturating_add(pause);
        self.act(JobAction::ScheduleTimer(
            Timer::Commit(u64::from(tries)),
            due,
        ));
    }

    pub(super) fn commit_due(&mut self, number: u64) {
        let Phase::Committing(commit) = &mut self.phase else {
            return;
        };
        if matches!(commit.step, Step::Pausing(awaited) if awaited == number) {
            commit.step = Step::Ready;
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

/// The first candidate beyond the last one's container, or the first of all.
fn next_in_turn<T>(
    mut candidates: Vec<T>,
    container: impl Fn(&T) -> &ContainerId,
    last: Option<&ContainerId>,
) -> Option<T> {
    let beyond = |candidate: &T| last.is_none_or(|last| container(candidate) > last);
    let next = candidates.iter().position(beyond).unwrap_or(0);
    (next < candidates.len()).then(|| candidates.swap_remove(next))
}

#[cfg(test)]
mod tests;
