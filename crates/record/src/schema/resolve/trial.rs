//! Whether a type can read a layout: it is given invented values, one variant of each enum after
//! the other. A type that refuses a value (a date in a string, say) is offered the next one.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::feed::{Feed, Integer};
use super::frame::{Frame, shown};
use super::reader::Reader;
use super::{Mismatch, Shape, Trouble, short_name};
use crate::schema::trace::samples;

/// Whether all values of the layout can be read as `T`.
pub(super) fn run<T: DeserializeOwned>(written: &Shape) -> Result<(), Mismatch> {
    let mut feed = Feed::Trial(Trial::default());
    // Ends: each round uses up a sample or a variant, or returns.
    loop {
        let result = T::deserialize(Reader::new(Frame::root(written), &mut feed));
        let Feed::Trial(trial) = &mut feed else {
            unreachable!("nothing makes another feed of it");
        };
        match result.map(|_| ()) {
            Ok(()) if trial.is_complete() => return Ok(()),
            Ok(()) => trial.restart(),
            Err(Trouble::Refused(message)) => match trial.next_sample() {
                Ok(()) => trial.restart(),
                Err(path) => {
                    return Err(Mismatch {
                        path: path.unwrap_or_else(|| Frame::root(written).path()),
                        old: shown(written),
                        new: short_name::<T>(),
                        why: format!("no value that was tried is accepted: {message}"),
                    });
                }
            },
            Err(other) => return Err(mismatch::<T>(written, other)),
        }
    }
}

fn mismatch<T>(written: &Shape, trouble: Trouble) -> Mismatch {
    match Frame::root(written).place(trouble) {
        Trouble::Mismatch(mismatch) => *mismatch,
        other => Mismatch {
            path: Frame::root(written).path(),
            old: shown(written),
            new: short_name::<T>(),
            why: other.to_string(),
        },
    }
}

/// How far the trial of an enum at one path has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    variant: usize,
    variants: usize,
}

#[derive(Debug, Default)]
pub(super) struct Trial {
    /// By path: how many samples were refused there.
    refused: BTreeMap<String, usize>,
    /// By path: enums.
    enums: BTreeMap<String, Progress>,
    /// Enums that were met in this round, outer ones first.
    met: Vec<String>,
    /// The scalar that was asked for last, and how many samples it has: it is blamed for a refusal.
    last: Option<(String, usize)>,
}

impl Trial {
    fn restart(&mut self) {
        self.met.clear();
        self.last = None;
    }

    /// After a round that went well: chooses the next variants. Whether there are none.
    fn is_complete(&mut self) -> bool {
        // From the innermost: one whose variant has been seen with all that is inside goes on.
        let met = std::mem::take(&mut self.met);
        let mut unfinished: Vec<&String> = Vec::new();
        for path in met.iter().rev() {
            let Some(progress) = self.enums.get_mut(path) else {
                continue;
            };
            if unfinished
                .iter()
                .any(|inner| inner.starts_with(path.as_str()))
            {
                unfinished.push(path);
                continue;
            }
            progress.variant += 1;
            if progress.variant < progress.variants {
                unfinished.push(path);
            }
        }
        unfinished.is_empty()
    }

    /// After a refusal: the next sample for the scalar before it. If there is none, its path.
    fn next_sample(&mut self) -> Result<(), Option<String>> {
        let Some((path, samples)) = self.last.take() else {
            return Err(None);
        };
        let refused = self.refused.entry(path.clone()).or_default();
        *refused += 1;
        if *refused < samples {
            Ok(())
        } else {
            Err(Some(path))
        }
    }

    fn sample<T: Copy>(&mut self, frame: &Frame<'_>, samples: &[T]) -> Result<T, Trouble> {
        let path = frame.path();
        let refused = self.refused.get(&path).copied().unwrap_or(0);
        self.last = Some((path, samples.len()));
        let sample = samples.get(refused).copied();
        sample.ok_or_else(|| Trouble::Refused("there are no more samples".to_owned()))
    }

    pub(super) fn integer(&mut self, frame: &Frame<'_>) -> Result<Integer, Trouble> {
        let sample = self.sample(frame, &samples::INTEGERS)?;
        Ok(Integer::Unsigned(sample.into()))
    }

    pub(super) fn bool(&mut self, frame: &Frame<'_>) -> Result<bool, Trouble> {
        self.sample(frame, &samples::BOOLS)
    }

    pub(super) fn float(&mut self, frame: &Frame<'_>) -> Result<f64, Trouble> {
        self.sample(frame, &samples::FLOATS).map(f64::from)
    }

    pub(super) fn char(&mut self, frame: &Frame<'_>) -> Result<char, Trouble> {
        self.sample(frame, &samples::CHARS)
    }

    pub(super) fn str(&mut self, frame: &Frame<'_>) -> Result<&'static str, Trouble> {
        self.sample(frame, &samples::STRINGS)
    }

    pub(super) fn bytes(&mut self, frame: &Frame<'_>) -> Result<&'static [u8], Trouble> {
        self.sample(frame, &samples::BYTES)
    }

    /// The first variant that has not been seen with all that is inside; inside of a recursive
    /// type that has met itself, one that ends.
    pub(super) fn variant(&mut self, frame: &Frame<'_>) -> Result<u32, Trouble> {
        let Shape::Enum { variants, .. } = frame.shape else {
            return Err(frame.mismatch("an enum", "only enums have variants"));
        };
        let number = if frame.again {
            variants.iter().position(|(_, content)| ends(content))
        } else {
            let path = format!("{}::", frame.path());
            let progress = self.enums.entry(path.clone()).or_insert(Progress {
                variant: 0,
                variants: variants.len(),
            });
            // One that is done stays with its last variant.
            let number = progress.variant.min(variants.len().saturating_sub(1));
            self.met.push(path);
            (number < variants.len()).then_some(number)
        };
        // A schema has less than 2^32 variants.
        number.map(|number| number as u32).ok_or_else(|| {
            let why = "its schema has no value that ends";
            frame.mismatch("a type with values", why)
        })
    }
}

/// Whether the smallest value of a layout has an end.
fn ends(shape: &Shape) -> bool {
    match shape {
        Shape::Scalar(_) | Shape::Unit | Shape::Option(_) | Shape::Seq(_) | Shape::Map(..) => true,
        Shape::Tuple(items) => items.iter().all(ends),
        Shape::Struct { fields, .. } => fields.iter().all(|(_, field)| ends(field)),
        Shape::Enum { variants, .. } => variants.iter().any(|(_, content)| ends(content)),
        Shape::Above(_) => false,
    }
}
