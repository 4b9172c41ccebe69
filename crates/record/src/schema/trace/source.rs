//! The deserializer that invents values and notes the layout that was asked for.

use std::any::type_name;

use serde::de::{Deserializer, Visitor};

use super::{
    super::{MAX_TYPE_DEPTH, Scalar, SchemaError},
    Node, Open, Run, Stop,
    access::{Entries, Parts},
    samples,
};

pub(super) struct Source<'a> {
    pub(super) node: &'a mut Node,
    pub(super) run: &'a mut Run,
    pub(super) place: Place,
}

/// Where in the type a source stands.
pub(super) struct Place {
    pub(super) path: String,
    depth: usize,
    /// Nothing is noted below, and values are as small as can be.
    pub(super) brief: bool,
}

impl Place {
    /// As [`step`](Self::step), to a value that is as small as can be.
    pub(super) fn brief_step(&self, step: &str) -> Result<Place, Stop> {
        Ok(Place {
            brief: true,
            ..self.step(step)?
        })
    }

    pub(super) fn step(&self, step: &str) -> Result<Place, Stop> {
        let path = format!("{}{step}", self.path);
        if self.depth == MAX_TYPE_DEPTH {
            return Err(Stop::Hopeless(SchemaError::TooDeep { path }));
        }
        Ok(Place {
            path,
            depth: self.depth + 1,
            brief: self.brief,
        })
    }

    pub(super) fn unstable(&self) -> Stop {
        Stop::Hopeless(SchemaError::Unstable {
            path: self.path.clone(),
        })
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(node: &'a mut Node, run: &'a mut Run, path: String) -> Self {
        Self {
            node,
            run,
            place: Place {
                path,
                depth: 0,
                brief: false,
            },
        }
    }

    /// Sets the node on the first visit and checks it on later ones.
    pub(super) fn note(
        &mut self,
        first: Node,
        same: impl FnOnce(&Node) -> bool,
    ) -> Result<(), Stop> {
        if *self.node == Node::Unknown {
            *self.node = first;
        } else if !same(self.node) {
            return Err(self.place.unstable());
        }
        Ok(())
    }

    fn not_self_describing<T>(self, what: &'static str) -> Result<T, Stop> {
        Err(Stop::Hopeless(SchemaError::NotSelfDescribing {
            path: self.place.path,
            what,
        }))
    }

    fn scalar<T: Copy>(&mut self, scalar: Scalar, samples: &[T]) -> Result<T, Stop> {
        self.note(Node::Scalar(scalar), |node| *node == Node::Scalar(scalar))?;
        let refused = self.run.refused.get(&self.place.path).copied().unwrap_or(0);
        self.run.last = Some((self.place.path.clone(), samples.len()));
        samples
            .get(refused)
            .copied()
            .ok_or_else(|| self.place.unstable())
    }

    /// Visits a named type, unless it is being visited already: then it is noted as recursive, and
    /// a brief value of it takes its place.
    fn named<R>(
        mut self,
        name: &'static str,
        visitor: &'static str,
        parts: &'static [&'static str],
        is_enum: bool,
        visit: impl FnOnce(Source<'_>) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let same = |open: &&Open| open.visitor == visitor && open.parts == parts;
        let mut scratch = Node::Unknown;
        if self.place.brief {
            if self
                .run
                .open
                .iter()
                .filter(|open| open.brief)
                .any(|open| same(&open))
            {
                return Err(self.without_end(name));
            }
        } else if let Some(open) = self.run.open.iter().rfind(same) {
            let levels = (self.place.depth - open.depth) as u32;
            self.note(Node::Above(levels), |node| *node == Node::Above(levels))?;
            self.place.brief = true;
        }
        let Place { depth, brief, .. } = self.place;
        self.run.open.push(Open {
            visitor,
            parts,
            depth,
            brief,
            is_enum,
        });
        let node = if brief { &mut scratch } else { self.node };
        let result = visit(Source {
            node,
            run: &mut *self.run,
            place: self.place,
        });
        self.run.open.pop();
        result
    }

    /// A brief value met its own type: the innermost enum on the way must choose another variant.
    fn without_end(&mut self, name: &'static str) -> Stop {
        let brief_enums = self
            .run
            .open
            .iter()
            .rev()
            .filter(|open| open.brief && open.is_enum);
        for open in brief_enums {
            let chosen = self.run.brief_variant.entry(open.visitor).or_default();
            if *chosen + 1 < open.parts.len() {
                *chosen += 1;
                return Stop::Again;
            }
        }
        Stop::Hopeless(SchemaError::Infinite {
            path: self.place.path.clone(),
            name,
        })
    }
}

macro_rules! integers {
    ($($method:ident => $visit:ident($type:ty), $scalar:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
            let sample = self.scalar(Scalar::$scalar, &samples::INTEGERS)?;
            // All samples fit into seven bits.
            visitor.$visit(sample as $type)
        }
    )*};
}

macro_rules! not_self_describing {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Stop> {
            self.not_self_describing(stringify!($method))
        }
    )*};
}

impl<'de> Deserializer<'de> for Source<'_> {
    type Error = Stop;

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

    not_self_describing!(deserialize_any deserialize_ignored_any deserialize_identifier);

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_bool(self.scalar(Scalar::Bool, &samples::BOOLS)?)
    }

    fn deserialize_f32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_f32(self.scalar(Scalar::F32, &samples::FLOATS)?)
    }

    fn deserialize_f64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_f64(f64::from(self.scalar(Scalar::F64, &samples::FLOATS)?))
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_char(self.scalar(Scalar::Char, &samples::CHARS)?)
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_str(self.scalar(Scalar::Str, &samples::STRINGS)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_borrowed_bytes(self.scalar(Scalar::Bytes, &samples::BYTES)?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        if self.place.brief {
            return visitor.visit_none();
        }
        let unknown = Node::Option(Box::new(Node::Unknown));
        self.note(unknown, |node| matches!(node, Node::Option(_)))?;
        let Node::Option(node) = self.node else {
            return Err(self.place.unstable());
        };
        let place = self.place.step("?")?;
        visitor.visit_some(Source {
            node,
            run: self.run,
            place,
        })
    }

    fn deserialize_unit<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        self.note(Node::Unit, |node| *node == Node::Unit)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.named(name, type_name::<V>(), &[], false, |source| {
            visitor.visit_newtype_struct(source)
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let unknown = Node::Seq(Box::new(Node::Unknown));
        self.note(unknown, |node| matches!(node, Node::Seq(_)))?;
        let Node::Seq(element) = self.node else {
            return Err(self.place.unstable());
        };
        let parts = once_unless(self.place.brief, &mut **element);
        let parts = parts.map(|node| ("[]".to_owned(), node));
        visitor.visit_seq(Parts {
            parts,
            run: self.run,
            place: &self.place,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Stop> {
        let unknown = Node::Map(Box::new(Node::Unknown), Box::new(Node::Unknown));
        self.note(unknown, |node| matches!(node, Node::Map(..)))?;
        let Node::Map(key, value) = self.node else {
            return Err(self.place.unstable());
        };
        let entry = once_unless(self.place.brief, (&mut **key, &mut **value));
        visitor.visit_map(Entries {
            entry,
            value: None,
            run: self.run,
            place: &self.place,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.tuple(count, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.named(name, type_name::<V>(), &[], false, |source| {
            source.tuple(count, visitor)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.named(name, type_name::<V>(), fields, false, |source| {
            source.fields(name, fields, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.named(name, type_name::<V>(), variants, true, |source| {
            source.variants(name, variants, visitor)
        })
    }
}

fn once_unless<T>(brief: bool, item: T) -> std::option::IntoIter<T> {
    (!brief).then_some(item).into_iter()
}
