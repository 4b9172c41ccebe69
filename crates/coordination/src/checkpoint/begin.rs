//! When checkpoints begin: periodic ones, and those that are asked for.

use std::time::Duration;

use flott_model::{CheckpointId, Failure, SnapshotKind, SubtaskSnapshot};

use super::abort::Manner;
use super::coordinator::Checkpoints;
use super::pending::{Collecting, Participant, Pending, Stage, beginners};
use super::request::{Closing, Request};
use super::settings::CheckpointingMode;
use super::stats::{CheckpointRecord, CheckpointStatus, SubtaskRecord, VertexRecord};
use super::trigger::{BarrierOptions, CheckpointTrigger};
use crate::Timestamp;
use crate::job::{JobAction, Timer};

/// Pause before the last checkpoint is tried again.
const SEAL_PAUSE: Duration = Duration::from_secs(1);
/// So many wishes may wait for their turn.
const MAXIMUM_QUEUE: usize = 1_000;

impl Checkpoints {
    /// The user wants something. `obstacle`: why no checkpoint can begin now.
    pub(crate) fn request(&mut self, now: Timestamp, request: Request, obstacle: Option<String>) {
        let refused = if !self.enabled {
            Some("the job runs in BATCH, which takes no checkpoints".to_owned())
        } else if let Some(closing) = &self.closing {
            Some(format!("{} is under way", closing.request.name()))
        } else if self.queue.len() >= MAXIMUM_QUEUE {
            Some(format!("{MAXIMUM_QUEUE} requests are waiting already"))
        } else {
            obstacle
        };
        if let Some(why) = refused {
            self.request_failed(&request, &why);
            return;
        }
        if request.closes() {
            self.close(now, request.clone());
        }
        if request.kind.is_savepoint() {
            self.queue.push_front(request);
        } else {
            self.queue.push_back(request);
        }
    }

    /// Nothing else is begun from here on.
    fn close(&mut self, now: Timestamp, request: Request) {
        let why = format!("{} takes its place", request.name());
        for waiting in std::mem::take(&mut self.queue) {
            self.request_failed(&waiting, &why);
        }
        let pending: Vec<CheckpointId> = self.pending.keys().copied().collect();
        for checkpoint in pending {
            self.abort(now, checkpoint, transient(&why), Manner::GivenUp);
        }
        self.schedule.stop();
        self.closing = Some(Closing {
            request,
            stopped: false,
            savepoint: None,
        });
    }

    /// Begins what is due; `running`: every task runs or has finished, and may take part.
    pub(super) fn begin_due(&mut self, now: Timestamp, running: bool) {
        if !running {
            self.schedule.stop();
            for request in std::mem::take(&mut self.queue) {
                self.give_up(&request, &transient("not all tasks are running"));
            }
            return;
        }
        while let Some(request) = self.next_request() {
            self.begin(now, request.kind, Some(request));
        }
        if self.closing.is_some() {
            return;
        }
        if let Some(alarm) = self.schedule.start(now) {
            self.act(JobAction::ScheduleTimer(
                Timer::CheckpointDue(alarm.number),
                alarm.due,
            ));
        }
        if self.schedule.is_due() && self.has_room() {
            let (begins, alarm) = self.schedule.begin(now);
            if let Some(alarm) = alarm {
                let timer = Timer::CheckpointDue(alarm.number);
                self.act(JobAction::ScheduleTimer(timer, alarm.due));
            }
            if begins {
                self.begin(now, SnapshotKind::Checkpoint, None);
            }
        }
    }

    /// Whether what tasks leave when all have finished is to be in a checkpoint.
    pub(crate) fn can_seal(&self) -> bool {
        let periodic = self.settings.interval.is_some();
        self.enabled && periodic && self.settings.after_tasks_finish
    }

    /// All tasks have finished: begins the last checkpoint.
    pub(crate) fn seal(&mut self, now: Timestamp) {
        self.sealing = true;
        self.begin(now, SnapshotKind::Checkpoint, None);
    }

    /// The last checkpoint failed, and is tried again when it is time.
    pub(super) fn seal_again(&mut self, now: Timestamp) {
        let alarm = self.schedule.again(now.saturating_add(SEAL_PAUSE));
        let timer = Timer::CheckpointDue(alarm.number);
        self.act(JobAction::ScheduleTimer(timer, alarm.due));
    }

    pub(super) fn seal_due(&mut self, now: Timestamp) {
        if self.sealing && self.pending.is_empty() && self.schedule.is_due() {
            self.schedule.stop();
            self.begin(now, SnapshotKind::Checkpoint, None);
        }
    }

    fn has_room(&self) -> bool {
        self.pending.len() < self.settings.max_concurrent.max(1) as usize
    }

    fn next_request(&mut self) -> Option<Request> {
        let first = self.queue.front()?;
        if first.kind.is_savepoint() || self.has_room() {
            self.queue.pop_front()
        } else {
            None
        }
    }

    fn begin(&mut self, now: Timestamp, kind: SnapshotKind, request: Option<Request>) {
        let checkpoint = CheckpointId(self.newest.0 + 1);
        self.newest = checkpoint;
        let directory = request.as_ref().and_then(|it| it.directory.clone());
        self.pending.insert(checkpoint, Pending::new(kind, request));
        self.statistics.begun(CheckpointRecord {
            checkpoint,
            kind,
            triggered: now,
            status: CheckpointStatus::InProgress,
            vertices: Vec::new(),
        });
        self.act(JobAction::OpenCheckpoint {
            checkpoint,
            kind,
            directory,
        });
        let due = now.saturating_add(self.settings.timeout);
        self.act(JobAction::ScheduleTimer(
            Timer::CheckpointTimeout(checkpoint),
            due,
        ));
        self.changed(checkpoint);
    }

    fn options(&self, kind: SnapshotKind) -> BarrierOptions {
        let exactly_once = self.settings.mode == CheckpointingMode::ExactlyOnce;
        BarrierOptions {
            mode: self.settings.mode,
            // A savepoint holds state only, so that any parallelism can begin from it.
            unaligned: self.settings.unaligned && exactly_once && !kind.is_savepoint(),
            aligned_timeout: self.settings.aligned_timeout,
            full: self.full || kind.is_savepoint(),
        }
    }

    /// Whether the tasks are wanted by [`Checkpoints::opened`].
    pub(crate) fn is_opening(&self, checkpoint: CheckpointId) -> bool {
        let pending = self.pending.get(&checkpoint);
        pending.is_some_and(|it| matches!(it.stage, Stage::Opening))
    }

    /// A checkpoint has its place, or gets none. `tasks`: all, by vertex and subtask.
    pub(crate) fn opened(
        &mut self,
        now: Timestamp,
        checkpoint: CheckpointId,
        result: Result<(String, i64), Failure>,
        tasks: Vec<Vec<Participant>>,
    ) {
        if !self.is_opening(checkpoint) {
            return;
        }
        let (directory, timestamp_ms) = match result {
            Ok(place) => place,
            Err(failure) => {
                let message = format!("no directory could be made for it: {}", failure.message);
                let failure = Failure { message, ..failure };
                self.abort(now, checkpoint, failure, Manner::Failed);
                return;
            }
        };
        if let Some(pending) = self.pending.get_mut(&checkpoint) {
            pending.directory.clone_from(&directory);
        }
        let any_finished = tasks.iter().flatten().any(|task| task.finished.is_some());
        if any_finished && !self.settings.after_tasks_finish {
            let why = "some tasks have finished, and \
                       execution.checkpointing.checkpoints-after-tasks-finish is false";
            self.abort(now, checkpoint, transient(why), Manner::GivenUp);
            return;
        }
        let record = VertexRecord::of_tasks(now, &tasks);
        let beginners = beginners(&tasks);
        let Some(pending) = self.pending.get_mut(&checkpoint) else {
            return;
        };
        pending.timestamp_ms = timestamp_ms;
        let finished = tasks.iter().flatten().filter(|it| it.finished.is_some());
        pending.finished = finished.map(|it| it.attempt).collect();
        pending.stage = Stage::Collecting(Collecting::new(tasks));
        let kind = pending.kind;
        let trigger = CheckpointTrigger {
            checkpoint,
            kind,
            timestamp_ms,
            directory,
            options: self.options(kind),
        };
        if let Some(closing) = &mut self.closing {
            closing.stopped = true;
        }
        for (worker, attempts) in beginners {
            self.act(JobAction::TriggerCheckpoint {
                worker,
                attempts,
                trigger: trigger.clone(),
            });
        }
        if let Some(known) = self.statistics.record(checkpoint) {
            known.vertices = record;
        }
        self.changed(checkpoint);
        self.ask_enumerators(checkpoint);
    }

    /// Asks them when all sources have handed over.
    pub(super) fn ask_enumerators(&mut self, checkpoint: CheckpointId) {
        let pending = self.pending.get_mut(&checkpoint);
        let collecting = pending.and_then(Pending::collecting);
        if collecting.is_some_and(Collecting::ask_enumerators) {
            self.act(JobAction::SnapshotEnumerators { checkpoint });
        }
    }

    /// A timer has fired.
    pub(crate) fn due(&mut self, number: u64) {
        self.schedule.fired(number);
    }
}

impl VertexRecord {
    fn of_tasks(now: Timestamp, tasks: &[Vec<Participant>]) -> Vec<Self> {
        let record = |task: &Participant| {
            let finished = task.finished.is_some();
            let snapshot = SubtaskSnapshot {
                finished,
                ..SubtaskSnapshot::default()
            };
            finished.then(|| SubtaskRecord::new(now, &snapshot))
        };
        let vertices = tasks.iter().map(|vertex| Self {
            subtasks: vertex.iter().map(record).collect(),
        });
        vertices.collect()
    }
}

impl SubtaskRecord {
    pub(super) fn new(now: Timestamp, snapshot: &SubtaskSnapshot) -> Self {
        Self {
            acknowledged: now,
            finished: snapshot.finished,
            bytes: snapshot.bytes,
            alignment_ms: snapshot.alignment_ms,
            sync_ms: snapshot.sync_ms,
            async_ms: snapshot.async_ms,
            start_delay_ms: snapshot.start_delay_ms,
            unaligned: snapshot.unaligned,
            processed_bytes: snapshot.processed_bytes,
            persisted_bytes: snapshot.persisted_bytes,
        }
    }
}

pub(super) fn transient(message: &str) -> Failure {
    Failure::new(flott_model::FailureClass::Transient, message)
}
