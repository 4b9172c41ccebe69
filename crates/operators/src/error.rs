//! Why a task failed.

use flott_model::{Failure, FailureClass};

/// A failure inside a task. The runtime adds the task's name and place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What it means for the job.
    pub class: FailureClass,
    /// A sentence for the user.
    pub message: String,
}

impl TaskError {
    /// The user's code or data is to blame.
    pub fn user(message: impl Into<String>) -> Self {
        Self {
            class: FailureClass::UserCode,
            message: message.into(),
        }
    }

    /// The surroundings are to blame: trying again may help.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Transient,
            message: message.into(),
        }
    }

    /// Trying again cannot help.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            class: FailureClass::Fatal,
            message: message.into(),
        }
    }

    /// The failure that is reported, without place.
    pub fn to_failure(&self) -> Failure {
        Failure::new(self.class, self.message.clone())
    }
}
