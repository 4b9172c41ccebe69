//! The partitions of an embedded container: in a temporary directory of its own, which goes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use flott_model::JobId;
use flott_network::partition::{PartitionServer, PartitionServerSettings};
use flott_protocol::message::WorkerSpec;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::HOST;

/// What is kept and served.
#[derive(Debug)]
pub(super) struct Partitions {
    // Before the directory: what is being served and deleted ends first.
    deleting: JoinSet<()>,
    serving: Option<(Arc<PartitionServer>, TempDir)>,
    /// Jobs that have ended while workers of theirs had not.
    released: BTreeSet<JobId>,
    /// What the workers of each job prove themselves with, as their specs say.
    // Held for a look-up or an insertion.
    tokens: Arc<Mutex<BTreeMap<JobId, Vec<u8>>>>,
}

impl Partitions {
    /// Where there is no room for them, jobs with pipelined edges still run; the others are told by
    /// their tasks.
    pub(super) async fn start() -> Self {
        let tokens = Arc::<Mutex<BTreeMap<JobId, Vec<u8>>>>::default();
        let known = Arc::clone(&tokens);
        // In a task of its own: it is not given up half-way, with the directory left behind.
        let serving = tokio::spawn(serve(move |job| {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&job).cloned().unwrap_or_default()
        }))
        .await
        .unwrap_or_default();
        Self {
            deleting: JoinSet::new(),
            serving,
            released: BTreeSet::new(),
            tokens,
        }
    }

    /// `host:port` where they are served; empty: nowhere.
    pub(super) fn address(&self) -> String {
        let serving = self.serving.as_ref();
        serving.map_or_else(String::new, |(server, _)| server.address().to_owned())
    }

    /// Tells a worker where to write, and lets others of its job read that.
    pub(super) fn tell(&self, job: JobId, spec: &mut WorkerSpec) {
        if let Some((_, directory)) = &self.serving {
            spec.partition_dir = directory.path().to_string_lossy().into_owned();
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.insert(job, spec.token.clone());
        }
    }

    /// A job has ended.
    pub(super) fn release(&mut self, job: &str) {
        if let Ok(job) = job.parse() {
            self.released.insert(job);
        }
    }

    /// Deletes what was released and is not being written any more.
    pub(super) fn delete_released(&mut self, lives: impl Fn(&str) -> bool) {
        while self.deleting.try_join_next().is_some() {}
        let Some((server, _)) = &self.serving else {
            return;
        };
        let (deleting, tokens) = (&mut self.deleting, &self.tokens);
        self.released.retain(|job| {
            if lives(&job.to_string()) {
                return true;
            }
            tokens
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(job);
            let (server, job) = (Arc::clone(server), *job);
            deleting.spawn(async move {
                if let Err(error) = server.remove_job(job).await {
                    tracing::warn!(%error, %job, "partitions are left until the container ends");
                }
            });
            false
        });
    }
}

async fn serve(
    tokens: impl Fn(JobId) -> Vec<u8> + Send + Sync + 'static,
) -> Option<(Arc<PartitionServer>, TempDir)> {
    let directory = tempfile::Builder::new()
        .prefix("flott-partitions-")
        .tempdir();
    let directory = directory
        .inspect_err(|error| tracing::warn!(%error, "no directory for partitions"))
        .ok()?;
    let server = PartitionServer::start(PartitionServerSettings {
        directory: directory.path().to_owned(),
        host: HOST.to_owned(),
        bind: Ipv4Addr::LOCALHOST.into(),
        ports: vec![0],
        tokens: Arc::new(tokens),
    });
    let server = server
        .await
        .inspect_err(|error| tracing::warn!(%error, "partitions cannot be served"))
        .ok()?;
    Some((Arc::new(server), directory))
}
