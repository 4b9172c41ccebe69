//! What a worker decides about its links, and what follows from it.

use std::net::{IpAddr, Ipv4Addr};

use std::time::Duration;

use super::NetworkError;
use super::hello::MAX_NAME_BYTES;

/// Settings of the links of one worker. All workers of a job use the same frame size and token.
#[derive(Clone)]
pub struct NetworkSettings {
    /// The host that is announced to other workers.
    pub host: String,
    /// The local address to listen at.
    pub bind: IpAddr,
    /// Ports to try, in order; 0 lets the system choose.
    pub ports: Vec<u16>,
    /// The job's secret, which both ends of a link prove to know.
    pub token: Vec<u8>,
    /// Name of the container this worker lives in.
    pub container: String,
    /// Which life of the worker in that container this is; a newer one replaces older ones.
    pub incarnation: u64,
    /// Payload at which a frame should be sent.
    pub frame_bytes: usize,
    /// Credit that each channel always has; raised to two frames if it is less.
    pub channel_credit_bytes: u32,
    /// Most credit that a channel may borrow beyond that while its sender has a backlog.
    pub channel_floating_bytes: u32,
    /// Bytes for all credit together. What the channels' own shares leave of it may be borrowed.
    pub memory_bytes: u64,
    /// Largest payload; one above the frame size travels in pieces.
    pub max_record_bytes: usize,
    /// Whether frames carry a CRC-32C beside TCP's own checksum.
    pub checksums: bool,
    /// Limit for connecting and for the handshake.
    pub connect_timeout: Duration,
    /// How often the dialing end asks for a sign of life.
    pub ping_interval: Duration,
    /// A link on which nothing arrives for so long is closed.
    pub ping_timeout: Duration,
}

impl Default for NetworkSettings {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: vec![0],
            token: Vec::new(),
            container: String::new(),
            incarnation: 0,
            frame_bytes: 32 * 1024,
            channel_credit_bytes: 2 * 32 * 1024,
            channel_floating_bytes: 1024 * 1024,
            memory_bytes: 64 * 1024 * 1024,
            max_record_bytes: 64 * 1024 * 1024,
            checksums: false,
            connect_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(1),
            ping_timeout: Duration::from_secs(10),
        }
    }
}

impl std::fmt::Debug for NetworkSettings {
    // By hand, so that the token never gets into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkSettings")
            .field("host", &self.host)
            .field("bind", &self.bind)
            .field("ports", &self.ports)
            .field("container", &self.container)
            .field("incarnation", &self.incarnation)
            .field("frame_bytes", &self.frame_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

const SMALLEST_FRAME: usize = 1024;
const LARGEST_FRAME: usize = 16 * 1024 * 1024;

impl NetworkSettings {
    pub(super) fn validate(&self) -> Result<(), NetworkError> {
        let fail = |reason: String| Err(NetworkError::Settings { reason });
        if self.token.is_empty() {
            return fail("the job token is empty".into());
        }
        if self.container.len() > MAX_NAME_BYTES {
            return fail(format!(
                "the container name is longer than {MAX_NAME_BYTES} bytes"
            ));
        }
        if !(SMALLEST_FRAME..=LARGEST_FRAME).contains(&self.frame_bytes) {
            return fail(format!(
                "a frame of {} bytes is not between {SMALLEST_FRAME} and {LARGEST_FRAME}",
                self.frame_bytes
            ));
        }
        if self.max_record_bytes < self.piece_bytes() {
            return fail(format!(
                "records of at most {} bytes are less than a frame of {}",
                self.max_record_bytes, self.frame_bytes
            ));
        }
        if self.ports.is_empty() {
            return fail("no port to listen at is given".into());
        }
        if self.ping_interval.is_zero() || self.ping_timeout <= self.ping_interval {
            return fail(format!(
                "a ping timeout of {:?} is not above the interval of {:?}",
                self.ping_timeout, self.ping_interval
            ));
        }
        Ok(())
    }

    /// Largest payload that travels in one piece. A writer that sends as soon as it is over the
    /// frame size is over by a record, which must not make a second piece.
    pub(super) fn piece_bytes(&self) -> usize {
        self.frame_bytes + self.frame_bytes / 8
    }

    /// The share of each channel. Less than two pieces could stop: credit comes back in portions
    /// of half a frame, and a piece needs all of its credit at once.
    pub(super) fn exclusive_bytes(&self) -> u64 {
        u64::from(self.channel_credit_bytes).max(2 * self.piece_bytes() as u64)
    }

    /// `host:port` as other workers dial it.
    pub(super) fn announce(&self, port: u16) -> String {
        if self.host.contains(':') && !self.host.starts_with('[') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}
