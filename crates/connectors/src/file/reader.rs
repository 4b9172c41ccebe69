//! The file source of one subtask: records out of the blocks that are fetched beside it.

use std::sync::Arc;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{Handed, Handover, ReaderContext, ReaderProgress, SourceReader};

use super::FileSplit;
use super::fetch::{Fetched, fetch, line_of};
use super::format::{BlockDecoder, FileFormat};

/// Blocks fetched ahead.
const BLOCKS_AHEAD: usize = 3;

/// Emits the records of its splits, one split after the other.
pub struct FileReader<F: FileFormat> {
    format: F,
    context: ReaderContext,
    open: Option<Open<F>>,
    prefetched: Option<(FileSplit, Handover<Fetched>)>,
    /// A record is bad; which line it is in is being found out.
    failing: Option<Handover<TaskError>>,
}

/// The split that is being read.
struct Open<F: FileFormat> {
    split: FileSplit,
    blocks: Handover<Fetched>,
    /// Made when it is known whether the file has a header.
    decoder: Option<F::Decoder>,
    header: Option<bytes::Bytes>,
    /// Where the block that is being decoded begins in the file.
    block_start: u64,
    in_block: bool,
}

impl<F: FileFormat> FileReader<F> {
    pub(super) fn new(format: F, context: ReaderContext) -> Self {
        Self {
            format,
            context,
            open: None,
            prefetched: None,
            failing: None,
        }
    }

    fn begin_fetch(&self, split: &FileSplit) -> Handover<Fetched> {
        let (sender, blocks) = self.context.handover(BLOCKS_AHEAD);
        let files = Arc::clone(self.context.files());
        let (framing, header) = (self.format.framing(), self.format.has_header());
        self.context
            .spawn(fetch(files, split.clone(), framing, header, sender));
        blocks
    }

    /// Finds out the line of the record at `position`, and fails with it.
    fn fail(&mut self, uri: String, position: u64, why: String) {
        let (sender, failing) = self.context.handover(1);
        self.failing = Some(failing);
        let files = Arc::clone(self.context.files());
        self.context.spawn(async move {
            let place = match line_of(&files, &uri, position).await {
                Ok(line) => format!("line {line}"),
                Err(_) => format!("byte {position}"),
            };
            let message = format!("input '{uri}', {place}: {why}");
            sender.send(TaskError::user(message)).await;
        });
    }

    fn fill_from(
        &mut self,
        open: &mut Open<F>,
        batch: &mut Batch<F::Out>,
    ) -> Result<ReaderProgress, TaskError> {
        if !open.in_block {
            match open.blocks.poll() {
                Handed::Pending => return Ok(ReaderProgress::Pending),
                Handed::Ended => return Ok(ReaderProgress::SplitFinished),
                Handed::Item(Fetched::Failed(error)) => return Err(error),
                Handed::Item(Fetched::Header(header)) => {
                    open.header = Some(header);
                    return Ok(ReaderProgress::More);
                }
                Handed::Item(Fetched::Block { start, bytes }) => {
                    let decoder = match &mut open.decoder {
                        Some(decoder) => decoder,
                        None => {
                            let decoder = self.format.decoder(open.header.as_deref());
                            open.decoder.insert(decoder.map_err(|error| {
                                TaskError::user(format!("input '{}': {error}", open.split.uri))
                            })?)
                        }
                    };
                    decoder.begin(bytes);
                    open.block_start = start;
                    open.in_block = true;
                }
            }
        }
        let Some(decoder) = &mut open.decoder else {
            return Ok(ReaderProgress::More);
        };
        let mut bad = None;
        while batch.len() < batch_rows::<F::Out>() {
            match decoder.next() {
                Some(Ok(record)) => batch.push(record, NO_TIMESTAMP),
                Some(Err(error)) => {
                    bad = Some(error);
                    break;
                }
                None => {
                    open.in_block = false;
                    break;
                }
            }
        }
        let position = open.block_start + decoder.consumed() as u64;
        open.split.position = position;
        if let Some(why) = bad {
            self.fail(open.split.uri.clone(), position, why);
        }
        Ok(ReaderProgress::More)
    }
}

impl<F: FileFormat> SourceReader for FileReader<F> {
    type Out = F::Out;
    type Split = FileSplit;

    fn prefetch(&mut self, split: &FileSplit) {
        let blocks = self.begin_fetch(split);
        self.prefetched = Some((split.clone(), blocks));
    }

    fn add_split(&mut self, split: FileSplit) -> Result<(), TaskError> {
        let blocks = match self.prefetched.take() {
            Some((known, blocks)) if known == split => blocks,
            Some(_) | None => self.begin_fetch(&split),
        };
        self.open = Some(Open {
            split,
            blocks,
            decoder: None,
            header: None,
            block_start: 0,
            in_block: false,
        });
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<F::Out>) -> Result<ReaderProgress, TaskError> {
        if let Some(failing) = &mut self.failing {
            return match failing.poll() {
                Handed::Item(error) => Err(error),
                Handed::Pending => Ok(ReaderProgress::Pending),
                Handed::Ended => Err(TaskError::transient(
                    "a record of the input is bad, and the worker is stopping",
                )),
            };
        }
        let Some(mut open) = self.open.take() else {
            return Ok(ReaderProgress::Pending);
        };
        let progress = self.fill_from(&mut open, batch);
        if !matches!(progress, Ok(ReaderProgress::SplitFinished)) {
            self.open = Some(open);
        }
        progress
    }

    fn snapshot(&self) -> Vec<FileSplit> {
        self.open.iter().map(|open| open.split.clone()).collect()
    }
}
