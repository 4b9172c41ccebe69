//! What can go wrong with a call, with Java's exceptions sorted into kinds at this boundary.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::proto::{RpcResponseHeader, RpcStatus};
use crate::sasl::SaslError;

/// What a remote exception asks of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteKind {
    /// The ResourceManager restarted or failed over: register again.
    ApplicationMasterNotRegistered,
    /// The attempt is over: leave at once.
    ApplicationAttemptNotFound,
    /// Registered twice, or the response id is wrong.
    InvalidApplicationMasterRequest,
    /// An ask exceeds the maximum or names a bad label; the whole allocate was rejected.
    InvalidResourceRequest,
    /// A released container belongs to another attempt.
    InvalidContainerRelease,
    /// The ResourceManager does not know the application.
    ApplicationNotFound,
    /// The server is not ready: try the same one again later.
    RetryLater,
    /// The server is a standby: try the other one.
    Standby,
    /// The token is not, or no longer, valid.
    InvalidToken,
    /// The SASL exchange failed on the server.
    Sasl,
    /// Not permitted.
    AccessDenied,
    /// The server does not have the method or protocol.
    NoSuchMethod,
    /// Any other exception.
    Other,
}

impl RemoteKind {
    fn of_class(class: &str) -> Self {
        match class.rsplit_once('.').map_or(class, |(_, name)| name) {
            "ApplicationMasterNotRegisteredException" => Self::ApplicationMasterNotRegistered,
            "ApplicationAttemptNotFoundException" => Self::ApplicationAttemptNotFound,
            "InvalidApplicationMasterRequestException" => Self::InvalidApplicationMasterRequest,
            "InvalidResourceRequestException" | "InvalidLabelResourceRequestException" => {
                Self::InvalidResourceRequest
            }
            "InvalidContainerReleaseException" => Self::InvalidContainerRelease,
            "ApplicationNotFoundException" => Self::ApplicationNotFound,
            "NMNotYetReadyException" | "RetriableException" => Self::RetryLater,
            "StandbyException" => Self::Standby,
            "SecretManager$InvalidToken" | "InvalidToken" => Self::InvalidToken,
            "SaslException" => Self::Sasl,
            "AccessControlException" | "AuthorizationException" => Self::AccessDenied,
            "RpcNoSuchMethodException" | "RpcNoSuchProtocolException" => Self::NoSuchMethod,
            _ => Self::Other,
        }
    }
}

/// An exception the server reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteException {
    /// What it asks of the caller.
    pub kind: RemoteKind,
    /// Java class name.
    pub class_name: String,
    /// The message without the stack trace.
    pub message: String,
    /// Whether the server gave up the connection.
    pub fatal: bool,
}

impl RemoteException {
    /// An exception from its Java class and message; a stack trace after the message is cut off.
    pub fn new(class_name: &str, message: &str, fatal: bool) -> Self {
        let end = message.find("\n\tat ").unwrap_or(message.len());
        Self {
            kind: RemoteKind::of_class(class_name),
            class_name: class_name.to_owned(),
            message: message[..end].trim_end().to_owned(),
            fatal,
        }
    }

    pub(super) fn of_header(header: &RpcResponseHeader) -> Self {
        Self::new(
            header
                .exception_class_name
                .as_deref()
                .unwrap_or("unknown exception"),
            header.error_msg.as_deref().unwrap_or_default(),
            header.status == RpcStatus::Fatal as i32,
        )
    }

    /// Java class name without its package.
    pub fn short_name(&self) -> &str {
        self.class_name
            .rsplit_once('.')
            .map_or(&self.class_name, |(_, name)| name)
    }
}

impl fmt::Display for RemoteException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short_name())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// Why a connection or call failed. Cloneable, as one failure ends every call of a connection.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RpcError {
    /// No connection.
    #[error("cannot connect to {address}")]
    Connect {
        /// The server.
        address: String,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// Something took too long.
    #[error("{address} did not answer while {doing} within {timeout:?}")]
    Timeout {
        /// The server.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// The limit.
        timeout: Duration,
    },
    /// The connection broke.
    #[error("the connection to {address} broke while {doing}")]
    Io {
        /// The server.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// The server ended the connection.
    #[error("{address} closed the connection while {doing}")]
    Closed {
        /// The server.
        address: String,
        /// What was being done.
        doing: &'static str,
    },
    /// The exchange failed on our side.
    #[error("authentication with {address} failed")]
    Sasl {
        /// The server.
        address: String,
        /// The cause.
        #[source]
        source: SaslError,
    },
    /// The server sent what it must not.
    #[error("{address} sent a malformed answer: {reason}")]
    Malformed {
        /// The server.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The server reported an exception.
    #[error("{address} refused {doing}: {exception}")]
    Remote {
        /// The server.
        address: String,
        /// What was being done.
        doing: &'static str,
        /// The exception.
        exception: RemoteException,
    },
}

impl RpcError {
    /// The server's exception, if there was one.
    pub fn remote(&self) -> Option<&RemoteException> {
        match self {
            Self::Remote { exception, .. } => Some(exception),
            _ => None,
        }
    }

    /// Kind of the server's exception, if there was one.
    pub fn remote_kind(&self) -> Option<RemoteKind> {
        self.remote().map(|exception| exception.kind)
    }

    /// Whether the call may or may not have been carried out and the connection is of no more use.
    pub fn is_connection_failure(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Io { .. }
            | Self::Closed { .. }
            | Self::Malformed { .. } => true,
            Self::Sasl { .. } | Self::Remote { .. } => false,
        }
    }

    /// Whether another try, later or elsewhere, may succeed.
    pub fn is_transient(&self) -> bool {
        self.is_connection_failure()
            || matches!(
                self.remote_kind(),
                Some(RemoteKind::RetryLater | RemoteKind::Standby)
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_kinds() {
        for (class, kind) in [
            (
                "org.apache.hadoop.yarn.exceptions.ApplicationMasterNotRegisteredException",
                RemoteKind::ApplicationMasterNotRegistered,
            ),
            (
                "org.apache.hadoop.security.token.SecretManager$InvalidToken",
                RemoteKind::InvalidToken,
            ),
            (
                "org.apache.hadoop.ipc.StandbyException",
                RemoteKind::Standby,
            ),
            ("javax.security.sasl.SaslException", RemoteKind::Sasl),
            ("java.io.IOException", RemoteKind::Other),
            ("", RemoteKind::Other),
        ] {
            assert_eq!(RemoteException::new(class, "", false).kind, kind, "{class}");
        }
    }

    #[test]
    fn messages_keep_their_lines_but_not_the_stack() {
        let message = "first\nsecond\n\tat a.b.C.d(C.java:1)\n\tat e";
        let exception = RemoteException::new("java.io.IOException", message, false);
        assert_eq!(exception.message, "first\nsecond");
        assert_eq!(exception.to_string(), "IOException: first\nsecond");
    }
}
