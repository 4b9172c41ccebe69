//! Why a task failed.

use std::fmt::Display;

use flott_model::{Failure, FailureClass};

/// A failure inside a task. The runtime adds the task's name and place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What it means for the job.
    pub class: FailureClass,
    /// A sentence for the user.
    pub message: String,
    /// Position of the operator in its fused run, from 1; 0: not known.
    pub(crate) operator: u32,
    /// Whether the message names operator and record.
    placed: bool,
}

impl TaskError {
    fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            operator: 0,
            placed: false,
        }
    }

    /// The user's code or data is to blame.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(FailureClass::UserCode, message)
    }

    /// The surroundings are to blame: trying again may help.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, message)
    }

    /// Trying again cannot help.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self::new(FailureClass::Fatal, message)
    }

    /// What the function of an operator of a fused run returned.
    #[cold]
    pub(crate) fn of_function(operator: u32, error: &dyn Display) -> Self {
        Self {
            operator,
            ..Self::user(error.to_string())
        }
    }

    /// Says where it happened, unless that is said already.
    pub(crate) fn placed(mut self, place: &str) -> Self {
        if !self.placed && self.class == FailureClass::UserCode {
            self.message = format!("{place}: {}", self.message);
            self.placed = true;
        }
        self
    }

    /// The failure that is reported, without place.
    pub fn to_failure(&self) -> Failure {
        Failure::new(self.class, self.message.clone())
    }
}
