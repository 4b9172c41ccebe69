//! Why a value could not be encoded, decoded or hashed, and where.

use std::{error::Error, fmt};

use serde::{de, ser};

/// Failure to encode, decode or hash a value. One word wide: hot paths return it in registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    fault: Fault,
    operation: Operation,
}

/// What was being done. Serde's own error constructors do not know it; the entry points fill it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Unknown,
    Encode,
    Decode { offset: usize },
    Hash,
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The input ends inside a value.
    #[error("expected {expected} ({needed} bytes), {remaining} bytes are left")]
    UnexpectedEnd {
        /// The value that was being read.
        expected: &'static str,
        /// Its size.
        needed: usize,
        /// What the input still holds.
        remaining: usize,
    },
    /// A byte or word holds a value that its type does not have.
    #[error("expected {expected}, found {found}")]
    InvalidValue {
        /// The values that would have been right.
        expected: &'static str,
        /// The value that was read.
        found: u32,
    },
    /// A string is not UTF-8.
    #[error("expected a UTF-8 string, found a broken character {valid_up_to} bytes into it")]
    InvalidUtf8 {
        /// The length of the part that is UTF-8.
        valid_up_to: usize,
    },
    /// A sequence or map claims more elements than the input can hold.
    #[error("expected {length} elements, {remaining} bytes are left")]
    LengthExceedsInput {
        /// The claimed number of elements.
        length: u32,
        /// What the input still holds.
        remaining: usize,
    },
    /// A string, sequence or map has a length that 32 bits cannot express.
    #[error("the length {0} does not fit into 32 bits")]
    TooLong(usize),
    /// Values are nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("values are nested more than {limit} deep", limit = super::MAX_DEPTH)]
    TooDeep,
    /// More elements than [`MAX_EMPTY_ELEMENTS`](super::MAX_EMPTY_ELEMENTS) take no bytes.
    #[error("more than {limit} elements take no bytes", limit = super::MAX_EMPTY_ELEMENTS)]
    TooManyEmptyElements,
    /// `skip_serializing_if` left a field out, which the reader could not notice.
    #[error("field `{0}` was skipped; records must write every field that they read")]
    SkippedField(&'static str),
    /// The type wants to be told what the input holds.
    #[error(
        "{0} needs a self-describing format; flattened, untagged and internally tagged types \
         cannot be records"
    )]
    NotSelfDescribing(&'static str),
    /// The type's own `Serialize` or `Deserialize` refused.
    #[error("{0}")]
    Custom(String),
}

impl CodecError {
    /// What was wrong.
    pub fn fault(&self) -> &Fault {
        &self.0.fault
    }

    /// For decoding errors: how many bytes of the value had been read.
    pub fn offset(&self) -> Option<usize> {
        match self.0.operation {
            Operation::Decode { offset } => Some(offset),
            Operation::Unknown | Operation::Encode | Operation::Hash => None,
        }
    }

    #[cold]
    pub(crate) fn new(fault: Fault) -> Self {
        Self(Box::new(Inner {
            fault,
            operation: Operation::Unknown,
        }))
    }

    #[cold]
    pub(crate) fn during(mut self, operation: Operation) -> Self {
        self.0.operation = operation;
        self
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.operation {
            Operation::Unknown => {}
            Operation::Encode => f.write_str("cannot encode: ")?,
            Operation::Decode { offset } => write!(f, "cannot decode, after {offset} bytes: ")?,
            Operation::Hash => f.write_str("cannot hash: ")?,
        }
        self.0.fault.fmt(f)
    }
}

impl Error for CodecError {}

impl ser::Error for CodecError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Custom(message.to_string()))
    }
}

impl de::Error for CodecError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Custom(message.to_string()))
    }
}
