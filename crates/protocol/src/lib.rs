//! What Flott's processes say to each other.
//!
//! Messages are prost structs and are used as they are inside one process too (embedded cluster),
//! so both ways share all code above the connection.

pub mod application;
pub mod environment;
pub mod executor;
pub mod message;
pub mod node;
pub mod process;
pub mod program;
pub mod rpc;
