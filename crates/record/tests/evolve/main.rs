//! Old bytes read as new types: what is possible, what is refused and how, what is frozen.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod aliases;
mod frozen;
mod fuzz;
mod refused;
mod resolved;

use flott_record::codec::encode;
use flott_record::schema::{Compatibility, Resolver, Schema, schema_of};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

pub(crate) fn schema<T: DeserializeOwned>() -> Schema {
    schema_of::<T>().unwrap()
}

/// Writes an old value, and reads it as the new type.
pub(crate) fn evolve<Old, New>(old: &Old) -> New
where
    Old: Serialize + DeserializeOwned,
    New: DeserializeOwned,
{
    let resolver = Resolver::<New>::new(&schema::<Old>()).unwrap();
    assert!(!resolver.is_same());
    let bytes = bytes(old);
    let mut input = &bytes[..];
    let new = resolver.decode(&mut input).unwrap();
    assert!(input.is_empty(), "all of the old value has been read");
    new
}

/// Why the new type cannot read the old one.
pub(crate) fn refusal<Old: DeserializeOwned, New: DeserializeOwned>() -> String {
    match schema::<Old>().compatibility::<New>().unwrap() {
        Compatibility::Refused(mismatch) => mismatch.to_string(),
        other => panic!("it is {other:?}"),
    }
}
