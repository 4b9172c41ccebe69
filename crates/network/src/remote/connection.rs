//! Sockets: the handshake, reading frames, writing them in batches, and signs of life.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::budget::BufferPool;
use super::frame::{
    self, CHECKSUM, CHECKSUM_BYTES, FrameError, HEADER_BYTES, Header, MAX_ERROR_BYTES,
};
use super::hello::{Hello, MAX_HELLO_BYTES, PROOF_BYTES, Role, prove, verify};
use super::outflow::Piece;
use super::{NetworkError, NetworkSettings};

/// Why a connection ended, before it is known who the peer is.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("input or output failed")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

impl ConnectionError {
    pub(super) fn with_peer(self, peer: &str) -> NetworkError {
        let peer = peer.to_owned();
        match self {
            Self::Io(source) => NetworkError::Link {
                peer,
                source: Arc::new(source),
            },
            Self::Frame(error) => NetworkError::Protocol {
                peer,
                reason: error.to_string(),
            },
        }
    }
}

const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

async fn write_message(stream: &mut TcpStream, tag: u8, bytes: &[u8]) -> io::Result<()> {
    let mut message = vec![tag];
    message.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    message.extend_from_slice(bytes);
    stream.write_all(&message).await
}

async fn read_message(stream: &mut TcpStream, limit: usize) -> io::Result<(u8, Vec<u8>)> {
    let tag = stream.read_u8().await?;
    let length = usize::from(stream.read_u16_le().await?);
    let limit = if tag == ACCEPTED {
        limit
    } else {
        MAX_ERROR_BYTES
    };
    if length > limit {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a handshake message of {length} bytes, at most {limit} are allowed"),
        ));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok((tag, bytes))
}

/// What a handshake is about: our side, and the name of the other one for messages.
pub(super) struct Handshake<'a> {
    pub(super) settings: &'a NetworkSettings,
    pub(super) peer: &'a str,
}

impl Handshake<'_> {
    fn own_hello(&self) -> Vec<u8> {
        let settings = self.settings;
        Hello::new(
            &settings.container,
            settings.incarnation,
            settings.frame_bytes,
        )
        .encode()
    }

    fn failed(&self, reason: impl ToString) -> NetworkError {
        NetworkError::Handshake {
            peer: self.peer.to_owned(),
            reason: reason.to_string(),
        }
    }

    async fn receive(&self, io: &mut TcpStream, limit: usize) -> Result<Vec<u8>, NetworkError> {
        let (tag, bytes) = read_message(io, limit)
            .await
            .map_err(|error| ConnectionError::from(error).with_peer(self.peer))?;
        if tag == ACCEPTED {
            Ok(bytes)
        } else {
            Err(self.failed(format!("refused: {}", String::from_utf8_lossy(&bytes))))
        }
    }

    async fn send(&self, io: &mut TcpStream, tag: u8, bytes: &[u8]) -> Result<(), NetworkError> {
        write_message(io, tag, bytes)
            .await
            .map_err(|error| ConnectionError::from(error).with_peer(self.peer))
    }

    fn check(&self, hello: &[u8]) -> Result<Hello, NetworkError> {
        let hello = Hello::decode(hello).map_err(|error| self.failed(error))?;
        if hello.frame_bytes as usize != self.settings.frame_bytes {
            return Err(self.failed(format!(
                "its frames have {} bytes, ours {}",
                hello.frame_bytes, self.settings.frame_bytes
            )));
        }
        Ok(hello)
    }

    fn verify(&self, role: Role, pair: [&[u8]; 2], proof: &[u8]) -> Result<(), NetworkError> {
        if verify(&self.settings.token, role, pair[0], pair[1], proof) {
            Ok(())
        } else {
            Err(NetworkError::Authentication {
                peer: self.peer.to_owned(),
            })
        }
    }

    /// The dialing side. The other end proves itself first.
    pub(super) async fn dial(&self, io: &mut TcpStream) -> Result<Hello, NetworkError> {
        let ours = self.own_hello();
        self.send(io, ACCEPTED, &ours).await?;
        let mut theirs = self.receive(io, MAX_HELLO_BYTES + PROOF_BYTES).await?;
        let Some(at) = theirs.len().checked_sub(PROOF_BYTES) else {
            return Err(self.failed("its hello is malformed"));
        };
        let proof = theirs.split_off(at);
        let hello = self.check(&theirs)?;
        self.verify(Role::Listener, [&ours, &theirs], &proof)?;
        let own = prove(&self.settings.token, Role::Dialer, &ours, &theirs);
        self.send(io, ACCEPTED, &own).await?;
        self.receive(io, 0).await?;
        Ok(hello)
    }

    /// The listening side, up to the verdict.
    pub(super) async fn listen(&self, io: &mut TcpStream) -> Result<Hello, NetworkError> {
        let result = self.listen_inner(io).await;
        if let Err(error) = &result
            && !matches!(error, NetworkError::Link { .. })
        {
            self.refuse(io, &error.to_string()).await?;
        }
        result
    }

    async fn listen_inner(&self, io: &mut TcpStream) -> Result<Hello, NetworkError> {
        let theirs = self.receive(io, MAX_HELLO_BYTES).await?;
        let hello = self.check(&theirs)?;
        let ours = self.own_hello();
        let mut answer = ours.clone();
        answer.extend_from_slice(&prove(&self.settings.token, Role::Listener, &theirs, &ours));
        self.send(io, ACCEPTED, &answer).await?;
        let proof = self.receive(io, PROOF_BYTES).await?;
        self.verify(Role::Dialer, [&theirs, &ours], &proof)?;
        Ok(hello)
    }

    /// The listener's verdict: the link stands.
    pub(super) async fn welcome(&self, io: &mut TcpStream) -> Result<(), NetworkError> {
        self.send(io, ACCEPTED, &[]).await
    }

    /// The listener's verdict: no link, and why.
    pub(super) async fn refuse(&self, io: &mut TcpStream, why: &str) -> Result<(), NetworkError> {
        let end = why.len().min(MAX_ERROR_BYTES);
        self.send(io, REFUSED, &why.as_bytes()[..end]).await
    }
}

/// Signs of life of the other end: how often something was read.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when nothing was read for `timeout`; calls `ping` at each interval.
    pub(super) async fn watch(&self, interval: Duration, timeout: Duration, ping: impl Fn()) {
        let (mut seen, mut since) = (self.0.load(Ordering::Relaxed), Instant::now());
        loop {
            tokio::time::sleep(interval).await;
            let now = self.0.load(Ordering::Relaxed);
            if now != seen {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() >= timeout {
                return;
            }
            ping();
        }
    }
}

const READ_BYTES: usize = 64 * 1024;

/// Cuts what arrives into frames.
pub(super) struct FrameReader<'a, R> {
    io: R,
    pulse: &'a Pulse,
    pool: &'a BufferPool,
    piece_bytes: usize,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<'a, R: AsyncRead + Unpin> FrameReader<'a, R> {
    pub(super) fn new(io: R, pulse: &'a Pulse, pool: &'a BufferPool, piece_bytes: usize) -> Self {
        Self {
            io,
            pulse,
            pool,
            piece_bytes,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// The next frame; none at an end between frames.
    pub(super) async fn next(&mut self) -> Result<Option<(Header, Vec<u8>)>, ConnectionError> {
        while self.end - self.start < HEADER_BYTES {
            if self.buffer.len() - self.start < HEADER_BYTES {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            if !self.fill().await? {
                if self.start == self.end {
                    return Ok(None);
                }
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&self.buffer[self.start..self.start + HEADER_BYTES]);
        self.start += HEADER_BYTES;
        let header = Header::decode(&head, self.piece_bytes)?;
        let mut body = self.read_body(header.body as usize).await?;
        header.strip_checksum(&mut body)?;
        Ok(Some((header, body)))
    }

    async fn read_body(&mut self, length: usize) -> Result<Vec<u8>, ConnectionError> {
        // Small bodies get memory of their size, so that credit bounds memory and not just bytes.
        let mut body = if length > self.pool.capacity() / 4 {
            self.pool.get()
        } else {
            Vec::with_capacity(length)
        };
        loop {
            let ready = (length - body.len()).min(self.end - self.start);
            body.extend_from_slice(&self.buffer[self.start..self.start + ready]);
            self.start += ready;
            let missing = length - body.len();
            if missing == 0 {
                return Ok(body);
            }
            let more = if missing >= READ_BYTES / 8 {
                // Past our own buffer, without a copy.
                let read = self.io.read_buf(&mut (&mut body).limit(missing)).await?;
                self.pulse.beat();
                read > 0
            } else {
                self.fill().await?
            };
            if !more {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    async fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let read = self.io.read(&mut self.buffer[self.end..]).await?;
        self.pulse.beat();
        self.end += read;
        Ok(read > 0)
    }
}

const BATCH_BYTES: usize = 256 * 1024;
const BATCH_PIECES: usize = 32;

/// Frames that are written with one system call.
pub(super) struct Batch {
    checksums: bool,
    /// Everything but the pieces.
    small: Vec<u8>,
    /// Each piece, and the place in `small` it goes before.
    pieces: Vec<(usize, Piece)>,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(checksums: bool) -> Self {
        Self {
            checksums,
            small: Vec::new(),
            pieces: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes + self.small.len() >= BATCH_BYTES || self.pieces.len() >= BATCH_PIECES
    }

    /// A frame with a small payload.
    pub(super) fn push(&mut self, header: Header, payload: &[u8]) {
        frame::append(&mut self.small, header, payload, self.checksums);
    }

    /// Encoded frames.
    pub(super) fn push_encoded(&mut self, frames: &[u8]) {
        self.small.extend_from_slice(frames);
    }

    /// A data frame.
    pub(super) fn push_piece(&mut self, mut header: Header, piece: Piece) {
        header.body = piece.len() as u32;
        if self.checksums {
            header.flags |= CHECKSUM;
            header.body += CHECKSUM_BYTES as u32;
        }
        self.small.extend_from_slice(&header.encode());
        self.bytes += piece.len();
        let checksum = self.checksums.then(|| header.checksum(&piece));
        self.pieces.push((self.small.len(), piece));
        if let Some(checksum) = checksum {
            self.small.extend_from_slice(&checksum);
        }
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.pieces.len() + 1);
        let mut from = 0;
        for (at, piece) in &self.pieces {
            slices.push(IoSlice::new(&self.small[from..*at]));
            slices.push(IoSlice::new(piece));
            from = *at;
        }
        slices.push(IoSlice::new(&self.small[from..]));
        // An empty slice in front would make a full write look like an end of file.
        slices.retain(|slice| !slice.is_empty());
        slices
    }

    /// Empties it, and gives whole buffers back to the pool.
    fn clear(&mut self, pool: &BufferPool) {
        self.small.clear();
        self.bytes = 0;
        for (_, piece) in self.pieces.drain(..) {
            if let Piece::Whole(buffer) = piece {
                pool.put(buffer);
            }
        }
    }
}

/// Writes batches.
pub(super) struct FrameWriter<W> {
    io: W,
    /// A batch is partly out: nothing else can be written any more.
    broken_off: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(super) fn new(io: W) -> Self {
        Self {
            io,
            broken_off: false,
        }
    }

    pub(super) async fn write(&mut self, batch: &mut Batch, pool: &BufferPool) -> io::Result<()> {
        self.broken_off = true;
        let mut slices = batch.slices();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = self.io.write_vectored(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        self.broken_off = false;
        batch.clear(pool);
        Ok(())
    }

    /// Says that nothing follows.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }

    /// Tells the other end why the link ends, if that is possible without waiting for long.
    pub(super) async fn report(&mut self, error: &NetworkError, checksums: bool) {
        const PATIENCE: Duration = Duration::from_millis(200);
        if self.broken_off {
            return;
        }
        let mut frame = Vec::new();
        frame::append_error(&mut frame, frame::LINK, &error.to_string(), checksums);
        let _ = tokio::time::timeout(PATIENCE, async {
            self.io.write_all(&frame).await?;
            self.io.shutdown().await
        })
        .await;
    }
}
