//! Ends of streams.

use std::fmt::{Debug, Display};
use std::sync::Arc;

use flott_connectors::discard::DiscardSink;
use flott_connectors::file::{
    CsvEncoding, DefaultRollingPolicy, FileSink, JsonLinesEncoding, RecordFormat, SubmissionStage,
    TextEncoding,
};
use flott_connectors::print::PrintSink;
use flott_connectors::socket::SocketSink;
use flott_model::ShipStrategy;
use flott_operators::pipe::Pipe;
use flott_operators::sink::api::Sink;
use flott_operators::sink::{
    self, AnyCommitter, CommitterContext, Driven, DrivenWriter, SinkContext, SinkOperator,
};
use flott_operators::source::SubmissionContext;
use flott_operators::{SubtaskContext, TaskError};
use flott_record::Record;
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::collect::CollectWriter;
use crate::graph::{
    Abandon, Chaining, OperatorInfo, Prepare, Prepared, StreamNode, boxed_sink, gate_factory,
};
use crate::slot_sharing::SlotSharingGroup;
use crate::stream::DataStream;
use crate::stream::data::plain_edge;

/// The end of a stream.
pub struct DataStreamSink {
    env: StreamExecutionEnvironment,
    node: usize,
}

impl DataStreamSink {
    /// Names the sink, for people.
    pub fn name(self, name: &str) -> Self {
        self.env.last_operator(self.node, |operator| {
            operator.name = format!("Sink: {name}")
        });
        self
    }

    /// Identifies the sink, for savepoints; must be unique in the job.
    pub fn uid(self, uid: &str) -> Self {
        self.env
            .last_operator(self.node, |operator| operator.uid = Some(uid.to_owned()));
        self
    }

    /// The number of subtasks of the sink; default: that of the stream it ends.
    ///
    /// # Panics
    /// If it is 0.
    pub fn set_parallelism(self, parallelism: u32) -> Self {
        assert!(
            parallelism > 0,
            "the parallelism of an operator is at least 1"
        );
        self.env
            .with_node(self.node, |node| node.parallelism = parallelism);
        self
    }

    /// Puts the sink into slots of that group; see [`DataStream::slot_sharing_group`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print().slot_sharing_group("out");
    /// # env.execute("sink of its own")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn slot_sharing_group(self, group: impl Into<SlotSharingGroup>) -> Self {
        self.env.share_slots(self.node, group.into());
        self
    }

    /// Runs the sink in a task of its own.
    pub fn disable_chaining(self) -> Self {
        self.env
            .with_node(self.node, |node| node.chaining = Chaining::Never);
        self
    }
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Ends the stream in writers made by `make`, one per subtask.
    fn end_in<W, F>(self, name: &str, make: F, ends: Ends) -> DataStreamSink
    where
        W: DrivenWriter<T> + 'static,
        F: Fn(&SubtaskContext) -> Result<W, TaskError> + Send + Sync + 'static,
    {
        // The sink is a node of its own: settings of the sink are not those of what is before it.
        let stream = self.seal();
        let factory = NodeFactory::Operator {
            operator: Arc::new(move |context, _| {
                let writer = make(context)?;
                let sink = SinkOperator::new(writer, context);
                Ok(boxed_sink::<T>(sink))
            }),
            gate: gate_factory::<T>(),
        };
        let operators = vec![OperatorInfo::named("Sink", format!("Sink: {name}"))];
        let parallelism = stream.env.parallelism_of(stream.from);
        // Nothing follows a sink.
        let tee = Arc::new(|_| Box::new(()) as flott_runtime::exchange::AnyBox);
        let node = StreamNode {
            inputs: vec![plain_edge::<T>(stream.from, ShipStrategy::Forward)],
            committer: ends.committer,
            prepare: ends.prepare,
            abandon: ends.abandon,
            prepared: ends.prepared,
            ..stream.env.new_node(operators, parallelism, factory, tee)
        };
        let node = stream.env.add_node(node);
        DataStreamSink {
            env: stream.env,
            node,
        }
    }

    /// Prints each record to the standard output of its process (on YARN: the worker's `.out` file
    /// in the container's log directory); with several subtasks each line begins with `n> `, n from 1.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print();
    /// env.execute("print")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print(self) -> DataStreamSink
    where
        T: Display,
    {
        self.sink_named("Print to Std. Out", PrintSink::to_out())
    }

    /// As [`DataStream::print`], but each line begins with `identifier> `, or with `identifier:n> ` if
    /// there are several subtasks.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print_with_identifier("numbers");
    /// env.execute("print")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print_with_identifier(self, identifier: &str) -> DataStreamSink
    where
        T: Display,
    {
        let sink = PrintSink::to_out().with_identifier(identifier);
        self.sink_named("Print to Std. Out", sink)
    }

    /// As [`DataStream::print`], to the error output (on YARN: the worker's `.err` file). With an
    /// identifier: `sink_to(PrintSink::to_err().with_identifier("late"))`.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print_to_err();
    /// env.execute("print")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print_to_err(self) -> DataStreamSink
    where
        T: Display,
    {
        self.sink_named("Print to Std. Err", PrintSink::to_err())
    }

    /// Prints each record as `{:?}` shows it.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).map(|n| (n, n * n)).print_debug();
    /// env.execute("print")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn print_debug(self) -> DataStreamSink
    where
        T: Debug,
    {
        self.map(|record| format!("{record:?}")).print()
    }

    /// Ends the stream in a sink: files, a socket, or one of your own (see [`crate::sink`]).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::sink::FileSink;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("flott-sink-to-{}", std::process::id()));
    /// # let directory = directory.to_str().ok_or("not UTF-8")?;
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).sink_to(FileSink::json_lines(directory)).name("numbers");
    /// # env.execute("sink_to")?;
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sink_to<S: Sink<T>>(self, sink: S) -> DataStreamSink {
        self.sink_named("Writer", sink)
    }

    fn sink_named<S: Sink<T>>(self, name: &str, sink: S) -> DataStreamSink {
        let stream = self.seal();
        let operator = stream.env.next_node() as u32;
        let (sink, prepared) = (Arc::new(sink), Prepared::default());
        let writers = (Arc::clone(&sink), Arc::clone(&prepared));
        let make = move |context: &SubtaskContext| {
            let (sink, prepared) = &writers;
            let prepared = prepared.get().cloned().unwrap_or_default();
            let context = SinkContext::new(context, prepared);
            sink.create_writer(&context).map(Driven)
        };
        let committed = Arc::clone(&prepared);
        let committer = sink::any_committer::<T, S>(Arc::clone(&sink), move |files| {
            let prepared = committed.get().cloned().unwrap_or_default();
            let io = tokio::runtime::Handle::current();
            CommitterContext::new(files, io, operator, prepared)
        });
        let ends = Ends {
            committer: Some(committer),
            prepare: Some(prepare_sink::<T, S>(Arc::clone(&sink))),
            abandon: Some(abandon_sink::<T, S>(sink, operator)),
            prepared,
        };
        stream.end_in(name, make, ends)
    }

    /// Sends all records to the program, through one subtask.
    pub(crate) fn collect_for_program(self) -> DataStreamSink {
        let make = |context: &SubtaskContext| Ok(CollectWriter::new(context));
        self.end_in("Data stream collect sink", make, Ends::default())
            .set_parallelism(1)
    }

    /// Drops all records.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).discard();
    /// env.execute("discard")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn discard(self) -> DataStreamSink {
        self.sink_named("Discard", DiscardSink)
    }

    /// Writes each record as a line of text to files in a directory, on any file system. `format`
    /// appends the record to the line; the line end is added. The directory must not exist, or be
    /// empty. Each subtask that has records writes one file. Files appear when the job is FINISHED, all
    /// at once or, after a failure in the middle of that, one by one; a job that fails leaves none. For
    /// files that roll, for buckets and for names see [`FileSink`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("flott-doc-{}", std::process::id()));
    /// # let directory = directory.to_str().ok_or("not UTF-8")?;
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).write_text(directory, |n, line| line.push_str(&n.to_string()));
    /// # env.execute("write_text")?;
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_text<F>(self, directory: &str, format: F) -> DataStreamSink
    where
        F: FnMut(&T, &mut String) + Clone + Send + Sync + 'static,
    {
        self.write_files("Text Files", directory, TextEncoding::new(format))
    }

    /// Writes records as comma-separated values, in each file after a header line if they are structs.
    /// Their fields must be simple values. For the rest see [`DataStream::write_text`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("flott-csv-{}", std::process::id()));
    /// # let directory = directory.to_str().ok_or("not UTF-8")?;
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).map(|n| (n, n * n)).write_csv(directory);
    /// # env.execute("write_csv")?;
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_csv(self, directory: &str) -> DataStreamSink {
        self.write_files("CSV Files", directory, CsvEncoding::new())
    }

    /// Writes each record as a line with a JSON value. For the rest see [`DataStream::write_text`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = std::env::temp_dir().join(format!("flott-json-{}", std::process::id()));
    /// # let directory = directory.to_str().ok_or("not UTF-8")?;
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).map(|n| (n, n * n)).write_json(directory);
    /// # env.execute("write_json")?;
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_json(self, directory: &str) -> DataStreamSink {
        self.write_files("JSON Files", directory, JsonLinesEncoding)
    }

    fn write_files<F>(self, name: &str, directory: &str, format: F) -> DataStreamSink
    where
        F: RecordFormat<T>,
    {
        let sink = FileSink::for_row_format(directory, format);
        self.sink_named(
            name,
            sink.with_rolling_policy(DefaultRollingPolicy::never()),
        )
    }

    /// Sends each record to a TCP server, one connection for each subtask: the bytes that `serialize`
    /// appends. After a restart the server gets records again. For retries see [`SocketSink`].
    ///
    /// ```no_run
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).write_to_socket("localhost", 9999, |n, bytes| {
    ///     bytes.extend_from_slice(format!("{n}\n").as_bytes());
    /// });
    /// env.execute("socket")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_to_socket<F>(self, host: &str, port: u16, serialize: F) -> DataStreamSink
    where
        F: FnMut(&T, &mut Vec<u8>) + Clone + Send + Sync + 'static,
    {
        self.sink_named("Socket", SocketSink::new(host, port, serialize))
    }
}

/// Has the sink look at its target when the job is submitted, where it may block.
fn prepare_sink<T: Record, S: Sink<T>>(sink: Arc<S>) -> Prepare {
    Box::new(move |at| {
        Box::pin(async move {
            let io = tokio::runtime::Handle::current();
            let context = SubmissionContext::new(at.files, io, at.parallelism)
                .for_plan(at.stage == SubmissionStage::Plan)
                .for_retry(at.stage == SubmissionStage::Retry);
            sink::prepare::<T, S>(sink, context).await
        })
    })
}

fn abandon_sink<T: Record, S: Sink<T>>(sink: Arc<S>, operator: u32) -> Abandon {
    Box::new(move |files, prepared| {
        Box::pin(async move {
            let io = tokio::runtime::Handle::current();
            let context = CommitterContext::new(files, io, operator, prepared);
            sink::abandon::<T, S>(sink, context).await
        })
    })
}

/// What a sink does at both ends of the job.
#[derive(Default)]
struct Ends {
    committer: Option<AnyCommitter>,
    prepare: Option<Prepare>,
    abandon: Option<Abandon>,
    prepared: Prepared,
}
