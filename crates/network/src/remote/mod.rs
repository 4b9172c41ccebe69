//! Channels between the workers of one job: frames over authenticated TCP links.
//!
//! Data needs credit, counted in bytes per channel and granted by the receiver, so that the reader
//! of a link can always move a frame to its channel: a slow channel never stops another one.
//! Control elements need none. Links carry no secrets and are not encrypted.

mod budget;
mod connection;
mod credit;
mod error;
mod frame;
mod hello;
mod inbound;
mod inflow;
mod network;
mod outbound;
mod outflow;
mod receiver;
mod registry;
mod sender;
mod settings;

#[cfg(test)]
mod tests;

pub use error::NetworkError;
pub(crate) use inbound::InChannel;
pub use network::{Network, NetworkStatistics};
pub(crate) use outbound::OutChannel;
pub use receiver::{RemoteMessage, RemoteReceiver};
pub use sender::RemoteSender;
pub use settings::NetworkSettings;

/// Encoded rows. The network does not look into the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataFrame {
    /// The rows, as the edge's codec wrote them.
    pub payload: Vec<u8>,
    /// How many.
    pub rows: u32,
    /// Whether the payload has event times.
    pub has_timestamps: bool,
}
