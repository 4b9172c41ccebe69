//! One way to files: local disk, HDFS, and memory behind the trait [`FileSystem`].
//!
//! [`FileSystems`] turns a URI into a file system and a path inside it. Everything here is async on
//! the caller's runtime, except [`blocking`], which owns a runtime for threads that have none.
//! Nothing is skipped when listing: hidden names are the caller's decision ([`is_hidden`]).

#![warn(missing_docs)]

pub mod blocking;
pub mod conformance;

mod error;
mod file_system;
mod glob;
mod hdfs;
mod local;
mod memory;
mod registry;
mod uri;
mod user;

pub use error::{ErrorKind, FileSystemError, Result};
pub use file_system::{
    BlockLocation, CreateOptions, FileReader, FileStatus, FileSystem, FileWriter, READ_CHUNK,
};
pub use hdfs::HdfsFileSystem;
pub use local::LocalFileSystem;
pub use memory::MemoryFileSystem;
pub use registry::FileSystems;
pub use uri::{file_name, is_hidden, join, parent};
