//! What can go wrong between workers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flott_model::FailureClass;

use crate::ChannelId;

/// A failure of the network. Cloneable, because all channels of a link get the same one.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NetworkError {
    /// The settings contradict themselves.
    #[error("unusable network settings: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },
    /// No port to listen at.
    #[error("cannot listen at {host}, ports {ports:?}")]
    Bind {
        /// The local address.
        host: String,
        /// The ports tried.
        ports: Vec<u16>,
        /// The last refusal.
        #[source]
        source: Arc<io::Error>,
    },
    /// The network thread could not be started.
    #[error("cannot start the network thread")]
    Start {
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The other worker could not be reached.
    #[error("cannot connect to the worker at {address}")]
    Connect {
        /// Where it should be.
        address: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The other worker took too long to answer.
    #[error("no connection to the worker at {address} within {timeout:?}")]
    ConnectTimeout {
        /// Where it should be.
        address: String,
        /// The limit.
        timeout: Duration,
    },
    /// The other end speaks something else, or refused.
    #[error("handshake with {peer}: {reason}")]
    Handshake {
        /// The other end.
        peer: String,
        /// What it did.
        reason: String,
    },
    /// The other end does not know the job's token.
    #[error("{peer} could not prove that it belongs to this job")]
    Authentication {
        /// The other end.
        peer: String,
    },
    /// Reading or writing failed.
    #[error("link with {peer} broke")]
    Link {
        /// The other end.
        peer: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The other end closed the connection.
    #[error("{peer} closed the link")]
    Disconnected {
        /// The other end.
        peer: String,
    },
    /// Nothing arrived for too long.
    #[error("no sign of life from {peer} for {timeout:?}")]
    Silent {
        /// The other end.
        peer: String,
        /// The limit.
        timeout: Duration,
    },
    /// The other end broke the rules of the protocol.
    #[error("{peer} broke the protocol: {reason}")]
    Protocol {
        /// The other end.
        peer: String,
        /// Which rule.
        reason: String,
    },
    /// The other end reported this before it closed the link.
    #[error("{peer} gave up the link: {message}")]
    Reported {
        /// The other end.
        peer: String,
        /// In its words.
        message: String,
    },
    /// A newer life of the worker, or a newer connection from it, took over.
    #[error("the link with {peer} was replaced by a newer one")]
    Superseded {
        /// The other end.
        peer: String,
    },
    /// The receiving worker does not take the channel.
    #[error("channel {channel} was refused: {message}")]
    Refused {
        /// The channel.
        channel: ChannelName,
        /// In the receiver's words.
        message: String,
    },
    /// The receiver is gone before the end of the stream.
    #[error("the receiver of channel {channel} is gone")]
    ReceiverClosed {
        /// The channel.
        channel: ChannelName,
    },
    /// The sender is gone before the end of the stream.
    #[error("the sender of channel {channel} is gone")]
    SenderClosed {
        /// The channel.
        channel: ChannelName,
    },
    /// A payload is above the limit for records.
    #[error("a record of {bytes} bytes is above the limit of {limit}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A channel has one receiver, and only once.
    #[error("channel {channel} already has a receiver")]
    AlreadyRegistered {
        /// The channel.
        channel: ChannelName,
    },
    /// The network of this worker was shut down.
    #[error("the network is shut down")]
    ShutDown,
}

impl NetworkError {
    /// What it means for the job.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Settings { .. } | Self::RecordTooLarge { .. } => FailureClass::Fatal,
            // Even a peer with another token may just be a stale address with a new owner.
            _ => FailureClass::Transient,
        }
    }
}

/// A channel in messages: edge, source and target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelName(pub ChannelId);

impl std::fmt::Display for ChannelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ChannelId {
            edge,
            source,
            target,
        } = self.0;
        write!(f, "{source} -> {target} (edge {})", edge.0)
    }
}
