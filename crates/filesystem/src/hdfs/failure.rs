//! Hadoop's exception names, turned into classes at the boundary.

use std::io;

use hdfs_native::HdfsError;

use super::HdfsFileSystem;
use crate::error::{ErrorKind, FileSystemError};
use crate::file_system::FileSystem;

/// Failure of a call to the NameNode: a broken connection means that it cannot be reached.
pub(super) fn classify(
    fs: &HdfsFileSystem,
    operation: &'static str,
    path: &str,
    error: HdfsError,
) -> FileSystemError {
    match error {
        HdfsError::IOError(error) if is_connection(&error) => {
            fs.unreachable(operation, path).with_source(error)
        }
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message)
            if short_name(&class) == "StandbyException" =>
        {
            fs.unreachable(operation, path)
                .with_detail(first_line(&message))
        }
        error => classify_data(fs, operation, path, error),
    }
}

/// Failure of a read or write, where a broken connection may be that of one DataNode.
pub(super) fn classify_data(
    fs: &HdfsFileSystem,
    operation: &'static str,
    path: &str,
    error: HdfsError,
) -> FileSystemError {
    let failed = |kind| FileSystemError::new(operation, fs.qualify(path), kind);
    match error {
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            let name = short_name(&class);
            let detail = format!("{name}: {}", first_line(&message));
            failed(kind_of_exception(name, &message)).with_detail(detail)
        }
        // The path is all these two say.
        HdfsError::FileNotFound(_) => failed(ErrorKind::NotFound),
        HdfsError::IsADirectoryError(_) => failed(ErrorKind::IsADirectory),
        HdfsError::AlreadyExists(message) => {
            let kind = kind_of_exception("FileAlreadyExistsException", &message);
            failed(kind).with_detail(first_line(&message))
        }
        HdfsError::InvalidPath(message) => {
            failed(ErrorKind::InvalidPath).with_detail(first_line(&message))
        }
        HdfsError::UnsupportedFeature(message)
        | HdfsError::UnsupportedErasureCodingPolicy(message) => {
            failed(ErrorKind::Unsupported).with_detail(message)
        }
        error @ (HdfsError::SASLError(_)
        | HdfsError::GSSAPIError(..)
        | HdfsError::NoSASLMechanism) => failed(ErrorKind::PermissionDenied).with_source(error),
        error => failed(ErrorKind::Other).with_source(error),
    }
}

fn is_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionRefused
            | E::ConnectionReset
            | E::ConnectionAborted
            | E::NotConnected
            | E::BrokenPipe
            | E::UnexpectedEof
            | E::HostUnreachable
            | E::NetworkUnreachable
            | E::NetworkDown
            | E::AddrNotAvailable
            | E::TimedOut
    )
}

fn kind_of_exception(name: &str, message: &str) -> ErrorKind {
    match name {
        // Both are reported as a missing file.
        "FileNotFoundException" if message.contains("not a file") => ErrorKind::IsADirectory,
        "FileNotFoundException" => ErrorKind::NotFound,
        "FileAlreadyExistsException" if message.contains("as a directory") => {
            ErrorKind::IsADirectory
        }
        "FileAlreadyExistsException" | "AlreadyBeingCreatedException" => ErrorKind::AlreadyExists,
        "AccessControlException" | "AuthorizationException" | "InvalidToken" | "SaslException" => {
            ErrorKind::PermissionDenied
        }
        "ParentNotDirectoryException" => ErrorKind::NotADirectory,
        "PathIsNotEmptyDirectoryException" => ErrorKind::NotEmpty,
        "InvalidPathException" => ErrorKind::InvalidPath,
        "SafeModeException" => ErrorKind::SafeMode,
        // With HA the NameNode wraps the safe mode into an invitation to retry.
        "RetriableException" if message.contains("afe mode") => ErrorKind::SafeMode,
        "NSQuotaExceededException"
        | "DSQuotaExceededException"
        | "QuotaByStorageTypeExceededException"
        | "QuotaExceededException"
        | "FSLimitException"
        | "DiskOutOfSpaceException" => ErrorKind::NoSpace,
        "IOException" if message.contains("could only be written to 0 of") => ErrorKind::NoSpace,
        "IOException" if message.contains("directory is not empty") => ErrorKind::NotEmpty,
        "UnsupportedOperationException" => ErrorKind::Unsupported,
        _ => ErrorKind::Other,
    }
}

fn short_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}

/// The rest of a remote message is the NameNode's stack trace.
fn first_line(message: &str) -> &str {
    message.trim().lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kind(class: &str, message: &str) -> ErrorKind {
        let fs = HdfsFileSystem::new("nn:9000", &BTreeMap::new(), "me").unwrap();
        let error = HdfsError::RPCError(class.to_owned(), message.to_owned());
        classify(&fs, "open", "/x", error).kind().clone()
    }

    #[test]
    fn exceptions_become_classes() {
        for (class, message, expected) in [
            (
                "java.io.FileNotFoundException",
                "File does not exist: /x",
                ErrorKind::NotFound,
            ),
            (
                "java.io.FileNotFoundException",
                "Path is not a file: /x",
                ErrorKind::IsADirectory,
            ),
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                "",
                ErrorKind::SafeMode,
            ),
            (
                "org.apache.hadoop.ipc.RetriableException",
                "in safe mode",
                ErrorKind::SafeMode,
            ),
            (
                "org.apache.hadoop.ipc.RetriableException",
                "busy",
                ErrorKind::Other,
            ),
            (
                "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException",
                "The DiskSpace quota of /q is exceeded",
                ErrorKind::NoSpace,
            ),
            (
                "java.io.IOException",
                "File /x could only be written to 0 of the 1 minReplication nodes.",
                ErrorKind::NoSpace,
            ),
            (
                "org.apache.hadoop.security.AccessControlException",
                "",
                ErrorKind::PermissionDenied,
            ),
            (
                "org.apache.hadoop.security.token.SecretManager$InvalidToken",
                "",
                ErrorKind::PermissionDenied,
            ),
            ("java.io.IOException", "something", ErrorKind::Other),
        ] {
            assert_eq!(kind(class, message), expected, "{class} {message}");
        }
        let addresses = vec!["nn:9000".to_owned()];
        assert_eq!(
            kind("org.apache.hadoop.ipc.StandbyException", ""),
            ErrorKind::Unreachable { addresses }
        );
    }

    #[test]
    fn the_sentence_has_operation_path_and_one_line_of_cause() {
        let fs = HdfsFileSystem::new("nn:9000", &BTreeMap::new(), "me").unwrap();
        let error = HdfsError::RPCError(
            "org.apache.hadoop.security.AccessControlException".to_owned(),
            "Permission denied: user=me\n\tat org.apache.X".to_owned(),
        );
        assert_eq!(
            classify(&fs, "open", "/x", error).to_string(),
            "cannot open hdfs://nn:9000/x: permission denied: \
             AccessControlException: Permission denied: user=me"
        );
    }
}
