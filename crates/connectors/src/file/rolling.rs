//! The file sink of one subtask: a file in each bucket, and a new one when the old one is large or
//! old enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use flott_filesystem::join;
use flott_network::{Batch, NO_TIMESTAMP};
use flott_operators::TaskError;
use flott_operators::sink::api::{Writer, WriterContext};
use flott_record::Record;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::bucket::{BucketContext, Buckets};
use super::commit::{PendingFile, committed_name, pending_name};
use super::encode::{RecordEncoder, RecordFormat};
use super::writer::{BLOCK, BLOCKS_BEHIND, COMPLETE, write_file};

/// When a file is finished and the next one begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingPolicy {
    max_part_size: u64,
    rollover_ms: i64,
    inactivity_ms: i64,
}

impl Default for RollingPolicy {
    /// At 128 MiB, after 60 seconds, and after 60 seconds without records.
    fn default() -> Self {
        Self {
            max_part_size: 128 << 20,
            rollover_ms: 60_000,
            inactivity_ms: 60_000,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX)
        .max(1)
}

impl RollingPolicy {
    /// One file for each subtask and bucket.
    pub fn never() -> Self {
        Self {
            max_part_size: u64::MAX,
            rollover_ms: i64::MAX,
            inactivity_ms: i64::MAX,
        }
    }

    /// A file is finished when it has so many bytes.
    #[must_use]
    pub fn max_part_size(mut self, bytes: u64) -> Self {
        self.max_part_size = bytes.max(1);
        self
    }

    /// A file is finished so long after it was begun.
    #[must_use]
    pub fn rollover_interval(mut self, interval: Duration) -> Self {
        self.rollover_ms = millis(interval);
        self
    }

    /// A file is finished so long after its last record.
    #[must_use]
    pub fn inactivity_interval(mut self, interval: Duration) -> Self {
        self.inactivity_ms = millis(interval);
        self
    }
}

/// A file that is complete but hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedFile {
    /// URI of its directory.
    pub directory: String,
    /// Its name now.
    pub pending: String,
    /// Its name when it is committed.
    pub committed: String,
}

impl From<PendingFile> for FinishedFile {
    fn from(file: PendingFile) -> Self {
        Self {
            directory: file.directory,
            pending: file.pending,
            committed: file.committed,
        }
    }
}

impl From<FinishedFile> for PendingFile {
    fn from(file: FinishedFile) -> Self {
        Self {
            directory: file.directory,
            pending: file.pending,
            committed: file.committed,
        }
    }
}

type Closed = oneshot::Receiver<Result<Option<PendingFile>, TaskError>>;

/// A file that is being written, beside the task.
struct Part<E> {
    encoder: E,
    /// What did not fit into the queue.
    stuck: Option<Bytes>,
    blocks: mpsc::Sender<Bytes>,
    closed: Closed,
    /// Bytes before those of the encoder.
    size: u64,
    opened: i64,
    written: i64,
}

/// What is left to do for a file that gets no more records.
struct Closing {
    blocks: Option<mpsc::Sender<Bytes>>,
    /// In order.
    left: Vec<Bytes>,
    closed: Closed,
}

/// Writes the files of one subtask.
pub struct RollingWriter<In, F: RecordFormat<In>> {
    directory: String,
    format: F,
    buckets: Buckets<In>,
    policy: RollingPolicy,
    context: WriterContext,
    parts: BTreeMap<String, Part<F::Encoder>>,
    closing: Vec<Closing>,
    finished: Vec<FinishedFile>,
    /// The name of a bucket, before it is known whether it has a file.
    bucket: String,
}

fn given_up() -> TaskError {
    TaskError::transient("an output file was given up: the worker is stopping")
}

/// Why the writing side has ended.
fn reason(closed: &mut Closed) -> TaskError {
    match closed.try_recv() {
        Ok(Err(error)) => error,
        Ok(Ok(_)) | Err(_) => given_up(),
    }
}

impl<E> Part<E> {
    /// Hands over what is stuck; whether nothing is.
    fn hand_over(&mut self) -> Result<bool, TaskError> {
        let Some(block) = self.stuck.take() else {
            return Ok(true);
        };
        match self.blocks.try_send(block) {
            Ok(()) => Ok(true),
            Err(TrySendError::Full(block)) => {
                self.stuck = Some(block);
                Ok(false)
            }
            Err(TrySendError::Closed(_)) => Err(reason(&mut self.closed)),
        }
    }
}

impl Closing {
    /// The file, once it is closed.
    fn poll(&mut self) -> Result<Poll<Option<PendingFile>>, TaskError> {
        while let Some(block) = self.left.first() {
            let Some(blocks) = &self.blocks else { break };
            match blocks.try_send(block.clone()) {
                Ok(()) => drop(self.left.remove(0)),
                Err(TrySendError::Full(_)) => return Ok(Poll::Pending),
                Err(TrySendError::Closed(_)) => return Err(reason(&mut self.closed)),
            }
        }
        self.blocks = None;
        match self.closed.try_recv() {
            Ok(file) => Ok(Poll::Ready(file?)),
            Err(oneshot::error::TryRecvError::Empty) => Ok(Poll::Pending),
            Err(oneshot::error::TryRecvError::Closed) => Err(given_up()),
        }
    }
}

impl<In: Record, F: RecordFormat<In>> RollingWriter<In, F> {
    pub(super) fn new(
        directory: String,
        format: F,
        buckets: Buckets<In>,
        policy: RollingPolicy,
        context: WriterContext,
    ) -> Self {
        Self {
            directory,
            format,
            buckets,
            policy,
            context,
            parts: BTreeMap::new(),
            closing: Vec::new(),
            finished: Vec::new(),
            bucket: String::new(),
        }
    }

    /// Begins a file in the bucket. Its name holds a fresh UUID: an attempt never touches the file of
    /// another.
    fn open(&self, now: i64) -> Part<F::Encoder> {
        let (operator, subtask) = (self.context.operator(), self.context.subtask_index());
        let id = uuid::Uuid::new_v4().to_string();
        let directory = match self.bucket.as_str() {
            "" => self.directory.clone(),
            bucket => join(&self.directory, bucket),
        };
        let file = PendingFile {
            directory,
            pending: pending_name(operator, subtask, &id),
            committed: committed_name(operator, subtask, &id),
        };
        let (blocks, mut incoming) = mpsc::channel(BLOCKS_BEHIND);
        let (done, closed) = oneshot::channel();
        let (files, task) = (Arc::clone(self.context.files()), self.context.waker());
        self.context.spawn(async move {
            let result = write_file(&files, file, &mut incoming, &task).await;
            let _ = done.send(result);
            // In this order: who finds the queue closed finds the reason, and who is woken finds it
            // closed.
            drop(incoming);
            task.wake();
        });
        Part {
            encoder: self.format.encoder(),
            stuck: None,
            blocks,
            closed,
            size: 0,
            opened: now,
            written: now,
        }
    }

    fn bad(&self, why: &str) -> TaskError {
        TaskError::user(format!("output '{}': {why}", self.directory))
    }

    fn write_row(&mut self, row: &In, timestamp: i64, now: i64) -> Result<(), TaskError> {
        let context = BucketContext {
            timestamp: (timestamp != NO_TIMESTAMP).then_some(timestamp),
            processing_time: now,
        };
        let chosen = self.buckets.choose(row, &context, &mut self.bucket);
        chosen.map_err(|why| self.bad(&why))?;
        if !self.parts.contains_key(self.bucket.as_str()) {
            let part = self.open(now);
            self.parts.insert(self.bucket.clone(), part);
            self.wake_for(now, now);
        }
        let Some(part) = self.parts.get_mut(self.bucket.as_str()) else {
            return Ok(());
        };
        let mut encoded = part.encoder.encode(row);
        part.written = now;
        let length = part.encoder.len();
        let full = part.size + length as u64 >= self.policy.max_part_size;
        if encoded.is_ok() && length >= BLOCK && part.stuck.is_none() && !full {
            match part.encoder.take() {
                Ok(block) => {
                    part.size += block.len() as u64;
                    part.stuck = Some(block.into());
                    part.hand_over()?;
                }
                Err(why) => encoded = Err(why),
            }
        }
        encoded.map_err(|why| self.bad(&why))?;
        if full && let Some(part) = self.parts.remove(self.bucket.as_str()) {
            self.close(part)?;
        }
        Ok(())
    }

    fn close(&mut self, mut part: Part<F::Encoder>) -> Result<(), TaskError> {
        let mut left: Vec<Bytes> = part.stuck.take().into_iter().collect();
        let rest = part.encoder.take().map_err(|why| self.bad(&why))?;
        if !rest.is_empty() {
            left.push(rest.into());
        }
        left.push(COMPLETE);
        self.closing.push(Closing {
            blocks: Some(part.blocks),
            left,
            closed: part.closed,
        });
        Ok(())
    }

    /// Goes on with the files that are being closed.
    fn poll_closing(&mut self) -> Result<(), TaskError> {
        let mut at = 0;
        while let Some(closing) = self.closing.get_mut(at) {
            match closing.poll()? {
                Poll::Pending => at += 1,
                Poll::Ready(file) => {
                    self.finished.extend(file.map(FinishedFile::from));
                    self.closing.swap_remove(at);
                }
            }
        }
        Ok(())
    }

    /// When a file of these times is finished for its age.
    fn due(&self, opened: i64, written: i64) -> i64 {
        let old = opened.saturating_add(self.policy.rollover_ms);
        old.min(written.saturating_add(self.policy.inactivity_ms))
    }

    fn wake_for(&self, opened: i64, written: i64) {
        let due = self.due(opened, written);
        if due != i64::MAX {
            self.context.clock().wake_at(due);
        }
    }
}

/// Files that may be on their way to being closed before the task waits for them.
const MOST_CLOSING: usize = 16;

impl<In: Record, F: RecordFormat<In>> Writer<In> for RollingWriter<In, F> {
    type Committable = FinishedFile;

    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        let now = self.context.clock().now();
        for (row, timestamp) in batch.drain() {
            self.write_row(&row, timestamp, now)?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.poll_closing()?;
        let mut room = self.closing.len() <= MOST_CLOSING;
        for part in self.parts.values_mut() {
            room &= part.hand_over()? || part.encoder.len() < BLOCK;
        }
        Ok(room)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        let parts = std::mem::take(&mut self.parts);
        for (bucket, part) in parts {
            if now >= self.due(part.opened, part.written) {
                self.close(part)?;
            } else {
                self.wake_for(part.opened, part.written);
                self.parts.insert(bucket, part);
            }
        }
        self.poll_closing()
    }

    fn prepare_commit(&mut self) -> Result<Poll<Vec<FinishedFile>>, TaskError> {
        for part in std::mem::take(&mut self.parts).into_values() {
            self.close(part)?;
        }
        self.poll_closing()?;
        if self.closing.is_empty() {
            Ok(Poll::Ready(std::mem::take(&mut self.finished)))
        } else {
            Ok(Poll::Pending)
        }
    }
}

#[cfg(test)]
mod tests;
