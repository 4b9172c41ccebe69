//! A source: postings in binary files. Large files are read in pieces, by several subtasks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flott::TaskError;
use flott::source::{
    Batch, Boundedness, EnumeratorContext, Handed, Handover, HandoverSender, NO_TIMESTAMP,
    ReaderContext, ReaderProgress, Source, SourceReader, SourceSplit, SplitPool, StaticEnumerator,
    SubmissionContext,
};
use serde::{Deserialize, Serialize};

/// Account and cents.
pub(crate) type Posting = (u32, i64);

/// Bytes of a posting.
const POSTING: u64 = 12;
/// Bytes of a piece, at most.
const PIECE: u64 = POSTING * 10_000;
/// Bytes that are read at once.
const BLOCK: u64 = POSTING * 1_000;
/// Blocks that wait for the task, at most.
const BLOCKS_AHEAD: usize = 2;

/// The postings of all files in a directory.
pub(crate) struct LedgerSource {
    directory: PathBuf,
}

/// A piece of a file that is not read yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LedgerSplit {
    file: PathBuf,
    begin: u64,
    /// How far it was read.
    position: u64,
    end: u64,
}

impl SourceSplit for LedgerSplit {
    fn split_id(&self) -> String {
        format!("{}:{}", self.file.display(), self.begin)
    }
}

impl LedgerSource {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn splits(&self) -> Result<Vec<LedgerSplit>, TaskError> {
        let read = |error| unreadable(&self.directory, &error);
        let mut files = std::fs::read_dir(&self.directory)
            .and_then(|entries| entries.collect::<Result<Vec<_>, _>>())
            .map_err(read)?;
        // The same order whenever the directory is listed.
        files.sort_by_key(std::fs::DirEntry::path);
        let mut splits = Vec::new();
        for file in files {
            let bytes = file.metadata().map_err(read)?.len();
            if !bytes.is_multiple_of(POSTING) {
                return Err(TaskError::user(format!(
                    "{} has {bytes} bytes, which is no whole number of postings of {POSTING} bytes",
                    file.path().display()
                )));
            }
            splits.extend((0..bytes).step_by(PIECE as usize).map(|begin| LedgerSplit {
                file: file.path(),
                begin,
                position: begin,
                end: bytes.min(begin + PIECE),
            }));
        }
        Ok(splits)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> TaskError {
    TaskError::transient(format!("cannot read {}: {error}", path.display()))
}

impl Source for LedgerSource {
    type Out = Posting;
    type Split = LedgerSplit;
    type Enumerator = StaticEnumerator<LedgerSplit>;
    type Reader = LedgerReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    /// A directory that is not there, or not one of ledgers, is told before anything runs.
    fn prepare(&self, _: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        self.splits().map(|_| Vec::new())
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        let mut pool = SplitPool::new(context.parallelism());
        pool.add(self.splits()?);
        Ok(StaticEnumerator::new(pool))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        pool: SplitPool<LedgerSplit>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
    }

    fn create_reader(&self, context: &ReaderContext) -> Result<LedgerReader, TaskError> {
        Ok(LedgerReader {
            context: context.clone(),
            current: None,
        })
    }
}

/// Reads one piece after the other.
pub(crate) struct LedgerReader {
    context: ReaderContext,
    current: Option<(LedgerSplit, Handover<Block>)>,
}

type Block = Result<Vec<Posting>, TaskError>;

impl SourceReader for LedgerReader {
    type Out = Posting;
    type Split = LedgerSplit;

    fn add_split(&mut self, split: LedgerSplit) -> Result<(), TaskError> {
        let (sender, blocks) = self.context.handover(BLOCKS_AHEAD);
        let piece = split.clone();
        self.context
            .spawn_thread("ledger", move || read(&piece, &sender))?;
        self.current = Some((split, blocks));
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<Posting>) -> Result<ReaderProgress, TaskError> {
        let Some((split, blocks)) = &mut self.current else {
            return Ok(ReaderProgress::Pending);
        };
        match blocks.poll() {
            Handed::Pending => Ok(ReaderProgress::Pending),
            Handed::Item(block) => {
                let block = block?;
                split.position += block.len() as u64 * POSTING;
                for posting in block {
                    batch.push(posting, NO_TIMESTAMP);
                }
                Ok(ReaderProgress::More)
            }
            Handed::Ended => {
                self.current = None;
                Ok(ReaderProgress::SplitFinished)
            }
        }
    }

    fn snapshot(&self) -> Vec<LedgerSplit> {
        self.current
            .iter()
            .map(|(split, _)| split.clone())
            .collect()
    }
}

/// Runs on a thread of its own, until the piece is read or nobody wants it any more.
fn read(split: &LedgerSplit, blocks: &HandoverSender<Block>) {
    let mut file = match File::open(&split.file) {
        Ok(file) => file,
        Err(error) => {
            blocks.blocking_send(Err(unreadable(&split.file, &error)));
            return;
        }
    };
    let mut at = split.position;
    while at < split.end {
        let block = read_block(&mut file, at, split.end.min(at + BLOCK))
            .map_err(|error| unreadable(&split.file, &error));
        at += BLOCK;
        let failed = block.is_err();
        if !blocks.blocking_send(block) || failed {
            return;
        }
    }
}

fn read_block(file: &mut File, begin: u64, end: u64) -> std::io::Result<Vec<Posting>> {
    let mut bytes = vec![0; (end - begin) as usize];
    file.seek(SeekFrom::Start(begin))?;
    file.read_exact(&mut bytes)?;
    let (postings, _) = bytes.as_chunks::<{ POSTING as usize }>();
    Ok(postings.iter().map(posting).collect())
}

fn posting(bytes: &[u8; POSTING as usize]) -> Posting {
    let [a, b, c, d, cents @ ..] = *bytes;
    (u32::from_le_bytes([a, b, c, d]), i64::from_le_bytes(cents))
}
