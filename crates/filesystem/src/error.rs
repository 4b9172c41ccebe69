//! The one error of this crate: operation, path, and a class that callers can act on.

use std::io;

/// Result of every file operation.
pub type Result<T, E = FileSystemError> = std::result::Result<T, E>;

/// Why a file operation failed, as far as a caller can act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file, the directory, or a needed parent does not exist.
    #[error("no such file or directory")]
    NotFound,
    /// The target of a create, mkdirs or rename is already there.
    #[error("already exists")]
    AlreadyExists,
    /// The user may not do this.
    #[error("permission denied")]
    PermissionDenied,
    /// A file was needed, the path is a directory.
    #[error("is a directory")]
    IsADirectory,
    /// A directory was needed, the path or one of its parents is a file.
    #[error("not a directory")]
    NotADirectory,
    /// A directory that should be deleted or replaced still has entries.
    #[error("directory is not empty")]
    NotEmpty,
    /// The NameNode takes no changes at the moment.
    #[error("the NameNode is in safe mode")]
    SafeMode,
    /// Disk full, quota used up, or no DataNode has room.
    #[error("no space or quota left")]
    NoSpace,
    /// No NameNode answered.
    #[error("cannot reach the NameNode at {}", .addresses.join(", "))]
    Unreachable {
        /// `host:port` of every NameNode that was tried.
        addresses: Vec<String>,
    },
    /// The text is no path or URI that this file system understands.
    #[error("not a usable path")]
    InvalidPath,
    /// The file system cannot do this at all.
    #[error("not supported")]
    Unsupported,
    /// Anything else; the detail or the source says what.
    #[error("failed")]
    Other,
}

/// A failed file operation: `cannot <operation> <path>: <kind>: <detail>`.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {kind}{}", suffix(.detail))]
pub struct FileSystemError {
    operation: &'static str,
    path: String,
    kind: ErrorKind,
    detail: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

fn suffix(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

impl FileSystemError {
    /// An error without a further explanation.
    pub fn new(operation: &'static str, path: impl Into<String>, kind: ErrorKind) -> Self {
        Self {
            operation,
            path: path.into(),
            kind,
            detail: String::new(),
            source: None,
        }
    }

    /// Adds one sentence of explanation that no source says.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The same failure seen as another class.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Says where a rename was to go, keeping what is already said.
    pub(crate) fn with_target(mut self, to: &str) -> Self {
        let target = format!("to {to}");
        self.detail = if self.detail.is_empty() {
            target
        } else {
            format!("{target}: {}", self.detail)
        };
        self
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn io(operation: &'static str, path: &str, source: io::Error) -> Self {
        Self::new(operation, path, kind_of_io(&source)).with_source(source)
    }

    /// What was being done: `open`, `rename`, …
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// The path it was done to.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The class of the cause.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// True if the same call may succeed later without anybody changing the request.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::SafeMode | ErrorKind::Unreachable { .. }
        )
    }

    /// True if the cause is a missing file or directory.
    pub fn is_not_found(&self) -> bool {
        self.kind == ErrorKind::NotFound
    }
}

fn kind_of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::PermissionDenied
        }
        io::ErrorKind::IsADirectory => ErrorKind::IsADirectory,
        io::ErrorKind::NotADirectory => ErrorKind::NotADirectory,
        io::ErrorKind::DirectoryNotEmpty => ErrorKind::NotEmpty,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        io::ErrorKind::InvalidFilename => ErrorKind::InvalidPath,
        io::ErrorKind::Unsupported | io::ErrorKind::CrossesDevices => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    }
}

impl From<FileSystemError> for io::Error {
    fn from(error: FileSystemError) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::IsADirectory => io::ErrorKind::IsADirectory,
            ErrorKind::NotADirectory => io::ErrorKind::NotADirectory,
            ErrorKind::NotEmpty => io::ErrorKind::DirectoryNotEmpty,
            ErrorKind::NoSpace => io::ErrorKind::StorageFull,
            ErrorKind::InvalidPath => io::ErrorKind::InvalidInput,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::Unreachable { .. } => io::ErrorKind::NotConnected,
            ErrorKind::SafeMode | ErrorKind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
