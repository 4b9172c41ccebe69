//! Tracing: run a type's `Deserialize` against a source that invents values and notes what was asked.
//!
//! One run visits one variant of each enum, so runs repeat over the same tree until every variant
//! is known. A type that refuses a value (a non-zero integer, a date in a string) is offered the
//! next sample at that path. Where a type meets itself again, the run goes on in `brief` mode: it
//! notes nothing and builds the smallest value (empty sequences, absent options) so that it ends.

mod access;
mod aliases;
mod parts;
pub(super) mod samples;
mod source;

use std::{any::type_name, collections::BTreeMap, fmt};

use serde::de::{self, DeserializeOwned};

use self::{
    aliases::{Aliases, VariantAliases},
    source::Source,
};
use super::{Scalar, SchemaError, Shape};

pub(super) fn trace<T: DeserializeOwned>() -> Result<Shape, SchemaError> {
    let mut root = Node::Unknown;
    let mut run = Run::default();
    // Ends: each round fills in part of the tree, or uses up a sample or a variant, or returns.
    loop {
        let before = root.clone();
        run.restart();
        let path = type_name::<T>().to_owned();
        match T::deserialize(Source::new(&mut root, &mut run, path.clone())) {
            Ok(_) => match root.finished() {
                Some(shape) => return Ok(shape),
                None if root == before => return Err(SchemaError::Unstable { path }),
                None => {}
            },
            Err(Stop::Again) => {}
            Err(Stop::Refused(message)) => run.next_sample(path, message)?,
            Err(Stop::Hopeless(error)) => return Err(error),
            Err(stop @ (Stop::Duplicate(_) | Stop::Distinct | Stop::NoVariant)) => {
                return Err(SchemaError::Refused {
                    path,
                    message: stop.to_string(),
                });
            }
        }
    }
}

/// What is known of a [`Shape`] so far.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Unknown,
    Scalar(Scalar),
    Unit,
    Option(Box<Node>),
    Seq(Box<Node>),
    Map(Box<Node>, Box<Node>),
    Tuple(Vec<Node>),
    Struct {
        name: &'static str,
        fields: Vec<(&'static str, Node)>,
    },
    /// A struct with more names than fields.
    Aliased(Aliases),
    Enum {
        name: &'static str,
        variants: Vec<(String, Node)>,
    },
    /// An enum with more names than variants.
    AliasedEnum(VariantAliases),
    Above(u32),
}

impl Node {
    /// The shape, when nothing of it is unknown.
    fn finished(&self) -> Option<Shape> {
        Some(match self {
            Node::Unknown | Node::Aliased(_) | Node::AliasedEnum(_) => return None,
            Node::Scalar(scalar) => Shape::Scalar(*scalar),
            Node::Unit => Shape::Unit,
            Node::Option(inner) => Shape::Option(Box::new(inner.finished()?)),
            Node::Seq(inner) => Shape::Seq(Box::new(inner.finished()?)),
            Node::Map(key, value) => {
                Shape::Map(Box::new(key.finished()?), Box::new(value.finished()?))
            }
            Node::Tuple(items) => {
                Shape::Tuple(items.iter().map(Node::finished).collect::<Option<_>>()?)
            }
            Node::Struct { name, fields } => Shape::Struct {
                name: (*name).to_owned(),
                fields: named(fields)?,
            },
            Node::Enum { name, variants } => Shape::Enum {
                name: (*name).to_owned(),
                variants: named(variants)?,
            },
            Node::Above(levels) => Shape::Above(*levels),
        })
    }
}

fn named<N: ToString>(parts: &[(N, Node)]) -> Option<Vec<(String, Shape)>> {
    let parts = parts.iter();
    parts
        .map(|(name, node)| Some((name.to_string(), node.finished()?)))
        .collect()
}

/// A named type that is being visited.
struct Open {
    /// The name of its visitor, with all type arguments: names of types alone are ambiguous.
    visitor: &'static str,
    /// Its fields or variants: two types of one name in one function share a visitor name.
    parts: &'static [&'static str],
    /// How deep its node is in the tree.
    depth: usize,
    brief: bool,
    is_enum: bool,
}

/// What outlives one run, and the place that the current one is at.
#[derive(Default)]
struct Run {
    /// By path: how many samples were refused there.
    refused: BTreeMap<String, usize>,
    /// By visitor: the variant to choose in brief mode; those before it have no end.
    brief_variant: BTreeMap<&'static str, usize>,
    /// The scalar that was asked for last, and how many samples it has: it is blamed for a refusal.
    last: Option<(String, usize)>,
    open: Vec<Open>,
}

impl Run {
    fn restart(&mut self) {
        self.last = None;
        self.open.clear();
    }

    fn next_sample(&mut self, root: String, message: String) -> Result<(), SchemaError> {
        let Some((path, samples)) = self.last.take() else {
            return Err(SchemaError::Refused {
                path: root,
                message,
            });
        };
        let refused = self.refused.entry(path.clone()).or_default();
        *refused += 1;
        if *refused < samples {
            Ok(())
        } else {
            Err(SchemaError::Refused { path, message })
        }
    }
}

/// Why a run ended early.
#[derive(Debug)]
enum Stop {
    /// The next run does something else: the variant chosen in brief mode has no end, or it is
    /// known which names are those of one field.
    Again,
    /// An enum has fewer variants than names.
    NoVariant,
    /// Two names are those of the field with this one.
    Duplicate(&'static str),
    /// Two names are those of different fields.
    Distinct,
    /// The type did not like the values that it was given.
    Refused(String),
    Hopeless(SchemaError),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Again => f.write_str("another run is needed"),
            Stop::NoVariant => f.write_str("there is no such variant"),
            Stop::Duplicate(field) => write!(f, "duplicate field `{field}`"),
            Stop::Distinct => f.write_str("the names are those of different fields"),
            Stop::Refused(message) => f.write_str(message),
            Stop::Hopeless(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Stop::Refused(message.to_string())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Stop::Duplicate(field)
    }
}
