//! What can go wrong with partitions.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use flott_model::{EdgeId, ExecutionAttemptId, FailureClass};

/// A failure to write, keep, find or read a partition.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PartitionError {
    /// The file system refused something.
    #[error("cannot {action} {path}")]
    File {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
    /// No port to serve partitions at.
    #[error("cannot serve partitions at {host}, ports {ports:?}")]
    Bind {
        /// The local address.
        host: String,
        /// The ports tried.
        ports: Vec<u16>,
        /// The last refusal.
        #[source]
        source: Arc<io::Error>,
    },
    /// They never were at that place, or are not any more.
    #[error("{} of edge {} at {place}", missing_partitions(.producers), .edge.0)]
    NotFound {
        /// The edge.
        edge: EdgeId,
        /// A directory or an address.
        place: String,
        /// Whose partitions are missing.
        producers: Vec<ExecutionAttemptId>,
    },
    /// Who served them does not, or not any more.
    #[error("the partitions of edge {} at {address} cannot be fetched: {reason}", .edge.0)]
    Lost {
        /// The edge.
        edge: EdgeId,
        /// Where they were.
        address: String,
        /// Whose partitions should be there.
        producers: Vec<ExecutionAttemptId>,
        /// What happened.
        reason: String,
    },
    /// The bytes are not what was written.
    #[error("partition {file} is damaged: {reason}")]
    Damaged {
        /// Who wrote it.
        producer: ExecutionAttemptId,
        /// Its file and, if that is elsewhere, where.
        file: String,
        /// How one can tell.
        reason: String,
    },
    /// A row is above the limit.
    #[error("a record of {bytes} bytes is above the limit of {limit}")]
    RecordTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The process is about to end and writes nothing more.
    #[error("partition {file} was given up: its writer is shut down")]
    ShutDown {
        /// Its file.
        file: String,
    },
}

impl PartitionError {
    /// What it means for the job.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::RecordTooLarge { .. } => FailureClass::Fatal,
            // A full or broken disk is one node's.
            _ => FailureClass::Transient,
        }
    }

    /// The producers that must run again before a consumer can.
    pub fn missing(&self) -> &[ExecutionAttemptId] {
        match self {
            Self::NotFound { producers, .. } | Self::Lost { producers, .. } => producers,
            Self::Damaged { producer, .. } => std::slice::from_ref(producer),
            Self::File { .. }
            | Self::Bind { .. }
            | Self::RecordTooLarge { .. }
            | Self::ShutDown { .. } => &[],
        }
    }

    pub(super) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            action,
            path,
            source: Arc::new(source),
        }
    }
}

/// At most a few names: there may be thousands.
fn missing_partitions(producers: &[ExecutionAttemptId]) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = producers
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    let more = if producers.len() > NAMED { ", …" } else { "" };
    format!(
        "there is no partition by {}{more} ({} in all)",
        names.join(", "),
        producers.len()
    )
}
