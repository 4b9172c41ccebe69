//! Blocking exchange: rows go through partitions on disk instead of channels, and are read when all
//! of them are there. Keyed rows are read one range of keys after the other, so that keyed operators
//! hold the state of one range at a time: that is how BATCH keeps within its memory.

mod input;
mod layout;
mod output;

#[cfg(test)]
mod tests;

pub use input::{MissingPartitions, PartitionInput};
pub use layout::PartitionLayout;
pub use output::PartitionOutput;

pub(super) use input::PartitionEvent;
