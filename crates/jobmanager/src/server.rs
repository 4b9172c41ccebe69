//! Agents and workers that come over the network.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use flott_model::JobId;
use flott_protocol::message::{AgentCommand, AgentMessage, WorkerCommand, WorkerMessage};
use flott_protocol::rpc::{self, BlobSource, Endpoint, ServeError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::DispatcherHandle;

/// Serves agents, workers and bundle files until `shutdown` completes.
pub async fn serve(
    listener: TcpListener,
    dispatcher: DispatcherHandle,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let secret = dispatcher.settings().secret.clone();
    rpc::serve(listener, secret, Arc::new(dispatcher), shutdown).await
}

impl BlobSource for DispatcherHandle {
    fn find(&self, sha256: &[u8]) -> Option<PathBuf> {
        self.settings().blobs.get(sha256).cloned()
    }
}

impl Endpoint for DispatcherHandle {
    fn agent(&self, messages: mpsc::Receiver<AgentMessage>, commands: mpsc::Sender<AgentCommand>) {
        self.connections().agent_connected(messages, commands);
    }

    fn worker(
        &self,
        job: String,
        messages: mpsc::Receiver<WorkerMessage>,
        commands: mpsc::Sender<WorkerCommand>,
    ) {
        // The token was made for this text; if it is no job id, there is no such job.
        if let Ok(job) = job.parse::<JobId>() {
            self.connections().worker_connected(job, messages, commands);
        }
    }
}
