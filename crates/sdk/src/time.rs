//! Event time: which time a record has, and how far time has come.
//!
//! A [`WatermarkStrategy`] says both: at a source ([`StreamExecutionEnvironment::from_source`]), where
//! each split of the input is looked at by itself, or anywhere in a stream
//! ([`DataStream::assign_timestamps_and_watermarks`]).
//!
//! [`StreamExecutionEnvironment::from_source`]: crate::StreamExecutionEnvironment::from_source
//! [`DataStream::assign_timestamps_and_watermarks`]: crate::DataStream::assign_timestamps_and_watermarks

pub use flott_operators::time::{WatermarkGenerator, WatermarkOutput, WatermarkStrategy};
