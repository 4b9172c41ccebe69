//! Why something failed, in a form that travels between processes and reaches the user.

use std::fmt;

/// What a failure means for the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum FailureClass {
    /// The surroundings failed (process, container, network): trying again may help.
    Transient = 0,
    /// The user's code failed: its restart strategy decides.
    UserCode = 1,
    /// Trying again cannot help (another graph was built, a wrong architecture, …).
    Fatal = 2,
}

/// A failure: what happened, and where.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    /// What it means for the job.
    #[prost(enumeration = "FailureClass", tag = "1")]
    pub class: i32,
    /// One or more sentences for the user; the first line says it all.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Name of the task, as `Source: text (2/4)`; empty if no task is to blame.
    #[prost(string, tag = "3")]
    pub task: String,
    /// Where: the container, and its host if known; empty if nowhere in particular.
    #[prost(string, tag = "4")]
    pub location: String,
    /// When, in milliseconds since the epoch; 0 if not recorded.
    #[prost(uint64, tag = "5")]
    pub timestamp_ms: u64,
}

impl Failure {
    /// A failure without task or location.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class: class.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// The same, with the task it happened in.
    #[must_use]
    pub fn in_task(mut self, task: impl Into<String>) -> Self {
        self.task = task.into();
        self
    }

    /// The same, with the place it happened at.
    #[must_use]
    pub fn at(mut self, location: impl Into<String>) -> Self {
        self.location = location.into();
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.task.is_empty() {
            write!(f, "task {}", self.task)?;
            if !self.location.is_empty() {
                write!(f, " on {}", self.location)?;
            }
            write!(f, ": {}", self.message)
        } else if self.location.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.location, self.message)
        }
    }
}
