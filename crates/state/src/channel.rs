//! What was on its way in a channel when a barrier overtook it, as a blob of a checkpoint.
//!
//! ```text
//! magic "FLCH" | version u8 | schema u64 | elements | crc32c u32 of all before
//! rows      : 1 | flags u8 (1: each row after its event time) | rows u32 | bytes u32 | payload
//! watermark : 2 | i64
//! idle      : 3         active : 4
//! ```
//! Little endian. Nothing that is read makes it panic, or reserve memory that is not there.

use std::fmt;

const MAGIC: &[u8; 4] = b"FLCH";
const VERSION: u8 = 1;
const HEADER: usize = MAGIC.len() + 1 + 8;
const CHECKSUM: usize = 4;
const TIMED: u8 = 1;

/// Something on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelElement {
    /// Encoded rows.
    Rows {
        /// One row after the other.
        payload: Vec<u8>,
        /// How many.
        rows: u32,
        /// Each comes after its event time.
        timed: bool,
    },
    /// No row with this event time or a smaller one follows.
    Watermark(i64),
    /// Nothing is to be expected for a while.
    Idle,
    /// The end of that.
    Active,
}

/// Why a blob is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelStateError {
    /// It is something else.
    #[error("it does not begin like the state of a channel")]
    Magic,
    /// A later release wrote it.
    #[error("it has version {found} of the format, and this release knows up to {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Bytes were changed or lost.
    #[error("its checksum is wrong")]
    Checksum,
    /// It ends in the middle.
    #[error("it ends inside {0}")]
    Cut(Part),
    /// An element of no known kind.
    #[error("it has an element of unknown kind {0}")]
    Kind(u8),
    /// The records have another layout now.
    #[error("its records have another layout than those of the job")]
    Schema,
}

/// What a blob ends inside of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What comes before the elements.
    Header,
    /// Some element.
    Element,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Header => "its header",
            Self::Element => "an element",
        })
    }
}

/// Writes elements one after the other.
#[derive(Debug)]
pub struct ChannelBlob(Vec<u8>);

impl ChannelBlob {
    /// Of records with that layout; 0 if nobody knows it.
    pub fn new(schema: u64) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        bytes.extend_from_slice(&schema.to_le_bytes());
        Self(bytes)
    }

    /// Appends rows that `encode` writes.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn rows<E>(
        &mut self,
        rows: u32,
        timed: bool,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0.push(1);
        self.0.push(if timed { TIMED } else { 0 });
        self.0.extend_from_slice(&rows.to_le_bytes());
        let length = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        encode(&mut self.0)?;
        // A batch has a few thousand rows, and a record less than 2^31 bytes.
        let bytes = (self.0.len() - length - 4) as u32;
        self.0[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
        Ok(())
    }

    /// Appends a watermark.
    pub fn watermark(&mut self, watermark: i64) {
        self.0.push(2);
        self.0.extend_from_slice(&watermark.to_le_bytes());
    }

    /// Appends the begin or the end of idleness.
    pub fn idle(&mut self, idle: bool) {
        self.0.push(if idle { 3 } else { 4 });
    }

    /// The blob.
    pub fn finish(mut self) -> Vec<u8> {
        let checksum = crc32c::crc32c(&self.0);
        self.0.extend_from_slice(&checksum.to_le_bytes());
        self.0
    }
}

/// Reads a blob of records with that layout; 0 if nobody knows it.
///
/// # Errors
/// If it is damaged, or of other records.
pub fn read_channel(bytes: &[u8], schema: u64) -> Result<Vec<ChannelElement>, ChannelStateError> {
    let header = bytes
        .get(..HEADER)
        .ok_or(ChannelStateError::Cut(Part::Header))?;
    if header[..4] != *MAGIC {
        return Err(ChannelStateError::Magic);
    }
    if header[4] != VERSION {
        return Err(ChannelStateError::Version { found: header[4] });
    }
    let end = bytes.len().saturating_sub(CHECKSUM);
    if end < HEADER {
        return Err(ChannelStateError::Cut(Part::Header));
    }
    let (checked, checksum) = bytes.split_at(end);
    if checksum != crc32c::crc32c(checked).to_le_bytes() {
        return Err(ChannelStateError::Checksum);
    }
    let mut reader = Reader(&checked[5..]);
    let found = u64::from_le_bytes(reader.array()?);
    if found != schema && found != 0 && schema != 0 {
        return Err(ChannelStateError::Schema);
    }
    let mut elements = Vec::new();
    while !reader.0.is_empty() {
        elements.push(reader.element()?);
    }
    Ok(elements)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ChannelStateError> {
        let cut = ChannelStateError::Cut(Part::Element);
        let (array, rest) = self.0.split_first_chunk().ok_or(cut)?;
        self.0 = rest;
        Ok(*array)
    }

    fn element(&mut self) -> Result<ChannelElement, ChannelStateError> {
        let [kind] = self.array()?;
        match kind {
            1 => {
                let [flags] = self.array()?;
                let rows = u32::from_le_bytes(self.array()?);
                let bytes = u32::from_le_bytes(self.array()?) as usize;
                let cut = ChannelStateError::Cut(Part::Element);
                let (payload, rest) = self.0.split_at_checked(bytes).ok_or(cut)?;
                self.0 = rest;
                Ok(ChannelElement::Rows {
                    payload: payload.to_vec(),
                    rows,
                    timed: flags & TIMED != 0,
                })
            }
            2 => Ok(ChannelElement::Watermark(i64::from_le_bytes(self.array()?))),
            3 => Ok(ChannelElement::Idle),
            4 => Ok(ChannelElement::Active),
            other => Err(ChannelStateError::Kind(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(schema: u64, elements: &[ChannelElement]) -> Vec<u8> {
        let mut blob = ChannelBlob::new(schema);
        for element in elements {
            match element {
                ChannelElement::Rows {
                    payload,
                    rows,
                    timed,
                } => blob
                    .rows(*rows, *timed, |out| {
                        out.extend_from_slice(payload);
                        Ok::<_, ()>(())
                    })
                    .unwrap(),
                ChannelElement::Watermark(watermark) => blob.watermark(*watermark),
                ChannelElement::Idle => blob.idle(true),
                ChannelElement::Active => blob.idle(false),
            }
        }
        blob.finish()
    }

    fn elements() -> impl Strategy<Value = Vec<ChannelElement>> {
        let rows = (
            prop::collection::vec(any::<u8>(), 0..40),
            any::<u32>(),
            any::<bool>(),
        );
        let element = prop_oneof![
            rows.prop_map(|(payload, rows, timed)| ChannelElement::Rows {
                payload,
                rows,
                timed
            }),
            any::<i64>().prop_map(ChannelElement::Watermark),
            Just(ChannelElement::Idle),
            Just(ChannelElement::Active),
        ];
        prop::collection::vec(element, 0..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(schema: u64, elements in elements()) {
            let bytes = write(schema, &elements);
            prop_assert_eq!(read_channel(&bytes, schema), Ok(elements.clone()));
            prop_assert_eq!(read_channel(&bytes, 0), Ok(elements));
        }

        #[test]
        fn damage_is_refused(
            elements in elements(),
            at: prop::sample::Index,
            flip in 1..=255_u8,
        ) {
            let bytes = write(7, &elements);
            let mut flipped = bytes.clone();
            let at = at.index(bytes.len());
            flipped[at] ^= flip;
            prop_assert!(read_channel(&flipped, 7).is_err());
            prop_assert!(read_channel(&bytes[..at], 7).is_err());
        }

        /// With a checksum that is right, so that all behind it is reached.
        #[test]
        fn nonsense_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut blob = ChannelBlob::new(0);
            blob.0.extend_from_slice(&bytes);
            let _ = read_channel(&blob.finish(), 0);
        }
    }

    #[test]
    fn each_kind_of_damage_has_its_name() {
        let good = write(7, &[ChannelElement::Idle]);
        let check = |bytes: &[u8], schema| read_channel(bytes, schema).unwrap_err().to_string();
        let sealed = |body: &[u8]| {
            let mut blob = ChannelBlob::new(7);
            blob.0.extend_from_slice(body);
            blob.finish()
        };
        assert_eq!(check(&good[..9], 7), "it ends inside its header");
        assert_eq!(
            check(b"something else", 7),
            "it does not begin like the state of a channel"
        );
        let mut later = good.clone();
        later[4] = 9;
        assert!(check(&later, 7).contains("version 9"));
        assert_eq!(check(&good[..good.len() - 1], 7), "its checksum is wrong");
        assert_eq!(check(&sealed(&[2, 0]), 7), "it ends inside an element");
        assert_eq!(
            check(&sealed(&[99]), 7),
            "it has an element of unknown kind 99"
        );
        assert!(check(&good, 8).contains("another layout"));
    }
}
