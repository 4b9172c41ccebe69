//! How a traced type reaches its parts: each gets a source that stands one step further.

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
    value::U32Deserializer,
};

use super::{
    Node, Run, Stop,
    source::{Place, Source},
};

/// Elements, items or fields in order.
pub(super) struct Parts<'a, I> {
    pub(super) parts: I,
    pub(super) run: &'a mut Run,
    pub(super) place: &'a Place,
}

impl<'a, 'de, I: Iterator<Item = (String, &'a mut Node)>> SeqAccess<'de> for Parts<'_, I> {
    type Error = Stop;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Stop> {
        let Some((step, node)) = self.parts.next() else {
            return Ok(None);
        };
        let place = self.place.step(&step)?;
        seed.deserialize(Source {
            node,
            run: self.run,
            place,
        })
        .map(Some)
    }
}

/// The one entry of a map.
pub(super) struct Entries<'a, I> {
    pub(super) entry: I,
    pub(super) value: Option<&'a mut Node>,
    pub(super) run: &'a mut Run,
    pub(super) place: &'a Place,
}

impl<'a, 'de, I: Iterator<Item = (&'a mut Node, &'a mut Node)>> MapAccess<'de> for Entries<'a, I> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let Some((node, value)) = self.entry.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let place = self.place.step("{key}")?;
        seed.deserialize(Source {
            node,
            run: self.run,
            place,
        })
        .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        let Some(node) = self.value.take() else {
            return Err(self.place.unstable());
        };
        let place = self.place.step("{}")?;
        seed.deserialize(Source {
            node,
            run: self.run,
            place,
        })
    }
}

pub(super) struct Variant<'a> {
    pub(super) index: u32,
    pub(super) source: Source<'a>,
}

impl<'a, 'de> EnumAccess<'de> for Variant<'a> {
    type Error = Stop;
    type Variant = Source<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Source<'a>), Stop> {
        let index: U32Deserializer<Stop> = self.index.into_deserializer();
        match seed.deserialize(index) {
            Ok(variant) => Ok((variant, self.source)),
            // The first variant is always there; of the others there may be fewer than names.
            Err(Stop::Refused(_)) if self.index > 0 => Err(Stop::NoVariant),
            Err(stop) => Err(stop),
        }
    }
}

impl<'de> VariantAccess<'de> for Source<'_> {
    type Error = Stop;

    fn unit_variant(mut self) -> Result<(), Stop> {
        self.note(Node::Unit, |node| *node == Node::Unit)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Stop> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, count: usize, visitor: V) -> Result<V::Value, Stop> {
        self.tuple(count, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.fields("", fields, visitor)
    }
}
