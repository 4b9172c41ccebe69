//! Messages of the YARN protocols as `prost` structs, with the field numbers of Hadoop 3.4.2.
//! Fields nothing here reads or writes are left out: protobuf skips them.

mod am;
mod client;
mod identifiers;
mod nm;
mod records;

pub use crate::rpc::proto::Token;

pub use am::*;
pub use client::*;
pub use identifiers::*;
pub use nm::*;
pub use records::*;
