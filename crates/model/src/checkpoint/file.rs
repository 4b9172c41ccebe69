//! The bytes of a `_metadata` file: a mark, the version, the length, the content, a checksum.

use prost::Message as _;

use super::{CHECKPOINT_VERSION, CheckpointMetadata, checkpoint_version};

/// How a `_metadata` file begins.
const MARK: &[u8; 4] = b"FLTM";
/// Mark, version, length.
const HEADER: usize = 4 + 4 + 8;
/// The checksum at the end.
const CHECKSUM: usize = 4;

/// Why bytes are not a `_metadata` file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Something else.
    #[error("it is not the metadata of a Flott checkpoint (it does not begin with FLTM)")]
    Foreign,
    /// Written by a later version.
    #[error(
        "it has version {found}, and this version of Flott reads up to {CHECKPOINT_VERSION}: use a \
         newer one"
    )]
    Newer {
        /// The version.
        found: u32,
    },
    /// Some of it is missing, or there is more.
    #[error("it has {found} bytes where {expected} were written: it is cut off or damaged")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: u64,
    },
    /// It was changed.
    #[error("it is damaged: its checksum does not match")]
    Checksum,
    /// It cannot be understood in spite of a right checksum.
    #[error("it is damaged: {0}")]
    Content(String),
}

impl CheckpointMetadata {
    /// The bytes of the file.
    pub fn to_file(&self) -> Vec<u8> {
        let length = self.encoded_len();
        let mut bytes = Vec::with_capacity(HEADER + length + CHECKSUM);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&checkpoint_version(&self.vertices).to_le_bytes());
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        bytes.extend_from_slice(&self.encode_to_vec());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// What the bytes of a file say.
    ///
    /// # Errors
    /// When they are anything else than a whole file that was written by this version or an earlier one.
    pub fn from_file(bytes: &[u8]) -> Result<Self, MetadataError> {
        let Some(rest) = bytes.strip_prefix(MARK) else {
            return Err(MetadataError::Foreign);
        };
        let cut = |expected| MetadataError::Length {
            found: bytes.len(),
            expected,
        };
        let smallest = (HEADER + CHECKSUM) as u64;
        let (version, rest) = rest.split_first_chunk().ok_or_else(|| cut(smallest))?;
        let version = u32::from_le_bytes(*version);
        if version > CHECKPOINT_VERSION {
            return Err(MetadataError::Newer { found: version });
        }
        let (length, rest) = rest.split_first_chunk().ok_or_else(|| cut(smallest))?;
        let length = u64::from_le_bytes(*length);
        let expected = length.saturating_add(smallest);
        if bytes.len() as u64 != expected {
            return Err(cut(expected));
        }
        let (content, checksum) = rest.split_last_chunk().ok_or_else(|| cut(expected))?;
        if crc32c::crc32c(&bytes[..bytes.len() - CHECKSUM]) != u32::from_le_bytes(*checksum) {
            return Err(MetadataError::Checksum);
        }
        Self::decode(content).map_err(|error| MetadataError::Content(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{StateHandle, SubtaskSnapshot, VertexSnapshot};

    fn metadata() -> CheckpointMetadata {
        CheckpointMetadata {
            version: CHECKPOINT_VERSION,
            job: "0f".repeat(16),
            job_name: "counts".to_owned(),
            id: 7,
            epoch: 1,
            vertices: vec![VertexSnapshot {
                uid: vec![1; 16],
                name: "Source".to_owned(),
                max_parallelism: 128,
                subtasks: vec![SubtaskSnapshot::default(); 3],
                ..VertexSnapshot::default()
            }],
            ..CheckpointMetadata::default()
        }
    }

    #[test]
    fn a_file_says_what_was_written() {
        let metadata = metadata();
        let file = metadata.to_file();
        assert_eq!(CheckpointMetadata::from_file(&file), Ok(metadata));
        // A file of the first version, as it is for ever.
        assert_eq!(&file[..8], b"FLTM\x01\0\0\0");
    }

    #[test]
    fn what_is_something_else_is_told() {
        let error = CheckpointMetadata::from_file(b"\xac\xed\0\x05").unwrap_err();
        assert_eq!(error, MetadataError::Foreign);
        let mut newer = metadata().to_file();
        newer[4] = 9;
        let error = CheckpointMetadata::from_file(&newer).unwrap_err();
        assert_eq!(error, MetadataError::Newer { found: 9 });
    }

    proptest! {
        #[test]
        fn damage_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8_u32, cut in any::<prop::sample::Index>()) {
            let file = metadata().to_file();
            let mut flipped = file.clone();
            flipped[at.index(file.len())] ^= 1 << bit;
            prop_assert!(CheckpointMetadata::from_file(&flipped).is_err());
            prop_assert!(CheckpointMetadata::from_file(&file[..cut.index(file.len())]).is_err());
        }

        #[test]
        fn whatever_it_is_it_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut marked = MARK.to_vec();
            marked.extend_from_slice(&bytes);
            let _ = CheckpointMetadata::from_file(&marked);
            let _ = CheckpointMetadata::from_file(&bytes);
            let _ = StateHandle::decode(bytes.as_slice());
        }
    }
}
