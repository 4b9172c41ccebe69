//! A blob in a file, with its checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flott_state::StateBlob;

/// Bytes that are checked at once.
const CHUNK: usize = 1 << 20;

/// Where a blob is, and what its checksum must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksum: u32,
}

impl Range {
    pub(super) fn line(&self) -> String {
        format!("{} {} {:08x}\n", self.offset, self.length, self.checksum)
    }

    /// `None` if that is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let range = Self {
            offset: words.next()?.parse().ok()?,
            length: words.next()?.parse().ok()?,
            checksum: u32::from_str_radix(words.next()?, 16).ok()?,
        };
        words.next().is_none().then_some(range)
    }
}

/// It, opened and checked. Deleting the file does not take it away.
pub(super) struct FileRange {
    file: File,
    path: PathBuf,
    range: Range,
}

impl FileRange {
    pub(super) fn open(path: &Path, range: Range) -> io::Result<Self> {
        let file = File::open(path)?;
        let (mut at, mut checksum) = (0, 0);
        let mut chunk = vec![0; CHUNK];
        while at < range.length {
            let length = (range.length - at).min(CHUNK as u64) as usize;
            let chunk = &mut chunk[..length];
            file.read_exact_at(chunk, range.offset.saturating_add(at))?;
            checksum = crc32c::crc32c_append(checksum, chunk);
            at += length as u64;
        }
        if checksum != range.checksum {
            let what = "its checksum is another one";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let path = path.to_owned();
        Ok(Self { file, path, range })
    }
}

impl StateBlob for FileRange {
    fn len(&self) -> u64 {
        self.range.length
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.saturating_add(into.len() as u64);
        if end > self.range.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_exact_at(into, self.range.offset + offset)
    }

    fn name(&self) -> String {
        format!("the copy '{}'", self.path.display())
    }
}
