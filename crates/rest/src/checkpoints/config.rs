//! `/jobs/:id/checkpoints/config`: what a job's configuration says about checkpoints.

use flott_config::{CheckpointStorage, Configuration, StateBackendType, options};
use flott_coordination::checkpoint::{CheckpointRetention, CheckpointSettings, CheckpointingMode};
use flott_jobmanager::checkpoint_settings;
use serde_json::{Value, json};

use super::millis;

/// What Flink says where there are no periodic checkpoints: the greatest number of its type.
const NEVER: u64 = i64::MAX as u64;

/// The settings of a job, given its configuration over the cluster's: those that its JobMaster obeys.
pub(crate) fn config(configuration: &Configuration) -> Value {
    let CheckpointSettings {
        interval,
        min_pause,
        timeout,
        max_concurrent,
        tolerable_failed,
        retention,
        num_retained: _,
        after_tasks_finish,
        mode,
        unaligned,
        aligned_timeout,
        history: _,
    } = checkpoint_settings(configuration);
    json!({
        "mode": match mode {
            CheckpointingMode::ExactlyOnce => "exactly_once",
            CheckpointingMode::AtLeastOnce => "at_least_once",
        },
        "interval": interval.map_or(NEVER, millis),
        "timeout": millis(timeout),
        "min_pause": millis(min_pause),
        "max_concurrent": max_concurrent,
        "externalization": {
            "enabled": retention != CheckpointRetention::NoExternalizedCheckpoints,
            "delete_on_cancellation": retention != CheckpointRetention::RetainOnCancellation,
        },
        "state_backend": match configuration.get(&options::STATE_BACKEND_TYPE) {
            StateBackendType::RocksDb => "EmbeddedRocksDBStateBackend",
            StateBackendType::HashMap
            | StateBackendType::JobManager
            | StateBackendType::FileSystem => "HashMapStateBackend",
        },
        "checkpoint_storage": storage(configuration),
        "unaligned_checkpoints": unaligned,
        "tolerable_failed_checkpoints": tolerable_failed,
        "aligned_checkpoint_timeout": millis(aligned_timeout),
        "checkpoints_after_tasks_finish": after_tasks_finish,
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
