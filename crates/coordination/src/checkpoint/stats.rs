//! What users want to know about checkpoints.

use std::collections::VecDeque;

use flott_model::{CheckpointId, Failure, SnapshotKind};

use crate::Timestamp;

/// All that is remembered of a job's checkpoints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckpointStatistics {
    /// How many there were.
    pub counts: CheckpointCounts,
    /// On their way, or among the latest (`web.checkpoints.history`); oldest first.
    pub history: VecDeque<CheckpointRecord>,
    /// The newest that is complete and no savepoint.
    pub latest_completed: Option<CheckpointRecord>,
    /// The newest savepoint that is complete.
    pub latest_savepoint: Option<CheckpointRecord>,
    /// The newest that failed.
    pub latest_failed: Option<CheckpointRecord>,
    /// What the job was restored from last.
    pub latest_restored: Option<RestoreRecord>,
    /// Bytes that completed ones wrote.
    pub bytes: Summary,
    /// Milliseconds that completed ones took.
    pub duration_ms: Summary,
    /// Bytes that were processed while their barriers came, and that those overtook.
    pub processed_bytes: Summary,
    /// Bytes of what their barriers overtook.
    pub persisted_bytes: Summary,
}

/// How many checkpoints there were; savepoints count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckpointCounts {
    /// How often the job was restored from one.
    pub restored: u64,
    /// Triggered, whatever became of them.
    pub total: u64,
    /// On their way.
    pub in_progress: u32,
    /// Complete.
    pub completed: u64,
    /// Failed or aborted.
    pub failed: u64,
}

/// Where a checkpoint stands.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointStatus {
    /// On its way.
    InProgress,
    /// Complete.
    Completed {
        /// When it was.
        at: Timestamp,
        /// Where it is.
        path: String,
        /// It was deleted since.
        discarded: bool,
    },
    /// It will never be complete.
    Failed {
        /// When that was clear.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// One checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointRecord {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// What it is.
    pub kind: SnapshotKind,
    /// When it was triggered.
    pub triggered: Timestamp,
    /// Where it stands.
    pub status: CheckpointStatus,
    /// By vertex.
    pub vertices: Vec<VertexRecord>,
}

/// One vertex in one checkpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VertexRecord {
    /// By subtask; `None`: it has not acknowledged.
    pub subtasks: Vec<Option<SubtaskRecord>>,
}

/// One subtask in one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubtaskRecord {
    /// When the JobMaster heard of it.
    pub acknowledged: Timestamp,
    /// The subtask had finished before.
    pub finished: bool,
    /// Bytes written for it.
    pub bytes: u64,
    /// From the first barrier to the last, in milliseconds.
    pub alignment_ms: u64,
    /// In which it did nothing else, in milliseconds.
    pub sync_ms: u64,
    /// Of encoding and writing, in milliseconds.
    pub async_ms: u64,
    /// From the trigger to the first barrier, in milliseconds.
    pub start_delay_ms: u64,
    /// Its barrier overtook rows, or could have.
    pub unaligned: bool,
    /// Bytes processed between the first barrier and the last, if the barrier overtook them.
    pub processed_bytes: u64,
    /// Bytes of what the barrier overtook.
    pub persisted_bytes: u64,
}

/// The job was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreRecord {
    /// From which checkpoint.
    pub checkpoint: CheckpointId,
    /// What that is.
    pub kind: SnapshotKind,
    /// When.
    pub at: Timestamp,
    /// Where it is.
    pub path: String,
}

/// A quantity of all completed checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many values there were.
    pub count: u64,
    /// The least; 0 without values.
    pub minimum: u64,
    /// The greatest; 0 without values.
    pub maximum: u64,
    /// Their sum.
    pub sum: u64,
    /// The latest values, oldest first.
    recent: VecDeque<u64>,
}

/// So many values are remembered for percentiles.
const REMEMBERED_VALUES: usize = 1_000;

impl Summary {
    pub(super) fn add(&mut self, value: u64) {
        self.minimum = if self.count == 0 {
            value
        } else {
            self.minimum.min(value)
        };
        self.maximum = self.maximum.max(value);
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        if self.recent.len() == REMEMBERED_VALUES {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
    }

    /// The mean; 0 without values.
    pub fn average(&self) -> u64 {
        self.sum.checked_div(self.count).unwrap_or(0)
    }

    /// Of the latest thousand values, the one that so large a part of them does not exceed; `None`
    /// without values.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let mut sorted: Vec<u64> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        // At most a thousand: exact as a double, and never negative.
        let rank = (part.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied()
    }
}

impl CheckpointRecord {
    /// When the newest of its snapshots came.
    pub fn latest_acknowledgement(&self) -> Option<Timestamp> {
        let subtasks = self.snapshots();
        subtasks.map(|subtask| subtask.acknowledged).max()
    }

    /// How many subtasks take part, and how many of them have handed over.
    pub fn progress(&self) -> (usize, usize) {
        let all = self.vertices.iter().map(|vertex| vertex.subtasks.len());
        (all.sum(), self.snapshots().count())
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.snapshots().map(|subtask| subtask.bytes).sum()
    }

    /// Whether a barrier overtook rows, or could have.
    pub fn is_unaligned(&self) -> bool {
        self.snapshots().any(|subtask| subtask.unaligned)
    }

    /// Bytes processed between the first barriers and the last, which those overtook.
    pub fn processed_bytes(&self) -> u64 {
        self.snapshots()
            .map(|subtask| subtask.processed_bytes)
            .sum()
    }

    /// Bytes of what barriers overtook.
    pub fn persisted_bytes(&self) -> u64 {
        self.snapshots()
            .map(|subtask| subtask.persisted_bytes)
            .sum()
    }

    /// When it was complete or given up.
    pub fn ended(&self) -> Option<Timestamp> {
        match &self.status {
            CheckpointStatus::InProgress => None,
            CheckpointStatus::Completed { at, .. } | CheckpointStatus::Failed { at, .. } => {
                Some(*at)
            }
        }
    }

    fn snapshots(&self) -> impl Iterator<Item = &SubtaskRecord> {
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        subtasks.flatten()
    }
}

impl CheckpointStatistics {
    /// One of those that are remembered.
    pub fn get(&self, checkpoint: CheckpointId) -> Option<&CheckpointRecord> {
        let latest = [
            &self.latest_completed,
            &self.latest_savepoint,
            &self.latest_failed,
        ];
        let mut known = self.history.iter().chain(latest.into_iter().flatten());
        known.find(|record| record.checkpoint == checkpoint)
    }

    pub(super) fn begun(&mut self, record: CheckpointRecord) {
        self.counts.total += 1;
        self.counts.in_progress += 1;
        self.history.push_back(record);
    }

    pub(super) fn record(&mut self, checkpoint: CheckpointId) -> Option<&mut CheckpointRecord> {
        let mut history = self.history.iter_mut().rev();
        history.find(|record| record.checkpoint == checkpoint)
    }

    pub(super) fn completed(
        &mut self,
        checkpoint: CheckpointId,
        (at, path): (Timestamp, String),
        limit: u32,
    ) {
        self.counts.in_progress -= 1;
        self.counts.completed += 1;
        let Some(record) = self.record(checkpoint) else {
            return;
        };
        record.status = CheckpointStatus::Completed {
            at,
            path,
            discarded: false,
        };
        let record = record.clone();
        let duration = at.saturating_sub(record.triggered).as_millis();
        self.duration_ms
            .add(u64::try_from(duration).unwrap_or(u64::MAX));
        self.bytes.add(record.bytes());
        self.processed_bytes.add(record.processed_bytes());
        self.persisted_bytes.add(record.persisted_bytes());
        if record.kind.is_savepoint() {
            self.latest_savepoint = Some(record);
        } else {
            self.latest_completed = Some(record);
        }
        self.forget(limit);
    }

    pub(super) fn failed(
        &mut self,
        checkpoint: CheckpointId,
        (at, failure): (Timestamp, Failure),
        limit: u32,
    ) {
        self.counts.in_progress -= 1;
        self.counts.failed += 1;
        let Some(record) = self.record(checkpoint) else {
            return;
        };
        record.status = CheckpointStatus::Failed { at, failure };
        self.latest_failed = Some(record.clone());
        self.forget(limit);
    }

    pub(super) fn discarded(&mut self, checkpoint: CheckpointId) {
        let latest = [&mut self.latest_completed, &mut self.latest_savepoint];
        let known = self.history.iter_mut().chain(latest.into_iter().flatten());
        for record in known.filter(|record| record.checkpoint == checkpoint) {
            if let CheckpointStatus::Completed { discarded, .. } = &mut record.status {
                *discarded = true;
            }
        }
    }

    pub(super) fn restored(&mut self, record: RestoreRecord) {
        self.counts.restored += 1;
        self.latest_restored = Some(record);
    }

    /// Forgets the oldest that have ended.
    fn forget(&mut self, limit: u32) {
        while self.history.len() > limit as usize {
            let mut history = self.history.iter();
            let Some(oldest) = history.position(|record| record.ended().is_some()) else {
                return;
            };
            self.history.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record(checkpoint: u64) -> CheckpointRecord {
        CheckpointRecord {
            checkpoint: CheckpointId(checkpoint),
            kind: SnapshotKind::Checkpoint,
            triggered: Duration::from_secs(checkpoint),
            status: CheckpointStatus::InProgress,
            vertices: vec![VertexRecord {
                subtasks: vec![None; 2],
            }],
        }
    }

    fn numbers(statistics: &CheckpointStatistics) -> Vec<u64> {
        let history = statistics.history.iter();
        history.map(|record| record.checkpoint.0).collect()
    }

    #[test]
    fn summaries_know_extremes_mean_and_quantiles() {
        let mut summary = Summary::default();
        assert_eq!((summary.average(), summary.quantile(0.5)), (0, None));
        for value in 1..=2_000 {
            summary.add(value);
        }
        assert_eq!((summary.minimum, summary.maximum), (1, 2_000));
        assert_eq!(summary.average(), 1_000);
        assert_eq!(summary.quantile(0.5), Some(1_500), "of the latest thousand");
        assert_eq!(summary.quantile(0.0), Some(1_001));
        assert_eq!(summary.quantile(1.0), Some(2_000));
    }

    #[test]
    fn the_history_is_bounded_and_keeps_what_is_on_its_way() {
        let mut statistics = CheckpointStatistics::default();
        for number in 1..=4 {
            statistics.begun(record(number));
        }
        let done = |number| (Duration::from_secs(number), format!("/{number}"));
        statistics.completed(CheckpointId(2), done(5), 2);
        assert_eq!(numbers(&statistics), [1, 3, 4]);
        statistics.completed(CheckpointId(3), done(6), 2);
        assert_eq!(numbers(&statistics), [1, 4]);
        let lost = Failure::new(flott_model::FailureClass::Transient, "lost");
        statistics.failed(CheckpointId(1), (Duration::from_secs(7), lost), 2);
        assert_eq!(numbers(&statistics), [1, 4]);
        let counts = statistics.counts;
        assert_eq!((counts.total, counts.in_progress), (4, 1));
        assert_eq!((counts.completed, counts.failed), (2, 1));
        assert_eq!(statistics.duration_ms.sum, 6_000);
        let latest = statistics.get(CheckpointId(3)).unwrap();
        assert_eq!(latest.ended(), Some(Duration::from_secs(6)));
        assert!(statistics.get(CheckpointId(2)).is_none());
    }

    #[test]
    fn what_is_deleted_says_so_wherever_it_is_remembered() {
        let mut statistics = CheckpointStatistics::default();
        statistics.begun(record(1));
        statistics.completed(CheckpointId(1), (Duration::ZERO, "/1".to_owned()), 5);
        statistics.discarded(CheckpointId(1));
        let gone = |record: &CheckpointRecord| {
            matches!(
                record.status,
                CheckpointStatus::Completed {
                    discarded: true,
                    ..
                }
            )
        };
        assert!(gone(&statistics.history[0]));
        assert!(gone(statistics.latest_completed.as_ref().unwrap()));
    }
}
