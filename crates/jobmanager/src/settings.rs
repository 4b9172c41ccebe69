//! What a JobManager is told at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flott_config::{
    CheckpointRetention as Retention, CheckpointingMode as Mode, ConfigError, Configuration,
    ExecutorMemory, RestartStrategyType, executor_vcores, options,
};
use flott_coordination::checkpoint::{CheckpointRetention, CheckpointSettings, CheckpointingMode};
use flott_coordination::job::{JobSettings, RestartStrategy};
use flott_coordination::resource::{ResourceSettings, SlotSize};
use flott_model::{Epoch, JobGraph, JobId};
use flott_protocol::rpc::Secret;

use crate::driver::DefaultContainer;

/// An agent whose connection closed may come back within that before its container counts as lost.
/// Mostly the driver says within that how the container ended: YARN hears of it with its node's
/// heartbeat, every second by default.
pub(crate) const AGENT_RECONNECT_GRACE: Duration = Duration::from_millis(1500);
/// The same for a worker, whose agent reports its exit at once. Longer, so that the loss of a
/// container is known as that, and no worker is started in it again.
pub(crate) const WORKER_RECONNECT_GRACE: Duration = Duration::from_millis(2000);

/// A launched container's agent must register within that: localizing a bundle may take minutes.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(300);
/// A started worker must register within that.
const WORKER_START_TIMEOUT: Duration = Duration::from_secs(60);
/// Cancelled tasks that do not stop within that are killed with their worker (Flink's default).
const CANCELLATION_TIMEOUT: Duration = Duration::from_secs(180);
/// Between SIGTERM and SIGKILL for a worker.
const WORKER_STOP_GRACE: Duration = Duration::from_secs(3);

/// Settings of a [`crate::Dispatcher`].
#[derive(Debug, Clone)]
pub struct DispatcherSettings {
    /// Name of the cluster: the application id on YARN. Job ids derive from it.
    pub cluster_id: String,
    /// Term of this JobManager: the application attempt on YARN.
    pub epoch: Epoch,
    /// Secret of the application.
    pub secret: Secret,
    /// `host:port` where workers find their JobMaster; empty if they are in this process.
    pub job_master: String,
    /// Effective configuration of the cluster; a job's own ranks above it.
    pub configuration: Configuration,
    /// Hadoop settings for workers.
    pub hadoop: BTreeMap<String, String>,
    /// HDFS user of workers.
    pub user: String,
    /// Local copies of bundle files, by SHA-256, for the blob service.
    pub blobs: BTreeMap<Vec<u8>, PathBuf>,
}

impl DispatcherSettings {
    /// Settings of a cluster without network, HDFS, or blobs; each may be set.
    pub fn new(
        cluster_id: impl Into<String>,
        secret: Secret,
        configuration: Configuration,
    ) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            epoch: Epoch(1),
            secret,
            job_master: String::new(),
            configuration,
            hadoop: BTreeMap::new(),
            user: String::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// A task executor of default size, by configuration: its slots share what it has for tasks.
    fn configured_container(&self) -> DefaultContainer {
        let slots = self
            .configuration
            .get(&options::TASKMANAGER_NUMBER_OF_TASK_SLOTS)
            .max(1);
        let memory = ExecutorMemory::configured(&self.configuration);
        let slot = SlotSize {
            memory_bytes: memory.task_bytes / u64::from(slots),
            cpu_millicores: executor_vcores(&self.configuration).saturating_mul(1000) / slots,
        };
        DefaultContainer { slots, slot }
    }

    /// Agents and workers report that often.
    pub fn heartbeat_interval(&self) -> Duration {
        self.configuration.get(&options::HEARTBEAT_INTERVAL)
    }

    /// Who is silent for that long is lost.
    pub fn heartbeat_timeout(&self) -> Duration {
        self.configuration.get(&options::HEARTBEAT_TIMEOUT)
    }

    pub(crate) fn worker_stop_grace(&self) -> Duration {
        WORKER_STOP_GRACE
    }

    pub(crate) fn resource_settings(&self, default: Option<DefaultContainer>) -> ResourceSettings {
        let default = default.unwrap_or_else(|| self.configured_container());
        let failures = self
            .configuration
            .get(&options::YARN_MAXIMUM_FAILED_CONTAINERS);
        ResourceSettings {
            slots_per_container: default.slots,
            default_slot: default.slot,
            idle_timeout: self
                .configuration
                .get(&options::RESOURCEMANAGER_TASKMANAGER_TIMEOUT),
            registration_timeout: REGISTRATION_TIMEOUT,
            // -1: never gives up.
            maximum_failed_containers: u32::try_from(failures).ok(),
        }
    }

    /// The cluster's configuration, overlaid with the job's.
    ///
    /// # Errors
    /// When a value of the job's cannot be used.
    pub fn job_configuration(&self, graph: &JobGraph) -> Result<Configuration, ConfigError> {
        let mut settings = self.configuration.to_map();
        settings.extend(graph.configuration.clone());
        Configuration::from_map(settings)
    }

    /// What that configuration says about a job.
    pub(crate) fn job_settings(&self, job: JobId, configuration: &Configuration) -> JobSettings {
        JobSettings {
            job,
            epoch: self.epoch,
            restart_strategy: restart_strategy(configuration),
            slot_request_timeout: configuration.get(&options::SLOT_REQUEST_TIMEOUT),
            worker_start_timeout: WORKER_START_TIMEOUT,
            cancellation_timeout: CANCELLATION_TIMEOUT,
            checkpoints: checkpoint_settings(configuration),
            jitter_seed: uuid::Uuid::new_v4().as_u64_pair().0,
        }
    }
}

fn restart_strategy(configuration: &Configuration) -> RestartStrategy {
    let interval = configuration.get(&options::EXECUTION_CHECKPOINTING_INTERVAL);
    let default = if interval.is_some() {
        RestartStrategyType::ExponentialDelay
    } else {
        RestartStrategyType::None
    };
    let wanted = configuration.get(&options::RESTART_STRATEGY_TYPE);
    match wanted.unwrap_or(default) {
        RestartStrategyType::None => RestartStrategy::None,
        RestartStrategyType::FixedDelay => RestartStrategy::FixedDelay {
            attempts: configuration.get(&options::RESTART_STRATEGY_FIXED_DELAY_ATTEMPTS),
            delay: configuration.get(&options::RESTART_STRATEGY_FIXED_DELAY_DELAY),
        },
        RestartStrategyType::FailureRate => RestartStrategy::FailureRate {
            maximum: configuration.get(&options::RESTART_STRATEGY_FAILURE_RATE_MAX),
            interval: configuration.get(&options::RESTART_STRATEGY_FAILURE_RATE_INTERVAL),
            delay: configuration.get(&options::RESTART_STRATEGY_FAILURE_RATE_DELAY),
        },
        RestartStrategyType::ExponentialDelay => RestartStrategy::ExponentialDelay {
            initial: configuration.get(&options::RESTART_STRATEGY_EXPONENTIAL_INITIAL),
            maximum: configuration.get(&options::RESTART_STRATEGY_EXPONENTIAL_MAX),
            multiplier: configuration
                .get(&options::RESTART_STRATEGY_EXPONENTIAL_MULTIPLIER)
                .get(),
            reset_threshold: configuration.get(&options::RESTART_STRATEGY_EXPONENTIAL_RESET),
            jitter: configuration
                .get(&options::RESTART_STRATEGY_EXPONENTIAL_JITTER)
                .get(),
            attempts: configuration.get(&options::RESTART_STRATEGY_EXPONENTIAL_ATTEMPTS),
        },
    }
}

/// What a job's configuration, laid over the cluster's, says about its checkpoints: what its JobMaster
/// obeys.
pub fn checkpoint_settings(configuration: &Configuration) -> CheckpointSettings {
    CheckpointSettings {
        interval: configuration.get(&options::EXECUTION_CHECKPOINTING_INTERVAL),
        min_pause: configuration.get(&options::EXECUTION_CHECKPOINTING_MIN_PAUSE),
        timeout: configuration.get(&options::EXECUTION_CHECKPOINTING_TIMEOUT),
        max_concurrent: configuration.get(&options::EXECUTION_CHECKPOINTING_MAX_CONCURRENT),
        tolerable_failed: configuration.get(&options::EXECUTION_CHECKPOINTING_TOLERABLE_FAILED),
        retention: match configuration.get(&options::EXECUTION_CHECKPOINTING_RETENTION) {
            Retention::None => CheckpointRetention::NoExternalizedCheckpoints,
            Retention::DeleteOnCancellation => CheckpointRetention::DeleteOnCancellation,
            Retention::RetainOnCancellation => CheckpointRetention::RetainOnCancellation,
        },
        num_retained: configuration.get(&options::EXECUTION_CHECKPOINTING_NUM_RETAINED),
        after_tasks_finish: configuration.get(&options::EXECUTION_CHECKPOINTING_AFTER_TASKS_FINISH),
        mode: match configuration.get(&options::EXECUTION_CHECKPOINTING_MODE) {
            Mode::ExactlyOnce => CheckpointingMode::ExactlyOnce,
            Mode::AtLeastOnce => CheckpointingMode::AtLeastOnce,
        },
        unaligned: configuration.get(&options::EXECUTION_CHECKPOINTING_UNALIGNED),
        aligned_timeout: configuration.get(&options::EXECUTION_CHECKPOINTING_ALIGNED_TIMEOUT),
        ..CheckpointSettings::default()
    }
}
