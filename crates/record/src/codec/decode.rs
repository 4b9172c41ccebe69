//! The reading half of the codec: a serde `Deserializer` over a slice. Every read is checked; what
//! is reserved is bounded by what the input can still hold.

use std::cell::Cell;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor, value::U32Deserializer,
};

use super::{CodecError, Fault, MAX_DEPTH, MAX_EMPTY_ELEMENTS};

/// What is known of a buffer as text. A string by itself is looked at byte by byte, and no processor
/// foresees where a short one ends; a buffer at once is looked at sixteen bytes at a time. Lengths and
/// small numbers between the strings are ASCII, too.
pub(super) struct Text<'de> {
    buffer: &'de [u8],
    /// What the buffer begins with, as far as that is UTF-8. Found out for the first string.
    valid: Cell<Option<&'de str>>,
}

impl<'de> Text<'de> {
    /// All values to come are parts of the buffer.
    #[inline]
    pub(super) fn of(buffer: &'de [u8]) -> Self {
        Self {
            buffer,
            valid: Cell::new(None),
        }
    }

    /// For a single value: its strings are looked at one by one.
    #[inline]
    pub(super) fn unknown() -> Self {
        Self {
            buffer: &[],
            valid: Cell::new(Some("")),
        }
    }

    /// The `length` bytes in front of the last `behind` ones of the buffer, if they are known to be text.
    #[inline]
    fn get(&self, length: usize, behind: usize) -> Option<&'de str> {
        let valid = match self.valid.get() {
            Some(valid) => valid,
            None => self.look(),
        };
        let end = self.buffer.len().checked_sub(behind)?;
        valid.get(end.checked_sub(length)?..end)
    }

    #[cold]
    fn look(&self) -> &'de str {
        let valid = match std::str::from_utf8(self.buffer) {
            Ok(text) => text,
            Err(error) => {
                let (text, _) = self.buffer.split_at(error.valid_up_to());
                std::str::from_utf8(text).unwrap_or_default()
            }
        };
        self.valid.set(Some(valid));
        valid
    }
}

/// Passed by value, so that the depth of inlined types is a constant.
pub(super) struct Decoder<'a, 'de> {
    input: &'a mut &'de [u8],
    text: &'a Text<'de>,
    /// Elements of the whole value that took no bytes so far.
    empty: &'a mut u32,
    depth: u8,
}

impl<'a, 'de> Decoder<'a, 'de> {
    #[inline]
    pub(super) fn new(input: &'a mut &'de [u8], text: &'a Text<'de>, empty: &'a mut u32) -> Self {
        Self {
            input,
            text,
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
    fn child(&mut self) -> Decoder<'_, 'de> {
        Decoder {
            input: self.input,
            text: self.text,
            empty: self.empty,
            depth: self.depth,
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], CodecError> {
        match self.input.split_first_chunk::<N>() {
            Some((head, rest)) => {
                *self.input = rest;
                Ok(*head)
            }
            None => Err(unexpected_end(expected, N, self.input.len())),
        }
    }

    #[inline]
    fn word(&mut self, expected: &'static str) -> Result<u32, CodecError> {
        self.array(expected).map(u32::from_le_bytes)
    }

    #[inline]
    fn flag(&mut self, expected: &'static str) -> Result<bool, CodecError> {
        match self.array(expected)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(invalid_value(expected, u32::from(found))),
        }
    }

    #[inline]
    fn bytes(&mut self, expected: &'static str) -> Result<&'de [u8], CodecError> {
        let length = self.word("u32 length")? as usize;
        match self.input.split_at_checked(length) {
            Some((head, rest)) => {
                *self.input = rest;
                Ok(head)
            }
            None => Err(unexpected_end(expected, length, self.input.len())),
        }
    }

    #[inline]
    fn text(&mut self) -> Result<&'de str, CodecError> {
        let bytes = self.bytes("a string")?;
        if let Some(text) = self.text.get(bytes.len(), self.input.len()) {
            return Ok(text);
        }
        std::str::from_utf8(bytes).map_err(|e| {
            CodecError::new(Fault::InvalidUtf8 {
                valid_up_to: e.valid_up_to(),
            })
        })
    }

    #[inline]
    fn elements(mut self) -> Result<Elements<'a, 'de>, CodecError> {
        let length = self.word("u32 length")?;
        let spare = (MAX_EMPTY_ELEMENTS - *self.empty) as usize;
        if length as usize > self.input.len().saturating_add(spare) {
            let remaining = self.input.len();
            return Err(CodecError::new(Fault::LengthExceedsInput {
                length,
                remaining,
            }));
        }
        Ok(Elements {
            inner: self.nested()?,
            left: length,
            element_at: 0,
        })
    }

    #[inline]
    fn fields(self, count: usize) -> Result<Fields<'a, 'de>, CodecError> {
        Ok(Fields {
            inner: self.nested()?,
            left: count,
        })
    }
}

#[cold]
fn unexpected_end(expected: &'static str, needed: usize, remaining: usize) -> CodecError {
    CodecError::new(Fault::UnexpectedEnd {
        expected,
        needed,
        remaining,
    })
}

#[cold]
fn invalid_value(expected: &'static str, found: u32) -> CodecError {
    CodecError::new(Fault::InvalidValue { expected, found })
}

#[cold]
fn not_self_describing(what: &'static str) -> CodecError {
    CodecError::new(Fault::NotSelfDescribing(what))
}

macro_rules! fixed_width {
    ($($method:ident($type:ident) => $visit:ident),* $(,)?) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
            visitor.$visit($type::from_le_bytes(self.array(stringify!($type))?))
        }
    )*};
}

impl<'de> Deserializer<'de> for Decoder<'_, 'de> {
    type Error = CodecError;

    fixed_width! {
        deserialize_i8(i8) => visit_i8, deserialize_i16(i16) => visit_i16,
        deserialize_i32(i32) => visit_i32, deserialize_i64(i64) => visit_i64,
        deserialize_i128(i128) => visit_i128, deserialize_u8(u8) => visit_u8,
        deserialize_u16(u16) => visit_u16, deserialize_u32(u32) => visit_u32,
        deserialize_u64(u64) => visit_u64, deserialize_u128(u128) => visit_u128,
        deserialize_f32(f32) => visit_f32, deserialize_f64(f64) => visit_f64,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(not_self_describing("deserialize_any"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(not_self_describing("deserialize_ignored_any"))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, CodecError> {
        Err(not_self_describing("deserialize_identifier"))
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_bool(self.flag("bool (0 or 1)")?)
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        let word = self.word("char")?;
        match char::from_u32(word) {
            Some(value) => visitor.visit_char(value),
            None => Err(invalid_value("char (a Unicode scalar value)", word)),
        }
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        // Not visit_string: owned types copy once either way, interned and inline ones save it.
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_borrowed_bytes(self.bytes("bytes")?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, CodecError> {
        if self.flag("tag of an option (0 or 1)")? {
            visitor.visit_some(self.nested()?)
        } else {
            visitor.visit_none()
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_newtype_struct(self.nested()?)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let mut elements = self.elements()?;
        let value = visitor.visit_seq(&mut elements)?;
        elements.close(value)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, CodecError> {
        let mut elements = self.elements()?;
        let value = visitor.visit_map(&mut elements)?;
        elements.close(value)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self.fields(count)?)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self.fields(count)?)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self.fields(fields.len())?)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_enum(Variant { inner: self })
    }
}

/// The elements of a sequence or the entries of a map.
struct Elements<'a, 'de> {
    inner: Decoder<'a, 'de>,
    left: u32,
    element_at: usize,
}

impl Elements<'_, '_> {
    #[inline]
    fn begin(&mut self) -> bool {
        self.element_at = self.inner.input.len();
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    #[inline]
    fn finish(&mut self) -> Result<(), CodecError> {
        if self.inner.input.len() == self.element_at {
            if *self.inner.empty == MAX_EMPTY_ELEMENTS {
                return Err(CodecError::new(Fault::TooManyEmptyElements));
            }
            *self.inner.empty += 1;
        }
        Ok(())
    }

    /// A visitor that stops early would leave elements behind for the next field to misread.
    #[inline]
    fn close<T>(self, value: T) -> Result<T, CodecError> {
        match self.left {
            0 => Ok(value),
            found => Err(invalid_value(
                "the end of a sequence or map (elements left: 0)",
                found,
            )),
        }
    }

    /// What a visitor may reserve: no more than the input could fill.
    #[inline]
    fn hint(&self) -> usize {
        (self.left as usize).min(self.inner.input.len())
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        if !self.begin() {
            return Ok(None);
        }
        let value = seed.deserialize(self.inner.child())?;
        self.finish()?;
        Ok(Some(value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> MapAccess<'de> for &mut Elements<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, CodecError> {
        if !self.begin() {
            return Ok(None);
        }
        seed.deserialize(self.inner.child()).map(Some)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, CodecError> {
        let value = seed.deserialize(self.inner.child())?;
        self.finish()?;
        Ok(value)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

/// The fields of a tuple, struct or variant: their number comes from the type.
struct Fields<'a, 'de> {
    inner: Decoder<'a, 'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, CodecError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.inner.child()).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Variant<'a, 'de> {
    inner: Decoder<'a, 'de>,
}

impl<'de> EnumAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Self), CodecError> {
        let index: U32Deserializer<CodecError> =
            self.inner.word("u32 variant index")?.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = CodecError;

    #[inline]
    fn unit_variant(self) -> Result<(), CodecError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, CodecError> {
        seed.deserialize(self.inner.nested()?)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self.inner.fields(count)?)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, CodecError> {
        visitor.visit_seq(self.inner.fields(fields.len())?)
    }
}
