//! Lines of text from a TCP server, and to one.

mod sink;

pub use sink::{SocketSink, SocketWriter};

use std::collections::VecDeque;
use std::time::Duration;

use flott_network::{Batch, NO_TIMESTAMP, batch_rows};
use flott_operators::TaskError;
use flott_operators::source::{
    Boundedness, EnumeratorContext, Handed, Handover, HandoverSender, ReaderContext,
    ReaderProgress, Source, SourceReader, SourceSplit, SplitPool, StaticEnumerator,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Groups of lines under way to the reader.
const GROUPS_AHEAD: usize = 4;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// A longer line is an error: it would be held in memory whole.
const LONGEST_LINE: usize = 64 << 20;
/// The pause before a connection is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Reads text from a TCP server and splits it at a delimiter, in one subtask. What was read before a
/// failure is lost: a socket cannot be read again. For demonstrations and tests.
#[derive(Debug, Clone)]
pub struct SocketTextSource {
    host: String,
    port: u16,
    delimiter: String,
    retries: u32,
}

impl SocketTextSource {
    /// Lines from that server, until it closes the connection.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            delimiter: "\n".to_owned(),
            retries: 0,
        }
    }

    /// What separates records; default: the line end, where a `\r` before it is dropped, too.
    ///
    /// # Panics
    /// If it is empty.
    #[must_use]
    pub fn delimiter(mut self, delimiter: &str) -> Self {
        assert!(
            !delimiter.is_empty(),
            "an empty delimiter separates nothing"
        );
        delimiter.clone_into(&mut self.delimiter);
        self
    }

    /// How often a connection that cannot be made, or that the server closed, is tried again, half a
    /// second apart; default: 0. A connection that works begins the count anew.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }
}

/// The one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketSplit;

impl SourceSplit for SocketSplit {
    fn split_id(&self) -> String {
        "socket".to_owned()
    }
}

impl Source for SocketTextSource {
    type Out = String;
    type Split = SocketSplit;
    type Enumerator = StaticEnumerator<SocketSplit>;
    type Reader = SocketReader;

    fn boundedness(&self) -> Boundedness {
        Boundedness::ContinuousUnbounded
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        let mut pool = SplitPool::new(context.parallelism());
        pool.add([SocketSplit]);
        Ok(StaticEnumerator::new(pool))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        pool: SplitPool<SocketSplit>,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(StaticEnumerator::new(pool.rescaled(context.parallelism())))
    }

    fn create_reader(&self, context: &ReaderContext) -> Result<Self::Reader, TaskError> {
        Ok(SocketReader {
            source: self.clone(),
            context: context.clone(),
            lines: None,
            left: VecDeque::new(),
        })
    }
}

type Lines = Result<Vec<String>, TaskError>;

/// Reads [`SocketTextSource`].
pub struct SocketReader {
    source: SocketTextSource,
    context: ReaderContext,
    lines: Option<Handover<Lines>>,
    left: VecDeque<String>,
}

impl SourceReader for SocketReader {
    type Out = String;
    type Split = SocketSplit;

    fn add_split(&mut self, _: SocketSplit) -> Result<(), TaskError> {
        let (sender, lines) = self.context.handover(GROUPS_AHEAD);
        self.lines = Some(lines);
        self.context.spawn(receive(self.source.clone(), sender));
        Ok(())
    }

    fn fill(&mut self, batch: &mut Batch<String>) -> Result<ReaderProgress, TaskError> {
        if self.left.is_empty() {
            let Some(lines) = &mut self.lines else {
                return Ok(ReaderProgress::Pending);
            };
            match lines.poll() {
                Handed::Item(lines) => self.left = lines?.into(),
                Handed::Pending => return Ok(ReaderProgress::Pending),
                Handed::Ended => {
                    self.lines = None;
                    return Ok(ReaderProgress::SplitFinished);
                }
            }
        }
        let rows = self.left.len().min(batch_rows::<String>());
        for line in self.left.drain(..rows) {
            batch.push(line, NO_TIMESTAMP);
        }
        Ok(ReaderProgress::More)
    }

    fn snapshot(&self) -> Vec<SocketSplit> {
        self.lines.iter().map(|_| SocketSplit).collect()
    }
}

/// Connects, again and again if it is to, and hands the lines over.
async fn receive(source: SocketTextSource, lines: HandoverSender<Lines>) {
    let mut left = source.retries;
    let mut text = Delimited::new(&source.delimiter);
    loop {
        let ended = match TcpStream::connect((source.host.as_str(), source.port)).await {
            Ok(stream) => {
                left = source.retries;
                transfer(stream, &mut text, &lines).await
            }
            Err(error) => Err(error.to_string()),
        };
        if lines.is_closed() {
            return;
        }
        if left > 0 {
            left -= 1;
            tokio::select! {
                () = tokio::time::sleep(RETRY_PAUSE) => continue,
                () = lines.closed() => return,
            }
        }
        let last = match ended {
            Ok(()) => Ok(text.rest().into_iter().collect()),
            Err(error) => Err(TaskError::transient(format!(
                "cannot read from the socket at {}:{}: {error}",
                source.host, source.port
            ))),
        };
        lines.send(last).await;
        return;
    }
}

/// Until the server closes the connection, or nobody reads any more.
async fn transfer(
    mut stream: TcpStream,
    text: &mut Delimited,
    lines: &HandoverSender<Lines>,
) -> Result<(), String> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = tokio::select! {
            read = stream.read(&mut chunk) => read,
            () = lines.closed() => return Ok(()),
        };
        let length = read.map_err(|error| error.to_string())?;
        if length == 0 {
            return Ok(());
        }
        let found = text.add(&chunk[..length])?;
        if !found.is_empty() && !lines.send(Ok(found)).await {
            return Ok(());
        }
    }
}

/// Cuts bytes at a delimiter, without I/O.
struct Delimited {
    delimiter: Vec<u8>,
    partial: Vec<u8>,
    /// Bytes of `partial` in which no delimiter begins.
    searched: usize,
}

impl Delimited {
    fn new(delimiter: &str) -> Self {
        Self {
            delimiter: delimiter.as_bytes().to_vec(),
            partial: Vec::new(),
            searched: 0,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        self.partial.extend_from_slice(bytes);
        let finder = memchr::memmem::Finder::new(&self.delimiter);
        let (mut lines, mut begin) = (Vec::new(), 0);
        while let Some(at) = finder.find(&self.partial[self.searched..]) {
            let end = self.searched + at;
            lines.push(self.line(begin, end));
            begin = end + self.delimiter.len();
            self.searched = begin;
        }
        self.partial.drain(..begin);
        // The delimiter may be in the middle of its arrival.
        self.searched = self.partial.len().saturating_sub(self.delimiter.len() - 1);
        if self.partial.len() > LONGEST_LINE {
            return Err(format!("a line of more than {} MiB", LONGEST_LINE >> 20));
        }
        Ok(lines)
    }

    fn line(&self, begin: usize, end: usize) -> String {
        let line = &self.partial[begin..end];
        let line = match self.delimiter.as_slice() {
            b"\n" => line.strip_suffix(b"\r").unwrap_or(line),
            _ => line,
        };
        String::from_utf8_lossy(line).into_owned()
    }

    /// What came behind the last delimiter.
    fn rest(&mut self) -> Option<String> {
        let rest = (!self.partial.is_empty()).then(|| self.line(0, self.partial.len()));
        self.partial.clear();
        self.searched = 0;
        rest
    }
}

#[cfg(test)]
mod tests;
