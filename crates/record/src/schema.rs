//! The layout of a record as data: compared between deployments, stored beside state, shown to people.
//!
//! A schema is traced from a type's `Deserialize` without a value of it, so plain serde derives are
//! all that a record needs. What cannot be a record (see [`codec`](crate::codec)) cannot be traced
//! either, which turns a failure on the first record into one when the job is built.

mod resolve;
mod trace;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::resolve::{Compatibility, Mismatch, ResolveError, Resolver};
use crate::hash::stable_hash;

/// The layout of a type in the codec: field and variant names, and the widths of scalars.
///
/// Two types with equal layouts and names of fields and variants have equal schema hashes; names of
/// types take no part, so renaming a type keeps its state readable. Equality does compare them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    shape: Shape,
}

/// The schema of `T`.
pub fn schema_of<T: DeserializeOwned>() -> Result<Schema, SchemaError> {
    trace::trace::<T>().map(|shape| Schema { shape })
}

impl Schema {
    /// The stable hash of the layout. Equal hashes mean that bytes of one type can be decoded as
    /// the other, field by field of the same name.
    pub fn hash(&self) -> u64 {
        stable_hash(Canonical(&self.shape).to_string().as_str())
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shape(f, &self.shape, Names::All)
    }
}

/// Why a type has no schema. Paths name the place, such as `shop::Session.pages[].id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The type wants to be told what the input holds.
    #[error(
        "{path}: {what} needs a self-describing format; flattened, untagged and internally tagged \
         types cannot be records"
    )]
    NotSelfDescribing {
        /// Where in the type.
        path: String,
        /// The serde method that was called.
        what: &'static str,
    },
    /// The type's own `Deserialize` refused every sample value.
    #[error("{path}: no sample value was accepted, the last answer was: {message}")]
    Refused {
        /// Where the last value was offered.
        path: String,
        /// What the type answered.
        message: String,
    },
    /// An enum has no variants, so no record can hold it.
    #[error("{path}: enum {name} has no variants")]
    Uninhabited {
        /// Where in the type.
        path: String,
        /// The enum.
        name: &'static str,
    },
    /// A type contains itself in every value, so it has no finite one.
    #[error("{path}: {name} contains itself without an end")]
    Infinite {
        /// Where it met itself.
        path: String,
        /// The type.
        name: &'static str,
    },
    /// Types are nested deeper than [`MAX_TYPE_DEPTH`].
    #[error("{path}: types are nested more than {limit} deep", limit = MAX_TYPE_DEPTH)]
    TooDeep {
        /// Where the limit was met.
        path: String,
    },
    /// The type asked for different layouts at one place, or left fields unread.
    #[error("{path}: the Deserialize implementation has no fixed layout")]
    Unstable {
        /// Where in the type.
        path: String,
    },
}

/// Between the names of a variant that has several: `#[serde(alias)]`. A name that has this in it can
/// only be that of a variant without another.
const BETWEEN_NAMES: &str = "|";

/// How deep types may nest in a schema: a schema must itself fit into the codec's depth.
pub const MAX_TYPE_DEPTH: usize = 40;

/// Stored with state: append variants, never reorder them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Shape {
    Scalar(Scalar),
    Unit,
    Option(Box<Shape>),
    Seq(Box<Shape>),
    Map(Box<Shape>, Box<Shape>),
    Tuple(Vec<Shape>),
    Struct {
        name: String,
        fields: Vec<(String, Shape)>,
    },
    Enum {
        name: String,
        variants: Vec<(String, Shape)>,
    },
    /// The shape that stands this many levels above, in a recursive type.
    Above(u32),
}

/// Stored with state: append variants, never reorder them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Scalar {
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    Bytes,
}

impl Scalar {
    fn name(self) -> &'static str {
        match self {
            Scalar::Bool => "bool",
            Scalar::I8 => "i8",
            Scalar::I16 => "i16",
            Scalar::I32 => "i32",
            Scalar::I64 => "i64",
            Scalar::I128 => "i128",
            Scalar::U8 => "u8",
            Scalar::U16 => "u16",
            Scalar::U32 => "u32",
            Scalar::U64 => "u64",
            Scalar::U128 => "u128",
            Scalar::F32 => "f32",
            Scalar::F64 => "f64",
            Scalar::Char => "char",
            Scalar::Str => "str",
            Scalar::Bytes => "bytes",
        }
    }
}

/// What a schema hash is the hash of; frozen, as the stable hash is.
struct Canonical<'a>(&'a Shape);

impl fmt::Display for Canonical<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_shape(f, self.0, Names::FieldsQuoted)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// For people.
    All,
    /// For hashing: no type names, and names cannot imitate punctuation.
    FieldsQuoted,
}

impl Names {
    fn write(self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        match self {
            Names::All => f.write_str(name),
            Names::FieldsQuoted => write!(f, "{}:{name}", name.len()),
        }
    }
}

fn write_shape(f: &mut fmt::Formatter<'_>, shape: &Shape, names: Names) -> fmt::Result {
    match shape {
        Shape::Scalar(scalar) => f.write_str(scalar.name()),
        Shape::Unit => f.write_str("()"),
        Shape::Option(inner) => {
            write_shape(f, inner, names)?;
            f.write_str("?")
        }
        Shape::Seq(inner) => {
            f.write_str("[")?;
            write_shape(f, inner, names)?;
            f.write_str("]")
        }
        Shape::Map(key, value) => {
            f.write_str("{")?;
            write_shape(f, key, names)?;
            f.write_str(": ")?;
            write_shape(f, value, names)?;
            f.write_str("}")
        }
        Shape::Tuple(items) => {
            f.write_str("(")?;
            for (i, item) in items.iter().enumerate() {
                separate(f, i)?;
                write_shape(f, item, names)?;
            }
            f.write_str(")")
        }
        Shape::Struct { name, fields } => {
            write_type(f, "struct", name, names)?;
            write_fields(f, fields, names)
        }
        Shape::Enum { name, variants } => {
            write_type(f, "enum", name, names)?;
            f.write_str("{ ")?;
            for (i, (variant, content)) in variants.iter().enumerate() {
                separate(f, i)?;
                names.write(f, variant)?;
                write_variant(f, content, names)?;
            }
            f.write_str(" }")
        }
        Shape::Above(levels) => write!(f, "^{levels}"),
    }
}

fn write_type(f: &mut fmt::Formatter<'_>, kind: &str, name: &str, names: Names) -> fmt::Result {
    match names {
        Names::All => write!(f, "{kind} {name} "),
        Names::FieldsQuoted => write!(f, "{kind} "),
    }
}

fn write_fields(
    f: &mut fmt::Formatter<'_>,
    fields: &[(String, Shape)],
    names: Names,
) -> fmt::Result {
    f.write_str("{ ")?;
    for (i, (name, shape)) in fields.iter().enumerate() {
        separate(f, i)?;
        names.write(f, name)?;
        f.write_str(": ")?;
        write_shape(f, shape, names)?;
    }
    f.write_str(" }")
}

fn write_variant(f: &mut fmt::Formatter<'_>, content: &Shape, names: Names) -> fmt::Result {
    match content {
        Shape::Unit => Ok(()),
        Shape::Tuple(_) => write_shape(f, content, names),
        // A struct variant; a newtype variant of a struct has a type name to show.
        Shape::Struct { name, fields } if name.is_empty() => {
            f.write_str(" ")?;
            write_fields(f, fields, names)
        }
        other => {
            f.write_str("(")?;
            write_shape(f, other, names)?;
            f.write_str(")")
        }
    }
}

fn separate(f: &mut fmt::Formatter<'_>, index: usize) -> fmt::Result {
    if index == 0 {
        Ok(())
    } else {
        f.write_str(", ")
    }
}
