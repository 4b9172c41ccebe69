//! From the state of an operator to bytes in a file, or in a message if they are few. Encoding runs on
//! a thread of its own, a few blocks ahead of the file.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flott_filesystem::{CreateOptions, FileSystemError, FileSystems, FileWriter, join};
use flott_model::StateHandle;
use flott_operators::TaskError;
use flott_operators::checkpoint::cannot;
use flott_state::{Compression, OperatorSnapshot, StateKind};
use tokio::sync::mpsc;

use super::local::Copy;
use super::upload::Target;

/// Bytes handed to the file at once.
const BLOCK: usize = 1 << 20;
/// Blocks ahead of the file.
const BLOCKS_AHEAD: usize = 4;

/// Where an operator's state is now.
pub(super) struct Encoded {
    pub(super) keyed: Option<StateHandle>,
    pub(super) state: Option<StateHandle>,
    /// All of `state` is this subtask's alone.
    pub(super) own: bool,
}

/// A file of a checkpoint, created with its first bytes.
pub(super) struct StateFile {
    files: Arc<FileSystems>,
    directory: Option<String>,
    name: String,
    writer: Option<Box<dyn FileWriter>>,
    /// On a disk of the container.
    copy: Option<Copy>,
    length: u64,
    failed: bool,
}

impl StateFile {
    pub(super) fn new(target: &Target, files: Arc<FileSystems>) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        Self {
            files,
            directory: target.directory.clone(),
            copy: target.local.copy(target.checkpoint, &name),
            name,
            writer: None,
            length: 0,
            failed: false,
        }
    }

    fn error(&self, error: &FileSystemError) -> TaskError {
        let directory = self.directory.as_deref().unwrap_or_default();
        TaskError::transient(format!("state cannot be written to '{directory}': {error}"))
    }

    async fn write(&mut self, block: Bytes) -> Result<(), TaskError> {
        if self.failed {
            let message = "the file of the checkpoint cannot be written";
            return Err(TaskError::transient(message));
        }
        let written = self.append(block).await;
        self.failed |= written.is_err();
        written
    }

    async fn append(&mut self, block: Bytes) -> Result<(), TaskError> {
        let length = block.len() as u64;
        if self.writer.is_none() {
            let directory = self.directory.as_deref().unwrap_or_default();
            let path = join(directory, &self.name);
            let options = CreateOptions {
                // Gone: the checkpoint was given up and removed.
                create_parent: false,
                ..CreateOptions::default()
            };
            let created = match self.files.resolve(&path) {
                Ok((fs, path)) => fs.create(&path, options).await,
                Err(error) => Err(error),
            };
            self.writer = Some(created.map_err(|error| self.error(&error))?);
        }
        if let Some(writer) = &mut self.writer {
            let copied = async {
                if let Some(copy) = &mut self.copy {
                    copy.write(block.clone()).await;
                }
            };
            let (written, ()) = futures::join!(writer.write(block.clone()), copied);
            written.map_err(|error| self.error(&error))?;
        }
        self.length += length;
        Ok(())
    }

    /// Makes the file complete and durable.
    pub(super) async fn close(mut self) -> Result<(), TaskError> {
        let copy = self.copy.take();
        let closed = self.close_stored().await;
        match (copy, &closed) {
            (Some(copy), Ok(())) => copy.complete().await,
            (Some(copy), Err(_)) => copy.discard(),
            (None, _) => (),
        }
        closed
    }

    async fn close_stored(&mut self) -> Result<(), TaskError> {
        match self.writer.take() {
            None => Ok(()),
            Some(writer) if self.failed => {
                let _ = writer.abort().await;
                let message = "the file of the checkpoint could not be written";
                Err(TaskError::transient(message))
            }
            Some(mut writer) => {
                let closed = match writer.hsync().await {
                    Ok(()) => writer.close().await.map(drop),
                    Err(error) => Err(error),
                };
                closed.map_err(|error| self.error(&error))
            }
        }
    }

    /// Of the blob that has just been written.
    fn handle(&mut self, offset: u64) -> StateHandle {
        if let Some(copy) = &mut self.copy {
            copy.end_blob();
        }
        StateHandle {
            inline: Vec::new(),
            file: self.name.clone(),
            offset,
            length: self.length - offset,
        }
    }
}

/// Encodes the state of an operator. What is at most `inline` bytes stays in memory; without a
/// directory everything does.
pub(super) async fn encode(
    snapshot: OperatorSnapshot,
    inline: usize,
    file: &mut StateFile,
) -> Result<Encoded, TaskError> {
    let inline = if file.directory.is_some() {
        inline
    } else {
        usize::MAX
    };
    let (blocks, mut incoming) = mpsc::channel(BLOCKS_AHEAD);
    let encoding = tokio::task::spawn_blocking(move || {
        let mut keyed = Blocks {
            held: Vec::new(),
            inline,
            blocks: Some(blocks),
        };
        let mut state = Vec::new();
        let encoded = snapshot.encode(Compression::None, &mut keyed, &mut state);
        let encoded = encoded.map_err(|error| cannot("encoded", &error));
        encoded.map(|encoded| {
            let shared = [StateKind::UnionList, StateKind::Broadcast];
            let own = !encoded.states.iter().any(|it| shared.contains(&it.kind));
            (keyed.rest(), state, own)
        })
    });
    let offset = file.length;
    let mut failed = None;
    while let Some(block) = incoming.recv().await {
        if let Err(error) = file.write(block).await {
            // Encoding stops when nobody takes its blocks.
            failed = Some(error);
            break;
        }
    }
    drop(incoming);
    let encoded = encoding.await;
    if let Some(error) = failed {
        return Err(error);
    }
    let (rest, state, own) = encoded.unwrap_or_else(|error| {
        let message = format!("the encoding of state panicked: {error}");
        Err(TaskError::fatal(message))
    })?;
    let keyed = if file.length == offset {
        place(rest, inline, file).await?
    } else {
        file.write(rest.into()).await?;
        Some(file.handle(offset))
    };
    let state = place(state, inline, file).await?;
    Ok(Encoded { keyed, state, own })
}

/// Keeps few bytes, writes many.
pub(super) async fn place(
    bytes: Vec<u8>,
    inline: usize,
    file: &mut StateFile,
) -> Result<Option<StateHandle>, TaskError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.len() <= inline {
        let length = bytes.len() as u64;
        return Ok(Some(StateHandle {
            inline: bytes,
            length,
            ..StateHandle::default()
        }));
    }
    let offset = file.length;
    file.write(bytes.into()).await?;
    Ok(Some(file.handle(offset)))
}

/// Hands on what is written in blocks, once it is more than stays in memory.
struct Blocks {
    held: Vec<u8>,
    inline: usize,
    /// `None` once everything is handed on.
    blocks: Option<mpsc::Sender<Bytes>>,
}

impl Blocks {
    /// What was not handed on.
    fn rest(mut self) -> Vec<u8> {
        self.blocks = None;
        std::mem::take(&mut self.held)
    }
}

impl io::Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() > self.inline.max(BLOCK) {
            let block = std::mem::take(&mut self.held).into();
            let sent = self.blocks.as_ref().map(|to| to.blocking_send(block));
            if !matches!(sent, Some(Ok(()))) {
                return Err(io::Error::other("nobody takes the state"));
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
