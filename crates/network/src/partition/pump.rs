//! Brings the stream of one place to a reader: from files by blocking threads, from a server by a
//! connection. Reads ahead as far as its share of memory goes, then waits for the reader.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flott_model::JobId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::handshake;
use super::scan::{Request, Scan};
use crate::Waker;

/// Bytes read at once.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
/// What a server says before the stream, or before what stands instead of it.
pub(super) const STREAM: u8 = 0;
pub(super) const REFUSAL: u8 = 1;
/// Above what a request's number of producers can need.
const MAX_REFUSAL_BYTES: u64 = 1024 * 1024;
const CONNECT_TRIES: u32 = 3;
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What was read ahead of the reader.
pub(super) struct Feed {
    // A mutex: held to move one chunk only.
    state: Mutex<FeedState>,
    room: Notify,
    /// The reader wants the rest.
    wanted: Notify,
    limit: usize,
    task: Waker,
}

#[derive(Default)]
struct FeedState {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Why nothing more comes.
    ended: Option<Ended>,
}

/// Bytes in order.
pub(super) enum Chunk {
    /// Of the stream.
    More(Vec<u8>),
    /// Of what stands instead of the rest of the stream.
    Refusal(Vec<u8>),
}

impl Chunk {
    fn capacity(&self) -> usize {
        match self {
            Self::More(bytes) | Self::Refusal(bytes) => bytes.capacity(),
        }
    }
}

/// Why nothing more comes.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) reason: String,
    /// Whether it is worth asking for the rest.
    pub(super) may_go_on: bool,
}

impl Feed {
    pub(super) fn new(limit: usize, task: Waker) -> Self {
        Self {
            state: Mutex::default(),
            room: Notify::new(),
            wanted: Notify::new(),
            limit,
            task,
        }
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().expect("nothing panics while holding it")
    }

    /// The next chunk, or why there is none and will be none.
    pub(super) fn take(&self) -> Result<Option<Chunk>, Ended> {
        let mut state = self.state();
        match state.chunks.pop_front() {
            Some(chunk) => {
                state.bytes -= chunk.capacity();
                self.room.notify_one();
                Ok(Some(chunk))
            }
            None => state.ended.clone().map_or(Ok(None), Err),
        }
    }

    /// Bytes that wait for the reader.
    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    async fn put(&self, chunk: Chunk) {
        loop {
            {
                let mut state = self.state();
                // An empty feed takes any chunk: otherwise a large one could never pass.
                if state.bytes == 0 || state.bytes + chunk.capacity() <= self.limit {
                    state.bytes += chunk.capacity();
                    state.chunks.push_back(chunk);
                    break;
                }
            }
            self.room.notified().await;
        }
        self.task.wake();
    }

    fn end(&self, reason: String, may_go_on: bool) {
        self.state().ended = Some(Ended { reason, may_go_on });
        self.task.wake();
    }

    /// Asks for the rest, after an end that was too early.
    pub(super) fn go_on(&self) {
        self.state().ended = None;
        self.wanted.notify_one();
    }
}

/// Reads from files of this machine.
pub(super) async fn pump_files(scan: Scan, feed: Arc<Feed>) {
    let given_up = |error| feed.end(format!("reading was given up: {error}"), false);
    let asking = tokio::task::spawn_blocking(move || (scan.refusal(), scan));
    let (refusal, mut scan) = match asking.await {
        Ok(asked) => asked,
        Err(error) => return given_up(error),
    };
    if let Some(refusal) = refusal {
        feed.put(Chunk::Refusal(refusal)).await;
        return feed.end("nothing follows".into(), false);
    }
    loop {
        let chunk_bytes = CHUNK_BYTES.min(feed.limit);
        let filled = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::with_capacity(chunk_bytes);
            let more = scan.fill(&mut chunk, chunk_bytes);
            (scan, chunk, more)
        })
        .await;
        let (back, chunk, more) = match filled {
            Ok(filled) => filled,
            Err(error) => return given_up(error),
        };
        scan = back;
        if !chunk.is_empty() {
            feed.put(Chunk::More(chunk)).await;
        }
        if !more {
            return feed.end("nothing follows".into(), false);
        }
    }
}

/// A server of partitions, and how to deal with it.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) address: String,
    pub(super) job: JobId,
    pub(super) token: Vec<u8>,
    pub(super) connect_timeout: Duration,
    pub(super) silence_timeout: Duration,
}

/// Reads from a server. Ends with its reader only, which may ask for the rest.
pub(super) async fn pump_server(remote: Remote, mut request: Request, feed: Arc<Feed>) {
    loop {
        match connect(&remote).await {
            Err(error) => feed.end(error.to_string(), false),
            Ok(stream) => match fetch(stream, &remote, &mut request, &feed).await {
                Ok(()) => feed.end("the server closed the connection".into(), true),
                Err(error) => feed.end(error.to_string(), true),
            },
        }
        feed.wanted.notified().await;
    }
}

async fn fetch(
    mut stream: TcpStream,
    remote: &Remote,
    request: &mut Request,
    feed: &Feed,
) -> io::Result<()> {
    let message = request.encode();
    stream.write_u32_le(message.len() as u32).await?;
    stream.write_all(&message).await?;
    let limit = remote.silence_timeout;
    if heard(limit, stream.read_u8()).await? == REFUSAL {
        let mut refusal = Vec::new();
        let mut stream = stream.take(MAX_REFUSAL_BYTES);
        heard(limit, stream.read_to_end(&mut refusal)).await?;
        feed.put(Chunk::Refusal(refusal)).await;
        return Ok(());
    }
    let chunk_bytes = CHUNK_BYTES.min(feed.limit);
    loop {
        let mut chunk = Vec::with_capacity(chunk_bytes);
        if heard(limit, stream.read_buf(&mut chunk)).await? == 0 {
            return Ok(());
        }
        request.skip += chunk.len() as u64;
        if chunk.len() < chunk.capacity() / 2 {
            chunk.shrink_to_fit();
        }
        feed.put(Chunk::More(chunk)).await;
    }
}

/// What comes in time.
async fn heard<T>(limit: Duration, coming: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, coming)
        .await
        .unwrap_or_else(|_| Err(silent(limit)))
}

fn silent(limit: Duration) -> io::Error {
    let reason = format!("no sign of life for {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

/// A full backlog or a lost packet is no reason to make the producers run again; a refusal is.
async fn connect(remote: &Remote) -> io::Result<TcpStream> {
    let mut tries = 1;
    loop {
        let result = heard(remote.connect_timeout, dial(remote)).await;
        match result {
            Err(error)
                if tries < CONNECT_TRIES && error.kind() != io::ErrorKind::PermissionDenied =>
            {
                tracing::debug!(address = remote.address, %error, "partitions not reachable yet");
            }
            result => return result,
        }
        tokio::time::sleep(CONNECT_PAUSE * tries).await;
        tries += 1;
    }
}

async fn dial(remote: &Remote) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(&remote.address).await?;
    stream.set_nodelay(true)?;
    handshake::dial(&mut stream, remote.job, &remote.token).await?;
    Ok(stream)
}
