//! Where a value stands: in the old layout, and on the way from its root.

use std::fmt;

use super::{Mismatch, Shape, Trouble};
use crate::codec::{CodecError, Fault};

/// One step of the way.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'f> {
    Root,
    Field(&'f str),
    Item(usize),
    Element,
    Key,
    Value,
    Inner,
    Variant(&'f str),
}

/// A place in a layout, on the stack of those who stand deeper.
#[derive(Clone, Copy)]
pub(super) struct Frame<'f> {
    pub(super) shape: &'f Shape,
    /// The place of the shape that contains this one.
    above: Option<&'f Frame<'f>>,
    /// The place before, on the way of the value.
    from: Option<&'f Frame<'f>>,
    step: Step<'f>,
    /// A recursive type has met itself on the way.
    pub(super) again: bool,
    depth: u8,
}

impl<'f> Frame<'f> {
    pub(super) fn root(shape: &'f Shape) -> Self {
        Self {
            shape,
            above: None,
            from: None,
            step: Step::Root,
            again: false,
            depth: 0,
        }
    }

    /// One step further, to a part of this shape.
    pub(super) fn step(&'f self, shape: &'f Shape, step: Step<'f>) -> Result<Frame<'f>, Trouble> {
        if self.depth == crate::codec::MAX_DEPTH {
            return Err(CodecError::new(Fault::TooDeep).into());
        }
        let next = Frame {
            shape,
            above: Some(self),
            from: Some(self),
            step,
            again: self.again,
            depth: self.depth + 1,
        };
        let Shape::Above(levels) = shape else {
            return Ok(next);
        };
        // Of a part, one level above is this shape.
        let mut frames = std::iter::successors(Some(self), |frame| frame.above);
        let nth = levels.checked_sub(1).map(|before| before as usize);
        match nth.and_then(|nth| frames.nth(nth)) {
            Some(target) => Ok(Frame {
                shape: target.shape,
                above: target.above,
                again: true,
                ..next
            }),
            None => Err(next.mismatch("nothing", "a schema that points outside of itself")),
        }
    }

    /// The way as people write it.
    pub(super) fn path(&self) -> String {
        self.to_string()
    }

    #[cold]
    pub(super) fn mismatch(&self, new: impl Into<String>, why: &str) -> Trouble {
        self.mismatch_at(self.path(), shown(self.shape), new, why)
    }

    #[cold]
    fn mismatch_at(
        &self,
        path: String,
        old: impl Into<String>,
        new: impl Into<String>,
        why: &str,
    ) -> Trouble {
        Trouble::Mismatch(Box::new(Mismatch {
            path,
            old: old.into(),
            new: new.into(),
            why: why.to_owned(),
        }))
    }

    /// Says where a struct misses a field, or an enum a variant.
    #[cold]
    pub(super) fn place(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::MissingField(field) => self.mismatch_at(
                format!("{self}.{field}"),
                "not there",
                "a field without default",
                "a new field needs `#[serde(default)]`, a renamed one an alias of its old name",
            ),
            Trouble::UnknownVariant(variant) => self.mismatch_at(
                format!("{self}::{variant}"),
                "a variant",
                "none",
                "state may hold it: keep the variant, or give a renamed one an alias of its old name",
            ),
            other => other,
        }
    }
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(from) = self.from {
            from.fmt(f)?;
        }
        match self.step {
            Step::Root => match self.shape {
                Shape::Struct { name, .. } | Shape::Enum { name, .. } => f.write_str(name),
                _ => f.write_str("the value"),
            },
            Step::Field(name) => write!(f, ".{name}"),
            Step::Item(index) => write!(f, ".{index}"),
            Step::Element => f.write_str("[]"),
            Step::Key => f.write_str("{key}"),
            Step::Value => f.write_str("{}"),
            Step::Inner => f.write_str("?"),
            Step::Variant(name) => write!(f, "::{name}"),
        }
    }
}

/// A layout in few words.
pub(super) fn shown(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(scalar) => scalar.name().to_owned(),
        Shape::Unit => "()".to_owned(),
        Shape::Option(inner) => format!("an option of {}", shown(inner)),
        Shape::Seq(inner) => format!("a sequence of {}", shown(inner)),
        Shape::Map(..) => "a map".to_owned(),
        Shape::Tuple(items) => format!("a tuple of {}", items.len()),
        Shape::Struct { name, .. } if name.is_empty() => "fields".to_owned(),
        Shape::Struct { name, .. } => format!("struct {name}"),
        Shape::Enum { name, .. } => format!("enum {name}"),
        Shape::Above(_) => "itself".to_owned(),
    }
}
