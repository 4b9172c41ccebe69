//! The record contract of the data plane: what a record is, how its bytes look on the wire and in
//! checkpoints, which 64-bit hash decides where its key lives, and how its layout is described.
//!
//! Byte layout (`codec`), stable hash (`hash`) and schema hash (`schema`) are formats: state on
//! storage depends on them, and frozen vectors in the tests keep them from changing by accident.

pub mod codec;
pub mod hash;
pub mod schema;

use std::hash::Hash;

use serde::{Serialize, de::DeserializeOwned};

/// What may flow through a stream inside one process.
pub trait Data: Clone + Send + 'static {}

impl<T: Clone + Send + 'static> Data for T {}

/// What may cross a process boundary or be kept in state: [`Data`] with serde derives. `Sync`,
/// because a snapshot of state is written by another thread while the task reads on.
pub trait Record: Data + Sync + Serialize + DeserializeOwned {}

impl<T: Data + Sync + Serialize + DeserializeOwned> Record for T {}

/// What may partition a stream. Keys that are equal must serialise equally: placement uses
/// [`hash::stable_hash`], which reads the key through its `Serialize`.
pub trait Key: Record + Hash + Eq {}

impl<T: Record + Hash + Eq> Key for T {}

/// The recommended string of records and keys: 24 bytes, no allocation up to 24 bytes of text.
pub type Str = compact_str::CompactString;
