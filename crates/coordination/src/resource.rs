//! Slots and containers: what is asked for, granted, replaced, released, given up.

mod core;
mod message;

mod containers;
mod demand;
mod departed;
mod settle;
mod size;

pub use containers::SlotHolder;
pub use core::{ContainerView, ResourceCore};
pub use message::{ContainerLoss, ResourceAction, ResourceEvent, ResourceSettings, ResourceTimer};
pub use size::SlotSize;
