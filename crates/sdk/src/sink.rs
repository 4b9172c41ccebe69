//! Where streams end: sinks for [`DataStream::sink_to`](crate::DataStream::sink_to), and what a sink
//! of your own implements.
//!
//! A [`Sink`] has two phases. A [`SinkWriter`] in each subtask keeps what it writes out of sight, and
//! says at the end of its input what is to be committed. When all subtasks of the job have finished,
//! the [`Committer`] runs, in one of its workers. What a failed attempt wrote is never committed.
//! [`conformance::check`] tests a sink of your own.
//!
//! ```
//! use std::task::Poll;
//! use flott::TaskError;
//! use flott::prelude::*;
//! use flott::sink::*;
//!
//! /// Prints one sum for the whole job.
//! struct PrintSum;
//!
//! impl Sink<i64> for PrintSum {
//!     type Writer = Summing;
//!
//!     fn create_writer(&self, _: &SinkContext) -> Result<Summing, TaskError> {
//!         Ok(Summing(0))
//!     }
//!     fn create_committer(
//!         &self,
//!         _: &CommitterContext,
//!     ) -> Result<Option<Box<dyn Committer<i64>>>, TaskError> {
//!         Ok(Some(Box::new(|sums: Vec<i64>| {
//!             println!("{}", sums.iter().sum::<i64>());
//!             Ok(())
//!         })))
//!     }
//! }
//!
//! struct Summing(i64);
//!
//! impl SinkWriter<i64> for Summing {
//!     type Committable = i64;
//!
//!     fn write(&mut self, record: i64, _: &SinkRecordContext) -> Result<(), TaskError> {
//!         self.0 += record;
//!         Ok(())
//!     }
//!     fn prepare_commit(&mut self, _end_of_input: bool) -> Result<Poll<Vec<i64>>, TaskError> {
//!         Ok(Poll::Ready(vec![std::mem::take(&mut self.0)]))
//!     }
//! }
//!
//! # fn main() -> Result<(), flott::Error> {
//! let env = StreamExecutionEnvironment::get()?;
//! env.from_sequence(1, 100).sink_to(PrintSum).name("sum");
//! env.execute("custom sink")?;
//! # Ok(())
//! # }
//! ```
//!
//! A writer must not block. One that waits for I/O has a future do it, behind an [`Outbox`]:
//!
//! ```
//! # use std::task::Poll;
//! # use flott::TaskError;
//! # use flott::prelude::*;
//! # use flott::sink::*;
//! /// Appends to a log, which somebody reads at once: there is nothing to commit.
//! struct Log(std::path::PathBuf);
//!
//! impl Sink<String> for Log {
//!     type Writer = LogWriter;
//!
//!     fn create_writer(&self, context: &SinkContext) -> Result<LogWriter, TaskError> {
//!         let path = self.0.join(format!("{}.log", context.subtask_index()));
//!         let lines = context.outbox(16, |mut inbox: Inbox<Vec<String>>| async move {
//!             let mut log = Vec::new(); // A client of some server.
//!             while let Some(lines) = inbox.recv().await {
//!                 log.extend(lines);
//!             }
//!             std::fs::write(&path, log.join("\n"))
//!                 .map_err(|error| TaskError::transient(format!("{}: {error}", path.display())))
//!         });
//!         Ok(LogWriter { buffer: Vec::new(), lines })
//!     }
//! }
//!
//! struct LogWriter { buffer: Vec<String>, lines: Outbox<Vec<String>> }
//!
//! impl LogWriter {
//!     fn hand_over(&mut self) {
//!         if !self.buffer.is_empty() {
//!             self.lines.push(std::mem::take(&mut self.buffer));
//!         }
//!     }
//! }
//!
//! impl SinkWriter<String> for LogWriter {
//!     type Committable = ();
//!
//!     fn write(&mut self, line: String, _: &SinkRecordContext) -> Result<(), TaskError> {
//!         self.buffer.push(line);
//!         if self.buffer.len() >= 100 {
//!             self.hand_over();
//!         }
//!         Ok(())
//!     }
//!     fn flush(&mut self) -> Result<(), TaskError> {
//!         self.hand_over();
//!         self.lines.settle().map(drop)
//!     }
//!     fn settle(&mut self) -> Result<bool, TaskError> {
//!         self.lines.settle()
//!     }
//!     fn prepare_commit(&mut self, end_of_input: bool) -> Result<Poll<Vec<()>>, TaskError> {
//!         self.hand_over();
//!         if end_of_input {
//!             return Ok(self.lines.finish()?.map(|()| Vec::new()));
//!         }
//!         // At a checkpoint. Lines in the queue are not in the file yet: who must not lose them has
//!         // that confirmed (`SinkContext::confirmation`).
//!         Ok(if self.lines.settle()? { Poll::Ready(Vec::new()) } else { Poll::Pending })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = std::env::temp_dir().join(format!("flott-log-{}", std::process::id()));
//! # std::fs::create_dir_all(&directory)?;
//! # let env = StreamExecutionEnvironment::get()?;
//! # env.set_parallelism(1);
//! env.from_collection(["to", "be"].map(String::from)).sink_to(Log(directory.clone())).name("log");
//! env.execute("log")?;
//! assert_eq!(std::fs::read_to_string(directory.join("0.log"))?, "to\nbe");
//! # std::fs::remove_dir_all(directory)?;
//! # Ok(())
//! # }
//! ```

pub use flott_connectors::discard::DiscardSink;
pub use flott_connectors::file::{
    BasePathBucketAssigner, BucketAssigner, CsvEncoding, DateTimeBucketAssigner,
    DefaultRollingPolicy, FileSink, JsonLinesEncoding, PartFile, PartInfo, RecordEncoder,
    RecordFormat, RollingPolicy, TextEncoding,
};
pub use flott_connectors::print::PrintSink;
pub use flott_connectors::socket::SocketSink;
pub use flott_network::Batch;
pub use flott_operators::sink::api::{Committer, Sink, SinkWriter};
pub use flott_operators::sink::{
    CommitStage, CommitterContext, Confirm, Confirmation, Inbox, Outbox, SinkContext,
    SinkRecordContext, SinkRecords, SinkState, conformance,
};
pub use flott_operators::source::SubmissionContext;
