//! The side that dials: agents and workers.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::{
    AGENT_PATH, BLOB_PATH, CHANNEL_CAPACITY, JOB_KEY, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT,
    MAX_MESSAGE_BYTES, Secret, TOKEN_KEY, Token, WORKER_PATH, hex,
};
use crate::message::{
    AgentCommand, AgentMessage, BlobChunk, BlobRequest, WorkerCommand, WorkerMessage,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A JobManager could not be reached, or did not accept.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not an address.
    #[error("'{address}' is not an address of the form host:port")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// Nobody answers there.
    #[error("connecting to the JobManager at {address} failed")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The token is not of this application: trying again cannot help.
    #[error("the JobManager at {address} does not accept the token: it is of another application")]
    Unauthenticated {
        /// Where.
        address: String,
    },
    /// It answered with an error.
    #[error("the JobManager at {address} refused: {message}")]
    Refused {
        /// Where.
        address: String,
        /// What it said.
        message: String,
    },
    /// The file that came is not the one that was asked for.
    #[error("the JobManager at {address} sent a file with SHA-256 {found}, not {wanted}")]
    WrongBlob {
        /// Where.
        address: String,
        /// Asked for.
        wanted: String,
        /// Received.
        found: String,
    },
    /// A received file could not be stored.
    #[error("writing the received file {path} failed")]
    Store {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Connects an agent. The first message sent must be Register. The receiver ends when the
/// connection is lost; dropping the sender closes it.
pub async fn connect_agent(
    address: &str,
    secret: &Secret,
) -> Result<(mpsc::Sender<AgentMessage>, mpsc::Receiver<AgentCommand>), ConnectError> {
    open(address, AGENT_PATH, &secret.agent_token(), None).await
}

/// Connects a worker. The first message sent must be Register. The receiver ends when the
/// connection is lost; dropping the sender closes it.
pub async fn connect_worker(
    address: &str,
    job: &str,
    token: &Token,
) -> Result<(mpsc::Sender<WorkerMessage>, mpsc::Receiver<WorkerCommand>), ConnectError> {
    open(address, WORKER_PATH, token, Some(job)).await
}

/// Fetches a file of a bundle by its hash into `target`, and checks it.
pub async fn fetch_blob(
    address: &str,
    secret: &Secret,
    sha256: &[u8],
    target: &Path,
) -> Result<(), ConnectError> {
    let request = BlobRequest {
        sha256: sha256.to_vec(),
    };
    let request = authenticated(Request::new(request), &secret.agent_token(), None);
    let mut grpc = client(address).await?;
    let path = PathAndQuery::from_static(BLOB_PATH);
    let codec = ProstCodec::<BlobRequest, BlobChunk>::new();
    let mut chunks = grpc
        .server_streaming(request, path, codec)
        .await
        .map_err(|status| refused(address, &status))?
        .into_inner();
    let stored = |source| ConnectError::Store {
        path: target.display().to_string(),
        source,
    };
    let mut file = tokio::fs::File::create(target).await.map_err(stored)?;
    let mut hash = Sha256::new();
    while let Some(chunk) = chunks
        .message()
        .await
        .map_err(|status| refused(address, &status))?
    {
        hash.update(&chunk.data);
        file.write_all(&chunk.data).await.map_err(stored)?;
    }
    file.flush().await.map_err(stored)?;
    let found = hash.finalize();
    if found.as_slice() != sha256 {
        return Err(ConnectError::WrongBlob {
            address: address.to_owned(),
            wanted: hex(sha256),
            found: hex(&found),
        });
    }
    Ok(())
}

async fn open<Out, In>(
    address: &str,
    path: &'static str,
    token: &Token,
    job: Option<&str>,
) -> Result<(mpsc::Sender<Out>, mpsc::Receiver<In>), ConnectError>
where
    Out: prost::Message + Send + Sync + 'static,
    In: prost::Message + Default + Send + Sync + 'static,
{
    let (out_sender, out_receiver) = mpsc::channel(CHANNEL_CAPACITY);
    let request = Request::new(ReceiverStream::new(out_receiver));
    let request = authenticated(request, token, job);
    let mut grpc = client(address).await?;
    let incoming = grpc
        .streaming(
            request,
            PathAndQuery::from_static(path),
            ProstCodec::<Out, In>::new(),
        )
        .await
        .map_err(|status| refused(address, &status))?
        .into_inner();
    let (in_sender, in_receiver) = mpsc::channel(CHANNEL_CAPACITY);
    tokio::spawn(receive(incoming, in_sender));
    Ok((out_sender, in_receiver))
}

async fn client(address: &str) -> Result<tonic::client::Grpc<Channel>, ConnectError> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|source| ConnectError::Address {
            address: address.to_owned(),
            source,
        })?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect()
        .await
        .map_err(|source| ConnectError::Connect {
            address: address.to_owned(),
            source,
        })?;
    let mut grpc = tonic::client::Grpc::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
    grpc.ready().await.map_err(|source| ConnectError::Connect {
        address: address.to_owned(),
        source,
    })?;
    Ok(grpc)
}

fn authenticated<T>(mut request: Request<T>, token: &Token, job: Option<&str>) -> Request<T> {
    let metadata = request.metadata_mut();
    // Hexadecimal digits are always legal in a header; a job id that is not is left out, and the
    // server refuses the call.
    if let Ok(mut value) = token.to_hex().parse::<MetadataValue<_>>() {
        value.set_sensitive(true);
        metadata.insert(TOKEN_KEY, value);
    }
    if let Some(job) = job.and_then(|job| job.parse().ok()) {
        metadata.insert(JOB_KEY, job);
    }
    request
}

fn refused(address: &str, status: &Status) -> ConnectError {
    let address = address.to_owned();
    match status.code() {
        Code::Unauthenticated => ConnectError::Unauthenticated { address },
        _ => ConnectError::Refused {
            address,
            message: status.message().to_owned(),
        },
    }
}

/// Forwards what comes until either end is gone.
pub(super) async fn receive<M>(mut incoming: Streaming<M>, sender: mpsc::Sender<M>) {
    loop {
        let message = tokio::select! {
            message = incoming.message() => message,
            () = sender.closed() => return,
        };
        match message {
            Ok(Some(message)) => {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(status) => {
                tracing::debug!(reason = status.message(), "a connection ended");
                return;
            }
        }
    }
}
