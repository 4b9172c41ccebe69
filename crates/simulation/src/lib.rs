//! The whole control plane from one seed: jobs, ResourceManager, driver, agents and workers under
//! faults, then healed.
//!
//! The cores are the real ones; everything around them is fake, and single-threaded on a fake
//! clock. What happened is recorded outside the cores, and the invariants judge by that record.

#![warn(missing_docs)]

mod world;

mod driver;
mod flows;
mod jobs;
mod partitions;
mod resources;
mod workers;

mod faults;
mod plan;
mod random;

mod invariants;
mod record;

pub use plan::Jobs;
pub use world::{Report, Trace, simulate};
