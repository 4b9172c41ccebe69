//! Where records come from: the traits that connectors implement ([`Source`], [`SplitEnumerator`],
//! [`SourceReader`]), and what drives them inside a task.
//!
//! The enumerator of a source finds the pieces of its input (splits) and runs once per job; readers
//! run in the subtasks and ask it for a split whenever they run dry.

mod api;
pub mod conformance;
mod context;
mod coordination;
mod driver;
mod enumerator;
mod handover;
mod pool;

pub use api::{
    Assignment, Boundedness, ReaderProgress, Source, SourceReader, SourceSplit, SplitEnumerator,
};
pub use context::{EnumeratorContext, ReaderContext, SubmissionContext};
pub use coordination::{Answer, Coordination, Request, decode_message, encode_message};
pub use driver::SourceDriver;
pub use enumerator::{AnyEnumerator, EncodedAssignment, EnumeratorFactory, enumerator_factory};
pub use handover::{Handed, Handover, HandoverSender, handover};
pub use pool::{SplitPool, StaticEnumerator};

use std::collections::VecDeque;

use flott_network::{Batch, Control};
use flott_record::Record;

use crate::TaskError;

/// What a reader has after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Perhaps more at once: call again.
    More,
    /// Nothing now; the task will be woken.
    Pending,
    /// Nothing ever again.
    End,
}

/// What the task of a source drives. Never blocks: what waits for I/O runs beside it and wakes the
/// task.
pub trait Reader: Send {
    /// What it produces.
    type Out: Record;

    /// Appends up to about a batch of rows.
    fn fill(&mut self, out: &mut Batch<Self::Out>) -> Result<Progress, TaskError>;

    /// What must precede the rows of the last [`Reader::fill`].
    fn before(&mut self) -> Option<Control> {
        None
    }

    /// Appends what must follow the rows given so far: watermarks, idleness. Asked when all those
    /// rows are on their way.
    fn controls(&mut self, _out: &mut VecDeque<Control>) {}

    /// Appends what must precede the end of the input.
    fn end(&mut self, _out: &mut VecDeque<Control>) {}

    /// A barrier follows the rows given so far: hands over what is needed to go on behind them.
    fn snapshot(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// Processing time has reached `now`, in milliseconds since the epoch; asked for with
    /// [`crate::TaskClock::wake_at`]. Not called while there is no room downstream.
    fn time(&mut self, _now: i64) -> Result<(), TaskError> {
        Ok(())
    }
}
