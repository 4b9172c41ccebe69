//! The file sink of one subtask: in each bucket a file that is being written, and a new one when the
//! policy says so. Only encodes; I/O runs beside the task.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use flott_operators::sink::api::SinkWriter;
use flott_operators::sink::{Confirmation, Outbox, SinkContext, SinkRecordContext};
use flott_operators::{TaskClock, TaskError};
use flott_record::Record;

use super::bucket::{BucketAssigner, check_bucket};
use super::encode::{RecordEncoder, RecordFormat};
use super::part::{PartFile, PartNames};
use super::rolling::{PartInfo, RollingPolicy};
use super::upload::{Command, upload};

/// Bytes handed over at once.
const BLOCK: usize = 256 << 10;
/// Commands, and so blocks, under way to files.
const COMMANDS_AHEAD: usize = 6;
/// With so many buckets the bytes that they hold are limited together.
const MANY_BUCKETS: usize = 32;
/// The limit.
const HELD_BYTES: usize = MANY_BUCKETS * BLOCK;

/// A file that is being written.
struct Part<E> {
    bucket: String,
    number: u64,
    encoder: E,
    /// Of the bytes that the encoder has handed over already.
    info: PartInfo,
}

impl<E> Part<E> {
    #[inline]
    fn info<In>(&self) -> PartInfo
    where
        E: RecordEncoder<In>,
    {
        PartInfo {
            size: self.info.size + self.encoder.len() as u64,
            ..self.info
        }
    }
}

/// Writes the files of one subtask for [`super::FileSink`].
pub struct FileSinkWriter<In, F: RecordFormat<In>, B, P> {
    directory: String,
    format: F,
    buckets: B,
    policy: P,
    names: PartNames,
    operator: u32,
    subtask: u32,
    /// An attempt never touches the files of another.
    id: String,
    /// Files begun so far.
    begun: u64,
    parts: Vec<Part<F::Encoder>>,
    /// Positions in `parts`.
    by_bucket: HashMap<String, usize>,
    /// Where the last record went: the next one often goes there, too.
    last: usize,
    /// The bucket of the record at hand.
    bucket: String,
    outbox: Outbox<Command>,
    report: Option<Confirmation<Vec<PartFile>>>,
    context: SinkContext,
}

/// What a sink gives each of its writers.
pub(super) struct Settings<F, B, P> {
    pub(super) format: F,
    pub(super) buckets: B,
    pub(super) policy: P,
    pub(super) names: PartNames,
}

impl<In, F, B, P> FileSinkWriter<In, F, B, P>
where
    In: Record,
    F: RecordFormat<In>,
    B: BucketAssigner<In>,
    P: RollingPolicy<In>,
{
    /// Files below the directory of that URI.
    pub(super) fn new(
        directory: String,
        settings: Settings<F, B, P>,
        context: &SinkContext,
    ) -> Self {
        let (files, target) = (Arc::clone(context.files()), directory.clone());
        let outbox = context.outbox(COMMANDS_AHEAD, |inbox| upload(files, target, inbox));
        Self {
            directory,
            format: settings.format,
            buckets: settings.buckets,
            policy: settings.policy,
            names: settings.names,
            operator: context.operator(),
            subtask: context.subtask_index(),
            id: uuid::Uuid::new_v4().to_string(),
            begun: 0,
            parts: Vec::new(),
            by_bucket: HashMap::new(),
            last: 0,
            bucket: String::new(),
            outbox,
            report: None,
            context: context.clone(),
        }
    }

    fn clock(&self) -> &TaskClock {
        self.context.clock()
    }

    /// The file into which the record goes.
    #[inline]
    fn part_for(&mut self, record: &In, now: i64) -> Result<usize, TaskError> {
        let at = match self.parts.get(self.last) {
            Some(part) if part.bucket == self.bucket => Some(self.last),
            _ => self.by_bucket.get(self.bucket.as_str()).copied(),
        };
        let at = match at {
            None => self.begin(now)?,
            Some(at) => {
                let info = self.parts[at].info::<In>();
                if self.policy.should_roll_on_event(&info, record) {
                    self.end(at)?;
                    self.begin(now)?
                } else {
                    at
                }
            }
        };
        self.last = at;
        Ok(at)
    }

    #[cold]
    fn begin(&mut self, now: i64) -> Result<usize, TaskError> {
        check_bucket(&self.bucket).map_err(|why| self.bad(&self.bucket, &why))?;
        let number = self.begun;
        self.begun += 1;
        let part = Part {
            bucket: self.bucket.clone(),
            number,
            encoder: self.format.encoder(),
            info: PartInfo {
                size: 0,
                records: 0,
                created_at: now,
                updated_at: now,
            },
        };
        let names = &self.names;
        let file = PartFile {
            bucket: self.bucket.clone(),
            name: names.committed(self.operator, self.subtask, &self.id, number),
        };
        self.outbox.push(Command::Create(number, file));
        if let Some(at) = self.policy.rolls_at(&part.info) {
            self.clock().wake_at(at);
        }
        self.by_bucket.insert(self.bucket.clone(), self.parts.len());
        self.parts.push(part);
        Ok(self.parts.len() - 1)
    }

    #[cold]
    fn end(&mut self, at: usize) -> Result<(), TaskError> {
        self.hand_over(at)?;
        let part = self.parts.swap_remove(at);
        self.by_bucket.remove(&part.bucket);
        if let Some(moved) = self.parts.get(at) {
            self.by_bucket.insert(moved.bucket.clone(), at);
        }
        self.outbox.push(Command::Close(part.number));
        Ok(())
    }

    /// Puts what the encoder of a file has on its way.
    fn hand_over(&mut self, at: usize) -> Result<(), TaskError> {
        let part = &mut self.parts[at];
        if part.encoder.is_empty() {
            return Ok(());
        }
        let taken = part.encoder.take();
        let bytes = match taken {
            Ok(bytes) => bytes,
            Err(why) => return Err(self.bad(&self.parts[at].bucket, &why)),
        };
        part.info.size += bytes.len() as u64;
        let number = part.number;
        self.outbox.push(Command::Write(number, Bytes::from(bytes)));
        Ok(())
    }

    #[cold]
    fn bad(&self, bucket: &str, why: &str) -> TaskError {
        let file = PartFile {
            bucket: bucket.to_owned(),
            name: String::new(),
        };
        let target = file.committed(&self.directory);
        TaskError::user(format!("output '{}': {why}", target.trim_end_matches('/')))
    }

    /// Many files that grow slowly must not hold a block each.
    fn limit_held(&mut self) -> Result<(), TaskError> {
        if self.parts.len() <= MANY_BUCKETS {
            return Ok(());
        }
        let held: usize = self.parts.iter().map(|part| part.encoder.len()).sum();
        if held > HELD_BYTES {
            (0..self.parts.len()).try_for_each(|at| self.hand_over(at))?;
        }
        Ok(())
    }
}

impl<In, F, B, P> SinkWriter<In> for FileSinkWriter<In, F, B, P>
where
    In: Record,
    F: RecordFormat<In>,
    B: BucketAssigner<In>,
    P: RollingPolicy<In>,
{
    type Committable = PartFile;

    #[inline]
    fn write(&mut self, record: In, context: &SinkRecordContext) -> Result<(), TaskError> {
        let now = context.current_processing_time();
        self.bucket.clear();
        let assigned = self.buckets.assign(&record, context, &mut self.bucket);
        assigned.map_err(|why| self.bad("", &why))?;
        let at = self.part_for(&record, now)?;
        let part = &mut self.parts[at];
        if let Err(why) = part.encoder.encode(&record) {
            return Err(self.bad(&self.parts[at].bucket, &why));
        }
        part.info.records += 1;
        part.info.updated_at = now;
        if part.encoder.len() >= BLOCK {
            self.hand_over(at)?;
        }
        Ok(())
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        let mut at = 0;
        while let Some(part) = self.parts.get(at) {
            match self.policy.rolls_at(&part.info::<In>()) {
                Some(due) if due <= now => self.end(at)?,
                Some(due) => {
                    self.clock().wake_at(due);
                    at += 1;
                }
                None => at += 1,
            }
        }
        // Perhaps nothing comes after which the task would ask.
        self.outbox.settle().map(drop)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.limit_held()?;
        self.outbox.settle()
    }

    /// Nobody can read the files before they are committed: larger blocks are better.
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn prepare_commit(&mut self, _: bool) -> Result<Poll<Vec<PartFile>>, TaskError> {
        if self.begun == 0 {
            return Ok(Poll::Ready(Vec::new()));
        }
        if self.report.is_none() {
            while !self.parts.is_empty() {
                self.end(self.parts.len() - 1)?;
            }
            let (confirm, report) = self.context.confirmation();
            self.outbox.push(Command::Report(confirm));
            self.report = Some(report);
        }
        self.outbox.settle()?;
        match self.report.as_mut().map(Confirmation::poll) {
            Some(Poll::Ready(Some(files))) => {
                self.report = None;
                Ok(Poll::Ready(files))
            }
            // The outbox knows why, or is told soon.
            Some(Poll::Ready(None) | Poll::Pending) | None => Ok(Poll::Pending),
        }
    }
}

#[cfg(test)]
mod tests;
