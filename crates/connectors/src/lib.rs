//! Sources and sinks, one module per system. Each is built from the public traits of `operators`
//! and knows nothing of the runtime.

pub mod collection;
pub mod datagen;
pub mod discard;
pub mod file;
pub mod print;
pub mod sequence;
pub mod socket;
