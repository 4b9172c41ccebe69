//! Where values come from, and what can be wrong with them.

use std::fmt;
use std::path::PathBuf;

/// Result of reading configuration.
pub type Result<T, E = ConfigError> = std::result::Result<T, E>;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of the cluster's administrator, with the line where that is known.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1; absent in nested YAML.
        line: Option<usize>,
    },
    /// The program of the job.
    Job,
    /// `-D` on the command line.
    CommandLine,
    /// Another process of the same cluster.
    Shipped,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Job => f.write_str("the job"),
            Self::CommandLine => f.write_str("the command line"),
            Self::Shipped => f.write_str("the configuration sent by the cluster"),
        }
    }
}

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value does not fit its option.
    #[error(transparent)]
    Value(Box<InvalidValue>),
    /// `-D` without a key and a value.
    #[error("cannot read the option -D {text:?}: expected key=value")]
    Argument {
        /// What stands after `-D`.
        text: String,
    },
    /// A line or a node of a file that is no setting.
    #[error("cannot read {from}: {reason}")]
    Syntax {
        /// Where.
        from: Source,
        /// Why.
        reason: String,
    },
    /// A file or directory that cannot be read.
    #[error("cannot read the configuration {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A value that does not fit its option.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {value:?} in {from} is not {expected}: {reason}")]
pub struct InvalidValue {
    /// The option.
    pub key: String,
    /// What was given, masked if the key names a secret.
    pub value: String,
    /// What the option takes.
    pub expected: &'static str,
    /// Why the value is not that.
    pub reason: String,
    /// Where it was given.
    pub from: Source,
}

/// Something odd that does not keep a job from running. `Display` is a sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No option has this key; the value is kept, but nobody reads it.
    UnknownKey {
        /// The key.
        key: String,
        /// Where it was given.
        from: Source,
        /// The most similar known key, if one is similar enough.
        nearest: Option<&'static str>,
    },
    /// The key has a newer name.
    DeprecatedKey {
        /// The key.
        key: String,
        /// Where it was given.
        from: Source,
        /// The name to use.
        replacement: &'static str,
    },
    /// The same key twice in one file; the later one counts.
    DuplicateKey {
        /// The key.
        key: String,
        /// The later place.
        from: Source,
    },
    /// There are two files; the second one is not read.
    SecondFile {
        /// The file that counts.
        read: PathBuf,
        /// The file that does not.
        ignored: PathBuf,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey {
                key,
                from,
                nearest: Some(nearest),
            } => {
                write!(f, "unknown option {key} in {from}; did you mean {nearest}?")
            }
            Self::UnknownKey {
                key,
                from,
                nearest: None,
            } => {
                write!(f, "unknown option {key} in {from}")
            }
            Self::DeprecatedKey {
                key,
                from,
                replacement,
            } => {
                write!(f, "the option {key} in {from} is now called {replacement}")
            }
            Self::DuplicateKey { key, from } => {
                write!(f, "{from} sets {key} again; the earlier value is not used")
            }
            Self::SecondFile { read, ignored } => {
                write!(
                    f,
                    "{} is not read, because {} exists",
                    ignored.display(),
                    read.display()
                )
            }
        }
    }
}

/// The value as it may appear in messages.
pub(crate) fn shown(key: &str, value: &str) -> String {
    let key = key.to_ascii_lowercase();
    let secret = [
        "password",
        "secret",
        "token",
        "credential",
        "apikey",
        "access-key",
    ];
    if secret.iter().any(|word| key.contains(word)) {
        "******".to_owned()
    } else {
        value.to_owned()
    }
}
