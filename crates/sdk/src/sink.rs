//! Where streams end: sinks for [`DataStream::sink_to`](crate::DataStream::sink_to), and what a sink
//! of your own implements.
//!
//! A [`Sink`] has two phases. A [`Writer`] in each subtask keeps what it writes out of sight, and says
//! at the end of its input what is to be committed. When all subtasks of the job have finished,
//! [`Sink::commit`] runs once, in one of its workers. What a failed attempt wrote is never committed.
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
//!     fn create_writer(&self, _: &WriterContext) -> Result<Summing, TaskError> {
//!         Ok(Summing(0))
//!     }
//!     fn commit(&self, _: &CommitContext, sums: Vec<i64>) -> Result<(), TaskError> {
//!         println!("{}", sums.iter().sum::<i64>());
//!         Ok(())
//!     }
//! }
//!
//! struct Summing(i64);
//!
//! impl Writer<i64> for Summing {
//!     type Committable = i64;
//!
//!     fn write(&mut self, batch: &mut Batch<i64>) -> Result<(), TaskError> {
//!         self.0 += batch.rows.drain(..).sum::<i64>();
//!         Ok(())
//!     }
//!     fn prepare_commit(&mut self) -> Result<Poll<Vec<i64>>, TaskError> {
//!         Ok(Poll::Ready(vec![self.0]))
//!     }
//! }
//!
//! # fn main() -> Result<(), flott::Error> {
//! let env = StreamExecutionEnvironment::get()?;
//! env.from_sequence(1, 100).sink_to(PrintSum, "sum");
//! env.execute("custom sink")?;
//! # Ok(())
//! # }
//! ```

pub use flott_connectors::file::{
    BucketContext, CsvEncoding, DateTimeBuckets, FileSink, JsonLinesEncoding, RecordEncoder,
    RecordFormat, RollingPolicy, TextEncoding,
};
pub use flott_connectors::socket::SocketSink;
pub use flott_network::Batch;
pub use flott_operators::sink::api::{CommitContext, Sink, Writer, WriterContext};
pub use flott_operators::source::SubmissionContext;
