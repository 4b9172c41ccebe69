//! Types with parts: tuples, structs, enums.

use std::any::type_name;

use serde::de::Visitor;

use super::{
    super::SchemaError,
    Node, Stop,
    access::{Parts, Variant},
    aliases::{Aliases, Probe, VariantAliases, VariantProbe},
    source::Source,
};

impl Source<'_> {
    pub(super) fn tuple<'de, V: Visitor<'de>>(
        mut self,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.note(
            Node::Tuple(vec![Node::Unknown; count]),
            |node| matches!(node, Node::Tuple(items) if items.len() == count),
        )?;
        let Node::Tuple(items) = self.node else {
            return Err(self.place.unstable());
        };
        let parts = items
            .iter_mut()
            .enumerate()
            .map(|(i, node)| (format!(".{i}"), node));
        visitor.visit_seq(Parts {
            parts,
            run: self.run,
            place: &self.place,
        })
    }

    pub(super) fn fields<'de, V: Visitor<'de>>(
        mut self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if matches!(self.node, Node::Aliased(_)) {
            return Err(self.probe(visitor));
        }
        let fields = names.iter().map(|field| (*field, Node::Unknown)).collect();
        self.note(
            Node::Struct { name, fields },
            |node| matches!(node, Node::Struct { fields, .. } if fields.len() <= names.len()),
        )?;
        let Node::Struct { fields, .. } = &mut *self.node else {
            return Err(self.place.unstable());
        };
        let parts = fields
            .iter_mut()
            .map(|(field, node)| (format!(".{field}"), node));
        let value = visitor.visit_seq(Parts {
            parts,
            run: self.run,
            place: &self.place,
        })?;
        let read = fields.iter().take_while(|(_, node)| *node != Node::Unknown);
        let read = read.count();
        if read < fields.len() {
            let parts = fields.drain(..read).map(|(_, node)| node).collect();
            *self.node = Node::Aliased(Aliases::new(name, names, parts));
        }
        Ok(value)
    }

    /// Finds out whether the next two names of an aliased struct are those of one field.
    fn probe<'de, V: Visitor<'de>>(self, visitor: V) -> Stop {
        let Node::Aliased(aliases) = &mut *self.node else {
            return self.place.unstable();
        };
        // A refusal is not the fault of what was read before.
        self.run.last = None;
        let probe = Probe {
            names: aliases.next_pair().into_iter(),
            offered: 0,
            run: &mut *self.run,
            place: &self.place,
        };
        let first_of_both = match visitor.visit_map(probe) {
            Err(Stop::Duplicate(field)) => Some(field),
            Err(Stop::Distinct) | Ok(_) => None,
            Err(stop) => return stop,
        };
        aliases.note(first_of_both);
        if aliases.next_pair().is_empty() {
            match aliases.resolve() {
                Some(node) => *self.node = node,
                None => return self.place.unstable(),
            }
        }
        Stop::Again
    }

    /// Visits the first variant that is not fully known yet.
    pub(super) fn variants<'de, V: Visitor<'de>>(
        mut self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        if names.is_empty() {
            return Err(Stop::Hopeless(SchemaError::Uninhabited {
                path: self.place.path,
                name,
            }));
        }
        if matches!(self.node, Node::AliasedEnum(_)) {
            return Err(self.probe_variant(visitor));
        }
        let unknown = names
            .iter()
            .map(|variant| ((*variant).to_owned(), Node::Unknown));
        self.note(
            Node::Enum {
                name,
                variants: unknown.collect(),
            },
            |node| matches!(node, Node::Enum { variants, .. } if variants.len() <= names.len()),
        )?;
        let Node::Enum { variants, .. } = &mut *self.node else {
            return Err(self.place.unstable());
        };
        let index = if self.place.brief {
            self.run.brief_variant.get(type_name::<V>()).copied()
        } else {
            variants
                .iter()
                .position(|(_, content)| content.finished().is_none())
        };
        let index = index.unwrap_or(0);
        let (variant, node) = &mut variants[index];
        let place = self.place.step(&format!("::{variant}"))?;
        let visited = visitor.visit_enum(Variant {
            index: index as u32,
            source: Source {
                node,
                run: self.run,
                place,
            },
        });
        if let Err(Stop::NoVariant) = visited {
            let contents = variants
                .drain(..index)
                .map(|(_, content)| content)
                .collect();
            *self.node = Node::AliasedEnum(VariantAliases::new(name, names, contents));
            return Err(Stop::Again);
        }
        visited
    }

    /// Finds out which variant the next number or name of an aliased enum is that of.
    fn probe_variant<'de, V: Visitor<'de>>(self, visitor: V) -> Stop {
        let Node::AliasedEnum(aliases) = &mut *self.node else {
            return self.place.unstable();
        };
        self.run.last = None;
        let mut found = None;
        let probe = VariantProbe {
            asked: aliases.next(),
            found: &mut found,
        };
        match (visitor.visit_enum(probe).map(|_| ()), found) {
            (_, Some(variant)) => aliases.note(variant),
            (Err(stop), None) => return stop,
            (Ok(()), None) => return self.place.unstable(),
        }
        if aliases.is_complete() {
            match aliases.resolve() {
                Some(node) => *self.node = node,
                None => return self.place.unstable(),
            }
        }
        Stop::Again
    }
}
