//! Slots and containers: what is asked for, granted, replaced, released, given up.

mod message;

pub use message::{ContainerLoss, ResourceAction, ResourceEvent, ResourceSettings, ResourceTimer};
