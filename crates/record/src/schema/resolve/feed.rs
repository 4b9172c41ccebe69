//! Where the values of an old layout come from: bytes, or invention.

use super::frame::Frame;
use super::trial::Trial;
use super::{Scalar, Trouble};
use crate::codec::{CodecError, Fault, MAX_EMPTY_ELEMENTS};

pub(super) enum Feed<'de> {
    Bytes(Bytes<'de>),
    Trial(Trial),
}

/// An integer of any type.
#[derive(Debug, Clone, Copy)]
pub(super) enum Integer {
    Signed(i128),
    Unsigned(u128),
}

impl Feed<'_> {
    pub(super) fn integer(
        &mut self,
        frame: &Frame<'_>,
        scalar: Scalar,
    ) -> Result<Integer, Trouble> {
        match self {
            Self::Bytes(bytes) => bytes.integer(scalar),
            Self::Trial(trial) => trial.integer(frame),
        }
    }

    pub(super) fn bool(&mut self, frame: &Frame<'_>) -> Result<bool, Trouble> {
        match self {
            Self::Bytes(bytes) => bytes.flag("bool (0 or 1)"),
            Self::Trial(trial) => trial.bool(frame),
        }
    }

    /// A float of either width: 32 bits fit into 64.
    pub(super) fn float(&mut self, frame: &Frame<'_>, scalar: Scalar) -> Result<f64, Trouble> {
        match self {
            Self::Bytes(bytes) if scalar == Scalar::F32 => {
                Ok(f32::from_le_bytes(bytes.array("f32")?).into())
            }
            Self::Bytes(bytes) => Ok(f64::from_le_bytes(bytes.array("f64")?)),
            Self::Trial(trial) => trial.float(frame),
        }
    }

    pub(super) fn char(&mut self, frame: &Frame<'_>) -> Result<char, Trouble> {
        match self {
            Self::Bytes(bytes) => {
                let word = bytes.word("char")?;
                char::from_u32(word).ok_or_else(|| {
                    CodecError::new(Fault::InvalidValue {
                        expected: "char (a Unicode scalar value)",
                        found: word,
                    })
                    .into()
                })
            }
            Self::Trial(trial) => trial.char(frame),
        }
    }

    /// Whether an option has a value.
    pub(super) fn is_some(&mut self, frame: &Frame<'_>) -> Result<bool, Trouble> {
        match self {
            Self::Bytes(bytes) => bytes.flag("tag of an option (0 or 1)"),
            Self::Trial(_) => Ok(!frame.again),
        }
    }

    /// How many elements follow.
    pub(super) fn length(&mut self, frame: &Frame<'_>) -> Result<u32, Trouble> {
        match self {
            Self::Bytes(bytes) => bytes.length(),
            Self::Trial(_) => Ok(u32::from(!frame.again)),
        }
    }

    /// The number of a variant.
    pub(super) fn variant(&mut self, frame: &Frame<'_>) -> Result<u32, Trouble> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.word("u32 variant index")?),
            Self::Trial(trial) => trial.variant(frame),
        }
    }

    /// To be called around each element of a sequence or map: those without bytes are counted.
    pub(super) fn position(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.input.len(),
            Self::Trial(_) => 0,
        }
    }

    pub(super) fn element_read(&mut self, before: usize) -> Result<(), Trouble> {
        if let Self::Bytes(bytes) = self
            && bytes.input.len() == before
        {
            if bytes.empty == MAX_EMPTY_ELEMENTS {
                return Err(CodecError::new(Fault::TooManyEmptyElements).into());
            }
            bytes.empty += 1;
        }
        Ok(())
    }

    /// What may be reserved for so many elements.
    pub(super) fn hint(&self, elements: u32) -> usize {
        match self {
            Self::Bytes(bytes) => (elements as usize).min(bytes.input.len()),
            Self::Trial(_) => 0,
        }
    }
}

impl<'de> Feed<'de> {
    pub(super) fn str(&mut self, frame: &Frame<'_>) -> Result<&'de str, Trouble> {
        match self {
            Self::Bytes(bytes) => {
                let bytes = bytes.bytes("a string")?;
                std::str::from_utf8(bytes).map_err(|error| {
                    CodecError::new(Fault::InvalidUtf8 {
                        valid_up_to: error.valid_up_to(),
                    })
                    .into()
                })
            }
            Self::Trial(trial) => trial.str(frame),
        }
    }

    pub(super) fn bytes(&mut self, frame: &Frame<'_>) -> Result<&'de [u8], Trouble> {
        match self {
            Self::Bytes(bytes) => bytes.bytes("bytes"),
            Self::Trial(trial) => trial.bytes(frame),
        }
    }
}

/// The reading of the codec, value by value.
pub(super) struct Bytes<'de> {
    input: &'de [u8],
    /// Elements that took no bytes so far.
    empty: u32,
}

impl<'de> Bytes<'de> {
    pub(super) fn new(input: &'de [u8]) -> Self {
        Self { input, empty: 0 }
    }

    pub(super) fn rest(&self) -> &'de [u8] {
        self.input
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], CodecError> {
        let Some((head, rest)) = self.input.split_first_chunk::<N>() else {
            return Err(self.unexpected_end(expected, N));
        };
        self.input = rest;
        Ok(*head)
    }

    fn unexpected_end(&self, expected: &'static str, needed: usize) -> CodecError {
        CodecError::new(Fault::UnexpectedEnd {
            expected,
            needed,
            remaining: self.input.len(),
        })
    }

    fn word(&mut self, expected: &'static str) -> Result<u32, CodecError> {
        self.array(expected).map(u32::from_le_bytes)
    }

    fn flag(&mut self, expected: &'static str) -> Result<bool, Trouble> {
        match self.array(expected)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [found] => Err(CodecError::new(Fault::InvalidValue {
                expected,
                found: u32::from(found),
            })
            .into()),
        }
    }

    fn bytes(&mut self, expected: &'static str) -> Result<&'de [u8], Trouble> {
        let length = self.word("u32 length")? as usize;
        let Some((head, rest)) = self.input.split_at_checked(length) else {
            return Err(self.unexpected_end(expected, length).into());
        };
        self.input = rest;
        Ok(head)
    }

    fn length(&mut self) -> Result<u32, Trouble> {
        let length = self.word("u32 length")?;
        let spare = (MAX_EMPTY_ELEMENTS - self.empty) as usize;
        let remaining = self.input.len();
        if length as usize > remaining.saturating_add(spare) {
            return Err(CodecError::new(Fault::LengthExceedsInput { length, remaining }).into());
        }
        Ok(length)
    }

    fn integer(&mut self, scalar: Scalar) -> Result<Integer, Trouble> {
        let name = scalar.name();
        Ok(match scalar {
            Scalar::I8 => Integer::Signed(i8::from_le_bytes(self.array(name)?).into()),
            Scalar::I16 => Integer::Signed(i16::from_le_bytes(self.array(name)?).into()),
            Scalar::I32 => Integer::Signed(i32::from_le_bytes(self.array(name)?).into()),
            Scalar::I64 => Integer::Signed(i64::from_le_bytes(self.array(name)?).into()),
            Scalar::I128 => Integer::Signed(i128::from_le_bytes(self.array(name)?)),
            Scalar::U8 => Integer::Unsigned(u8::from_le_bytes(self.array(name)?).into()),
            Scalar::U16 => Integer::Unsigned(u16::from_le_bytes(self.array(name)?).into()),
            Scalar::U32 => Integer::Unsigned(u32::from_le_bytes(self.array(name)?).into()),
            Scalar::U64 => Integer::Unsigned(u64::from_le_bytes(self.array(name)?).into()),
            _ => Integer::Unsigned(u128::from_le_bytes(self.array(name)?)),
        })
    }
}
