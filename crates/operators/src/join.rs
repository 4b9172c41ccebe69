//! Joins of two keyed streams without windows.

mod interval;

pub use interval::{IntervalJoin, JoinContext, ProcessJoinFn, ProcessJoinFunction, interval_join};
