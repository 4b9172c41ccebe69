//! Writes each record as a line to the standard output, or error output, of its process.

use std::fmt::Display;
use std::io::Write;
use std::marker::PhantomData;
use std::task::Poll;

use flott_network::Batch;
use flott_operators::TaskError;
use flott_operators::sink::api::{Sink, SinkWriter};
use flott_operators::sink::{SinkContext, SinkRecordContext, SinkRecords};
use flott_record::Record;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Output,
    Error,
}

/// Prints lines. Before a record stands, as in Flink, the identifier if the sink has one, and the
/// number of the subtask, from 1, if there are several: `sales:2> …`, `2> …`, `sales> …`.
///
/// ```
/// use flott_connectors::print::PrintSink;
///
/// let sink = PrintSink::<u64>::to_err().with_identifier("late");
/// # let _ = sink;
/// ```
#[derive(Debug, Clone)]
pub struct PrintSink<In> {
    target: Target,
    identifier: String,
    input: PhantomData<fn(In)>,
}

impl<In> PrintSink<In> {
    /// To the standard output.
    pub fn to_out() -> Self {
        Self::new(Target::Output)
    }

    /// To the error output.
    pub fn to_err() -> Self {
        Self::new(Target::Error)
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            identifier: String::new(),
            input: PhantomData,
        }
    }

    /// What tells the lines of this sink from those of others.
    #[must_use]
    pub fn with_identifier(mut self, identifier: &str) -> Self {
        identifier.clone_into(&mut self.identifier);
        self
    }
}

impl<In: Record + Display> Sink<In> for PrintSink<In> {
    type Writer = PrintWriter;

    fn create_writer(&self, context: &SinkContext) -> Result<PrintWriter, TaskError> {
        let subtask = context.subtask_index() + 1;
        let prefix = match (self.identifier.as_str(), context.parallelism() > 1) {
            ("", false) => String::new(),
            ("", true) => format!("{subtask}> "),
            (identifier, false) => format!("{identifier}> "),
            (identifier, true) => format!("{identifier}:{subtask}> "),
        };
        Ok(PrintWriter {
            target: self.target,
            prefix,
            lines: Vec::new(),
        })
    }
}

/// Prints for [`PrintSink`].
pub struct PrintWriter {
    target: Target,
    prefix: String,
    lines: Vec<u8>,
}

impl PrintWriter {
    fn failed(&self, error: &std::io::Error) -> TaskError {
        let target = match self.target {
            Target::Output => "standard output",
            Target::Error => "error output",
        };
        TaskError::transient(format!("cannot print to the {target}: {error}"))
    }

    fn add(&mut self, record: &impl Display) -> Result<(), TaskError> {
        writeln!(self.lines, "{}{record}", self.prefix).map_err(|error| self.failed(&error))
    }

    fn print(&mut self) -> Result<(), TaskError> {
        let result = match self.target {
            Target::Output => std::io::stdout().lock().write_all(&self.lines),
            Target::Error => std::io::stderr().lock().write_all(&self.lines),
        };
        self.lines.clear();
        result.map_err(|error| self.failed(&error))
    }
}

impl<In: Record + Display> SinkWriter<In> for PrintWriter {
    type Committable = ();

    fn write(&mut self, record: In, _: &SinkRecordContext) -> Result<(), TaskError> {
        self.add(&record)?;
        self.print()
    }

    fn write_batch(
        &mut self,
        batch: &mut Batch<In>,
        records: &mut SinkRecords<'_>,
    ) -> Result<(), TaskError> {
        for (record, timestamp) in batch.drain() {
            records.next(timestamp);
            self.add(&record)?;
        }
        self.print()
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        let result = match self.target {
            Target::Output => std::io::stdout().flush(),
            Target::Error => std::io::stderr().flush(),
        };
        result.map_err(|error| self.failed(&error))
    }

    fn prepare_commit(&mut self, _: bool) -> Result<Poll<Vec<()>>, TaskError> {
        SinkWriter::<In>::flush(self).map(|()| Poll::Ready(Vec::new()))
    }
}
