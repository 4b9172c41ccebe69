//! An enumerator without its types, as the coordinator drives it: splits are bytes.

use std::sync::Arc;
use std::time::Duration;

use super::{
    Assignment, EnumeratorContext, Source, SourceSplit, SplitEnumerator, decode_message,
    encode_message,
};
use crate::TaskError;

/// An assignment with its split encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EncodedAssignment {
    /// Read this.
    Split {
        /// Its id.
        id: String,
        /// The split.
        split: Vec<u8>,
    },
    /// Ask again after that time.
    Wait(Duration),
    /// Nothing more.
    End,
}

/// An enumerator of any source.
pub trait AnyEnumerator: Send {
    /// See [`SplitEnumerator::next_split`].
    fn next_split(&mut self, subtask: u32, host: &str) -> Result<EncodedAssignment, TaskError>;
    /// See [`SplitEnumerator::add_splits_back`].
    fn add_splits_back(&mut self, splits: &[Vec<u8>], subtask: u32) -> Result<(), TaskError>;
    /// The id of an encoded split.
    fn split_id(&self, split: &[u8]) -> Result<String, TaskError>;
    /// See [`SplitEnumerator::snapshot`].
    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError>;
}

/// Makes the enumerator of a source, in the worker that coordinates the job. With bytes: goes on
/// from a snapshot.
pub type EnumeratorFactory = Arc<
    dyn Fn(&EnumeratorContext, Option<&[u8]>) -> Result<Box<dyn AnyEnumerator>, TaskError>
        + Send
        + Sync,
>;

/// The factory of a source's enumerators.
pub fn enumerator_factory<S: Source>(source: Arc<S>) -> EnumeratorFactory {
    Arc::new(move |context, checkpoint| {
        let enumerator = match checkpoint {
            None => source.create_enumerator(context)?,
            Some(bytes) => source.restore_enumerator(context, decode_message(bytes)?)?,
        };
        Ok(Box::new(Erased(enumerator)))
    })
}

struct Erased<E>(E);

impl<E: SplitEnumerator> AnyEnumerator for Erased<E> {
    fn next_split(&mut self, subtask: u32, host: &str) -> Result<EncodedAssignment, TaskError> {
        Ok(match self.0.next_split(subtask, host)? {
            Assignment::Split(split) => EncodedAssignment::Split {
                id: split.split_id(),
                split: encode_message(&split)?,
            },
            Assignment::Wait(time) => EncodedAssignment::Wait(time),
            Assignment::End => EncodedAssignment::End,
        })
    }

    fn add_splits_back(&mut self, splits: &[Vec<u8>], subtask: u32) -> Result<(), TaskError> {
        let splits = splits.iter().map(|split| decode_message::<E::Split>(split));
        self.0
            .add_splits_back(splits.collect::<Result<_, _>>()?, subtask);
        Ok(())
    }

    fn split_id(&self, split: &[u8]) -> Result<String, TaskError> {
        Ok(decode_message::<E::Split>(split)?.split_id())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, TaskError> {
        encode_message(&self.0.snapshot()?)
    }
}
