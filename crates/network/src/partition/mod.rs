//! Partitions: what a subtask of a blocking exchange wrote, kept in files until the job ends.
//!
//! One data file and one index per producing attempt and edge. A partition is cut into
//! sub-partitions, each of which one consumer reads (a consumer may read several, one after the
//! other, and then holds the state of one range of keys at a time). The agent of a container serves
//! the files, so they outlive the worker that wrote them. Nothing here knows what a row is.

mod directory;
mod error;
mod file;
mod frame;
mod handshake;
mod index;
mod pump;
mod reader;
mod scan;
mod server;
mod stream;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use flott_model::{EdgeId, ExecutionAttemptId, JobId};

pub use directory::{PartitionDirectory, clear_directory, remove_job};
pub use error::PartitionError;
pub use reader::{
    PartitionLocation, PartitionMessage, PartitionPlace, PartitionReader, PartitionReaderSettings,
};
pub use server::{JobTokens, PartitionServer, PartitionServerSettings};
pub use writer::{PartitionWriter, PartitionWriterSettings};

/// A partition: what one attempt wrote for one edge. Attempts are never reused, so partitions are
/// not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The job.
    pub job: JobId,
    /// The edge of its graph.
    pub edge: EdgeId,
    /// The attempt that wrote it.
    pub producer: ExecutionAttemptId,
}

impl PartitionId {
    /// Where the rows are; beside it, with the extension `index`, where in it.
    fn data_path(&self, directory: &Path) -> PathBuf {
        job_path(directory, self.job).join(format!("{self}.data"))
    }
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ExecutionAttemptId {
            epoch,
            vertex,
            subtask,
            attempt,
        } = self.producer;
        write!(
            f,
            "e{}-v{}-s{subtask}-a{attempt}-ep{}",
            self.edge.0, vertex.0, epoch.0
        )
    }
}

fn job_path(directory: &Path, job: JobId) -> PathBuf {
    directory.join(job.to_string())
}

/// Whether frames in partitions are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    None,
    /// LZ4 blocks; a frame that does not shrink stays as it is.
    #[default]
    Lz4,
}
