//! The text source of one subtask: lines out of the blocks that are fetched beside it.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::source::{Progress, Reader};
use flott_operators::{SubtaskContext, TaskError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::FileSplit;
use super::fetch::{Block, fetch};

/// Blocks fetched ahead.
const BLOCKS_AHEAD: usize = 3;

/// Emits the lines of its splits, without their line ends (`\n`, `\r\n`). Bytes that are not
/// UTF-8 become U+FFFD.
pub struct TextReader {
    blocks: mpsc::Receiver<Block>,
    block: Bytes,
}

impl TextReader {
    /// Begins to fetch the splits.
    pub fn new(splits: Vec<FileSplit>, context: &SubtaskContext) -> Self {
        let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
        context.io.spawn(fetch(
            Arc::clone(&context.files),
            splits,
            sender,
            context.waker.clone(),
        ));
        Self {
            blocks,
            block: Bytes::new(),
        }
    }

    fn next_block(&mut self) -> Result<Progress, TaskError> {
        match self.blocks.try_recv() {
            Ok(block) => {
                self.block = block?;
                Ok(Progress::More)
            }
            Err(TryRecvError::Empty) => Ok(Progress::Pending),
            Err(TryRecvError::Disconnected) => Ok(Progress::End),
        }
    }
}

impl Reader for TextReader {
    type Out = String;

    fn fill(&mut self, out: &mut Batch<String>) -> Result<Progress, TaskError> {
        if self.block.is_empty() {
            let progress = self.next_block()?;
            if progress != Progress::More {
                return Ok(progress);
            }
        }
        while out.len() < batch_rows::<String>() && !self.block.is_empty() {
            let (line, length) = match memchr::memchr(b'\n', &self.block) {
                Some(newline) => (&self.block[..newline], newline + 1),
                None => (&self.block[..], self.block.len()),
            };
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            out.push(String::from_utf8_lossy(line).into_owned(), NO_TIMESTAMP);
            self.block.advance(length);
        }
        Ok(Progress::More)
    }
}
