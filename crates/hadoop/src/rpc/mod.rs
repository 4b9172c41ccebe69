//! Hadoop RPC version 9, client side. Layers: `frame` (bytes), `handshake` and `session` (protocol state without
//! I/O), `connection` (socket and task). One connection is one protocol and one identity; reconnecting is up to the
//! caller.

mod connection;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod frame;
mod handshake;
pub mod proto;
mod session;
#[cfg(test)]
mod tests;

pub use connection::{Auth, RpcConnection, RpcOptions};
pub use error::{RemoteException, RemoteKind, RpcError};
