//! Reading values that were written under another schema: fields by name, whatever their order;
//! removed ones skipped, new ones by their default; integers and floats widened; `T` as
//! `Option<T>`; variants by name. Anything else is refused before the first value is read.
//!
//! Whether a type can read an old layout is not to be seen in two schemas: a default, an alias or
//! a conversion is code. So it is tried: the type is given invented values of the old layout, until
//! it has seen every variant of every enum.

mod access;
mod feed;
mod frame;
mod reader;
mod trial;

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, DeserializeOwned};

use self::feed::{Bytes, Feed};
use self::frame::Frame;
use self::reader::Reader;
use super::{Scalar, Schema, SchemaError, Shape, schema_of};
use crate::codec::{CodecError, Fault, Operation, decode};

/// Whether values of one layout can be read as another type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// The layout is the same.
    Same,
    /// It is another one, from which all values can be read.
    Resolve,
    /// Not all values could be read.
    Refused(Mismatch),
}

/// Why values of an old layout cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} was {old} and is {new}: {why}")]
pub struct Mismatch {
    /// Where, such as `Session.pages[].id`.
    pub path: String,
    /// What is written there.
    pub old: String,
    /// What the type wants there.
    pub new: String,
    /// What can be done.
    pub why: String,
}

impl Schema {
    /// Whether values that were written under this schema can be read as `T`.
    ///
    /// ```
    /// use flott_record::schema::{Compatibility, schema_of};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Old { id: u32, name: String }
    /// #[derive(Deserialize)]
    /// struct New { name: String, #[serde(default)] age: u8, id: u64 }
    ///
    /// # fn main() -> Result<(), flott_record::schema::SchemaError> {
    /// let old = schema_of::<Old>()?;
    /// assert_eq!(old.compatibility::<New>()?, Compatibility::Resolve);
    /// let Compatibility::Refused(mismatch) = schema_of::<New>()?.compatibility::<Old>()? else {
    ///     panic!("numbers do not get narrower");
    /// };
    /// assert_eq!(mismatch.to_string(), "New.id was u64 and is u32: it may not fit");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When `T` has no schema.
    pub fn compatibility<T: DeserializeOwned>(&self) -> Result<Compatibility, SchemaError> {
        if schema_of::<T>()?.hash() == self.hash() {
            return Ok(Compatibility::Same);
        }
        Ok(match trial::run::<T>(&self.shape) {
            Ok(()) => Compatibility::Resolve,
            Err(mismatch) => Compatibility::Refused(mismatch),
        })
    }

    /// Whether values have the same stable hash in both layouts, if they can be read at all: then
    /// keys of one are found as keys of the other. Integers of up to 64 bits may have another width,
    /// and names may differ.
    pub fn hashes_as(&self, other: &Schema) -> bool {
        hashes_as(&self.shape, &other.shape)
    }
}

fn hashes_as(one: &Shape, other: &Shape) -> bool {
    let all = |ones: &[&Shape], others: &[&Shape]| {
        ones.len() == others.len() && ones.iter().zip(others).all(|(a, b)| hashes_as(a, b))
    };
    let small = |scalar: &Scalar| scalar.bits().is_some_and(|bits| bits <= 64);
    match (one, other) {
        (Shape::Scalar(a), Shape::Scalar(b)) => a == b || (small(a) && small(b)),
        (Shape::Unit, Shape::Unit) => true,
        (Shape::Option(a), Shape::Option(b)) | (Shape::Seq(a), Shape::Seq(b)) => hashes_as(a, b),
        (Shape::Map(a, b), Shape::Map(c, d)) => hashes_as(a, c) && hashes_as(b, d),
        (Shape::Above(a), Shape::Above(b)) => a == b,
        (Shape::Tuple(_) | Shape::Struct { .. }, Shape::Tuple(_) | Shape::Struct { .. }) => {
            all(&parts(one), &parts(other))
        }
        (Shape::Enum { variants: a, .. }, Shape::Enum { variants: b, .. }) => {
            // Their numbers are hashed: new ones may follow the old ones.
            let common = a.iter().zip(b);
            let mut common = common.filter(|(a, b)| !hashes_as(&a.1, &b.1) || a.0 != b.0);
            a.len() <= b.len() && common.next().is_none()
        }
        _ => false,
    }
}

fn parts(shape: &Shape) -> Vec<&Shape> {
    match shape {
        Shape::Tuple(items) => items.iter().collect(),
        Shape::Struct { fields, .. } => fields.iter().map(|(_, field)| field).collect(),
        _ => Vec::new(),
    }
}

impl Scalar {
    /// The width of an integer, which is negative perhaps.
    fn bits(self) -> Option<u32> {
        Some(match self {
            Scalar::I8 | Scalar::U8 => 8,
            Scalar::I16 | Scalar::U16 => 16,
            Scalar::I32 | Scalar::U32 => 32,
            Scalar::I64 | Scalar::U64 => 64,
            Scalar::I128 | Scalar::U128 => 128,
            _ => return None,
        })
    }

    fn is_signed(self) -> bool {
        matches!(
            self,
            Scalar::I8 | Scalar::I16 | Scalar::I32 | Scalar::I64 | Scalar::I128
        )
    }

    /// Whether every value of this type is one of the other, too.
    fn widens_to(self, other: Scalar) -> bool {
        match (self.bits(), other.bits()) {
            (Some(bits), Some(others)) if self.is_signed() == other.is_signed() => bits <= others,
            (Some(bits), Some(others)) => other.is_signed() && bits < others,
            _ => self == other || (self, other) == (Scalar::F32, Scalar::F64),
        }
    }
}

/// Reads values of `T` that were written under a schema.
///
/// ```
/// use flott_record::codec::encode;
/// use flott_record::schema::{Resolver, schema_of};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let resolver = Resolver::<(u64, Option<String>)>::new(&schema_of::<(u8, String)>()?)?;
/// let mut bytes = Vec::new();
/// encode(&(7_u8, "seven"), &mut bytes)?;
/// let mut input = &bytes[..];
/// assert_eq!(resolver.decode(&mut input)?, (7, Some("seven".to_owned())));
/// assert!(input.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Resolver<T> {
    /// What was written; `None`: the layout of `T`.
    written: Option<Shape>,
    kind: PhantomData<fn() -> T>,
}

/// Why there is no [`Resolver`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The type has no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The type cannot read what was written.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl<T: DeserializeOwned> Resolver<T> {
    /// For values that were written under `writer`.
    ///
    /// # Errors
    /// When not all of them could be read.
    pub fn new(writer: &Schema) -> Result<Self, ResolveError> {
        let written = match writer.compatibility::<T>()? {
            Compatibility::Same => None,
            Compatibility::Resolve => Some(writer.shape.clone()),
            Compatibility::Refused(mismatch) => return Err(mismatch.into()),
        };
        Ok(Self {
            written,
            kind: PhantomData,
        })
    }

    /// Whether the layout is that of `T`.
    pub fn is_same(&self) -> bool {
        self.written.is_none()
    }

    /// Reads one value from the front of `input` and advances past it. On error `input` is
    /// unchanged.
    ///
    /// # Errors
    /// When the bytes are no value of the layout, or `T` refuses it.
    #[inline]
    pub fn decode(&self, input: &mut &[u8]) -> Result<T, CodecError> {
        match &self.written {
            None => decode(input),
            Some(written) => resolve(written, input),
        }
    }
}

fn resolve<T: DeserializeOwned>(written: &Shape, input: &mut &[u8]) -> Result<T, CodecError> {
    let mut feed = Feed::Bytes(Bytes::new(input));
    let value = T::deserialize(Reader::new(Frame::root(written), &mut feed));
    let Feed::Bytes(bytes) = feed else {
        unreachable!("it reads bytes");
    };
    match value {
        Ok(value) => {
            *input = bytes.rest();
            Ok(value)
        }
        Err(trouble) => Err(trouble.into_codec_error().during(Operation::Decode {
            offset: input.len() - bytes.rest().len(),
        })),
    }
}

/// Why a value could not be read.
#[derive(Debug)]
enum Trouble {
    /// The layouts do not fit.
    Mismatch(Box<Mismatch>),
    /// The bytes are not what the layout says.
    Codec(CodecError),
    /// A field is not there; where is not known yet.
    MissingField(&'static str),
    /// A variant is not there any more; where is not known yet.
    UnknownVariant(String),
    /// The type's own `Deserialize` refused.
    Refused(String),
}

impl Trouble {
    fn into_codec_error(self) -> CodecError {
        match self {
            Self::Codec(error) => error,
            other => CodecError::new(Fault::Custom(other.to_string())),
        }
    }
}

impl From<CodecError> for Trouble {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mismatch(mismatch) => mismatch.fmt(f),
            Self::Codec(error) => error.fmt(f),
            Self::MissingField(field) => write!(f, "missing field `{field}`"),
            Self::UnknownVariant(variant) => write!(f, "unknown variant `{variant}`"),
            Self::Refused(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Trouble {}

impl de::Error for Trouble {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::Refused(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }

    fn unknown_variant(variant: &str, _expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant(variant.to_owned())
    }
}

/// The last part of the name of a type, for messages.
fn short_name<T>() -> String {
    let name = type_name::<T>();
    let plain = name.split('<').next().unwrap_or(name);
    plain.rsplit("::").next().unwrap_or(plain).to_owned()
}
