//! Where records come from.

use flott_network::Batch;
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

/// The source of one subtask. Never blocks: what waits for I/O runs beside it and wakes the task.
pub trait Reader: Send {
    /// What it produces.
    type Out: Record;

    /// Appends up to about a batch of rows.
    fn fill(&mut self, out: &mut Batch<Self::Out>) -> Result<Progress, TaskError>;
}
