//! Accumulators: what all subtasks of a job add up, read when the job is done.
//!
//! A subtask adds to a handle. Its values travel as bytes; those of Flott's own kinds are merged by the JobManager, which
//! runs no user code, others by who reads them.

mod average;
mod error;
mod histogram;
mod merge;
mod numbers;
mod registry;

use std::any::type_name;
use std::sync::{Mutex, PoisonError};

pub use average::AverageAccumulator;
pub use error::AccumulatorError;
pub use histogram::Histogram;
pub use merge::{AccumulatorSnapshot, MergedAccumulator, merge_all};
pub use numbers::{DoubleCounter, IntCounter, LongCounter};
pub use registry::{AccumulatorHandle, Accumulators};

/// The kind of accumulators whose bytes are elements one after another, so that merging is appending.
pub const LIST_KIND: &str = "ListAccumulator";

/// A value that subtasks add to on their own and that is merged afterwards. The order of merging does not matter.
///
/// ```
/// use std::sync::Mutex;
/// use flott_metrics::accumulators::{Accumulator, AccumulatorError, Accumulators};
///
/// /// The longest line seen.
/// #[derive(Default, Clone)]
/// struct Longest(u64);
///
/// impl Accumulator for Longest {
///     type Value = u64;
///     type Result = u64;
///     type Cell = Mutex<Self>;
///
///     fn add(&mut self, length: u64) { self.0 = self.0.max(length); }
///     fn merge(&mut self, other: Self) { self.add(other.0); }
///     fn result(&self) -> u64 { self.0 }
///     fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
///         out.extend_from_slice(&self.0.to_le_bytes());
///         Ok(())
///     }
///     fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError> {
///         let bytes = bytes.try_into().map_err(|_| AccumulatorError::bytes::<Self>("not 8 bytes"))?;
///         Ok(Self(u64::from_le_bytes(bytes)))
///     }
///     fn text(&self) -> String { self.0.to_string() }
/// }
///
/// let accumulators = Accumulators::default();
/// let longest = accumulators.get::<Longest>("longest line")?;
/// longest.add(80);
/// longest.add(12);
/// assert_eq!(longest.result(), 80);
/// # Ok::<(), AccumulatorError>(())
/// ```
pub trait Accumulator: Default + Clone + Send + 'static {
    /// What is added.
    type Value;
    /// What is read.
    type Result;
    /// Where a subtask keeps it: `Mutex<Self>`, if there is nothing faster.
    type Cell: Cell<Self>;

    /// The kind, as it is shown: the type's name unless said otherwise.
    fn kind() -> String {
        type_name::<Self>().to_owned()
    }

    /// Adds a value.
    fn add(&mut self, value: Self::Value);

    /// Adds what another subtask accumulated.
    fn merge(&mut self, other: Self);

    /// What was accumulated.
    fn result(&self) -> Self::Result;

    /// Writes the accumulator. Fails if a value in it cannot be written.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError>;

    /// Reads what [`encode`](Self::encode) wrote. Fails if the bytes are something else.
    fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError>;

    /// The result as the REST API shows it.
    fn text(&self) -> String;
}

/// Holds the accumulator of a subtask: one thread adds, a reporter reads.
pub trait Cell<A>: Default + Send + Sync + 'static
where
    A: Accumulator,
{
    /// Adds a value.
    fn add(&self, value: A::Value);
    /// Adds what was accumulated elsewhere.
    fn merge(&self, other: A);
    /// A copy.
    fn load(&self) -> A;
}

// A std mutex: held for one addition, or for a copy when a reporter reads.
impl<A: Accumulator> Cell<A> for Mutex<A> {
    fn add(&self, value: A::Value) {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(value);
    }

    fn merge(&self, other: A) {
        self.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .merge(other);
    }

    fn load(&self) -> A {
        self.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
