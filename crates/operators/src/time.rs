//! Event time: how rows get theirs, and how watermarks are made of it.
//!
//! A [`WatermarkStrategy`] says it for a source ([`EventTime`] keeps it per split) or for any place
//! of a stream ([`AssignTimestamps`]).

mod assign;
mod event_time;
mod generator;
mod idle;
mod strategy;

pub use assign::AssignTimestamps;
pub use event_time::EventTime;
pub use generator::{WatermarkGenerator, WatermarkOutput};
pub use strategy::{WatermarkAlignment, WatermarkStrategy};
