//! The text sink of one subtask: writes a hidden file beside the task, commits it by renaming.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use flott_filesystem::{CreateOptions, FileSystemError, FileWriter, join};
use flott_network::{Batch, Waker};
use flott_operators::sink::SinkWriter;
use flott_operators::{SubtaskContext, TaskError};
use flott_record::Record;
use prost::Message;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::commit::{PendingFile, committed_name, pending_name};

/// Bytes handed over at once.
pub(super) const BLOCK: usize = 256 << 10;
/// The last block of a file that is complete; others are not empty.
pub(super) const COMPLETE: Bytes = Bytes::new();
/// Blocks under way to the file.
pub(super) const BLOCKS_BEHIND: usize = 4;

/// Writes one line per record.
pub struct TextWriter<F> {
    format: F,
    lines: String,
    /// What did not fit into the channel.
    stuck: Option<Bytes>,
    blocks: Option<mpsc::Sender<Bytes>>,
    closed: oneshot::Receiver<Result<Option<PendingFile>, TaskError>>,
}

impl<F> TextWriter<F> {
    /// Lines of the operator at that position of the program into a new file in that directory. The
    /// file's name holds a fresh UUID: an attempt never touches the file of another.
    pub fn new(directory: String, operator: u32, format: F, context: &SubtaskContext) -> Self {
        let (blocks, mut incoming) = mpsc::channel(BLOCKS_BEHIND);
        let (done, closed) = oneshot::channel();
        let id = uuid::Uuid::new_v4();
        let file = PendingFile {
            directory,
            pending: pending_name(operator, context.subtask, &id.to_string()),
            committed: committed_name(operator, context.subtask, &id.to_string()),
        };
        let (files, task) = (Arc::clone(&context.files), context.waker.clone());
        context.io.spawn(async move {
            let result = write_file(&files, file, &mut incoming, &task).await;
            let _ = done.send(result);
            // In this order: who finds the channel closed finds the reason, and who is woken finds it closed.
            drop(incoming);
            task.wake();
        });
        Self {
            format,
            lines: String::new(),
            stuck: None,
            blocks: Some(blocks),
            closed,
        }
    }

    /// Hands the block over; false if there is no room now.
    fn hand_over(&mut self) -> Result<bool, TaskError> {
        let Some(block) = self.stuck.take() else {
            return Ok(true);
        };
        let Some(blocks) = &self.blocks else {
            return Ok(true);
        };
        match blocks.try_send(block) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(block)) => {
                self.stuck = Some(block);
                Ok(false)
            }
            Err(TrySendError::Closed(_)) => Err(self.failure()),
        }
    }

    fn take_lines(&mut self) {
        if self.stuck.is_none() && !self.lines.is_empty() {
            self.stuck = Some(Bytes::from(std::mem::take(&mut self.lines).into_bytes()));
        }
    }

    /// Why the writing side ended.
    fn failure(&mut self) -> TaskError {
        match self.closed.try_recv() {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => TaskError::transient("the output file was closed too early"),
        }
    }
}

impl<In: Record, F: FnMut(&In, &mut String) + Send> SinkWriter<In> for TextWriter<F> {
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        for row in batch.rows.drain(..) {
            (self.format)(&row, &mut self.lines);
            self.lines.push('\n');
        }
        if self.lines.len() >= BLOCK {
            self.take_lines();
            self.hand_over()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(self.hand_over()? && self.lines.len() < 2 * BLOCK)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        // Nobody can read the file before it is committed: larger blocks are better.
        Ok(())
    }

    fn finish(&mut self) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        while self.stuck.as_ref().is_some_and(|block| !block.is_empty()) || !self.lines.is_empty() {
            self.take_lines();
            if !self.hand_over()? {
                return Ok(Poll::Pending);
            }
        }
        if self.blocks.is_some() {
            self.stuck = Some(COMPLETE);
            if !self.hand_over()? {
                return Ok(Poll::Pending);
            }
            self.blocks = None;
        }
        match self.closed.try_recv() {
            Ok(file) => Ok(Poll::Ready(
                file?.iter().map(Message::encode_to_vec).collect(),
            )),
            Err(oneshot::error::TryRecvError::Empty) => Ok(Poll::Pending),
            Err(oneshot::error::TryRecvError::Closed) => Err(TaskError::transient(
                "the output file was given up: the worker is stopping",
            )),
        }
    }
}

/// Writes until the task says that the file is complete. A task that is dropped before that closes
/// its end of the channel: the file is removed.
pub(super) async fn write_file(
    files: &flott_filesystem::FileSystems,
    file: PendingFile,
    blocks: &mut mpsc::Receiver<Bytes>,
    task: &Waker,
) -> Result<Option<PendingFile>, TaskError> {
    let target = join(&file.directory, &file.committed);
    let failed = |error: FileSystemError| {
        TaskError::transient(format!("output '{target}' cannot be written: {error}"))
    };
    let mut writer: Option<Box<dyn FileWriter>> = None;
    let mut complete = false;
    while let Some(block) = blocks.recv().await {
        task.wake();
        if block.is_empty() {
            complete = true;
            break;
        }
        let open = match &mut writer {
            Some(open) => open,
            None => {
                let path = join(&file.directory, &file.pending);
                let (fs, path) = files.resolve(&path).map_err(failed)?;
                let created = fs
                    .create(&path, CreateOptions::default())
                    .await
                    .map_err(failed)?;
                writer.insert(created)
            }
        };
        open.write(block).await.map_err(failed)?;
    }
    let Some(open) = writer else { return Ok(None) };
    if !complete {
        open.abort().await.map_err(failed)?;
        return Ok(None);
    }
    open.close().await.map_err(failed)?;
    Ok(Some(file))
}
