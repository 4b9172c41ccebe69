//! Connections over loopback: who is let in, and what ends them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::message::{
    AgentCommand, AgentMessage, RegisterAgent, RegisterWorker, StopAgent, WorkerCommand,
    WorkerMessage, WorkerRegistered, agent_command, agent_message, worker_command, worker_message,
};

/// Answers each first message with a command, then closes.
struct Echo(PathBuf, Vec<u8>);

impl BlobSource for Echo {
    fn find(&self, sha256: &[u8]) -> Option<PathBuf> {
        (sha256 == self.1).then(|| self.0.clone())
    }
}

impl Endpoint for Echo {
    fn agent(
        &self,
        mut messages: mpsc::Receiver<AgentMessage>,
        commands: mpsc::Sender<AgentCommand>,
    ) {
        tokio::spawn(async move {
            if let Some(AgentMessage {
                kind: Some(agent_message::Kind::Register(agent)),
            }) = messages.recv().await
            {
                let kind = agent_command::Kind::Stop(StopAgent {
                    reason: agent.container,
                });
                commands
                    .send(AgentCommand { kind: Some(kind) })
                    .await
                    .unwrap();
            }
        });
    }

    fn worker(
        &self,
        job: String,
        mut messages: mpsc::Receiver<WorkerMessage>,
        commands: mpsc::Sender<WorkerCommand>,
    ) {
        tokio::spawn(async move {
            while messages.recv().await.is_some() {
                let answer = WorkerRegistered {
                    epoch: job.len() as u32,
                    ..Default::default()
                };
                let kind = Some(worker_command::Kind::Registered(answer));
                commands.send(WorkerCommand { kind }).await.unwrap();
            }
        });
    }
}

struct Running {
    address: String,
    secret: Secret,
    sha256: Vec<u8>,
    _directory: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

const BLOB_BYTES: usize = 3 * BLOB_CHUNK_BYTES + 17;

async fn start() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("blob");
    let content: Vec<u8> = (0..BLOB_BYTES).map(|at| (at % 251) as u8).collect();
    std::fs::write(&file, &content).unwrap();
    let sha256 = Sha256::digest(&content).to_vec();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let secret = Secret::new(b"the application secret");
    let (stop, stopped) = oneshot::channel::<()>();
    let endpoint = Arc::new(Echo(file, sha256.clone()));
    let served = serve(listener, secret.clone(), endpoint, async {
        let _ = stopped.await;
    });
    tokio::spawn(served);
    Running {
        address,
        secret,
        sha256,
        _directory: directory,
        _stop: stop,
    }
}

#[tokio::test]
async fn an_agent_registers_is_told_and_sees_the_end() {
    let server = start().await;
    let (sender, mut commands) = connect_agent(&server.address, &server.secret)
        .await
        .unwrap();
    let register = RegisterAgent {
        container: "c1".to_owned(),
        ..Default::default()
    };
    let kind = Some(agent_message::Kind::Register(register));
    sender.send(AgentMessage { kind }).await.unwrap();
    let Some(agent_command::Kind::Stop(stop)) = commands.recv().await.unwrap().kind else {
        panic!("Stop expected");
    };
    assert_eq!(stop.reason, "c1");
    assert_eq!(commands.recv().await, None, "the server closed the stream");
}

#[tokio::test]
async fn a_worker_keeps_its_stream_both_ways() {
    let server = start().await;
    let job = "0123456789abcdef0123456789abcdef";
    let token = server.secret.worker_token(job);
    let (sender, mut commands) = connect_worker(&server.address, job, &token).await.unwrap();
    for _ in 0..3 {
        let kind = Some(worker_message::Kind::Register(RegisterWorker::default()));
        sender.send(WorkerMessage { kind }).await.unwrap();
        let Some(worker_command::Kind::Registered(answer)) = commands.recv().await.unwrap().kind
        else {
            panic!("Registered expected");
        };
        assert_eq!(answer.epoch, 32);
    }
    drop(sender);
    assert_eq!(
        commands.recv().await,
        None,
        "the server saw the end and closed too"
    );
}

#[tokio::test]
async fn wrong_tokens_are_refused() {
    let server = start().await;
    let refused = |error: ConnectError| matches!(error, ConnectError::Unauthenticated { .. });
    let foreign = Secret::new(b"another secret");
    assert!(refused(
        connect_agent(&server.address, &foreign).await.unwrap_err()
    ));
    let token = server.secret.worker_token("job a");
    assert!(refused(
        connect_worker(&server.address, "job b", &token)
            .await
            .unwrap_err()
    ));
    // A worker's token does not open what agents may do, nor the other way round.
    let agent = server.secret.agent_token();
    assert!(refused(
        connect_worker(&server.address, "job a", &agent)
            .await
            .unwrap_err()
    ));
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("t");
    let fetched = fetch_blob(&server.address, &foreign, &server.sha256, &target).await;
    assert!(refused(fetched.unwrap_err()));
    assert!(!target.exists());
}

#[tokio::test]
async fn blobs_arrive_whole_and_unknown_ones_are_refused() {
    let server = start().await;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("fetched");
    fetch_blob(&server.address, &server.secret, &server.sha256, &target)
        .await
        .unwrap();
    assert_eq!(
        Sha256::digest(std::fs::read(&target).unwrap()).as_slice(),
        server.sha256
    );
    let unknown = fetch_blob(&server.address, &server.secret, &[7; 32], &target).await;
    assert!(
        matches!(unknown, Err(ConnectError::Refused { .. })),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn unreachable_and_malformed_addresses_say_so() {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let secret = Secret::new(b"s");
    let error = connect_agent(&address, &secret).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect { .. }), "{error:?}");
    let error = connect_agent("no address", &secret).await.unwrap_err();
    assert!(matches!(error, ConnectError::Address { .. }), "{error:?}");
}
