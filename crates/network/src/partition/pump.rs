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
const CONNECT_TRIES: u32 = 3;
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// What was read ahead of the reader.
pub(super) struct Feed {
    // A mutex: held to move one chunk only.
    state: Mutex<FeedState>,
    room: Notify,
    limit: usize,
    task: Waker,
}

#[derive(Default)]
struct FeedState {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Why nothing more comes.
    ended: Option<String>,
}

impl Feed {
    pub(super) fn new(limit: usize, task: Waker) -> Self {
        Self {
            state: Mutex::default(),
            room: Notify::new(),
            limit,
            task,
        }
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().expect("nothing panics while holding it")
    }

    /// The next chunk, or why there is none and will be none.
    pub(super) fn take(&self) -> Result<Option<Vec<u8>>, String> {
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

    async fn put(&self, chunk: Vec<u8>) {
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

    fn end(&self, reason: String) {
        self.state().ended.get_or_insert(reason);
        self.task.wake();
    }
}

/// Reads from files of this machine.
pub(super) async fn pump_files(mut scan: Scan, feed: Arc<Feed>) {
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
            Err(error) => return feed.end(format!("reading was given up: {error}")),
        };
        scan = back;
        if !chunk.is_empty() {
            feed.put(chunk).await;
        }
        if !more {
            return feed.end("nothing follows".into());
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

/// Reads from a server.
pub(super) async fn pump_server(remote: Remote, request: Request, feed: Arc<Feed>) {
    let reason = match fetch(&remote, &request, &feed).await {
        Ok(()) => "the server closed the connection".to_owned(),
        Err(error) => error.to_string(),
    };
    feed.end(reason);
}

async fn fetch(remote: &Remote, request: &Request, feed: &Feed) -> io::Result<()> {
    let mut stream = connect(remote).await?;
    let request = request.encode();
    stream.write_u32_le(request.len() as u32).await?;
    stream.write_all(&request).await?;
    let chunk_bytes = CHUNK_BYTES.min(feed.limit);
    loop {
        let mut chunk = Vec::with_capacity(chunk_bytes);
        let read = timeout(remote.silence_timeout, stream.read_buf(&mut chunk))
            .await
            .map_err(|_| silent(remote.silence_timeout))??;
        if read == 0 {
            return Ok(());
        }
        if chunk.len() < chunk.capacity() / 2 {
            chunk.shrink_to_fit();
        }
        feed.put(chunk).await;
    }
}

fn silent(limit: Duration) -> io::Error {
    let reason = format!("no sign of life for {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

/// A full backlog or a lost packet is no reason to make the producers run again; a refusal is.
async fn connect(remote: &Remote) -> io::Result<TcpStream> {
    let mut tries = 1;
    loop {
        let result = timeout(remote.connect_timeout, dial(remote))
            .await
            .unwrap_or_else(|_| Err(silent(remote.connect_timeout)));
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
