//! What a JobManager is told at its start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flott_coordination::job::{JobSettings, RestartStrategy};
use flott_coordination::resource::ResourceSettings;
use flott_model::{Epoch, JobGraph, JobId};
use flott_protocol::rpc::Secret;

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
    pub configuration: BTreeMap<String, String>,
    /// Hadoop settings for workers.
    pub hadoop: BTreeMap<String, String>,
    /// HDFS user of workers.
    pub user: String,
    /// What holds for jobs that do not say otherwise.
    pub jobs: JobOptions,
    /// Slots and containers.
    pub resources: ResourceSettings,
    /// Agents and workers report that often.
    pub heartbeat_interval: Duration,
    /// Who is silent for that long is lost.
    pub heartbeat_timeout: Duration,
    /// Memory of one slot in bytes; 0: not limited.
    pub slot_memory_bytes: u64,
    /// Time between SIGTERM and SIGKILL for a worker.
    pub worker_stop_grace: Duration,
    /// Local copies of bundle files, by SHA-256, for the blob service.
    pub blobs: BTreeMap<Vec<u8>, PathBuf>,
}

/// What a job's configuration may say about its failures and waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOptions {
    /// What follows a failure.
    pub restart_strategy: RestartStrategy,
    /// How long a job waits for all its slots.
    pub slot_request_timeout: Duration,
    /// How long a started worker may take to register.
    pub worker_start_timeout: Duration,
    /// How long cancelled tasks may take before their worker is killed.
    pub cancellation_timeout: Duration,
}

impl DispatcherSettings {
    pub(crate) fn job_settings(
        &self,
        job: JobId,
        _graph: &JobGraph,
    ) -> Result<JobSettings, String> {
        let options = &self.jobs;
        Ok(JobSettings {
            job,
            epoch: self.epoch,
            restart_strategy: options.restart_strategy,
            slot_request_timeout: options.slot_request_timeout,
            worker_start_timeout: options.worker_start_timeout,
            cancellation_timeout: options.cancellation_timeout,
        })
    }
}

/// A peer whose connection closed may come back within that before it counts as lost; mostly its
/// agent (or YARN) says within that why it is gone.
pub(crate) const RECONNECT_GRACE: Duration = Duration::from_secs(1);
