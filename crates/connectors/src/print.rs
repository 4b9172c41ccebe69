//! Writes each record as a line to the standard output of its process.

use std::fmt::Display;
use std::io::Write;
use std::task::Poll;

use flott_network::Batch;
use flott_operators::TaskError;
use flott_operators::sink::SinkWriter;
use flott_record::Record;

/// Prints lines; with several subtasks each begins with `n> `, n from 1, as in Flink.
pub struct PrintWriter {
    prefix: String,
    lines: Vec<u8>,
}

impl PrintWriter {
    /// For one subtask.
    pub fn new(subtask: u32, parallelism: u32) -> Self {
        let prefix = if parallelism > 1 {
            format!("{}> ", subtask + 1)
        } else {
            String::new()
        };
        Self {
            prefix,
            lines: Vec::new(),
        }
    }
}

fn failed(error: &std::io::Error) -> TaskError {
    TaskError::transient(format!("cannot print to the standard output: {error}"))
}

impl<In: Record + Display> SinkWriter<In> for PrintWriter {
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        for (row, _) in batch.drain() {
            writeln!(self.lines, "{}{row}", self.prefix).map_err(|error| failed(&error))?;
        }
        let result = std::io::stdout().lock().write_all(&self.lines);
        self.lines.clear();
        result.map_err(|error| failed(&error))
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        std::io::stdout().flush().map_err(|error| failed(&error))
    }

    fn finish(&mut self) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        std::io::stdout().flush().map_err(|error| failed(&error))?;
        Ok(Poll::Ready(Vec::new()))
    }
}
