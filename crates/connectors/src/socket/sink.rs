//! Lines of text to a TCP server.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use flott_network::{Batch, Waker};
use flott_operators::TaskError;
use flott_operators::sink::api::{Sink, Writer, WriterContext};
use flott_record::Record;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

/// Bytes handed over at once.
const BLOCK: usize = 16 << 10;
/// Blocks under way to the server.
const BLOCKS_BEHIND: usize = 4;

/// Sends each record to a TCP server, one connection for each subtask. What was sent cannot be taken
/// back: after a restart the server gets it again. For demonstrations and tests.
///
/// ```
/// # use flott_connectors::socket::SocketSink;
/// let sink = SocketSink::new("localhost", 9999, |n: &i64, text: &mut String| {
///     text.push_str(&n.to_string());
///     text.push('\n');
/// });
/// # let _ = sink;
/// ```
pub struct SocketSink<F> {
    host: Arc<str>,
    port: u16,
    format: F,
}

impl<F> SocketSink<F> {
    /// Sends what `format` appends for each record.
    pub fn new<In>(host: &str, port: u16, format: F) -> Self
    where
        F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
    {
        Self {
            host: host.into(),
            port,
            format,
        }
    }
}

impl<In, F> Sink<In> for SocketSink<F>
where
    In: Record,
    F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
{
    type Writer = SocketWriter<F>;

    fn create_writer(&self, context: &WriterContext) -> Result<Self::Writer, TaskError> {
        let (blocks, incoming) = mpsc::channel(BLOCKS_BEHIND);
        let (done, sent) = oneshot::channel();
        let (host, port, task) = (Arc::clone(&self.host), self.port, context.waker());
        context.spawn(async move {
            let result = send(&host, port, incoming, &task).await;
            let _ = done.send(result.map_err(|error| {
                TaskError::transient(format!(
                    "cannot write to the socket at {host}:{port}: {error}"
                ))
            }));
            task.wake();
        });
        Ok(SocketWriter {
            format: self.format.clone(),
            text: String::new(),
            stuck: None,
            blocks: Some(blocks),
            sent,
        })
    }
}

async fn send(
    host: &str,
    port: u16,
    mut blocks: mpsc::Receiver<Bytes>,
    task: &Waker,
) -> std::io::Result<()> {
    let mut stream = TcpStream::connect((host, port)).await?;
    while let Some(block) = blocks.recv().await {
        task.wake();
        stream.write_all(&block).await?;
    }
    stream.shutdown().await
}

/// Writes for [`SocketSink`].
pub struct SocketWriter<F> {
    format: F,
    text: String,
    /// What did not fit into the queue.
    stuck: Option<Bytes>,
    blocks: Option<mpsc::Sender<Bytes>>,
    sent: oneshot::Receiver<Result<(), TaskError>>,
}

impl<F> SocketWriter<F> {
    /// Hands over what there is; whether nothing is left.
    fn hand_over(&mut self) -> Result<bool, TaskError> {
        loop {
            if self.stuck.is_none() && !self.text.is_empty() {
                self.stuck = Some(std::mem::take(&mut self.text).into_bytes().into());
            }
            let (Some(block), Some(blocks)) = (self.stuck.take(), &self.blocks) else {
                return Ok(true);
            };
            match blocks.try_send(block) {
                Ok(()) => (),
                Err(TrySendError::Full(block)) => {
                    self.stuck = Some(block);
                    return Ok(false);
                }
                Err(TrySendError::Closed(block)) => {
                    self.stuck = Some(block);
                    return match self.sent.try_recv() {
                        Ok(Err(error)) => Err(error),
                        // The reason is on its way, and wakes the task.
                        Err(oneshot::error::TryRecvError::Empty) => Ok(false),
                        Ok(Ok(())) | Err(oneshot::error::TryRecvError::Closed) => {
                            Err(TaskError::transient("the socket was closed too early"))
                        }
                    };
                }
            }
        }
    }
}

impl<In, F: FnMut(&In, &mut String) + Send + 'static> Writer<In> for SocketWriter<F> {
    type Committable = ();

    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        for row in batch.rows.drain(..) {
            (self.format)(&row, &mut self.text);
        }
        if self.text.len() >= BLOCK {
            self.hand_over()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        if self.stuck.is_some() {
            self.hand_over()
        } else {
            Ok(true)
        }
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.hand_over().map(drop)
    }

    fn prepare_commit(&mut self) -> Result<Poll<Vec<()>>, TaskError> {
        if self.blocks.is_some() {
            if !self.hand_over()? {
                return Ok(Poll::Pending);
            }
            self.blocks = None;
        }
        match self.sent.try_recv() {
            Ok(sent) => sent.map(|()| Poll::Ready(Vec::new())),
            Err(oneshot::error::TryRecvError::Empty) => Ok(Poll::Pending),
            Err(oneshot::error::TryRecvError::Closed) => Err(TaskError::transient(
                "the socket was given up: the worker is stopping",
            )),
        }
    }
}
