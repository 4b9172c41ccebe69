//! Where records go to: the traits that connectors implement ([`api`]), and what drives them inside
//! a task.
//!
//! A sink has two phases. Writers in the subtasks keep what they write out of sight and say, at each
//! checkpoint and at the end, what is to be committed; when the checkpoint is complete, and when all
//! subtasks have finished, one of the job's workers commits it.

mod any;
pub mod api;
pub mod conformance;
mod context;
mod driven;
mod operator;
mod outbox;

pub use any::{AnyCommitter, abandon, any_committer, prepare};
pub use context::{
    CommitStage, CommitterContext, SinkContext, SinkRecordContext, SinkRecords, SinkState,
};
pub use driven::{Driven, DrivenWriter};
pub use operator::SinkOperator;
pub use outbox::{Confirm, Confirmation, Inbox, Outbox};

#[cfg(test)]
mod tests;
