//! Records that a job collects for its program, between the worker that has them and whoever takes them: a few frames, as many
//! as the worker may send before the program took some.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flott_coordination::job::WorkerId;
use flott_metrics::accumulators::{AccumulatorSnapshot, MergedAccumulator, merge_all};
use flott_model::ExecutionAttemptId;
use flott_protocol::message::{AttemptId, CollectedFrame, CollectedTaken};
use flott_protocol::program::{Collected, Frame};
use tokio::sync::watch;

use crate::inspect::WorkerInspection;
use crate::snapshot::JobSnapshot;

/// Bytes of records in one answer, unless the first frame is larger.
const ANSWER_BYTES: usize = 1 << 20;

/// The frames of one job.
#[derive(Debug)]
pub(crate) struct CollectedRecords {
    // A std mutex: held to move frames, never across an await.
    state: Mutex<State>,
    /// Something has changed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    source: Option<(WorkerId, AttemptId)>,
    frames: VecDeque<Frame>,
    /// The sequence number of the first of them.
    first: u64,
    /// Whether somebody was given records of this attempt or an earlier one.
    handed_out: bool,
    /// The last frame was taken.
    complete: bool,
    failure: Option<&'static str>,
}

impl Default for CollectedRecords {
    fn default() -> Self {
        let (changed, _) = watch::channel(());
        Self {
            state: Mutex::default(),
            changed,
        }
    }
}

const RESTARTED: &str = "the job was restarted after some of its records had been handed out: they would come again, and \
                         without checkpoints nobody can tell which ones. Run the program again, or set restart-strategy.type: none";
const LOST: &str = "records were lost between the worker and the JobManager";

impl CollectedRecords {
    /// A worker sent a frame. What an attempt sends that was replaced is dropped.
    pub(crate) fn arrived(&self, worker: &WorkerId, frame: CollectedFrame) {
        let mut state = self.lock();
        let known = state.source.as_ref().map(|(_, attempt)| *attempt);
        if known != Some(frame.attempt) {
            if known.is_some_and(|known| is_older(frame.attempt, known)) {
                return;
            }
            state.begin(worker, frame.attempt);
        }
        let next = state.first + state.frames.len() as u64;
        if state.failure.is_some() || frame.sequence < next {
            return;
        }
        if frame.sequence > next {
            state.failure = Some(LOST);
        } else {
            state.frames.push_back(Frame {
                rows: frame.rows,
                bytes: frame.bytes,
                last: frame.last,
            });
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// The frames before that one are not needed any more. Whether there were any.
    pub(crate) fn take_before(&self, from: u64) -> bool {
        let mut state = self.lock();
        let mut taken = false;
        while state.first < from {
            let Some(frame) = state.frames.pop_front() else {
                break;
            };
            state.complete |= frame.last;
            state.first += 1;
            taken = true;
        }
        taken
    }

    /// What the worker that collects is to be told.
    pub(crate) fn taken(&self) -> Option<(WorkerId, CollectedTaken)> {
        let state = self.lock();
        let (worker, attempt) = state.source.clone()?;
        let taken = state.first;
        Some((worker, CollectedTaken { attempt, taken }))
    }

    /// The frames from that one on, as soon as there are some, or there is something else to say.
    pub(crate) async fn from(
        &self,
        from: u64,
        mut job: watch::Receiver<JobSnapshot>,
        patience: Duration,
    ) -> Collected {
        let mut changes = self.changed.subscribe();
        let waiting = async {
            loop {
                changes.borrow_and_update();
                let is_over = job.borrow().status.is_terminal();
                if let Some(found) = self.lock().look(from, is_over) {
                    return found;
                }
                tokio::select! {
                    // The sender is beside this.
                    _ = changes.changed() => (),
                    ended = job.wait_for(|job| job.status.is_terminal()) => {
                        if ended.is_err() {
                            // The JobMaster is gone.
                            return over();
                        }
                    }
                }
            }
        };
        tokio::time::timeout(patience, waiting)
            .await
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, worker: &WorkerId, attempt: AttemptId) {
        self.source = Some((worker.clone(), attempt));
        if self.handed_out {
            self.failure = Some(RESTARTED);
        }
        self.frames.clear();
        self.first = 0;
        self.complete = false;
    }

    fn look(&mut self, from: u64, is_over: bool) -> Option<Collected> {
        if let Some(failure) = self.failure {
            return Some(Collected {
                failure: failure.to_owned(),
                ..Collected::default()
            });
        }
        let skipped = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let frames = self.frames.iter().skip(skipped).take_while(|frame| {
            let fits = bytes < ANSWER_BYTES;
            bytes += frame.bytes.len();
            fits
        });
        let frames: Vec<Frame> = frames.cloned().collect();
        if !frames.is_empty() {
            self.handed_out = true;
            let over = false;
            return Some(Collected {
                frames,
                over,
                ..Collected::default()
            });
        }
        (is_over || self.complete).then(over)
    }
}

fn over() -> Collected {
    Collected {
        over: true,
        ..Collected::default()
    }
}

fn is_older(attempt: AttemptId, than: AttemptId) -> bool {
    (attempt.epoch, attempt.attempt) < (than.epoch, than.attempt)
}

/// The accumulators of the tasks that have ended, and of those that run as they said.
pub(crate) fn accumulators_so_far(
    job: &JobSnapshot,
    workers: &[WorkerInspection],
) -> Vec<MergedAccumulator> {
    let ended = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let ended = ended.flat_map(|subtask| subtask.accumulators.iter().cloned());
    let tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let running = tasks.filter(|task| {
        let attempt = ExecutionAttemptId::from(task.attempt);
        let vertex = job.vertices.get(attempt.vertex.0 as usize);
        let subtask = vertex.and_then(|vertex| vertex.subtasks.get(attempt.subtask as usize));
        subtask.is_some_and(|now| now.attempt == attempt.attempt && now.accumulators.is_empty())
    });
    let running = running.flat_map(|task| task.accumulators.iter().cloned());
    merge_all(ended.chain(running.map(AccumulatorSnapshot::from)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flott_model::{ContainerId, Incarnation, JobGraph, JobId};
    use flott_protocol::message::JobBundle;

    use super::*;
    use crate::view::JobView;

    fn worker() -> WorkerId {
        WorkerId {
            container: ContainerId("c".to_owned()),
            incarnation: Incarnation(1),
        }
    }

    fn frame(attempt: u32, sequence: u64, bytes: usize, last: bool) -> CollectedFrame {
        let attempt = AttemptId {
            attempt,
            ..AttemptId::default()
        };
        CollectedFrame {
            attempt,
            sequence,
            rows: 1,
            bytes: vec![sequence as u8; bytes],
            last,
        }
    }

    fn job() -> JobView {
        let graph = Arc::new(JobGraph::default());
        JobView::new(JobId(1), graph, Arc::new(JobBundle::default()))
    }

    async fn look(records: &CollectedRecords, job: &JobView, from: u64) -> Collected {
        records.take_before(from);
        records.from(from, job.subscribe(), Duration::ZERO).await
    }

    #[tokio::test]
    async fn frames_stay_until_the_next_ones_are_asked_for() {
        let (records, job) = (CollectedRecords::default(), job());
        assert_eq!(look(&records, &job, 0).await, Collected::default());
        for sequence in 0..3 {
            records.arrived(&worker(), frame(0, sequence, 600_000, sequence == 2));
            // A message that comes twice is one.
            records.arrived(&worker(), frame(0, sequence, 600_000, sequence == 2));
        }
        for _ in 0..2 {
            let found = look(&records, &job, 0).await;
            assert_eq!(found.frames.len(), 2, "about a megabyte at once");
        }
        let found = look(&records, &job, 2).await;
        assert!(found.frames[0].last && !found.over);
        assert_eq!(records.taken().unwrap().1.taken, 2);
        assert!(look(&records, &job, 3).await.over);
        assert_eq!(records.taken().unwrap().1.taken, 3);
    }

    #[tokio::test]
    async fn a_restart_is_an_error_only_if_records_were_handed_out() {
        let (records, job) = (CollectedRecords::default(), job());
        records.arrived(&worker(), frame(0, 0, 1, false));
        records.arrived(&worker(), frame(1, 0, 2, false));
        records.arrived(&worker(), frame(0, 1, 1, false));
        let found = look(&records, &job, 0).await;
        assert_eq!(found.frames.len(), 1);
        assert_eq!(found.frames[0].bytes.len(), 2, "those of the new attempt");
        records.arrived(&worker(), frame(2, 0, 1, false));
        let found = look(&records, &job, 1).await;
        assert!(found.failure.contains("restarted"), "{found:?}");
    }

    #[tokio::test]
    async fn a_gap_is_an_error() {
        let (records, job) = (CollectedRecords::default(), job());
        records.arrived(&worker(), frame(0, 1, 1, false));
        assert!(look(&records, &job, 0).await.failure.contains("lost"));
    }

    #[tokio::test]
    async fn who_waits_is_told_of_the_end_of_the_job() {
        let (records, mut job) = (CollectedRecords::default(), job());
        let waiting = records.from(0, job.subscribe(), Duration::from_secs(60));
        let (found, ()) = tokio::join!(waiting, async {
            tokio::task::yield_now().await;
            job.suspended();
            drop(job);
        });
        assert!(found.over);
    }
}
