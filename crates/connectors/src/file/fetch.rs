//! Reads splits beside the task and hands over blocks of whole lines.

use bytes::{Bytes, BytesMut};
use flott_filesystem::FileSystems;
use flott_network::Waker;
use flott_operators::TaskError;
use tokio::sync::mpsc;

use super::FileSplit;

/// Bytes asked for at once.
const CHUNK: usize = 1 << 20;
/// A longer line is an error: it would be held in memory whole.
const LONGEST_LINE: usize = 64 << 20;

/// A block of whole lines; the last line of a file may lack its newline.
pub(super) type Block = Result<Bytes, TaskError>;

/// Reads all splits in order into the channel. Ends early when the reader is gone.
pub(super) async fn fetch(
    files: std::sync::Arc<FileSystems>,
    splits: Vec<FileSplit>,
    blocks: mpsc::Sender<Block>,
    task: Waker,
) {
    for split in splits {
        let result = fetch_split(&files, &split, &blocks, &task).await;
        let end = match result {
            Ok(wanted) => !wanted,
            Err(error) => {
                let _ = blocks.send(Err(error)).await;
                true
            }
        };
        if end {
            break;
        }
    }
    drop(blocks);
    task.wake();
}

/// Whether the reader still wants blocks.
async fn fetch_split(
    files: &FileSystems,
    split: &FileSplit,
    blocks: &mpsc::Sender<Block>,
    task: &Waker,
) -> Result<bool, TaskError> {
    let failed = |error: flott_filesystem::FileSystemError| {
        TaskError::transient(format!("input '{}' cannot be read: {error}", split.uri))
    };
    let (fs, path) = files.resolve(&split.uri).map_err(failed)?;
    let file = fs.open(&path).await.map_err(failed)?;
    let mut lines = SplitLines::new(split);
    while let Some((offset, length)) = lines.wanted(file.len()) {
        let chunk = file.read_at(offset, length).await.map_err(failed)?;
        if chunk.is_empty() {
            return Err(TaskError::transient(format!(
                "input '{}' became shorter while it was read",
                split.uri
            )));
        }
        if let Some(block) = lines.add(chunk, file.len())? {
            if blocks.send(Ok(block)).await.is_err() {
                return Ok(false);
            }
            task.wake();
        }
    }
    Ok(true)
}

/// Which bytes of a file belong to a split, without I/O: the lines that begin in it.
struct SplitLines {
    uri: String,
    /// First byte not read yet.
    next: u64,
    end: u64,
    /// Bytes before `next` that belong to a line whose end is not seen yet.
    partial: BytesMut,
    /// The split begins inside a line (perhaps): skip to its end.
    skipping: bool,
    done: bool,
}

impl SplitLines {
    fn new(split: &FileSplit) -> Self {
        // One byte early: if that is a newline, the first line is ours.
        let skipping = split.start > 0;
        Self {
            uri: split.uri.clone(),
            next: split.start - u64::from(skipping),
            end: split.start + split.length,
            partial: BytesMut::new(),
            skipping,
            done: split.length == 0,
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

    /// Takes what was read at `next`; gives the whole lines it completes.
    fn add(&mut self, mut chunk: Bytes, file_length: u64) -> Result<Option<Bytes>, TaskError> {
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
            if self.partial.len() > LONGEST_LINE {
                return Err(TaskError::user(format!(
                    "input '{}' has a line of more than {} MiB",
                    self.uri,
                    LONGEST_LINE >> 20
                )));
            }
            return Ok(None);
        };
        let rest = chunk.split_off(cut);
        let block = if self.partial.is_empty() {
            chunk
        } else {
            self.partial.extend_from_slice(&chunk);
            self.partial.split().freeze()
        };
        if !self.done {
            self.partial.extend_from_slice(&rest);
        }
        Ok(Some(block))
    }

    /// How many bytes of the chunk (which begins at `at`) complete lines of this split.
    fn cut(&mut self, at: u64, chunk: &[u8], file_length: u64) -> Option<usize> {
        // The line that holds the last byte of the split is its last one.
        let last = self.end - 1;
        if self.next > last {
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
        if self.next > last {
            None
        } else {
            memchr::memrchr(b'\n', chunk).map(|at| at + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(content: &[u8], start: usize, length: usize, chunk: usize) -> Vec<u8> {
        let split = FileSplit {
            uri: "f".to_owned(),
            start: start as u64,
            length: length as u64,
        };
        let mut lines = SplitLines::new(&split);
        let mut out = Vec::new();
        while let Some((offset, wanted)) = lines.wanted(content.len() as u64) {
            let from = offset as usize;
            let piece = Bytes::copy_from_slice(&content[from..from + wanted.min(chunk)]);
            if let Some(block) = lines.add(piece, content.len() as u64).unwrap() {
                out.extend_from_slice(&block);
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
                let part = read(text.as_bytes(), start, length, chunk);
                let ends_whole = part.is_empty() || part.ends_with(b"\n");
                all.extend_from_slice(&part);
                prop_assert!(ends_whole || all.len() == text.len());
                start += length;
            }
            prop_assert_eq!(String::from_utf8(all).unwrap(), text);
        }
    }
}
