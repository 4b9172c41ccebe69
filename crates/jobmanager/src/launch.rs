//! What a worker process is told at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_coordination::job::WorkerId;
use flott_model::{JobGraph, JobId};
use flott_protocol::message::{JobBundle, StartWorker, WorkerSpec};
use prost::Message;

use crate::settings::DispatcherSettings;

/// Everything about the workers of one job that is the same for all.
#[derive(Debug)]
pub(crate) struct WorkerLaunch {
    pub(crate) job: JobId,
    pub(crate) settings: Arc<DispatcherSettings>,
    pub(crate) graph: Arc<JobGraph>,
    pub(crate) bundle: Arc<JobBundle>,
}

impl WorkerLaunch {
    pub(crate) fn start_worker(
        &self,
        worker: &WorkerId,
        host: &str,
        slots: Vec<u32>,
    ) -> StartWorker {
        let job = self.job.to_string();
        let settings = &self.settings;
        let held = u32::try_from(slots.len()).unwrap_or(u32::MAX).max(1);
        let spec = WorkerSpec {
            token: settings.secret.worker_token(&job).as_bytes().to_vec(),
            job: job.clone(),
            incarnation: worker.incarnation.0,
            container: worker.container.0.clone(),
            host: host.to_owned(),
            job_master: settings.job_master.clone(),
            epoch: settings.epoch.0,
            graph: JobGraph::clone(&self.graph),
            hadoop: settings.hadoop.clone(),
            user: settings.user.clone(),
            slots: slots.clone(),
            memory_bytes: settings.slot_memory_bytes * u64::from(held),
            threads: held,
            partition_dir: String::new(),
        };
        StartWorker {
            job,
            incarnation: worker.incarnation.0,
            slots,
            bundle: JobBundle::clone(&self.bundle),
            spec: spec.encode_to_vec(),
            epoch: settings.epoch.0,
            args: self.graph.args.clone(),
            environment: BTreeMap::new(),
        }
    }
}
