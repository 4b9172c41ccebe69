//! Functions under random input, against models that do one thing after the other.

mod broadcast;
mod keyed;
mod model;
mod place;
