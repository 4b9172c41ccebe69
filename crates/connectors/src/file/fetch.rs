//! Reads splits beside the task and hands over blocks of whole records.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use flott_filesystem::{FileReader, FileSystemError, FileSystems};
use flott_operators::TaskError;
use flott_operators::source::HandoverSender;

use super::FileSplit;
use super::format::Framing;

/// Bytes asked for at once.
const CHUNK: usize = 1 << 20;
/// Bytes asked for at once, for the first record of a file.
const HEADER_CHUNK: usize = 64 << 10;
/// A longer record is an error: it would be held in memory whole.
const LONGEST_RECORD: usize = 64 << 20;

/// What is handed over, in this order.
pub(super) enum Fetched {
    /// The first record of the file, if its format has one.
    Header(Bytes),
    /// Whole records; the last one of a file may lack its line end.
    Block {
        /// Where it begins in the file.
        start: u64,
        bytes: Bytes,
    },
    /// Nothing follows.
    Failed(TaskError),
}

/// Reads a split into the queue. Ends early when the reader is gone.
pub(super) async fn fetch(
    files: Arc<FileSystems>,
    split: FileSplit,
    framing: Framing,
    has_header: bool,
    blocks: HandoverSender<Fetched>,
) {
    if let Err(error) = fetch_split(&files, split, framing, has_header, &blocks).await {
        blocks.send(Fetched::Failed(error)).await;
    }
}

fn unreadable(uri: &str, error: &FileSystemError) -> TaskError {
    TaskError::transient(format!("input '{uri}' cannot be read: {error}"))
}

async fn fetch_split(
    files: &FileSystems,
    mut split: FileSplit,
    framing: Framing,
    has_header: bool,
    blocks: &HandoverSender<Fetched>,
) -> Result<(), TaskError> {
    let uri = split.uri.clone();
    let failed = |error: FileSystemError| unreadable(&uri, &error);
    let (fs, path) = files.resolve(&split.uri).map_err(failed)?;
    let file = fs.open(&path).await.map_err(failed)?;
    if has_header {
        let header = read_header(file.as_ref(), &uri, framing).await?;
        split.position = split.position.max(header.len() as u64);
        if !blocks.send(Fetched::Header(header)).await {
            return Ok(());
        }
    }
    let mut records = SplitRecords::new(&split, framing);
    let until = match framing {
        // The last line of a split may end behind it.
        Framing::Lines => file.len(),
        // A file that has grown since it was found.
        Framing::QuotedLines(_) => file.len().min(split.start + split.length),
    };
    while let Some((offset, length)) = records.wanted(until) {
        let chunk = read_chunk(file.as_ref(), &uri, offset, length).await?;
        if let Some((start, bytes)) = records.add(chunk, until)?
            && !blocks.send(Fetched::Block { start, bytes }).await
        {
            return Ok(());
        }
    }
    Ok(())
}

async fn read_chunk(
    file: &dyn FileReader,
    uri: &str,
    offset: u64,
    length: usize,
) -> Result<Bytes, TaskError> {
    let chunk = file.read_at(offset, length).await;
    let chunk = chunk.map_err(|error| unreadable(uri, &error))?;
    if chunk.is_empty() {
        return Err(TaskError::transient(format!(
            "input '{uri}' became shorter while it was read"
        )));
    }
    Ok(chunk)
}

/// The first record of a file, with its line end.
async fn read_header(
    file: &dyn FileReader,
    uri: &str,
    framing: Framing,
) -> Result<Bytes, TaskError> {
    let (mut header, mut ends) = (BytesMut::new(), Ends::new(framing));
    while (header.len() as u64) < file.len() {
        let chunk = read_chunk(file, uri, header.len() as u64, HEADER_CHUNK).await?;
        if let Some(end) = ends.first(&chunk) {
            header.extend_from_slice(&chunk[..end]);
            return Ok(header.freeze());
        }
        header.extend_from_slice(&chunk);
        if header.len() > LONGEST_RECORD {
            return Err(too_long(uri));
        }
    }
    Ok(header.freeze())
}

/// The line, from 1, in which the byte at `position` is.
pub(super) async fn line_of(
    files: &FileSystems,
    uri: &str,
    position: u64,
) -> Result<u64, TaskError> {
    let failed = |error: FileSystemError| unreadable(uri, &error);
    let (fs, path) = files.resolve(uri).map_err(failed)?;
    let file = fs.open(&path).await.map_err(failed)?;
    let (mut at, mut line) = (0, 1);
    while at < position {
        let length = (position - at).min(CHUNK as u64) as usize;
        let chunk = read_chunk(file.as_ref(), uri, at, length).await?;
        line += memchr::memchr_iter(b'\n', &chunk).count() as u64;
        at += chunk.len() as u64;
    }
    Ok(line)
}

fn too_long(uri: &str) -> TaskError {
    TaskError::user(format!(
        "input '{uri}' has a line of more than {} MiB",
        LONGEST_RECORD >> 20
    ))
}

/// Finds ends of records in consecutive chunks of a file.
struct Ends {
    framing: Framing,
    quoted: bool,
}

impl Ends {
    fn new(framing: Framing) -> Self {
        Self {
            framing,
            quoted: false,
        }
    }

    /// Behind the last end in the chunk.
    fn last(&mut self, chunk: &[u8]) -> Option<usize> {
        match self.framing {
            Framing::Lines => memchr::memrchr(b'\n', chunk).map(|at| at + 1),
            Framing::QuotedLines(quote) => {
                let mut last = None;
                for at in memchr::memchr2_iter(b'\n', quote, chunk) {
                    if chunk[at] == quote {
                        self.quoted = !self.quoted;
                    } else if !self.quoted {
                        last = Some(at + 1);
                    }
                }
                last
            }
        }
    }

    /// Behind the first end in the chunk.
    fn first(&mut self, chunk: &[u8]) -> Option<usize> {
        match self.framing {
            Framing::Lines => memchr::memchr(b'\n', chunk).map(|at| at + 1),
            Framing::QuotedLines(quote) => {
                for at in memchr::memchr2_iter(b'\n', quote, chunk) {
                    if chunk[at] == quote {
                        self.quoted = !self.quoted;
                    } else if !self.quoted {
                        return Some(at + 1);
                    }
                }
                None
            }
        }
    }
}

/// Which bytes of a file belong to a split, without I/O: the records that begin in it.
struct SplitRecords {
    uri: String,
    /// First byte not read yet.
    next: u64,
    end: u64,
    /// Bytes before `next` that belong to a line whose end is not seen yet.
    partial: BytesMut,
    /// The split begins inside a line (perhaps): skip to its end.
    skipping: bool,
    done: bool,
    ends: Ends,
}

impl SplitRecords {
    fn new(split: &FileSplit, framing: Framing) -> Self {
        // One byte early: if that is a newline, the first line is ours.
        let skipping = split.position > 0 && framing == Framing::Lines;
        Self {
            uri: split.uri.clone(),
            next: split.position - u64::from(skipping),
            end: split.start + split.length,
            partial: BytesMut::new(),
            skipping,
            done: split.length == 0 || split.position >= split.start + split.length,
            ends: Ends::new(framing),
        }
    }

    /// Offset and length of what to read next.
    fn wanted(&self, file_length: u64) -> Option<(u64, usize)> {
        if self.done || self.next >= file_length {
            return None;
        }
        let length = (file_length - self.next).min(CHUNK as u64);
        Some((self.next, length as usize))
    }

    /// Takes what was read at `next`; gives the whole records it completes, and where they begin.
    fn add(
        &mut self,
        mut chunk: Bytes,
        file_length: u64,
    ) -> Result<Option<(u64, Bytes)>, TaskError> {
        let mut at = self.next;
        self.next += chunk.len() as u64;
        if self.skipping {
            let Some(newline) = memchr::memchr(b'\n', &chunk) else {
                return Ok(None);
            };
            let _ = chunk.split_to(newline + 1);
            at += newline as u64 + 1;
            self.skipping = false;
            if at >= self.end {
                self.done = true;
                return Ok(None);
            }
        }
        let Some(cut) = self.cut(at, &chunk, file_length) else {
            self.partial.extend_from_slice(&chunk);
            if self.partial.len() > LONGEST_RECORD {
                return Err(too_long(&self.uri));
            }
            return Ok(None);
        };
        let rest = chunk.split_off(cut);
        let start = at - self.partial.len() as u64;
        let block = if self.partial.is_empty() {
            chunk
        } else {
            self.partial.extend_from_slice(&chunk);
            self.partial.split().freeze()
        };
        if !self.done {
            self.partial.extend_from_slice(&rest);
        }
        Ok(Some((start, block)))
    }

    /// How many bytes of the chunk (which begins at `at`) complete lines of this split.
    fn cut(&mut self, at: u64, chunk: &[u8], file_length: u64) -> Option<usize> {
        // The line that holds the last byte of the split is its last one.
        let last = self.end - 1;
        if self.next > last && self.ends.framing == Framing::Lines {
            let from = usize::try_from(last.saturating_sub(at)).unwrap_or(usize::MAX);
            if let Some(newline) = memchr::memchr(b'\n', chunk.get(from..).unwrap_or_default()) {
                self.done = true;
                return Some(from + newline + 1);
            }
        }
        if self.next >= file_length {
            self.done = true;
            return Some(chunk.len());
        }
        if self.next > last && self.ends.framing == Framing::Lines {
            None
        } else {
            // Records with quoted line ends: the split is the whole file.
            self.ends.last(chunk)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(
        content: &[u8],
        (start, length): (usize, usize),
        chunk: usize,
        framing: Framing,
    ) -> Vec<Vec<u8>> {
        let split = FileSplit {
            uri: "f".to_owned(),
            start: start as u64,
            length: length as u64,
            position: start as u64,
        };
        let mut records = SplitRecords::new(&split, framing);
        let mut out = Vec::new();
        while let Some((offset, wanted)) = records.wanted(content.len() as u64) {
            let from = offset as usize;
            let piece = Bytes::copy_from_slice(&content[from..from + wanted.min(chunk)]);
            if let Some((at, block)) = records.add(piece, content.len() as u64).unwrap() {
                assert_eq!(content[at as usize..][..block.len()], block[..]);
                out.push(block.to_vec());
            }
        }
        out
    }

    proptest! {
        /// However a file is cut into splits and chunks, each byte is read once, in whole lines.
        #[test]
        fn splits_partition_the_lines(
            lines in proptest::collection::vec("[a-c]{0,12}", 0..30),
            newline_at_end in any::<bool>(),
            split in 1_usize..20,
            chunk in 1_usize..9,
        ) {
            let mut text = lines.join("\n");
            if newline_at_end {
                text.push('\n');
            }
            let mut all = Vec::new();
            let mut start = 0;
            while start < text.len() {
                let length = split.min(text.len() - start);
                let part = read(text.as_bytes(), (start, length), chunk, Framing::Lines).concat();
                let ends_whole = part.is_empty() || part.ends_with(b"\n");
                all.extend_from_slice(&part);
                prop_assert!(ends_whole || all.len() == text.len());
                start += length;
            }
            prop_assert_eq!(String::from_utf8(all).unwrap(), text);
        }
    }

    #[test]
    fn quoted_line_ends_do_not_end_records() {
        let text = b"a,\"b\nc\"\n\"d\"\"\n\"\"\",e\nf,g";
        for chunk in 1..text.len() {
            let blocks = read(text, (0, text.len()), chunk, Framing::QuotedLines(b'"'));
            assert_eq!(blocks.concat(), text);
            for block in &blocks {
                let quotes = block.iter().filter(|byte| **byte == b'"').count();
                assert!(quotes % 2 == 0, "{:?}", String::from_utf8_lossy(block));
            }
            if chunk == 1 {
                assert_eq!(blocks.len(), 3);
            }
        }
    }
}
