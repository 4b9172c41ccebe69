//! Operators that keep state per key.

mod reduce;
mod selector;

pub use reduce::KeyedReduce;
pub use selector::{ByRef, ByValue, KeySelector};
