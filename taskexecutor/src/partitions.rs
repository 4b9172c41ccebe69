//! The partitions of a container: where they are, who serves them, and when they go. They outlive the
//! workers that wrote them, and not the agent.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flott_model::JobId;
use flott_network::partition::{
    PartitionError, PartitionServer, PartitionServerSettings, clear_directory,
};
use flott_protocol::message::WorkerSpec;
use flott_protocol::rpc::Secret;
use tokio::task::JoinSet;

/// Deleting may take that long when the agent ends; what is left goes with YARN's directory.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(1);

/// What is kept and served; nothing before it was started.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    serving: Option<Serving>,
    /// Jobs that have ended while workers of theirs had not.
    released: BTreeSet<JobId>,
    /// Deletions, which may take long.
    deleting: JoinSet<()>,
}

#[derive(Debug)]
struct Serving {
    directory: PathBuf,
    server: Arc<PartitionServer>,
}

impl Partitions {
    /// Clears the directory and serves it. Where that is impossible, jobs with pipelined edges still
    /// run; the others are told by their tasks.
    pub(crate) async fn start(directory: PathBuf, host: &str, secret: &Secret) -> Self {
        let serving = match serve(directory, host, secret).await {
            Ok(serving) => Some(serving),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "partitions cannot be kept here");
                None
            }
        };
        Self {
            serving,
            ..Self::default()
        }
    }

    /// `host:port` where they are served; empty: nowhere.
    pub(crate) fn address(&self) -> String {
        let serving = self.serving.as_ref();
        serving.map_or_else(String::new, |it| it.server.address().to_owned())
    }

    /// Tells a worker where to write.
    pub(crate) fn tell(&self, spec: &mut WorkerSpec) {
        if let Some(serving) = &self.serving {
            spec.partition_dir = serving.directory.to_string_lossy().into_owned();
        }
    }

    /// A job has ended.
    pub(crate) fn release(&mut self, job: &str) {
        match job.parse() {
            Ok(job) => _ = self.released.insert(job),
            Err(error) => tracing::warn!(%error, "partitions of an unknown job were released"),
        }
    }

    /// Deletes what was released and is not being written any more.
    pub(crate) fn delete_released(&mut self, lives: impl Fn(&str) -> bool) {
        while self.deleting.try_join_next().is_some() {}
        let Some(serving) = &self.serving else {
            return;
        };
        let deleting = &mut self.deleting;
        self.released.retain(|job| {
            if lives(&job.to_string()) {
                return true;
            }
            let (server, job) = (Arc::clone(&serving.server), *job);
            deleting.spawn(async move {
                match server.remove_job(job).await {
                    Ok(()) => tracing::info!(%job, "partitions deleted"),
                    Err(error) => tracing::warn!(%error, %job, "partitions are left"),
                }
            });
            false
        });
    }

    /// Stops serving and deletes everything.
    pub(crate) async fn end(mut self) {
        self.deleting.shutdown().await;
        let Some(Serving { directory, server }) = self.serving.take() else {
            return;
        };
        drop(server);
        let shown = directory.display().to_string();
        let deleting = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(directory));
        match tokio::time::timeout(END_PATIENCE, deleting).await {
            Ok(Ok(Ok(()))) => (),
            Ok(Ok(Err(error))) if error.kind() == io::ErrorKind::NotFound => (),
            _ => tracing::warn!(directory = shown, "partitions are left"),
        }
    }
}

async fn serve(directory: PathBuf, host: &str, secret: &Secret) -> Result<Serving, PartitionError> {
    // Of an agent that ran here before.
    clear_directory(&directory)?;
    let secret = secret.clone();
    let server = PartitionServer::start(PartitionServerSettings {
        directory: directory.clone(),
        host: host.to_owned(),
        bind: bind_address(host),
        ports: vec![0],
        tokens: Arc::new(move |job: JobId| {
            let token = secret.worker_token(&job.to_string());
            token.as_bytes().to_vec()
        }),
    })
    .await?;
    tracing::info!(
        address = server.address(),
        directory = %directory.display(),
        "serving partitions"
    );
    Ok(Serving {
        directory,
        server: Arc::new(server),
    })
}

/// An address is taken at its word, a name may stand for any interface.
fn bind_address(host: &str) -> IpAddr {
    host.parse()
        .unwrap_or_else(|_| Ipv4Addr::UNSPECIFIED.into())
}
