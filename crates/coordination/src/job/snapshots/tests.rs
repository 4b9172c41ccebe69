//! Checkpoints, by event script.

mod beginning;
mod commits;
mod completion;
mod failover;
mod handover;
mod requests;
mod restoring;
mod stopping;
