//! How a type reaches the parts of a value of an old layout.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::super::BETWEEN_NAMES;
use super::feed::Feed;
use super::frame::{Frame, Step};
use super::reader::{Reader, variant};
use super::{Shape, Trouble};
use crate::codec::{CodecError, Fault};

/// The items of a tuple.
pub(super) struct Items<'f, 'a, 'de, I> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) items: I,
    pub(super) feed: &'a mut Feed<'de>,
}

impl<'f, 'de, I> SeqAccess<'de> for Items<'f, '_, 'de, I>
where
    I: Iterator<Item = (usize, &'f Shape)>,
{
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Trouble> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        let frame = self.frame.step(item, Step::Item(index))?;
        seed.deserialize(Reader::new(frame, self.feed)).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        self.items.size_hint().1
    }
}

/// The fields of a struct, by name or in order.
pub(super) struct Fields<'f, 'a, 'de> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) fields: std::slice::Iter<'f, (String, Shape)>,
    /// The field whose name has been asked for.
    pub(super) value: Option<&'f (String, Shape)>,
    pub(super) feed: &'a mut Feed<'de>,
}

impl<'de> Fields<'_, '_, 'de> {
    fn read<T: DeserializeSeed<'de>>(
        &mut self,
        (name, field): &(String, Shape),
        seed: T,
    ) -> Result<T::Value, Trouble> {
        let frame = self.frame.step(field, Step::Field(name))?;
        seed.deserialize(Reader::new(frame, self.feed))
    }
}

impl<'de> MapAccess<'de> for Fields<'_, '_, 'de> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Trouble> {
        self.value = self.fields.next();
        let Some((name, _)) = self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Trouble> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        match self.value.take() {
            Some(field) => self.read(field, seed),
            None => Err(Trouble::Refused(
                "a value was asked for before its name".to_owned(),
            )),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

impl<'de> SeqAccess<'de> for Fields<'_, '_, 'de> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Trouble> {
        match self.fields.next() {
            Some(field) => self.read(field, seed).map(Some),
            None => Ok(None),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// The elements of a sequence, or the keys of a map.
pub(super) struct Elements<'f, 'a, 'de> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) element: &'f Shape,
    pub(super) left: u32,
    pub(super) feed: &'a mut Feed<'de>,
}

impl Elements<'_, '_, '_> {
    /// A visitor that stops early would leave elements behind for the next field to misread.
    pub(super) fn close<T>(self, value: T) -> Result<T, Trouble> {
        match self.left {
            0 => Ok(value),
            found => Err(CodecError::new(Fault::InvalidValue {
                expected: "the end of a sequence or map (elements left: 0)",
                found,
            })
            .into()),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Elements<'_, '_, 'de> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Trouble> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let before = self.feed.position();
        let frame = self.frame.step(self.element, Step::Element)?;
        let value = seed.deserialize(Reader::new(frame, self.feed))?;
        self.feed.element_read(before)?;
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.feed.hint(self.left))
    }
}

/// The entries of a map.
pub(super) struct Entries<'f, 'a, 'de> {
    pub(super) elements: Elements<'f, 'a, 'de>,
    pub(super) value: &'f Shape,
    pub(super) before: usize,
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_, 'de> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Trouble> {
        let Elements {
            frame,
            element,
            left,
            feed,
        } = &mut self.elements;
        if *left == 0 {
            return Ok(None);
        }
        *left -= 1;
        self.before = feed.position();
        let frame = frame.step(element, Step::Key)?;
        seed.deserialize(Reader::new(frame, feed)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let Elements { frame, feed, .. } = &mut self.elements;
        let frame = frame.step(self.value, Step::Value)?;
        let value = seed.deserialize(Reader::new(frame, feed))?;
        feed.element_read(self.before)?;
        Ok(value)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.feed.hint(self.elements.left))
    }
}

/// An enum whose variant is not known yet.
pub(super) struct Variant<'f, 'a, 'de> {
    pub(super) frame: &'f Frame<'f>,
    pub(super) variants: &'f [(String, Shape)],
    /// The names that the new type knows.
    pub(super) names: &'static [&'static str],
    pub(super) feed: &'a mut Feed<'de>,
}

/// Of the names of a variant, the one that is known.
fn known_name<'f>(names: &'f str, known: &[&str]) -> &'f str {
    if known.contains(&names) {
        return names;
    }
    let mut several = names.split(BETWEEN_NAMES);
    several.find(|name| known.contains(name)).unwrap_or(names)
}

impl<'f, 'a, 'de> EnumAccess<'de> for Variant<'f, 'a, 'de> {
    type Error = Trouble;
    type Variant = Content<'f, 'a, 'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self::Variant), Trouble> {
        let (name, content) = variant(self.frame, self.feed, self.variants)?;
        let known = known_name(name, self.names);
        let of_name: StrDeserializer<'_, Trouble> = known.into_deserializer();
        let chosen = seed.deserialize(of_name)?;
        let frame = self.frame.step(content, Step::Variant(name))?;
        let feed = self.feed;
        Ok((chosen, Content { frame, feed }))
    }
}

/// The content of a variant.
pub(super) struct Content<'f, 'a, 'de> {
    frame: Frame<'f>,
    feed: &'a mut Feed<'de>,
}

impl<'de> VariantAccess<'de> for Content<'_, '_, 'de> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        match self.frame.shape {
            Shape::Unit => Ok(()),
            _ => {
                let why = "what it holds would be lost; give the new variant another name";
                Err(self.frame.mismatch("a variant without content", why))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Trouble> {
        seed.deserialize(Reader::new(self.frame, self.feed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Trouble> {
        Reader::new(self.frame, self.feed).tuple(count, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        Reader::new(self.frame, self.feed).fields("", fields, visitor)
    }
}
