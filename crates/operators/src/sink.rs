//! Where records go to: the traits that connectors implement ([`api`]), and what drives them inside
//! a task.
//!
//! A sink has two phases. Writers in the subtasks keep what they write out of sight and say what is
//! to be committed; when all subtasks of the job have finished, one of its workers commits it all.

mod any;
pub mod api;
pub mod conformance;
mod context;
mod driven;
mod operator;
mod outbox;

pub use any::{AnyCommitter, abandon, any_committer, prepare};
pub use context::{CommitterContext, SinkContext, SinkRecordContext, SinkRecords};
pub use driven::{Driven, DrivenWriter};
pub use operator::SinkOperator;
pub use outbox::{Confirm, Confirmation, Inbox, Outbox};

#[cfg(test)]
mod tests;
