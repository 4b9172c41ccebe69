//! `/jobs/:id/checkpoints/config`: what a job's configuration says about checkpoints.

use flott_config::{
    CheckpointRetention, CheckpointStorage, CheckpointingMode, Configuration, StateBackendType,
    options,
};
use serde_json::{Value, json};

use super::millis;

/// What Flink says where there are no periodic checkpoints: the greatest number of its type.
const NEVER: u64 = i64::MAX as u64;

/// The settings of a job, given its configuration over the cluster's.
pub(crate) fn config(configuration: &Configuration) -> Value {
    let time = |option| millis(configuration.get(option));
    let interval = configuration.get(&options::EXECUTION_CHECKPOINTING_INTERVAL);
    let retention = configuration.get(&options::EXECUTION_CHECKPOINTING_RETENTION);
    json!({
        "mode": match configuration.get(&options::EXECUTION_CHECKPOINTING_MODE) {
            CheckpointingMode::ExactlyOnce => "exactly_once",
            CheckpointingMode::AtLeastOnce => "at_least_once",
        },
        "interval": interval.map_or(NEVER, millis),
        "timeout": time(&options::EXECUTION_CHECKPOINTING_TIMEOUT),
        "min_pause": time(&options::EXECUTION_CHECKPOINTING_MIN_PAUSE),
        "max_concurrent": configuration.get(&options::EXECUTION_CHECKPOINTING_MAX_CONCURRENT),
        "externalization": {
            "enabled": retention != CheckpointRetention::None,
            "delete_on_cancellation": retention != CheckpointRetention::RetainOnCancellation,
        },
        "state_backend": match configuration.get(&options::STATE_BACKEND_TYPE) {
            StateBackendType::RocksDb => "EmbeddedRocksDBStateBackend",
            StateBackendType::HashMap
            | StateBackendType::JobManager
            | StateBackendType::FileSystem => "HashMapStateBackend",
        },
        "checkpoint_storage": storage(configuration),
        "unaligned_checkpoints":
            configuration.get(&options::EXECUTION_CHECKPOINTING_UNALIGNED),
        "tolerable_failed_checkpoints":
            configuration.get(&options::EXECUTION_CHECKPOINTING_TOLERABLE_FAILED),
        "aligned_checkpoint_timeout": time(&options::EXECUTION_CHECKPOINTING_ALIGNED_TIMEOUT),
        "checkpoints_after_tasks_finish":
            configuration.get(&options::EXECUTION_CHECKPOINTING_AFTER_TASKS_FINISH),
        // Flink's logs of state changes do not exist here; these are its defaults.
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 600_000,
        "changelog_storage": "memory",
    })
}

fn storage(configuration: &Configuration) -> &'static str {
    let named = configuration.checkpoint_storage();
    let has_directory = || {
        let directory = configuration.get(&options::EXECUTION_CHECKPOINTING_DIR);
        directory.is_some()
    };
    match named {
        Some(CheckpointStorage::FileSystem) => "FileSystemCheckpointStorage",
        None if has_directory() => "FileSystemCheckpointStorage",
        Some(CheckpointStorage::JobManager) | None => "JobManagerCheckpointStorage",
    }
}
