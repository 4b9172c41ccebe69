//! The writing half of the codec: a serde `Serializer` that appends to a byte vector.

use std::fmt::{self, Display, Write as _};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::{CodecError, Fault, MAX_DEPTH, MAX_EMPTY_ELEMENTS};

/// Passed by value, so that the depth of inlined types is a constant.
pub(super) struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    /// Elements of the whole value that took no bytes so far.
    empty: &'a mut u32,
    depth: u8,
}

impl<'a> Encoder<'a> {
    #[inline]
    pub(super) fn new(out: &'a mut Vec<u8>, empty: &'a mut u32) -> Self {
        Self {
            out,
            empty,
            depth: 0,
        }
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
    fn child(&mut self) -> Encoder<'_> {
        Encoder {
            out: self.out,
            empty: self.empty,
            depth: self.depth,
        }
    }

    #[inline]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out.extend_from_slice(&bytes);
    }

    #[inline]
    fn put_length(&mut self, length: usize) -> Result<(), CodecError> {
        self.put(length_word(length)?.to_le_bytes());
        Ok(())
    }

    fn elements(self, announced: Option<usize>) -> Result<Elements<'a>, CodecError> {
        let mut inner = self.nested()?;
        let announced = length_word(announced.unwrap_or(0))?;
        let length_at = inner.out.len();
        inner.put(announced.to_le_bytes());
        Ok(Elements {
            inner,
            length_at,
            announced,
            written: 0,
            element_at: 0,
        })
    }

    #[inline]
    fn fields(self) -> Result<Fields<'a>, CodecError> {
        Ok(Fields {
            inner: self.nested()?,
        })
    }

    #[inline]
    fn variant(mut self, index: u32) -> Result<Fields<'a>, CodecError> {
        self.put(index.to_le_bytes());
        self.fields()
    }
}

/// Up to 16 bytes as the first ones of a word: a copy without a call. Most keys are that short.
#[inline]
fn short(bytes: &[u8]) -> Option<u128> {
    let length = bytes.len();
    // The last ones go where they belong; where both overlap they are the same.
    Some(match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) if length <= 16 => {
            let last = u128::from(u64::from_le_bytes(*last));
            u128::from(u64::from_le_bytes(*first)) | last << (8 * (length - 8))
        }
        (Some(_), _) => return None,
        _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>(), bytes) {
            (Some(first), Some(last), _) => {
                let last = u64::from(u32::from_le_bytes(*last));
                u128::from(u64::from(u32::from_le_bytes(*first)) | last << (8 * (length - 4)))
            }
            (_, _, [first, .., last]) => {
                let middle = u32::from(bytes[length / 2]) << (8 * (length / 2));
                let last = u32::from(*last) << (8 * (length - 1));
                u128::from(u32::from(*first) | middle | last)
            }
            (_, _, [only]) => u128::from(*only),
            (_, _, []) => 0,
        },
    })
}

#[inline]
fn length_word(length: usize) -> Result<u32, CodecError> {
    u32::try_from(length).map_err(|_| CodecError::new(Fault::TooLong(length)))
}

macro_rules! fixed_width {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        #[inline]
        fn $method(mut self, value: $type) -> Result<(), CodecError> {
            self.put(value.to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Fields<'a>;
    type SerializeTupleStruct = Fields<'a>;
    type SerializeTupleVariant = Fields<'a>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fixed_width! {
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32),
        serialize_u64(u64), serialize_u128(u128), serialize_f32(f32), serialize_f64(f64),
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), CodecError> {
        self.serialize_u8(u8::from(value))
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), CodecError> {
        self.serialize_u32(u32::from(value))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(mut self, value: &[u8]) -> Result<(), CodecError> {
        self.put_length(value.len())?;
        match short(value) {
            Some(word) => {
                let end = self.out.len() + value.len();
                self.put(word.to_le_bytes());
                self.out.truncate(end);
            }
            None => self.out.extend_from_slice(value),
        }
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), CodecError> {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), CodecError> {
        self.put([1]);
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
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), CodecError> {
        self.serialize_u32(index)
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
        self.put(index.to_le_bytes());
        value.serialize(self.nested()?)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Elements<'a>, CodecError> {
        self.elements(length)
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Fields<'a>, CodecError> {
        self.fields()
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.fields()
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.variant(index)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Elements<'a>, CodecError> {
        self.elements(length)
    }

    #[inline]
    fn serialize_struct(
        self,
        _name: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.fields()
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Fields<'a>, CodecError> {
        self.variant(index)
    }

    /// Formats in place of serde's default, which would allocate a `String` per value.
    fn collect_str<T: Display + ?Sized>(mut self, value: &T) -> Result<(), CodecError> {
        let length_at = self.out.len();
        self.put([0; 4]);
        write!(Text(self.out), "{value}").map_err(|fmt::Error| {
            CodecError::new(Fault::Custom("a Display implementation failed".to_owned()))
        })?;
        let length = length_word(self.out.len() - length_at - 4)?;
        patch(self.out, length_at, length);
        Ok(())
    }
}

struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[inline]
fn patch(out: &mut [u8], at: usize, length: u32) {
    out[at..at + 4].copy_from_slice(&length.to_le_bytes());
}

/// The elements of a sequence or the entries of a map, after their length.
pub(super) struct Elements<'a> {
    inner: Encoder<'a>,
    length_at: usize,
    announced: u32,
    written: u32,
    element_at: usize,
}

impl Elements<'_> {
    #[inline]
    fn begin(&mut self) -> Result<(), CodecError> {
        self.element_at = self.inner.out.len();
        self.written = self
            .written
            .checked_add(1)
            .ok_or_else(|| CodecError::new(Fault::TooLong(u32::MAX as usize + 1)))?;
        Ok(())
    }

    /// The reader counts elements without bytes, too: what it would refuse is not written.
    #[inline]
    fn finish(&mut self) -> Result<(), CodecError> {
        if self.inner.out.len() == self.element_at {
            *self.inner.empty += 1;
            if *self.inner.empty > MAX_EMPTY_ELEMENTS {
                return Err(CodecError::new(Fault::TooManyEmptyElements));
            }
        }
        Ok(())
    }

    /// A length that was unknown, or announced wrongly, is put right here.
    #[inline]
    fn close(self) {
        if self.written != self.announced {
            patch(self.inner.out, self.length_at, self.written);
        }
    }
}

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.begin()?;
        value.serialize(self.inner.child())?;
        self.finish()
    }

    #[inline]
    fn end(self) -> Result<(), CodecError> {
        self.close();
        Ok(())
    }
}

impl SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = CodecError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), CodecError> {
        self.begin()?;
        key.serialize(self.inner.child())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        value.serialize(self.inner.child())?;
        self.finish()
    }

    #[inline]
    fn end(self) -> Result<(), CodecError> {
        self.close();
        Ok(())
    }
}

/// The fields of a tuple, struct or variant: their number is part of the type, not of the bytes.
pub(super) struct Fields<'a> {
    inner: Encoder<'a>,
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

            fn skip_field(&mut self, name: &'static str) -> Result<(), CodecError> {
                Err(CodecError::new(Fault::SkippedField(name)))
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
