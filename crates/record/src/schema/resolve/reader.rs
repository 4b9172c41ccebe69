//! The deserializer: offers the values of an old layout as the new type asks for them.

use serde::de::{Deserializer, Visitor};

use super::access::{Elements, Entries, Fields, Items, Variant};
use super::feed::{Feed, Integer};
use super::frame::{Frame, Step};
use super::{Scalar, Shape, Trouble};
use crate::codec::{CodecError, Fault};

pub(super) struct Reader<'f, 'a, 'de> {
    frame: Frame<'f>,
    feed: &'a mut Feed<'de>,
}

impl<'f, 'a, 'de> Reader<'f, 'a, 'de> {
    pub(super) fn new(frame: Frame<'f>, feed: &'a mut Feed<'de>) -> Self {
        Self { frame, feed }
    }

    /// The type of a scalar that is written, if its values are values of the other.
    fn scalar(&self, wanted: Scalar) -> Result<Scalar, Trouble> {
        match self.frame.shape {
            Shape::Scalar(written) if written.widens_to(wanted) => Ok(*written),
            Shape::Scalar(written) if written.bits().is_some() && wanted.bits().is_some() => {
                Err(self.frame.mismatch(wanted.name(), "it may not fit"))
            }
            Shape::Option(_) => {
                let why = "there may be none: keep the option";
                Err(self.frame.mismatch(wanted.name(), why))
            }
            _ => Err(self.other(wanted.name())),
        }
    }

    #[cold]
    fn other(&self, wanted: impl Into<String>) -> Trouble {
        let why = "one cannot be read as the other; give the new state another name";
        self.frame.mismatch(wanted, why)
    }

    /// Passes over a value that nobody wants.
    fn skip(self) -> Result<(), Trouble> {
        let Self { frame, feed } = self;
        match frame.shape {
            Shape::Scalar(scalar) => skip_scalar(&frame, feed, *scalar),
            Shape::Unit => Ok(()),
            Shape::Option(inner) => {
                if feed.is_some(&frame)? {
                    Reader::new(frame.step(inner, Step::Inner)?, feed).skip()?;
                }
                Ok(())
            }
            Shape::Seq(element) => {
                for _ in 0..feed.length(&frame)? {
                    let before = feed.position();
                    Reader::new(frame.step(element, Step::Element)?, feed).skip()?;
                    feed.element_read(before)?;
                }
                Ok(())
            }
            Shape::Map(key, value) => {
                for _ in 0..feed.length(&frame)? {
                    let before = feed.position();
                    Reader::new(frame.step(key, Step::Key)?, feed).skip()?;
                    Reader::new(frame.step(value, Step::Value)?, feed).skip()?;
                    feed.element_read(before)?;
                }
                Ok(())
            }
            Shape::Tuple(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                Reader::new(frame.step(item, Step::Item(index))?, feed).skip()
            }),
            Shape::Struct { fields, .. } => fields.iter().try_for_each(|(name, field)| {
                Reader::new(frame.step(field, Step::Field(name))?, feed).skip()
            }),
            Shape::Enum { variants, .. } => {
                let (name, content) = variant(&frame, feed, variants)?;
                Reader::new(frame.step(content, Step::Variant(name))?, feed).skip()
            }
            Shape::Above(_) => {
                Err(frame.mismatch("nothing", "a schema that is nothing but a part"))
            }
        }
    }

    pub(super) fn tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let Shape::Tuple(items) = self.frame.shape else {
            return Err(self.other(format!("a tuple of {count}")));
        };
        if items.len() != count {
            return Err(self.other(format!("a tuple of {count}")));
        }
        visitor.visit_seq(Items {
            frame: &self.frame,
            items: items.iter().enumerate(),
            feed: self.feed,
        })
    }

    /// Visits fields by name; by position if all are as they were: not every type knows names.
    pub(super) fn fields<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let Shape::Struct { fields, .. } = self.frame.shape else {
            return Err(self.other(format!("struct {name}")));
        };
        let same = fields.iter().map(|(name, _)| name).eq(names);
        let access = Fields {
            frame: &self.frame,
            fields: fields.iter(),
            value: None,
            feed: self.feed,
        };
        let value = if same {
            visitor.visit_seq(access)
        } else {
            visitor.visit_map(access)
        };
        value.map_err(|trouble| self.frame.place(trouble))
    }
}

/// Reads which variant of an enum follows: its name, and its content.
pub(super) fn variant<'f>(
    frame: &Frame<'f>,
    feed: &mut Feed<'_>,
    variants: &'f [(String, Shape)],
) -> Result<(&'f str, &'f Shape), Trouble> {
    let number = feed.variant(frame)?;
    match variants.get(number as usize) {
        Some((name, content)) => Ok((name, content)),
        None => Err(CodecError::new(Fault::InvalidValue {
            expected: "the number of a variant",
            found: number,
        })
        .into()),
    }
}

fn skip_scalar(frame: &Frame<'_>, feed: &mut Feed<'_>, scalar: Scalar) -> Result<(), Trouble> {
    match scalar {
        Scalar::Bool => feed.bool(frame).map(|_| ()),
        Scalar::F32 | Scalar::F64 => feed.float(frame, scalar).map(|_| ()),
        Scalar::Char => feed.char(frame).map(|_| ()),
        Scalar::Str => feed.str(frame).map(|_| ()),
        Scalar::Bytes => feed.bytes(frame).map(|_| ()),
        _ => feed.integer(frame, scalar).map(|_| ()),
    }
}

macro_rules! integers {
    ($($method:ident => $visit:ident($type:ty), $scalar:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            let scalar = self.scalar(Scalar::$scalar)?;
            // The type of what is written is not wider.
            match self.feed.integer(&self.frame, scalar)? {
                Integer::Signed(value) => visitor.$visit(value as $type),
                Integer::Unsigned(value) => visitor.$visit(value as $type),
            }
        }
    )*};
}

macro_rules! not_self_describing {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Trouble> {
            Err(CodecError::new(Fault::NotSelfDescribing(stringify!($method))).into())
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'_, '_, 'de> {
    type Error = Trouble;

    integers! {
        deserialize_i8 => visit_i8(i8), I8;
        deserialize_i16 => visit_i16(i16), I16;
        deserialize_i32 => visit_i32(i32), I32;
        deserialize_i64 => visit_i64(i64), I64;
        deserialize_i128 => visit_i128(i128), I128;
        deserialize_u8 => visit_u8(u8), U8;
        deserialize_u16 => visit_u16(u16), U16;
        deserialize_u32 => visit_u32(u32), U32;
        deserialize_u64 => visit_u64(u64), U64;
        deserialize_u128 => visit_u128(u128), U128;
    }

    not_self_describing!(deserialize_any deserialize_identifier);

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.scalar(Scalar::Bool)?;
        visitor.visit_bool(self.feed.bool(&self.frame)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let scalar = self.scalar(Scalar::F32)?;
        // It was an f32, so nothing is lost.
        visitor.visit_f32(self.feed.float(&self.frame, scalar)? as f32)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let scalar = self.scalar(Scalar::F64)?;
        visitor.visit_f64(self.feed.float(&self.frame, scalar)?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.scalar(Scalar::Char)?;
        visitor.visit_char(self.feed.char(&self.frame)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.scalar(Scalar::Str)?;
        visitor.visit_borrowed_str(self.feed.str(&self.frame)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.scalar(Scalar::Bytes)?;
        visitor.visit_borrowed_bytes(self.feed.bytes(&self.frame)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let Shape::Option(inner) = self.frame.shape else {
            // What was always there is there.
            return visitor.visit_some(self);
        };
        if !self.feed.is_some(&self.frame)? {
            return visitor.visit_none();
        }
        let inner = self.frame.step(inner, Step::Inner)?;
        visitor.visit_some(Reader::new(inner, self.feed))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.frame.shape {
            Shape::Unit => visitor.visit_unit(),
            _ => Err(self.other("()")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let Shape::Seq(element) = self.frame.shape else {
            return Err(self.other("a sequence"));
        };
        let mut elements = Elements {
            frame: &self.frame,
            element,
            left: self.feed.length(&self.frame)?,
            feed: self.feed,
        };
        let value = visitor.visit_seq(&mut elements)?;
        elements.close(value)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let Shape::Map(key, value) = self.frame.shape else {
            return Err(self.other("a map"));
        };
        let mut entries = Entries {
            elements: Elements {
                frame: &self.frame,
                element: key,
                left: self.feed.length(&self.frame)?,
                feed: self.feed,
            },
            value,
            before: 0,
        };
        let map = visitor.visit_map(&mut entries)?;
        entries.elements.close(map)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.tuple(count, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.tuple(count, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        self.fields(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let Shape::Enum { variants, .. } = self.frame.shape else {
            return Err(self.other(format!("enum {name}")));
        };
        let value = visitor.visit_enum(Variant {
            frame: &self.frame,
            variants,
            names,
            feed: self.feed,
        });
        value.map_err(|trouble| self.frame.place(trouble))
    }
}
