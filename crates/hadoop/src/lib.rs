//! Hadoop without a JVM: configuration files, security tokens, Hadoop RPC, and the YARN protocols.
//!
//! Lower modules never know upper ones: `conf`, `token` and `sasl` do no network I/O, `rpc` knows nothing of
//! YARN, and everything YARN is in `yarn`. HDFS access is not here.

pub mod conf;
pub mod rpc;
pub mod sasl;
pub mod token;
pub mod yarn;

pub use conf::{ConfError, HadoopConf, HostPort};
pub use rpc::{Auth, RemoteException, RemoteKind, RpcConnection, RpcError, RpcOptions};
pub use token::{Credentials, Token, TokenError};
