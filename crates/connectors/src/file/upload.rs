//! Beside the task of a file sink: writes blocks to files, closes files, and removes those of a task
//! that does not finish.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use flott_filesystem::{CreateOptions, FileSystemError, FileSystems, FileWriter};
use flott_operators::TaskError;
use flott_operators::sink::{Confirm, Inbox};
use tokio::task::JoinSet;

use super::part::PartFile;

/// Files that are being closed at the same time.
const MOST_CLOSING: usize = 16;

/// What the task wants done, in order.
pub(super) enum Command {
    /// Begins the file of that number.
    Create(u64, PartFile),
    /// Appends to it.
    Write(u64, Bytes),
    /// Nothing follows for it.
    Close(u64),
    /// Tells which files are complete that were not told before.
    Report(Confirm<Vec<PartFile>>),
}

struct OpenFile {
    part: PartFile,
    writer: Box<dyn FileWriter>,
}

struct Uploads {
    files: Arc<FileSystems>,
    directory: String,
    open: HashMap<u64, OpenFile>,
    closing: JoinSet<Result<PartFile, TaskError>>,
    /// Complete, but the task does not know it.
    complete: Vec<PartFile>,
}

/// Until the task is done or gone. Files it has not been told of are removed.
pub(super) async fn upload(
    files: Arc<FileSystems>,
    directory: String,
    mut inbox: Inbox<Command>,
) -> Result<(), TaskError> {
    let mut uploads = Uploads {
        files,
        directory,
        open: HashMap::new(),
        closing: JoinSet::new(),
        complete: Vec::new(),
    };
    let result = uploads.run(&mut inbox).await;
    uploads.remove().await;
    result
}

fn failed(target: &str, error: &FileSystemError) -> TaskError {
    TaskError::transient(format!("output '{target}' cannot be written: {error}"))
}

impl Uploads {
    async fn run(&mut self, inbox: &mut Inbox<Command>) -> Result<(), TaskError> {
        while let Some(command) = inbox.recv().await {
            if inbox.is_closed() {
                // The task is gone without a report: nobody wants what it left to do.
                break;
            }
            match command {
                Command::Create(number, part) => self.create(number, part).await?,
                Command::Write(number, bytes) => self.write(number, bytes).await?,
                Command::Close(number) => self.close(number).await?,
                Command::Report(confirm) => {
                    while !self.closing.is_empty() {
                        self.join_one().await?;
                    }
                    confirm.confirm(std::mem::take(&mut self.complete));
                }
            }
        }
        Ok(())
    }

    async fn create(&mut self, number: u64, part: PartFile) -> Result<(), TaskError> {
        let target = part.committed(&self.directory);
        let failed = |error: FileSystemError| failed(&target, &error);
        let path = part.pending(&self.directory);
        let (fs, path) = self.files.resolve(&path).map_err(failed)?;
        let created = fs.create(&path, CreateOptions::default()).await;
        let writer = created.map_err(failed)?;
        self.open.insert(number, OpenFile { part, writer });
        Ok(())
    }

    async fn write(&mut self, number: u64, bytes: Bytes) -> Result<(), TaskError> {
        let Some(file) = self.open.get_mut(&number) else {
            return Err(TaskError::fatal("a block came for a file that is not open"));
        };
        let written = file.writer.write(bytes).await;
        written.map_err(|error| failed(&file.part.committed(&self.directory), &error))
    }

    async fn close(&mut self, number: u64) -> Result<(), TaskError> {
        let Some(OpenFile { part, writer }) = self.open.remove(&number) else {
            return Err(TaskError::fatal("a file was closed that is not open"));
        };
        if self.closing.len() >= MOST_CLOSING {
            self.join_one().await?;
        }
        let target = part.committed(&self.directory);
        // Closing waits for servers; the next file need not.
        self.closing.spawn(async move {
            let closed = writer.close().await;
            closed
                .map(|_| part)
                .map_err(|error| failed(&target, &error))
        });
        Ok(())
    }

    async fn join_one(&mut self) -> Result<(), TaskError> {
        match self.closing.join_next().await {
            Some(Ok(closed)) => self.complete.push(closed?),
            Some(Err(error)) => {
                let message = format!("closing an output file panicked: {error}");
                return Err(TaskError::fatal(message));
            }
            None => (),
        }
        Ok(())
    }

    /// Best effort: what stays is hidden, and removed when the job commits or is given up.
    async fn remove(mut self) {
        for (_, file) in self.open.drain() {
            let _ = file.writer.abort().await;
        }
        while let Some(closed) = self.closing.join_next().await {
            self.complete.extend(closed.into_iter().flatten());
        }
        for part in &self.complete {
            if let Ok((fs, path)) = self.files.resolve(&part.pending(&self.directory)) {
                let _ = fs.delete(&path, false).await;
            }
        }
    }
}
