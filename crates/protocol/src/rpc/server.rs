//! The side that listens: the JobManager.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, BoxStream, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, ServerStreamingService, StreamingService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::client::receive;
use super::{
    AGENT_PATH, BLOB_CHUNK_BYTES, BLOB_PATH, CHANNEL_CAPACITY, JOB_KEY, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, MAX_MESSAGE_BYTES, Secret, TOKEN_KEY, Token, WORKER_PATH,
};
use crate::message::{
    AgentCommand, AgentMessage, BlobChunk, BlobRequest, WorkerCommand, WorkerMessage,
};

/// Finds the files of bundles by their hash.
pub trait BlobSource: Send + Sync + 'static {
    /// The local copy of the file with that SHA-256.
    fn find(&self, sha256: &[u8]) -> Option<PathBuf>;
}

/// Who takes over authenticated connections. The first message of each names the caller.
pub trait Endpoint: BlobSource {
    /// An agent is connected; the connection ends when either channel is dropped.
    fn agent(&self, messages: mpsc::Receiver<AgentMessage>, commands: mpsc::Sender<AgentCommand>);
    /// A worker of that job is connected; the connection ends when either channel is dropped.
    fn worker(
        &self,
        job: String,
        messages: mpsc::Receiver<WorkerMessage>,
        commands: mpsc::Sender<WorkerCommand>,
    );
}

/// The server stopped.
#[derive(Debug, thiserror::Error)]
#[error("serving agents and workers failed")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves agents and workers until `shutdown` completes and all connections are closed.
pub async fn serve(
    listener: TcpListener,
    secret: Secret,
    endpoint: Arc<dyn Endpoint>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .serve_with_incoming_shutdown(Router { secret, endpoint }, incoming, shutdown)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Router {
    secret: Secret,
    endpoint: Arc<dyn Endpoint>,
}

impl Service<http::Request<Body>> for Router {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let router = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                AGENT_PATH => {
                    Grpc::new(ProstCodec::<AgentCommand, AgentMessage>::new())
                        .streaming(AgentConnect(router), request)
                        .await
                }
                WORKER_PATH => {
                    Grpc::new(ProstCodec::<WorkerCommand, WorkerMessage>::new())
                        .max_decoding_message_size(MAX_MESSAGE_BYTES)
                        .streaming(WorkerConnect(router), request)
                        .await
                }
                BLOB_PATH => {
                    Grpc::new(ProstCodec::<BlobChunk, BlobRequest>::new())
                        .server_streaming(BlobFetch(router), request)
                        .await
                }
                _ => Status::unimplemented("no such call").into_http(),
            })
        })
    }
}

impl Router {
    fn check_agent(&self, metadata: &MetadataMap) -> Result<(), Status> {
        let token = token(metadata)?;
        self.secret
            .is_agent(&token)
            .then_some(())
            .ok_or_else(refusal)
    }

    fn check_worker(&self, metadata: &MetadataMap) -> Result<String, Status> {
        let job = metadata
            .get(JOB_KEY)
            .and_then(|job| job.to_str().ok())
            .ok_or_else(refusal)?;
        let token = token(metadata)?;
        self.secret
            .is_worker(job, &token)
            .then(|| job.to_owned())
            .ok_or_else(refusal)
    }
}

fn token(metadata: &MetadataMap) -> Result<Token, Status> {
    metadata
        .get(TOKEN_KEY)
        .and_then(|text| text.to_str().ok())
        .and_then(|text| Token::from_hex(text).ok())
        .ok_or_else(refusal)
}

/// One answer for every reason: a caller without the secret learns nothing.
fn refusal() -> Status {
    Status::unauthenticated("the token is not of this application")
}

/// Accepts a stream each way: pumps what comes into a channel, and streams what goes out.
fn accept<In, Out>(
    incoming: Streaming<In>,
    take: impl FnOnce(mpsc::Receiver<In>, mpsc::Sender<Out>),
) -> Response<BoxStream<Out>>
where
    In: Send + 'static,
    Out: Send + 'static,
{
    let (in_sender, in_receiver) = mpsc::channel(CHANNEL_CAPACITY);
    let (out_sender, out_receiver) = mpsc::channel(CHANNEL_CAPACITY);
    tokio::spawn(receive(incoming, in_sender));
    take(in_receiver, out_sender);
    Response::new(Box::pin(ReceiverStream::new(out_receiver).map(Ok)))
}

struct AgentConnect(Router);

impl StreamingService<AgentMessage> for AgentConnect {
    type Response = AgentCommand;
    type ResponseStream = BoxStream<AgentCommand>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<AgentMessage>>) -> Self::Future {
        ready(self.0.check_agent(request.metadata()).map(|()| {
            accept(request.into_inner(), |messages, commands| {
                self.0.endpoint.agent(messages, commands);
            })
        }))
    }
}

struct WorkerConnect(Router);

impl StreamingService<WorkerMessage> for WorkerConnect {
    type Response = WorkerCommand;
    type ResponseStream = BoxStream<WorkerCommand>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<WorkerMessage>>) -> Self::Future {
        ready(self.0.check_worker(request.metadata()).map(|job| {
            accept(request.into_inner(), |messages, commands| {
                self.0.endpoint.worker(job, messages, commands);
            })
        }))
    }
}

struct BlobFetch(Router);

impl ServerStreamingService<BlobRequest> for BlobFetch {
    type Response = BlobChunk;
    type ResponseStream = BoxStream<BlobChunk>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<BlobRequest>) -> Self::Future {
        let found = self.0.check_agent(request.metadata()).and_then(|()| {
            let found = self.0.endpoint.find(&request.get_ref().sha256);
            found.ok_or_else(|| Status::not_found("no file with that hash"))
        });
        Box::pin(async move {
            let file = tokio::fs::File::open(found?).await.map_err(unreadable)?;
            Ok(Response::new(Box::pin(chunks(file)) as BoxStream<BlobChunk>))
        })
    }
}

fn unreadable(error: std::io::Error) -> Status {
    Status::internal(format!("reading the file failed: {error}"))
}

fn chunks(mut file: tokio::fs::File) -> impl Stream<Item = Result<BlobChunk, Status>> {
    // One chunk waits while the one before is on the wire.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let mut data = vec![0; BLOB_CHUNK_BYTES];
            let chunk = match file.read(&mut data).await {
                Ok(0) => return,
                Ok(length) => {
                    data.truncate(length);
                    Ok(BlobChunk { data })
                }
                Err(error) => Err(unreadable(error)),
            };
            let failed = chunk.is_err();
            if sender.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}
