//! A sink: the last value of each key, as one sorted CSV file that is there as a whole or not at all.
//!
//! Each subtask keeps what it was told last of each of its keys, and writes that as a part into a
//! hidden directory beside the table. The committer makes the table of all parts.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Poll;

use flott::TaskError;
use flott::sink::{
    Committer, CommitterContext, Confirmation, Sink, SinkContext, SinkRecordContext, SinkWriter,
    SubmissionContext,
};

use crate::samples::unique_name;

/// Key and value.
type Row = (u32, i64);

/// Writes the table to a path.
pub(crate) struct TableSink {
    table: PathBuf,
}

impl TableSink {
    pub(crate) fn new(table: &Path) -> Self {
        Self {
            table: table.to_owned(),
        }
    }

    /// The directory of the parts of this job; its name was drawn when the job was submitted.
    fn parts(&self, prepared: &[u8]) -> PathBuf {
        let name = format!(".{}", String::from_utf8_lossy(prepared));
        self.table.with_file_name(name)
    }

    fn fails(&self, doing: &str, error: &io::Error) -> TaskError {
        TaskError::transient(format!("{doing} {}: {error}", self.table.display()))
    }

    fn assemble(&self, directory: &Path, parts: &[PathBuf]) -> io::Result<()> {
        if self.table.exists() {
            // There was none at submission: an attempt to commit before this one got so far.
            return remove(directory);
        }
        let mut rows = BTreeMap::new();
        for part in parts {
            let text = fs::read_to_string(part)?;
            rows.extend(text.lines().filter_map(|line| {
                let (key, value) = line.split_once(',')?;
                Some((key.parse::<u32>().ok()?, value.to_owned()))
            }));
        }
        let lines = rows.iter().map(|(key, value)| format!("{key},{value}\n"));
        let whole = directory.join("table");
        fs::write(&whole, lines.collect::<String>())?;
        fs::rename(&whole, &self.table)?;
        remove(directory)
    }
}

/// Removes a directory that may be gone already.
fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Sink<Row> for TableSink {
    type Writer = TableWriter;

    /// A table that exists is not overwritten. Says how the directory of the parts is called.
    fn prepare(&self, _: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        if self.table.exists() {
            return Err(TaskError::user(format!(
                "the table {} exists already: remove it, or write another one",
                self.table.display()
            )));
        }
        let name = unique_name().into_bytes();
        fs::create_dir(self.parts(&name))
            .map_err(|error| self.fails("cannot write beside", &error))?;
        Ok(name)
    }

    fn create_writer(&self, context: &SinkContext) -> Result<TableWriter, TaskError> {
        // Parts of attempts that failed stay in the directory, under names that nobody commits.
        let part = format!("{}-{}", context.subtask_index(), unique_name());
        Ok(TableWriter {
            context: context.clone(),
            part: self.parts(context.prepared()).join(part),
            rows: BTreeMap::new(),
            written: None,
        })
    }

    fn create_committer(
        &self,
        context: &CommitterContext,
    ) -> Result<Option<Box<dyn Committer<PathBuf>>>, TaskError> {
        let directory = self.parts(context.prepared());
        let sink = Self::new(&self.table);
        Ok(Some(Box::new(move |parts: Vec<PathBuf>| {
            sink.assemble(&directory, &parts)
                .map_err(|error| sink.fails("cannot write", &error))
        })))
    }

    fn abandon(&self, context: &CommitterContext) -> Result<(), TaskError> {
        remove(&self.parts(context.prepared()))
            .map_err(|error| self.fails("cannot remove the parts of", &error))
    }
}

/// Keeps the rows of one subtask.
pub(crate) struct TableWriter {
    context: SinkContext,
    part: PathBuf,
    rows: BTreeMap<u32, i64>,
    /// What comes of writing the part, once that has begun.
    written: Option<Confirmation<io::Result<()>>>,
}

impl TableWriter {
    /// Writes the part beside the task, which must not block.
    fn begin_to_write(&mut self) -> Confirmation<io::Result<()>> {
        let (confirm, written) = self.context.confirmation();
        let (rows, part) = (std::mem::take(&mut self.rows), self.part.clone());
        std::thread::spawn(move || {
            let lines = rows.iter().map(|(key, value)| format!("{key},{value}\n"));
            confirm.confirm(fs::write(part, lines.collect::<String>()));
        });
        written
    }
}

impl SinkWriter<Row> for TableWriter {
    /// The part.
    type Committable = PathBuf;

    fn write(&mut self, (key, value): Row, _: &SinkRecordContext) -> Result<(), TaskError> {
        self.rows.insert(key, value);
        Ok(())
    }

    fn prepare_commit(&mut self, _end_of_input: bool) -> Result<Poll<Vec<PathBuf>>, TaskError> {
        let mut written = match self.written.take() {
            Some(written) => written,
            None => self.begin_to_write(),
        };
        match written.poll() {
            Poll::Pending => {
                self.written = Some(written);
                Ok(Poll::Pending)
            }
            Poll::Ready(Some(Ok(()))) => Ok(Poll::Ready(vec![self.part.clone()])),
            Poll::Ready(Some(Err(error))) => Err(TaskError::transient(format!(
                "cannot write {}: {error}",
                self.part.display()
            ))),
            Poll::Ready(None) => Err(TaskError::fatal("the thread that writes the part panicked")),
        }
    }
}
