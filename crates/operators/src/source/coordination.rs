//! How a source's subtask talks with the coordinator of its job.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use flott_model::FailureClass;
use flott_record::codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::TaskError;

/// What a subtask says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// It can take another split. Asking for the same one again is harmless.
    NextSplit {
        /// Its n-th, from 0.
        number: u64,
        /// Where the subtask runs; empty if that is not known.
        host: String,
    },
    /// How far it is, for the alignment of its group.
    Watermark {
        /// The alignment group.
        group: String,
        /// Its watermark; `i64::MAX` if it is idle or has ended.
        watermark: i64,
        /// How far the group's members may be apart, in milliseconds.
        max_drift_ms: i64,
    },
}

/// What the coordinator says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The n-th split, encoded.
    Split(u64, Vec<u8>),
    /// Nothing now: ask again after so many milliseconds.
    Wait(u64),
    /// There are so many splits for the subtask, and no more.
    End(u64),
    /// Watermarks of the group may go as far as that.
    MaxWatermark(i64),
    /// The source failed.
    Failed {
        /// What the subtask is to fail with.
        message: String,
        /// Whose fault it is.
        class: Blame,
    },
}

/// [`FailureClass`] on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blame {
    /// [`FailureClass::UserCode`].
    User,
    /// [`FailureClass::Transient`].
    Surroundings,
    /// [`FailureClass::Fatal`].
    Fatal,
}

impl Answer {
    /// The answer that makes the subtask fail with `error`.
    pub fn failed(error: &TaskError) -> Self {
        let class = match error.class {
            FailureClass::UserCode => Blame::User,
            FailureClass::Fatal => Blame::Fatal,
            FailureClass::Transient => Blame::Surroundings,
        };
        Self::Failed {
            message: error.message.clone(),
            class,
        }
    }
}

impl Blame {
    /// The error the subtask fails with.
    pub(super) fn error(self, message: String) -> TaskError {
        match self {
            Self::User => TaskError::user(message),
            Self::Surroundings => TaskError::transient(message),
            Self::Fatal => TaskError::fatal(message),
        }
    }
}

/// A request or answer as it travels.
pub fn encode_message<T: Serialize>(message: &T) -> Result<Vec<u8>, TaskError> {
    let mut bytes = Vec::new();
    codec::encode(message, &mut bytes)
        .map_err(|error| TaskError::fatal(format!("a split cannot be encoded: {error}")))?;
    Ok(bytes)
}

/// A request or answer that travelled.
pub fn decode_message<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, TaskError> {
    codec::decode(&mut bytes)
        .map_err(|error| TaskError::fatal(format!("a split cannot be decoded: {error}")))
}

type Send = dyn Fn(u32, Vec<u8>) + std::marker::Send + Sync;

/// A subtask's connection to the coordinator; clones are the same connection.
#[derive(Clone)]
pub struct Coordination {
    send: Arc<Send>,
    host: Arc<str>,
    // A std mutex: held to move a few messages, never across an await.
    inbox: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl Default for Coordination {
    fn default() -> Self {
        Self::new("", |_, _| {})
    }
}

impl Coordination {
    /// For a subtask on that host. Requests of the operator at a position of the program's graph go to
    /// `send`.
    pub fn new(
        host: &str,
        send: impl Fn(u32, Vec<u8>) + std::marker::Send + Sync + 'static,
    ) -> Self {
        Self {
            send: Arc::new(send),
            host: host.into(),
            inbox: Arc::default(),
        }
    }

    /// Gives an answer to the subtask; whoever does that wakes it.
    pub fn deliver(&self, answer: Vec<u8>) {
        self.lock().push_back(answer);
    }

    pub(super) fn next_split(&self, operator: u32, number: u64) -> Result<(), TaskError> {
        let host = self.host.to_string();
        self.request(operator, &Request::NextSplit { number, host })
    }

    pub(super) fn request(&self, operator: u32, request: &Request) -> Result<(), TaskError> {
        (self.send)(operator, encode_message(request)?);
        Ok(())
    }

    pub(super) fn answer(&self) -> Result<Option<Answer>, TaskError> {
        let answer = self.lock().pop_front();
        answer.map(|bytes| decode_message(&bytes)).transpose()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
