//! Commits: of what complete checkpoints cover while the job runs, and of the rest as its last act.
//!
//! One worker commits at a time. Committing is idempotent, so it is asked for again, after a pause,
//! until an answer comes; what is covered meanwhile waits and comes with the next request.

use std::collections::BTreeSet;
use std::time::Duration;

use flott_model::{ContainerId, Failure, FailureClass, JobStatus, StoredCommittable};

use super::cause::Weight;
use super::core::JobCore;
use super::message::{JobAction, Timer, WorkerId};
use super::phase::Phase;
use crate::SlotRequirement;

/// So many rounds may report a failure one after the other before the job fails.
const MAXIMUM_FAILED_ROUNDS: u32 = 3;
/// So many processes may be lost on the way; more generous, because the data is complete.
const MAXIMUM_LOST_PROCESSES: u32 = 10;
/// Pause after the first trouble; it doubles up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAXIMUM_PAUSE: Duration = Duration::from_secs(30);

/// What is to be committed, and how far that is.
#[derive(Debug, Default)]
pub(super) struct Commits {
    /// Covered by a complete checkpoint, or by the end of the job, and not known to be committed.
    open: Vec<StoredCommittable>,
    step: Step,
    /// Number of the newest request.
    round: u64,
    /// Number of the newest pause.
    pause: u64,
    /// Where it was tried last: the next try goes elsewhere if it can.
    last: Option<ContainerId>,
    /// Since something was committed.
    failed_rounds: u32,
    lost_processes: u32,
    /// Ids of those that were committed since the newest checkpoint, and between it and the one before:
    /// a task that had not heard of a checkpoint hands over once more what that covered.
    done: BTreeSet<String>,
    done_before: BTreeSet<String>,
}

#[derive(Debug, Default)]
enum Step {
    /// Waits for something to commit, for a slot, or for a worker to register.
    #[default]
    Ready,
    /// Waits for a worker's answer to the first so many.
    Asked(WorkerId, usize),
    /// Waits before the next try.
    Pausing(u64),
}

impl Commits {
    /// What is not known to be committed, oldest first.
    pub(super) fn open(&self) -> &[StoredCommittable] {
        &self.open
    }

    /// Whether a request is on its way, or a pause runs.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.step, Step::Ready)
    }

    /// Those that no complete checkpoint covers, as far as is remembered.
    pub(super) fn uncovered(&self, outputs: &[StoredCommittable]) -> Vec<StoredCommittable> {
        let known = self.known();
        let uncovered = outputs.iter().filter(|it| !known.contains(&it.id));
        uncovered.cloned().collect()
    }

    /// A checkpoint is complete that covers these.
    pub(super) fn cover_checkpoint(&mut self, covered: impl Iterator<Item = StoredCommittable>) {
        self.done_before = std::mem::take(&mut self.done);
        self.cover(covered);
    }

    fn cover(&mut self, covered: impl Iterator<Item = StoredCommittable>) {
        let mut known = self.known();
        // What has no id cannot be known: committing is idempotent.
        self.open
            .extend(covered.filter(|it| it.id.is_empty() || known.insert(it.id.clone())));
    }

    fn known(&self) -> BTreeSet<String> {
        let open = self.open.iter().map(|it| &it.id);
        let known = open.chain(&self.done).chain(&self.done_before);
        known.filter(|id| !id.is_empty()).cloned().collect()
    }

    /// The first so many are committed.
    fn succeeded(&mut self, count: usize) {
        self.done.extend(self.open.drain(..count).map(|it| it.id));
        self.step = Step::Ready;
        (self.failed_rounds, self.lost_processes) = (0, 0);
    }

    /// Whoever was asked is gone, or it is not the time: asked again when it is.
    fn postpone(&mut self) {
        self.step = Step::Ready;
        (self.failed_rounds, self.lost_processes) = (0, 0);
    }
}

impl JobCore {
    /// Every subtask has finished.
    pub(super) fn begin_commit(&mut self) {
        self.checkpoints.tasks_finished(self.now);
        let outputs = self.commits.uncovered(&self.executions.outputs());
        if !outputs.is_empty() && self.checkpoints.can_seal() {
            self.enter(Phase::Sealing, None);
            self.checkpoints.seal(self.now);
            return;
        }
        self.commits.cover(outputs.into_iter());
        self.last_act();
    }

    /// The last checkpoint is complete.
    pub(super) fn sealed(&mut self) {
        if matches!(self.phase, Phase::Sealing) {
            self.last_act();
        }
    }

    fn last_act(&mut self) {
        if self.commits.open.is_empty() {
            self.end(JobStatus::Finished, None);
            return;
        }
        // One process is enough from here on: lost containers need no replacement.
        let one = SlotRequirement::of_default_size(1);
        self.slots.shrink_to(one.clone());
        self.act(JobAction::RequireSlots(one));
        self.enter(Phase::Committing, None);
        self.continue_commit();
    }

    /// While tasks run their workers commit what there is.
    pub(super) fn commit_while_running(&mut self) {
        if matches!(
            self.phase,
            Phase::Executing | Phase::Recovering(_) | Phase::Sealing
        ) {
            self.ask_to_commit();
        }
    }

    /// Asks the next worker in turn; without one, starts one; without a slot, waits for one.
    pub(super) fn continue_commit(&mut self) {
        if !matches!(self.phase, Phase::Committing)
            || self.commits.is_busy()
            || self.ask_to_commit()
            || !self.workers.is_empty()
        {
            return; // Perhaps one is starting.
        }
        let containers = self.slots.containers().into_iter().collect();
        let last = self.commits.last.as_ref();
        match next_in_turn(containers, |container| container, last) {
            Some(container) => {
                self.commits.last = Some(container.clone());
                self.start_worker(&container);
            }
            None => {
                // The standing requirement brings a slot; only the wait is limited.
                self.request += 1;
                self.schedule_slot_timeout();
            }
        }
    }

    /// Whether somebody could be asked.
    fn ask_to_commit(&mut self) -> bool {
        let commits = &mut self.commits;
        if commits.is_busy() || commits.open.is_empty() {
            return false;
        }
        let workers: Vec<WorkerId> = self.workers.registered().cloned().collect();
        let last = commits.last.as_ref();
        let Some(worker) = next_in_turn(workers, |worker| &worker.container, last) else {
            return false;
        };
        commits.round += 1;
        commits.step = Step::Asked(worker.clone(), commits.open.len());
        commits.last = Some(worker.container.clone());
        let (round, outputs) = (commits.round, commits.open.clone());
        let last = matches!(self.phase, Phase::Committing);
        self.act(JobAction::Commit {
            worker,
            round,
            outputs,
            last,
        });
        true
    }

    pub(super) fn committed(&mut self, round: u64, failure: Option<Failure>) {
        let Step::Asked(_, count) = self.commits.step else {
            return;
        };
        if self.commits.round != round || matches!(self.phase, Phase::Ended(_)) {
            return; // An earlier round's answer; the newest round's decides.
        }
        match failure {
            None => {
                self.commits.succeeded(count);
                if matches!(self.phase, Phase::Committing) && self.commits.open.is_empty() {
                    self.end(JobStatus::Finished, None);
                }
                self.continue_commit();
            }
            Some(failure) => self.commit_refused(failure),
        }
    }

    fn commit_refused(&mut self, failure: Failure) {
        if !self.may_commit() {
            self.commits.postpone();
            return;
        }
        self.commits.failed_rounds += 1;
        let rounds = self.commits.failed_rounds;
        if failure.class() == FailureClass::Fatal || rounds >= MAXIMUM_FAILED_ROUNDS {
            self.commit_failed(
                failure,
                &format!("round {rounds} of {MAXIMUM_FAILED_ROUNDS}"),
            );
        } else {
            self.pause_commit();
        }
    }

    fn may_commit(&self) -> bool {
        matches!(
            self.phase,
            Phase::Executing | Phase::Recovering(_) | Phase::Sealing | Phase::Committing
        )
    }

    pub(super) fn commit_process_lost(&mut self, worker: &WorkerId, failure: Failure) {
        let in_use = match &self.commits.step {
            Step::Asked(asked, _) => asked == worker,
            Step::Ready => matches!(self.phase, Phase::Committing) && self.workers.is_empty(),
            Step::Pausing(_) => false,
        };
        if !in_use {
            return;
        }
        if !self.may_commit() {
            self.commits.postpone();
            return;
        }
        self.commits.lost_processes += 1;
        let lost = self.commits.lost_processes;
        if lost >= MAXIMUM_LOST_PROCESSES {
            self.commit_failed(failure, &format!("{lost} processes were lost on the way"));
        } else {
            self.pause_commit();
        }
    }

    fn pause_commit(&mut self) {
        let commits = &mut self.commits;
        commits.pause += 1;
        commits.step = Step::Pausing(commits.pause);
        let tries = commits.failed_rounds + commits.lost_processes;
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (tries - 1).min(5))
            .min(MAXIMUM_PAUSE);
        let timer = Timer::Commit(commits.pause);
        self.act(JobAction::ScheduleTimer(
            timer,
            self.now.saturating_add(pause),
        ));
    }

    pub(super) fn commit_due(&mut self, number: u64) {
        if matches!(self.commits.step, Step::Pausing(awaited) if awaited == number) {
            self.commits.step = Step::Ready;
            self.continue_commit();
        }
    }

    fn commit_failed(&mut self, mut failure: Failure, remark: &str) {
        // A restart goes back to the checkpoint that covers them: they are tried again.
        self.commits.postpone();
        let last_act = matches!(self.phase, Phase::Committing);
        let what = if last_act {
            "the outputs of the job"
        } else {
            "outputs that a checkpoint covers"
        };
        failure.message = format!("{what} were not committed: {}\n({remark})", failure.message);
        let weight = Weight::of_process(&failure);
        if last_act {
            self.fail_for_good(failure, weight);
        } else {
            self.fail(failure, weight);
        }
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
