//! Records of a job, handed to `main()`: the sink that sends them, and the iterator that takes them.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::task::Poll;

use flott_network::Batch;
use flott_operators::pipe::Pipe;
use flott_operators::sink::DrivenWriter;
use flott_operators::{ResultFrame, ResultPort, SubtaskContext, TaskError};
use flott_protocol::program::Frame;
use flott_record::{Record, codec};

use crate::client::JobClient;
use crate::error::Error;
use crate::stream::DataStream;

/// Records of a frame have about so many bytes, unless one record has more.
const FRAME_BYTES: usize = 64 << 10;
/// Frames under way that `main()` has not taken yet.
const WINDOW: u64 = 16;
/// A frame must fit into a message.
const LARGEST_RECORD: usize = 32 << 20;

/// Sends records to the program; waits while it does not take them.
pub(crate) struct CollectWriter {
    port: ResultPort,
    sent: u64,
    rows: u32,
    bytes: Vec<u8>,
    is_done: bool,
}

impl CollectWriter {
    pub(crate) fn new(context: &SubtaskContext) -> Self {
        Self {
            port: context.results.clone(),
            sent: 0,
            rows: 0,
            bytes: Vec::new(),
            is_done: false,
        }
    }

    fn send(&mut self, last: bool) {
        let frame = ResultFrame {
            sequence: self.sent,
            rows: std::mem::take(&mut self.rows),
            bytes: std::mem::take(&mut self.bytes),
            last,
        };
        self.port.send(frame);
        self.sent += 1;
    }

    fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.port.taken())
    }
}

impl<T: Record> DrivenWriter<T> for CollectWriter {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        for (row, _) in batch.drain() {
            let before = self.bytes.len();
            codec::encode(&row, &mut self.bytes).map_err(|error| {
                TaskError::user(format!("a collected record cannot be encoded: {error}"))
            })?;
            let bytes = self.bytes.len() - before;
            if bytes > LARGEST_RECORD {
                return Err(TaskError::user(format!(
                    "a record of {bytes} bytes cannot be collected: at most {LARGEST_RECORD} bytes can"
                )));
            }
            self.rows += 1;
            if self.bytes.len() >= FRAME_BYTES || self.rows == u32::MAX {
                self.send(false);
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(self.under_way() < WINDOW)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        if self.rows > 0 && self.under_way() < WINDOW {
            self.send(false);
        }
        Ok(())
    }

    fn prepare_commit(&mut self, end_of_input: bool) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        if !end_of_input {
            // What was sent before a restart is told from what comes after it by the program.
            if self.rows > 0 {
                self.send(false);
            }
            return Ok(Poll::Ready(Vec::new()));
        }
        if !self.is_done {
            self.send(true);
            self.is_done = true;
        }
        // The program has all of them when the job is FINISHED.
        Ok(if self.under_way() == 0 {
            Poll::Ready(Vec::new())
        } else {
            Poll::Pending
        })
    }
}

/// The records of a job, in the order in which they arrive, while it runs. What is not taken holds the job up: about a
/// megabyte is under way. The iterator ends with the job; if that does not finish, the last item is its failure.
///
/// Dropped before its end, or at its [limit](CollectedRecords::limit), it cancels the job.
///
/// Without checkpoints a job that is restarted begins anew. If `main()` was given records before, the next item is an error
/// that says so; otherwise nobody notices.
pub struct CollectedRecords<T> {
    job: JobClient,
    frames: VecDeque<Frame>,
    /// The frame that is being read, and how far.
    bytes: Vec<u8>,
    at: usize,
    rows_left: u32,
    is_last: bool,
    /// The next frame to ask for.
    next_frame: u64,
    limit: Option<u64>,
    is_done: bool,
    types: PhantomData<fn() -> T>,
}

impl<T: Record> CollectedRecords<T> {
    fn new(job: JobClient) -> Self {
        Self {
            job,
            frames: VecDeque::new(),
            bytes: Vec::new(),
            at: 0,
            rows_left: 0,
            is_last: false,
            next_frame: 0,
            limit: None,
            is_done: false,
            types: PhantomData,
        }
    }

    /// Ends after so many records, and cancels the job then.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let numbers = env.from_sequence(1, i64::MAX).execute_and_collect("numbers")?;
    /// let first: Vec<i64> = numbers.limit(3).collect::<Result<_, _>>()?;
    /// assert_eq!(first, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn limit(mut self, records: usize) -> Self {
        self.limit = Some(records as u64);
        self
    }

    /// The job. Its result comes when all records were taken.
    pub fn job(&self) -> &JobClient {
        &self.job
    }

    fn advance(&mut self) -> Result<Option<T>, Error> {
        if self.limit == Some(0) {
            self.job.cancel()?;
            return Ok(None);
        }
        while self.rows_left == 0 {
            if self.is_last {
                // That the last ones were taken lets the job end.
                self.job.job().collected(self.next_frame)?;
                return self.job.result().map(|_| None);
            }
            match self.frames.pop_front() {
                Some(frame) => {
                    self.next_frame += 1;
                    (self.bytes, self.at) = (frame.bytes, 0);
                    (self.rows_left, self.is_last) = (frame.rows, frame.last);
                }
                None => {
                    let found = self.job.job().collected(self.next_frame)?;
                    if !found.failure.is_empty() {
                        return Err(Error::Collect(found.failure));
                    }
                    self.frames = found.frames.into();
                    if self.frames.is_empty() && found.over {
                        // It did not come to the last record: it did not finish, unless it is detached.
                        return self.job.result().map(|_| None);
                    }
                }
            }
        }
        let mut rest = &self.bytes[self.at..];
        let row = codec::decode(&mut rest)
            .map_err(|error| Error::Collect(format!("a record cannot be decoded: {error}")))?;
        self.at = self.bytes.len() - rest.len();
        self.rows_left -= 1;
        if let Some(limit) = &mut self.limit {
            *limit -= 1;
        }
        Ok(Some(row))
    }
}

impl<T: Record> Iterator for CollectedRecords<T> {
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.advance();
        if !matches!(item, Ok(Some(_))) {
            self.is_done = true;
            if matches!(item, Err(Error::Collect(_))) {
                // The rest is of no use. One that cannot be reached ends with its program.
                let _ = self.job.cancel();
            }
        }
        item.transpose()
    }
}

impl<T> Drop for CollectedRecords<T> {
    fn drop(&mut self) {
        if !self.is_done {
            // One that cannot be reached ends with its program.
            let _ = self.job.cancel();
        }
    }
}

impl<T> fmt::Debug for CollectedRecords<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectedRecords")
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Executes the job with all that was built so far, and hands the records of this stream to `main()` while it runs. All
    /// of them go through one subtask and one connection: this is for results, not for masses.
    ///
    /// What `main()` takes is shipped to the workers of later jobs of the program, because it runs again there: after more
    /// than 1 MiB a later job is refused (not if the program runs embedded).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let squares = env.from_sequence(1, 3).map(|n| n * n);
    /// let mut sum = 0;
    /// for square in squares.execute_and_collect("squares")? {
    ///     sum += square?;
    /// }
    /// assert_eq!(sum, 14);
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_and_collect(self, job_name: &str) -> Result<CollectedRecords<T>, Error> {
        let env = self.env.clone();
        self.collect_for_program();
        env.submit_client(job_name, true).map(CollectedRecords::new)
    }

    /// As [`DataStream::execute_and_collect`]: the first `limit` records that arrive, or all if there are fewer. Then the job
    /// is cancelled.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let first = env.from_sequence(1, i64::MAX).execute_and_collect_with_limit("numbers", 2)?;
    /// assert_eq!(first, [1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_and_collect_with_limit(
        self,
        job_name: &str,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        self.execute_and_collect(job_name)?.limit(limit).collect()
    }
}
