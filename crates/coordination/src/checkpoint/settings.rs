//! What the configuration says about checkpoints.

use std::time::Duration;

/// `execution.checkpointing.*` and what belongs to it. The default is Flink 1.20's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// `execution.checkpointing.interval`: from one periodic checkpoint to the next; `None`: there are
    /// none. Savepoints can be taken all the same.
    pub interval: Option<Duration>,
    /// `execution.checkpointing.min-pause`: between the end of a checkpoint and the next periodic one.
    pub min_pause: Duration,
    /// `execution.checkpointing.timeout`: a checkpoint that takes longer is aborted.
    pub timeout: Duration,
    /// `execution.checkpointing.max-concurrent-checkpoints`: so many may be on their way; savepoints are
    /// not limited by it. At least 1.
    pub max_concurrent: u32,
    /// `execution.checkpointing.tolerable-failed-checkpoints`: so many may fail one after the other;
    /// the next failure fails the job.
    pub tolerable_failed: u32,
    /// `execution.checkpointing.externalized-checkpoint-retention`.
    pub retention: CheckpointRetention,
    /// `execution.checkpointing.num-retained`: so many completed checkpoints are kept. At least 1.
    pub num_retained: u32,
    /// `execution.checkpointing.checkpoints-after-tasks-finish`.
    pub after_tasks_finish: bool,
    /// `execution.checkpointing.mode`.
    pub mode: CheckpointingMode,
    /// `execution.checkpointing.unaligned.enabled`.
    pub unaligned: bool,
    /// `execution.checkpointing.aligned-checkpoint-timeout`: unaligned checkpoints begin aligned, and
    /// wait no longer than that; zero: they begin unaligned.
    pub aligned_timeout: Duration,
    /// `web.checkpoints.history`: so many are remembered for users.
    pub history: u32,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            interval: None,
            min_pause: Duration::ZERO,
            timeout: Duration::from_secs(600),
            max_concurrent: 1,
            tolerable_failed: 0,
            retention: CheckpointRetention::NoExternalizedCheckpoints,
            num_retained: 1,
            after_tasks_finish: true,
            mode: CheckpointingMode::ExactlyOnce,
            unaligned: false,
            aligned_timeout: Duration::ZERO,
            history: 10,
        }
    }
}

/// What becomes of checkpoints when their job has ended. Those of a FINISHED job are always deleted,
/// savepoints never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointRetention {
    /// `RETAIN_ON_CANCELLATION`: those of a job that was cancelled or has failed are kept.
    RetainOnCancellation,
    /// `DELETE_ON_CANCELLATION`: those of a job that has failed are kept.
    DeleteOnCancellation,
    /// `NO_EXTERNALIZED_CHECKPOINTS`: all are deleted.
    NoExternalizedCheckpoints,
}

/// What checkpoints guarantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointingMode {
    /// Barriers are aligned: each record counts once.
    ExactlyOnce,
    /// They are not: after a failure records may count again.
    AtLeastOnce,
}
