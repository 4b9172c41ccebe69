//! What can be wrong with an accumulator.

use super::Accumulator;

/// Why an accumulator cannot be used or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccumulatorError {
    /// The name is taken.
    #[error(
        "the accumulator {name:?} exists already, as {known}; give {wanted} another name, or use the same type everywhere"
    )]
    OtherKind {
        /// The name.
        name: String,
        /// What it is.
        known: String,
        /// What it was asked to be.
        wanted: String,
    },
    /// The name is taken, and was to be new.
    #[error("the accumulator {0:?} was added before; names are shared by all operators of a task")]
    Exists(String),
    /// There are more than a task may have.
    #[error(
        "a task has {limit} accumulators at most; {name:?} is one too many. Accumulate what it counts in a Histogram or a ListAccumulator"
    )]
    TooMany {
        /// The name.
        name: String,
        /// How many there may be.
        limit: usize,
    },
    /// The bytes are of something else.
    #[error("these are not the bytes of {kind}: {reason}")]
    Bytes {
        /// What they were read as.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// A value in it cannot be written.
    #[error("a value of {kind} cannot be written: {reason}")]
    Value {
        /// The accumulator's kind.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// The job has none of that name.
    #[error("the job has no accumulator {name:?}; it has {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Those it has.
        known: String,
    },
}

impl AccumulatorError {
    /// The bytes are not those of an `A`.
    pub fn bytes<A: Accumulator>(reason: impl Into<String>) -> Self {
        Self::Bytes {
            kind: A::kind(),
            reason: reason.into(),
        }
    }

    /// A value in an `A` cannot be written.
    pub fn value<A: Accumulator>(reason: impl Into<String>) -> Self {
        Self::Value {
            kind: A::kind(),
            reason: reason.into(),
        }
    }
}
