//! The fixed-width serde format of records: frames on the wire and rows in checkpoints.
//!
//! Layout, all little endian: integers and floats at their width; `bool` and the tag of `Option`
//! one byte, 0 or 1; `char` as its `u32`; strings, bytes, sequences and maps after a `u32` length;
//! enums after a `u32` variant index; tuples, structs and newtypes their fields in order, nothing else.
//!
//! The format is not self-describing, so a type must write every field that it reads. Refused with
//! an error: `flatten`, `untagged`, internally tagged enums, `skip_serializing_if`. Not detectable,
//! and wrong: `skip_serializing` without `skip_deserializing` (or the reverse), and skipped variants
//! that are not the last ones of their enum, because serde numbers them differently on each side.

mod decode;
mod encode;
mod error;

use serde::{
    Serialize,
    de::{Deserialize, DeserializeOwned},
};

pub(crate) use self::error::Operation;
pub use self::error::{CodecError, Fault};
use self::{
    decode::{Decoder, Text},
    encode::Encoder,
};

/// How deep values may nest, so that hostile or corrupt input cannot exhaust the stack.
pub const MAX_DEPTH: u8 = 128;

/// How many elements of sequences and maps may take no bytes, over one whole value. Such elements
/// are not paid for by input, so without this limit four bytes could demand four billion of them.
pub const MAX_EMPTY_ELEMENTS: u32 = 1 << 16;

/// Appends the bytes of `value` to `out`. On error `out` is as long as it was before.
#[inline]
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    let mut empty = 0;
    match value.serialize(Encoder::new(out, &mut empty)) {
        Ok(()) => Ok(()),
        Err(error) => {
            out.truncate(start);
            Err(error.during(Operation::Encode))
        }
    }
}

/// Reads one value from the front of `input` and advances past it. On error `input` is unchanged.
#[inline]
pub fn decode<T: DeserializeOwned>(input: &mut &[u8]) -> Result<T, CodecError> {
    decode_borrowed(input)
}

/// As [`decode`], for types that borrow strings and bytes from the input.
#[inline]
pub fn decode_borrowed<'de, T: Deserialize<'de>>(input: &mut &'de [u8]) -> Result<T, CodecError> {
    read(input, &Text::unknown())
}

#[inline]
fn read<'de, T: Deserialize<'de>>(
    input: &mut &'de [u8],
    text: &Text<'de>,
) -> Result<T, CodecError> {
    // A local copy stays in registers, and leaves the caller's position alone on failure.
    let mut rest = *input;
    let mut empty = 0;
    match T::deserialize(Decoder::new(&mut rest, text, &mut empty)) {
        Ok(value) => {
            *input = rest;
            Ok(value)
        }
        Err(error) => Err(error.during(Operation::Decode {
            offset: input.len() - rest.len(),
        })),
    }
}

/// Reads values that follow one another in a buffer: as [`decode`] for each, with less to do for
/// strings.
///
/// ```
/// use flott_record::codec::{self, Values};
///
/// # fn main() -> Result<(), codec::CodecError> {
/// let mut bytes = Vec::new();
/// codec::encode(&("to", 1_u32), &mut bytes)?;
/// codec::encode(&("be", 2_u32), &mut bytes)?;
/// let mut values = Values::new(&bytes);
/// assert_eq!(values.read::<(String, u32)>()?, ("to".to_owned(), 1));
/// assert_eq!(values.read::<(String, u32)>()?, ("be".to_owned(), 2));
/// assert!(values.rest().is_empty());
/// # Ok(())
/// # }
/// ```
pub struct Values<'de> {
    rest: &'de [u8],
    text: Text<'de>,
}

impl<'de> Values<'de> {
    /// The values in that buffer.
    #[inline]
    pub fn new(buffer: &'de [u8]) -> Self {
        Self {
            rest: buffer,
            text: Text::of(buffer),
        }
    }

    /// The next value. After an error it is still the next one.
    #[inline]
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<T, CodecError> {
        read(&mut self.rest, &self.text)
    }

    /// What was not read yet.
    #[inline]
    pub fn rest(&self) -> &'de [u8] {
        self.rest
    }
}
