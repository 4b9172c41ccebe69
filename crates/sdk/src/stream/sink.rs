//! Ends of streams.

use std::fmt::{Debug, Display};
use std::sync::Arc;

use flott_connectors::discard::DiscardWriter;
use flott_connectors::file::{
    SubmissionStage, TextWriter, abandon_output, committer, prepare_output,
};
use flott_connectors::print::PrintWriter;
use flott_model::ShipStrategy;
use flott_operators::pipe::Pipe;
use flott_operators::sink::api::{self, CommitContext, DrivenWriter, Sink, WriterContext};
use flott_operators::sink::{Committer, SinkOperator, SinkWriter};
use flott_operators::source::SubmissionContext;
use flott_operators::{SubtaskContext, TaskError};
use flott_record::Record;
use flott_runtime::plan::NodeFactory;

use crate::StreamExecutionEnvironment;
use crate::collect::CollectWriter;
use crate::graph::{
    Abandon, Chaining, OperatorInfo, Prepare, Prepared, StreamNode, boxed_sink, gate_factory,
};
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
        W: SinkWriter<T> + 'static,
        F: Fn(&SubtaskContext) -> Result<W, TaskError> + Send + Sync + 'static,
    {
        // The sink is a node of its own: settings of the sink are not those of what is before it.
        let stream = self.seal();
        let position = stream.env.next_node() as u32;
        let factory = NodeFactory::Operator {
            operator: Arc::new(move |context, _| {
                let writer = make(context)?;
                let sink = SinkOperator::new(writer, position, context);
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
    /// in the container's log directory); with several subtasks each line begins with `n> `.
    pub fn print(self) -> DataStreamSink
    where
        T: Display,
    {
        let make =
            |context: &SubtaskContext| Ok(PrintWriter::new(context.subtask, context.parallelism));
        self.end_in("Print to Std. Out", make, Ends::default())
    }

    /// Prints each record as `{:?}` shows it.
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
    /// env.from_sequence(1, 3).sink_to(FileSink::json_lines(directory), "numbers");
    /// # env.execute("sink_to")?;
    /// # std::fs::remove_dir_all(directory)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sink_to<S: Sink<T>>(self, sink: S, name: &str) -> DataStreamSink {
        let stream = self.seal();
        let operator = stream.env.next_node() as u32;
        let (sink, prepared) = (Arc::new(sink), Prepared::default());
        let writers = (Arc::clone(&sink), Arc::clone(&prepared));
        let make = move |context: &SubtaskContext| {
            let (sink, prepared) = &writers;
            let prepared = prepared.get().cloned().unwrap_or_default();
            let context = WriterContext::new(context, prepared);
            sink.create_writer(&context).map(DrivenWriter)
        };
        let committer: Committer = {
            let (sink, prepared) = (Arc::clone(&sink), Arc::clone(&prepared));
            Arc::new(move |files, committables| {
                let prepared = prepared.get().cloned().unwrap_or_default();
                let io = tokio::runtime::Handle::current();
                let context = CommitContext::new(files, io, operator, prepared);
                Box::pin(api::commit::<T, S>(
                    Arc::clone(&sink),
                    context,
                    committables,
                ))
            })
        };
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
    pub fn discard(self) -> DataStreamSink {
        self.end_in("Discard", |_| Ok(DiscardWriter), Ends::default())
    }

    /// Writes each record as a line of text to files in a directory, on any file system. `format`
    /// appends the record to the line; the line end is added. The directory must not exist, or be
    /// empty. Files appear when the job is FINISHED, all at once or, after a failure in the middle
    /// of that, one by one; a job that fails leaves none.
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
        let stream = self.seal();
        let operator = stream.env.next_node() as u32;
        let prepared = Prepared::default();
        let (target, checked) = (Arc::clone(&prepared), directory.to_owned());
        let make = move |context: &SubtaskContext| {
            let directory = target
                .get()
                .map(|uri| String::from_utf8_lossy(uri).into_owned());
            let directory = directory.ok_or_else(|| {
                TaskError::fatal("the output directory was not fixed at submission")
            })?;
            Ok(TextWriter::new(
                directory,
                operator,
                format.clone(),
                context,
            ))
        };
        let prepare: Prepare = Box::new(move |at| {
            Box::pin(async move {
                prepare_output(&at.files, &checked, at.stage)
                    .await
                    .map(String::into_bytes)
            })
        });
        let abandon: Abandon = Box::new(move |files, uri| {
            Box::pin(async move {
                let directory = String::from_utf8_lossy(&uri);
                abandon_output(&files, &directory, operator).await
            })
        });
        let ends = Ends {
            committer: Some(committer(operator)),
            prepare: Some(prepare),
            abandon: Some(abandon),
            prepared,
        };
        stream.end_in("Text Files", make, ends)
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
            off_thread(move || sink.prepare(&context)).await
        })
    })
}

fn abandon_sink<T: Record, S: Sink<T>>(sink: Arc<S>, operator: u32) -> Abandon {
    Box::new(move |files, prepared| {
        Box::pin(async move {
            let io = tokio::runtime::Handle::current();
            let context = CommitContext::new(files, io, operator, prepared);
            off_thread(move || sink.abandon(&context)).await
        })
    })
}

async fn off_thread<R: Send + 'static>(
    run: impl FnOnce() -> Result<R, TaskError> + Send + 'static,
) -> Result<R, TaskError> {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.unwrap_or_else(|error| Err(TaskError::user(format!("the sink panicked: {error}"))))
}

/// What a sink does at both ends of the job.
#[derive(Default)]
struct Ends {
    committer: Option<Committer>,
    prepare: Option<Prepare>,
    abandon: Option<Abandon>,
    prepared: Prepared,
}
