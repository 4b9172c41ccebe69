//! Stable hash v1 itself. Changing anything here moves every key of every savepoint: a change is a
//! new version beside this one.
//!
//! The state is one word. A value contributes a string of operations that its type can parse again,
//! so that different values of one type differ in at least one operation:
//! `word(w)` for a scalar, the index of a variant, the tag of an option;
//! `step(n * BYTES)` and then at least one word for a byte string of length n;
//! `step(ELEMENT)` before each element of a sequence or map and `word(count)` behind the last one.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::codec::{CodecError, Fault, MAX_DEPTH};

// The fractional bits of pi; multipliers and steps are made odd.
pub(super) const SEED: u64 = 0x243f_6a88_85a3_08d3;
const WORD: u64 = 0x1319_8a2e_0370_7345;
const FINISH: u64 = 0xa409_3822_299f_31d1;
const BYTES: u64 = 0x082e_fa98_ec4e_6c89;
const ELEMENT: u64 = 0x4528_21e6_38d0_1377;
const SKIPPED: u64 = 0xbe54_66cf_34e9_0c6d;

/// High and low half of the product, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// One more round: the top bits choose the key group, the low ones the slot in a table.
#[inline]
pub(super) fn finish(state: u64) -> u64 {
    fold(state, FINISH)
}

/// Passed by value, so that the depth of inlined types is a constant.
pub(super) struct Mixer<'a> {
    state: &'a mut u64,
    depth: u8,
}

impl<'a> Mixer<'a> {
    #[inline]
    pub(super) fn new(state: &'a mut u64) -> Self {
        Self { state, depth: 0 }
    }

    #[inline]
    fn nested(self) -> Result<Self, CodecError> {
        if self.depth == MAX_DEPTH {
            return Err(CodecError::new(Fault::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    #[inline]
    fn child(&mut self) -> Mixer<'_> {
        Mixer {
            state: self.state,
            depth: self.depth,
        }
    }

    #[inline]
    fn word(&mut self, word: u64) {
        *self.state = fold(*self.state ^ word, WORD);
    }

    #[inline]
    fn step(&mut self, by: u64) {
        *self.state = self.state.wrapping_add(by);
    }

    /// Whole words, then the last eight bytes, which may overlap the word before. Strings of fewer
    /// than eight bytes are one word in which every byte stands at least once.
    #[inline]
    fn bytes(&mut self, bytes: &[u8]) {
        self.step((bytes.len() as u64).wrapping_mul(BYTES));
        if let Some(last) = bytes.last_chunk::<8>() {
            let (words, _) = bytes[..bytes.len() - 1].as_chunks::<8>();
            for word in words {
                self.word(u64::from_le_bytes(*word));
            }
            self.word(u64::from_le_bytes(*last));
        } else {
            self.word(short(bytes));
        }
    }
}

/// A string of at most seven bytes as a word; together with its length it determines the string.
#[inline]
fn short(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
        (Some(first), Some(last), _) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        (_, _, [first, .., last]) => {
            let middle = bytes[bytes.len() / 2];
            u64::from(*first) | u64::from(middle) << 8 | u64::from(*last) << 16
        }
        (_, _, [only]) => u64::from(*only),
        (_, _, []) => 0,
    }
}

macro_rules! words {
    ($($method:ident($type:ty) as $wide:ty),* $(,)?) => {$(
        #[inline]
        fn $method(mut self, value: $type) -> Result<(), CodecError> {
            self.word(<$wide>::from(value) as u64);
            Ok(())
        }
    )*};
}

impl<'a> Serializer for Mixer<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    words! {
        serialize_bool(bool) as u64,
        serialize_i8(i8) as i64, serialize_i16(i16) as i64,
        serialize_i32(i32) as i64, serialize_i64(i64) as i64,
        serialize_u8(u8) as u64, serialize_u16(u16) as u64,
        serialize_u32(u32) as u64, serialize_u64(u64) as u64,
        serialize_char(char) as u64,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_i128(self, value: i128) -> Result<(), CodecError> {
        self.serialize_u128(value as u128)
    }

    #[inline]
    fn serialize_u128(mut self, value: u128) -> Result<(), CodecError> {
        self.word(value as u64);
        self.word((value >> 64) as u64);
        Ok(())
    }

    /// Wrappers that make floats keys call both zeros equal, and all NaNs.
    #[inline]
    fn serialize_f32(mut self, value: f32) -> Result<(), CodecError> {
        let bits = if value == 0.0 {
            0
        } else if value.is_nan() {
            0x7fc0_0000
        } else {
            value.to_bits()
        };
        self.word(u64::from(bits));
        Ok(())
    }

    #[inline]
    fn serialize_f64(mut self, value: f64) -> Result<(), CodecError> {
        let bits = if value == 0.0 {
            0
        } else if value.is_nan() {
            0x7ff8_0000_0000_0000
        } else {
            value.to_bits()
        };
        self.word(bits);
        Ok(())
    }

    #[inline]
    fn serialize_str(mut self, value: &str) -> Result<(), CodecError> {
        self.bytes(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), CodecError> {
        self.bytes(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(mut self) -> Result<(), CodecError> {
        self.word(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), CodecError> {
        self.word(1);
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        mut self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), CodecError> {
        self.word(u64::from(index));
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.word(u64::from(index));
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_seq(self, _length: Option<usize>) -> Result<Elements<'a>, CodecError> {
        Ok(Elements {
            inner: self.nested()?,
            count: 0,
        })
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Fields<'a>, CodecError> {
        Ok(Fields {
            inner: self.nested()?,
        })
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        Ok(Fields {
            inner: self.nested()?,
        })
    }

    #[inline]
    fn serialize_tuple_variant(
        mut self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.word(u64::from(index));
        Ok(Fields {
            inner: self.nested()?,
        })
    }

    #[inline]
    fn serialize_map(self, _length: Option<usize>) -> Result<Elements<'a>, CodecError> {
        Ok(Elements {
            inner: self.nested()?,
            count: 0,
        })
    }

    #[inline]
    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        Ok(Fields {
            inner: self.nested()?,
        })
    }

    #[inline]
    fn serialize_struct_variant(
        mut self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.word(u64::from(index));
        Ok(Fields {
            inner: self.nested()?,
        })
    }
}

/// Sequences and maps. Their count comes last, because it may not be known before.
pub(super) struct Elements<'a> {
    inner: Mixer<'a>,
    count: u64,
}

impl Elements<'_> {
    #[inline]
    fn begin(&mut self) {
        self.count += 1;
        self.inner.step(ELEMENT);
    }
}

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.begin();
        value.serialize(self.inner.child())
    }

    #[inline]
    fn end(mut self) -> Result<(), CodecError> {
        self.inner.word(self.count);
        Ok(())
    }
}

impl SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        self.begin();
        key.serialize(self.inner.child())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        value.serialize(self.inner.child())
    }

    #[inline]
    fn end(mut self) -> Result<(), CodecError> {
        self.inner.word(self.count);
        Ok(())
    }
}

/// Tuples, structs and the contents of variants.
pub(super) struct Fields<'a> {
    inner: Mixer<'a>,
}

macro_rules! positional {
    ($($trait:ident::$method:ident),*) => {$(
        impl $trait for Fields<'_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
                value.serialize(self.inner.child())
            }

            #[inline]
            fn end(self) -> Result<(), CodecError> {
                Ok(())
            }
        }
    )*};
}

macro_rules! named {
    ($($trait:ident),*) => {$(
        impl $trait for Fields<'_> {
            type Ok = ();
            type Error = CodecError;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _name: &'static str,
                value: &T,
            ) -> Result<(), CodecError> {
                value.serialize(self.inner.child())
            }

            /// The codec refuses such keys; the hash only needs to be defined.
            fn skip_field(&mut self, _name: &'static str) -> Result<(), CodecError> {
                self.inner.word(SKIPPED);
                Ok(())
            }

            #[inline]
            fn end(self) -> Result<(), CodecError> {
                Ok(())
            }
        }
    )*};
}

positional!(
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
named!(SerializeStruct, SerializeStructVariant);
