//! Reads from afar what a subtask needs of a keyed blob: its index, and the blocks with rows of its key groups.

use std::io;
use std::ops::Range;

use flott_filesystem::{FileReader, FileSystemError, READ_CHUNK};
use flott_state::{BLOB_END_BYTES, StateBlob, blob_index, needed_of_blob};

/// Blobs up to that size are read as a whole: asking twice takes longer.
const WHOLE: u64 = 1 << 20;
/// The first read, from the end: mostly the index is in it.
const END: u64 = 64 << 10;

/// The parts of a blob that were read.
pub(super) struct Parts {
    length: u64,
    /// Ascending, with where each begins.
    parts: Vec<(u64, Vec<u8>)>,
    name: String,
}

impl Parts {
    /// Bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, part)| part.len() as u64).sum()
    }
}

impl StateBlob for Parts {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let at = self.parts.partition_point(|(begin, _)| *begin <= offset);
        let part = at.checked_sub(1).and_then(|at| self.parts.get(at));
        let bytes = part.and_then(|(begin, part)| {
            let from = usize::try_from(offset - begin).ok()?;
            part.get(from..)?.get(..into.len())
        });
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(bytes);
        Ok(())
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// A blob in a file.
pub(super) struct Stored<'f> {
    pub(super) reader: &'f dyn FileReader,
    pub(super) offset: u64,
    pub(super) length: u64,
    /// Of the file.
    pub(super) name: &'f str,
}

impl Stored<'_> {
    /// What some key groups need of it; all of it if it is small, or is no blob: opening it says so then.
    pub(super) async fn needed(&self, key_groups: &Range<u32>) -> Result<Parts, FileSystemError> {
        match self.parts(key_groups).await? {
            Some(parts) => Ok(self.of(parts)),
            None => self.whole().await,
        }
    }

    /// All of it.
    pub(super) async fn whole(&self) -> Result<Parts, FileSystemError> {
        let all = self.range(0..self.length).await?;
        Ok(self.of(vec![(0, all)]))
    }

    fn of(&self, parts: Vec<(u64, Vec<u8>)>) -> Parts {
        Parts {
            length: self.length,
            parts,
            name: self.name.to_owned(),
        }
    }

    async fn parts(
        &self,
        key_groups: &Range<u32>,
    ) -> Result<Option<Vec<(u64, Vec<u8>)>>, FileSystemError> {
        if self.length <= WHOLE {
            return Ok(None);
        }
        let behind = self.length - END;
        let end = self.range(behind..self.length).await?;
        let trailer = end.len().saturating_sub(BLOB_END_BYTES as usize);
        let Some(index) = blob_index(self.length, &end[trailer..]) else {
            return Ok(None);
        };
        let read;
        let bytes = if index.start >= behind {
            let (from, to) = (index.start - behind, index.end - behind);
            end.get(from as usize..to as usize)
        } else {
            read = self.range(index.clone()).await?;
            Some(&read[..])
        };
        let ranges = bytes.and_then(|it| needed_of_blob(self.length, &index, it, key_groups));
        let Some(ranges) = ranges else {
            return Ok(None);
        };
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            parts.push((range.start, self.range(range).await?));
        }
        Ok(Some(parts))
    }

    /// Bytes of the blob; fewer if the file ends before.
    async fn range(&self, range: Range<u64>) -> Result<Vec<u8>, FileSystemError> {
        let begin = self.offset.saturating_add(range.start);
        let wanted = range.end.saturating_sub(range.start);
        // A damaged length must not reserve memory for what is not there.
        let there = self.reader.len().saturating_sub(begin).min(wanted);
        let mut bytes = Vec::with_capacity(usize::try_from(there).unwrap_or(0));
        while (bytes.len() as u64) < there {
            let at = bytes.len() as u64;
            let wanted = (there - at).min(READ_CHUNK as u64) as usize;
            let chunk = self.reader.read_at(begin + at, wanted).await?;
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flott_filesystem::FileSystems;
    use flott_record::hash::stable_hash;
    use flott_state::{Compression, KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator};

    use super::*;

    const ROWS: u64 = 50_000;

    fn blob() -> Vec<u8> {
        let mut table = KeyedTable::<u64, String>::new();
        for key in 0..ROWS {
            let value = format!("a value that takes some room: {key}");
            table.insert(stable_hash(&key), key, value);
        }
        let mut snapshot = OperatorSnapshot::new(128);
        snapshot.table("rows", &mut table).unwrap();
        let mut bytes = Vec::new();
        let encoded = snapshot.encode(Compression::None, &mut bytes, &mut Vec::new());
        encoded.unwrap();
        bytes
    }

    /// What subtask 1 of so many reads of a blob that begins at 3.
    async fn read(file: Vec<u8>, length: u64, parallelism: u32) -> (Parts, RestorePlace) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state");
        std::fs::write(&path, file).unwrap();
        let files = FileSystems::new(BTreeMap::new(), None, None).unwrap();
        let (fs, inside) = files.resolve(path.to_str().unwrap()).unwrap();
        let reader = fs.open(&inside).await.unwrap();
        let stored = Stored {
            reader: &*reader,
            offset: 3,
            length,
            name: "state",
        };
        let place = RestorePlace::new(1, parallelism, 128, 1);
        (stored.needed(&place.key_groups).await.unwrap(), place)
    }

    #[tokio::test]
    async fn a_share_of_the_keys_needs_a_share_of_the_bytes() {
        let bytes = blob();
        let length = bytes.len() as u64;
        assert!(length > 2 * WHOLE);
        let file = [b"...", &bytes[..], b"more"].concat();
        let (parts, place) = read(file, length, 4).await;
        assert_eq!(parts.len(), length);
        assert!(parts.bytes() < length / 3, "{} of {length}", parts.bytes());
        let from = RestoredOperator::open(place.clone(), vec![Box::new(parts)], Vec::new());
        let table = from.unwrap().table::<u64, String>("rows").unwrap();
        let whole = RestoredOperator::open(place, vec![Box::new(bytes)], Vec::new());
        let expected = whole.unwrap().table::<u64, String>("rows").unwrap();
        assert_eq!(table.len(), expected.len());
        for (hash, key, value) in expected.iter() {
            assert_eq!(table.get(hash, key), Some(value));
        }
    }

    #[tokio::test]
    async fn what_is_no_blob_is_refused_by_its_name() {
        let bytes = vec![7; 2 * WHOLE as usize + 3];
        let (parts, place) = read(bytes, 2 * WHOLE, 4).await;
        assert_eq!(parts.bytes(), 2 * WHOLE);
        let error = RestoredOperator::open(place, vec![Box::new(parts)], Vec::new());
        let error = error.err().unwrap().to_string();
        assert!(error.contains("state"), "{error}");
    }
}
