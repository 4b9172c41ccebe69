//! Where streams begin: the methods of the environment that read something, and what a source of
//! your own implements.
//!
//! A [`Source`] has two halves. Its [`SplitEnumerator`] runs once per job: it finds the pieces of the
//! input ([`SourceSplit`]) and assigns them. A [`SourceReader`] runs in each subtask: it asks for a
//! split whenever it runs dry, and reads it. [`conformance::check`] tests a source of your own.
//!
//! ```
//! use flott::TaskError;
//! use flott::prelude::*;
//! use flott::source::*;
//! use serde::{Deserialize, Serialize};
//!
//! /// Counts down from some numbers.
//! struct Countdowns(Vec<u64>);
//!
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! struct Countdown { from: u64, at: u64 }
//!
//! impl SourceSplit for Countdown {
//!     fn split_id(&self) -> String {
//!         self.from.to_string()
//!     }
//! }
//!
//! impl Source for Countdowns {
//!     type Out = u64;
//!     type Split = Countdown;
//!     type Enumerator = StaticEnumerator<Countdown>;
//!     type Reader = CountdownReader;
//!
//!     fn boundedness(&self) -> Boundedness {
//!         Boundedness::Bounded
//!     }
//!     fn create_enumerator(&self, context: &EnumeratorContext) -> Result<Self::Enumerator, TaskError> {
//!         let mut pool = SplitPool::new(context.parallelism());
//!         pool.add(self.0.iter().map(|from| Countdown { from: *from, at: *from }));
//!         Ok(StaticEnumerator::new(pool))
//!     }
//!     fn restore_enumerator(
//!         &self,
//!         context: &EnumeratorContext,
//!         pool: SplitPool<Countdown>,
//!     ) -> Result<Self::Enumerator, TaskError> {
//!         Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
//!     }
//!     fn create_reader(&self, _: &ReaderContext) -> Result<CountdownReader, TaskError> {
//!         Ok(CountdownReader(None))
//!     }
//! }
//!
//! struct CountdownReader(Option<Countdown>);
//!
//! impl SourceReader for CountdownReader {
//!     type Out = u64;
//!     type Split = Countdown;
//!
//!     fn add_split(&mut self, split: Countdown) -> Result<(), TaskError> {
//!         self.0 = Some(split);
//!         Ok(())
//!     }
//!     fn fill(&mut self, batch: &mut Batch<u64>) -> Result<ReaderProgress, TaskError> {
//!         let Some(split) = &mut self.0 else { return Ok(ReaderProgress::Pending) };
//!         while split.at > 0 && batch.len() < batch_rows::<u64>() {
//!             batch.push(split.at, NO_TIMESTAMP);
//!             split.at -= 1;
//!         }
//!         if split.at > 0 {
//!             return Ok(ReaderProgress::More);
//!         }
//!         self.0 = None;
//!         Ok(ReaderProgress::SplitFinished)
//!     }
//!     fn snapshot(&self) -> Vec<Countdown> {
//!         self.0.clone().into_iter().collect()
//!     }
//! }
//!
//! # fn main() -> Result<(), flott::Error> {
//! let env = StreamExecutionEnvironment::get()?;
//! let source = Countdowns(vec![3, 5]);
//! env.from_source(source, WatermarkStrategy::no_watermarks(), "countdowns").print();
//! env.execute("custom source")?;
//! # Ok(())
//! # }
//! ```

pub use flott_connectors::collection::CollectionSource;
pub use flott_connectors::datagen::DataGeneratorSource;
pub use flott_connectors::file::{
    BlockDecoder, CsvFormat, FileFormat, FileSource, Framing, JsonLinesFormat, TextFormat,
};
pub use flott_connectors::sequence::SequenceSource;
pub use flott_connectors::socket::SocketTextSource;
pub use flott_network::{Batch, NO_TIMESTAMP, Waker, batch_rows};
pub use flott_operators::TaskClock;
pub use flott_operators::source::{
    Assignment, Boundedness, EnumeratorContext, Handed, Handover, HandoverSender, ReaderContext,
    ReaderProgress, Source, SourceReader, SourceSplit, SplitEnumerator, SplitPool,
    StaticEnumerator, SubmissionContext, conformance,
};

use std::sync::Arc;

use flott_config::options;
use flott_operators::BatchSink;
use flott_operators::TaskError;
use flott_operators::source::{SourceDriver, enumerator_factory};
use flott_record::Record;
use flott_runtime::SourceTask;
use flott_runtime::exchange::unbox;
use flott_runtime::plan::{NodeFactory, SourceFactory};

use crate::StreamExecutionEnvironment;
use crate::graph::{OperatorInfo, Prepare, Prepared, StreamNode, tee_factory};
use crate::stream::DataStream;
use crate::time::WatermarkStrategy;

impl StreamExecutionEnvironment {
    /// What a source reads, with event time as the strategy says. The source has as many subtasks as
    /// the environment's parallelism says, unless that of the stream is set.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::source::DataGeneratorSource;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let readings = DataGeneratorSource::new(|index| (index as i64 * 1_000, index % 10), 100);
    /// let times = WatermarkStrategy::for_monotonous_timestamps()
    ///     .with_timestamp_assigner(|reading: &(i64, u64), _| reading.0);
    /// env.from_source(readings, times, "readings").print_debug();
    /// env.execute("from_source")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_source<S: Source>(
        &self,
        source: S,
        strategy: WatermarkStrategy<S::Out>,
        name: &str,
    ) -> DataStream<S::Out> {
        self.add_source(source, strategy, name, self.default_parallelism())
    }

    /// The items, in order, in one subtask.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["to", "be"].map(String::from)).print();
    /// env.execute("collection")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_collection<T: Record + Sync>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> DataStream<T> {
        let source = CollectionSource::new(items);
        self.add_source(source, WatermarkStrategy::no_watermarks(), "Collection", 1)
    }

    /// The numbers `from..=to`; each subtask has a range of its own.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print();
    /// env.execute("sequence")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_sequence(&self, from: i64, to: i64) -> DataStream<i64> {
        let source = SequenceSource::new(from, to);
        self.from_source(source, WatermarkStrategy::no_watermarks(), "Sequence")
    }

    /// The lines of a file, of all files below a directory, or of all that match a glob, on any
    /// file system (`hdfs://…`, `file:///…`; without scheme: the default one). Hidden files
    /// (`.x`, `_x`) are skipped. Files are split by blocks. That there is something to read is checked
    /// when the job is submitted. For CSV, JSON lines and directories that grow see [`FileSource`].
    ///
    /// ```no_run
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.read_text_file("hdfs:///data/text").print();
    /// env.execute("lines")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_text_file(&self, path: &str) -> DataStream<String> {
        let source = FileSource::text(path);
        self.from_source(source, WatermarkStrategy::no_watermarks(), "Text Files")
    }

    /// The lines that a TCP server sends, in one subtask, until it closes the connection. For another
    /// delimiter and for retries see [`SocketTextSource`].
    ///
    /// ```no_run
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.socket_text_stream("localhost", 9999).print();
    /// env.execute("socket")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn socket_text_stream(&self, host: &str, port: u16) -> DataStream<String> {
        let source = SocketTextSource::new(host, port);
        self.add_source(
            source,
            WatermarkStrategy::no_watermarks(),
            "Socket Stream",
            1,
        )
    }

    /// `pipeline.auto-watermark-interval`, in milliseconds.
    pub(crate) fn auto_watermark_interval_ms(&self) -> i64 {
        let interval = self
            .configuration()
            .get(&options::PIPELINE_AUTO_WATERMARK_INTERVAL);
        i64::try_from(interval.as_millis()).unwrap_or(i64::MAX)
    }

    fn add_source<S: Source>(
        &self,
        source: S,
        strategy: WatermarkStrategy<S::Out>,
        name: &str,
        parallelism: u32,
    ) -> DataStream<S::Out> {
        let source = Arc::new(source);
        let prepared = Prepared::default();
        let interval = self.auto_watermark_interval_ms();
        let factory = SourceFactory {
            task: {
                let source = Arc::clone(&source);
                Arc::new(move |context, next, timeout| {
                    let reader = SourceDriver::new(&*source, strategy.clone(), interval, context)?;
                    let next: Box<dyn BatchSink<S::Out>> = unbox(next.main);
                    Ok(Box::new(SourceTask::new(reader, next, timeout, context)))
                })
            },
            enumerator: {
                let (make, prepared) = (
                    enumerator_factory(Arc::clone(&source)),
                    Arc::clone(&prepared),
                );
                Some(Arc::new(move |context, checkpoint| {
                    let prepared = prepared.get().cloned().unwrap_or_default();
                    make(&context.clone().with_prepared(prepared), checkpoint)
                }))
            },
        };
        let operator = OperatorInfo::named("Source", format!("Source: {name}"));
        let node = StreamNode {
            unbounded: source.boundedness() == Boundedness::ContinuousUnbounded,
            prepare: Some(prepare(source)),
            prepared,
            ..self.new_node(
                vec![operator],
                parallelism,
                NodeFactory::Source(factory),
                tee_factory::<S::Out>(),
            )
        };
        DataStream::of_node(self.clone(), self.add_node(node))
    }
}

/// Has the source look at its input when the job is submitted, where it may block.
fn prepare<S: Source>(source: Arc<S>) -> Prepare {
    Box::new(move |at| {
        Box::pin(async move {
            let io = tokio::runtime::Handle::current();
            let context = SubmissionContext::new(at.files, io, at.parallelism);
            tokio::task::spawn_blocking(move || source.prepare(&context))
                .await
                .unwrap_or_else(|error| {
                    Err(TaskError::user(format!(
                        "a source cannot be prepared: {error}"
                    )))
                })
        })
    })
}
