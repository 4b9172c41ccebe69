//! Fields and variants with several names (`#[serde(alias)]`): serde lists all names of all of them
//! in order, and does not say which belong together.
//!
//! A struct that is given both names of a field says that the field comes twice, and what it is
//! called. An enum does not say; but what it makes of a name can be compared with what it makes of
//! the number of a variant. Which of its names is the first one cannot be known: a schema has all of
//! them, with [`BETWEEN_NAMES`] between them.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    mem::discriminant,
};

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, VariantAccess, Visitor,
    value::{StrDeserializer, U32Deserializer},
};

use super::super::BETWEEN_NAMES;

use super::{
    Node, Run, Stop,
    source::{Place, Source},
};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Aliases {
    name: &'static str,
    /// All names of all fields.
    names: &'static [&'static str],
    /// The fields.
    parts: Vec<Node>,
    /// For each name but the last, if it is known: whether it and the next are those of one field,
    /// and how that is called.
    same: Vec<Option<&'static str>>,
}

impl Aliases {
    pub(super) fn new(
        name: &'static str,
        names: &'static [&'static str],
        parts: Vec<Node>,
    ) -> Self {
        Self {
            name,
            names,
            parts,
            same: Vec::new(),
        }
    }

    /// The names that are to be tried next; none, if all have been.
    pub(super) fn next_pair(&self) -> Vec<&'static str> {
        let pair = self.names.windows(2).nth(self.same.len());
        pair.map_or_else(Vec::new, <[_]>::to_vec)
    }

    pub(super) fn note(&mut self, field_of_both: Option<&'static str>) {
        self.same.push(field_of_both);
    }

    /// The struct with a name for each field; `None` if there are more names than that explains.
    pub(super) fn resolve(&mut self) -> Option<Node> {
        let mut fields: Vec<&'static str> = Vec::new();
        let mut before = None;
        for (at, name) in self.names.iter().enumerate() {
            match before {
                None => fields.push(name),
                Some(field) => *fields.last_mut()? = field,
            }
            before = self.same.get(at).copied().flatten();
        }
        if fields.len() != self.parts.len() {
            return None;
        }
        Some(Node::Struct {
            name: self.name,
            fields: fields.into_iter().zip(self.parts.drain(..)).collect(),
        })
    }
}

/// Gives a struct two of its names: a value with the first, and a look at the second.
pub(super) struct Probe<'a> {
    pub(super) names: std::vec::IntoIter<&'static str>,
    pub(super) offered: usize,
    pub(super) run: &'a mut Run,
    pub(super) place: &'a Place,
}

impl<'de> MapAccess<'de> for Probe<'_> {
    type Error = Stop;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Stop> {
        let Some(name) = self.names.next() else {
            return Err(Stop::Distinct);
        };
        self.offered += 1;
        let name: StrDeserializer<'_, Stop> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Stop> {
        if self.offered > 1 {
            return Err(Stop::Distinct);
        }
        seed.deserialize(Source {
            node: &mut Node::Unknown,
            run: self.run,
            place: self.place.brief_step(".(first)")?,
        })
    }
}

/// A variant by its number, or by one of its names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Number(u32),
    Name(&'static str),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct VariantAliases {
    name: &'static str,
    /// All names of all variants.
    names: &'static [&'static str],
    /// The variants.
    contents: Vec<Node>,
    /// What the type makes of the numbers of the variants, then of the names.
    made: Vec<u64>,
}

impl VariantAliases {
    pub(super) fn new(
        name: &'static str,
        names: &'static [&'static str],
        contents: Vec<Node>,
    ) -> Self {
        Self {
            name,
            names,
            contents,
            made: Vec::new(),
        }
    }

    /// What is to be tried next.
    pub(super) fn next(&self) -> Asked {
        let at = self.made.len();
        match at.checked_sub(self.contents.len()) {
            // An enum has less than 2^32 variants.
            None => Asked::Number(at as u32),
            Some(name) => Asked::Name(self.names[name]),
        }
    }

    pub(super) fn note(&mut self, variant: u64) {
        self.made.push(variant);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.made.len() == self.contents.len() + self.names.len()
    }

    /// The enum with all names of each variant; `None` if they cannot be told apart.
    pub(super) fn resolve(&mut self) -> Option<Node> {
        let (numbers, by_name) = self.made.split_at(self.contents.len());
        let names_of = |variant: &u64| {
            let names = self.names.iter().zip(by_name);
            let names = names.filter(|(_, other)| *other == variant);
            names.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let names: Vec<_> = numbers.iter().map(names_of).collect();
        let found: usize = names.iter().map(Vec::len).sum();
        if names.iter().any(Vec::is_empty) || found != self.names.len() {
            return None;
        }
        let names = names.iter().map(|names| names.join(BETWEEN_NAMES));
        Some(Node::Enum {
            name: self.name,
            variants: names.zip(self.contents.drain(..)).collect(),
        })
    }
}

/// Asks an enum for a variant, and goes no further.
pub(super) struct VariantProbe<'a> {
    pub(super) asked: Asked,
    /// What it made of it.
    pub(super) found: &'a mut Option<u64>,
}

impl<'de> EnumAccess<'de> for VariantProbe<'_> {
    type Error = Stop;
    type Variant = Nothing;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Nothing), Stop> {
        let made = match self.asked {
            Asked::Number(number) => {
                let number: U32Deserializer<Stop> = number.into_deserializer();
                seed.deserialize(number)?
            }
            Asked::Name(name) => {
                let name: StrDeserializer<'_, Stop> = name.into_deserializer();
                seed.deserialize(name)?
            }
        };
        let mut hasher = DefaultHasher::new();
        discriminant(&made).hash(&mut hasher);
        *self.found = Some(hasher.finish());
        Err(Stop::Again)
    }
}

/// The content that a probe never gives.
pub(super) struct Nothing;

impl<'de> VariantAccess<'de> for Nothing {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Err(Stop::Again)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Stop> {
        Err(Stop::Again)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _count: usize, _visitor: V) -> Result<V::Value, Stop> {
        Err(Stop::Again)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Stop> {
        Err(Stop::Again)
    }
}
