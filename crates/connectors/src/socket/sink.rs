//! Records to a TCP server.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use flott_operators::TaskError;
use flott_operators::sink::api::{Sink, SinkWriter};
use flott_operators::sink::{Confirm, Confirmation, Inbox, Outbox, SinkContext, SinkRecordContext};
use flott_record::Record;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Bytes handed over at once.
const BLOCK: usize = 16 << 10;
/// Blocks under way to the server.
const BLOCKS_AHEAD: usize = 4;
/// The pause before a connection is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Sends each record to a TCP server, one connection for each subtask. What was sent cannot be taken
/// back: after a restart, or when a connection broke, the server gets records again, and it may miss
/// what was under way. For demonstrations and tests.
///
/// ```
/// # use flott_connectors::socket::SocketSink;
/// let sink = SocketSink::new("localhost", 9999, |n: &i64, bytes: &mut Vec<u8>| {
///     bytes.extend_from_slice(n.to_string().as_bytes());
///     bytes.push(b'\n');
/// })
/// .max_retries(3);
/// # let _ = sink;
/// ```
pub struct SocketSink<F> {
    address: Address,
    serialize: F,
}

#[derive(Debug, Clone)]
struct Address {
    host: Arc<str>,
    port: u16,
    retries: u32,
}

impl<F> SocketSink<F> {
    /// Sends the bytes that `serialize` appends for each record.
    pub fn new<In>(host: &str, port: u16, serialize: F) -> Self
    where
        F: FnMut(&In, &mut Vec<u8>) + Clone + Send + Sync + 'static,
    {
        Self {
            address: Address {
                host: host.into(),
                port,
                retries: 0,
            },
            serialize,
        }
    }

    /// How often a connection that cannot be made, or that broke, is tried again, half a second apart;
    /// default: 0. Bytes that arrive begin the count anew.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.address.retries = retries;
        self
    }
}

impl<In, F> Sink<In> for SocketSink<F>
where
    In: Record,
    F: FnMut(&In, &mut Vec<u8>) + Clone + Send + Sync + 'static,
{
    type Writer = SocketWriter<F>;

    fn create_writer(&self, context: &SinkContext) -> Result<Self::Writer, TaskError> {
        let address = self.address.clone();
        Ok(SocketWriter {
            serialize: self.serialize.clone(),
            bytes: Vec::new(),
            outbox: context.outbox(BLOCKS_AHEAD, |inbox| send(address, inbox)),
            sent: None,
            context: context.clone(),
        })
    }
}

/// Until the writer has finished. A block whose sending failed is sent again, whole.
async fn send(address: Address, mut inbox: Inbox<Item>) -> Result<(), TaskError> {
    let mut left = address.retries;
    let mut stream = None;
    // At once: a server that is not there is noticed before there are records.
    let mut block = Some(Bytes::new());
    while let Some(bytes) = &block {
        match send_block(&address, &mut stream, bytes).await {
            Ok(()) => {
                left = address.retries;
                block = next_block(&mut inbox).await;
            }
            Err(error) => {
                stream = None;
                if left == 0 {
                    return Err(failed(&address, &error));
                }
                left -= 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    match stream {
        Some(mut stream) => {
            let ended = stream.shutdown().await;
            ended.map_err(|error| failed(&address, &error))
        }
        None => Ok(()),
    }
}

/// The next block; what is to be reported before it is.
async fn next_block(inbox: &mut Inbox<Item>) -> Option<Bytes> {
    loop {
        match inbox.recv().await? {
            Item::Block(block) => return Some(block),
            Item::Report(confirm) => confirm.confirm(()),
        }
    }
}

async fn send_block(
    address: &Address,
    stream: &mut Option<TcpStream>,
    bytes: &Bytes,
) -> std::io::Result<()> {
    let open = match stream {
        Some(open) => open,
        None => {
            let connected = TcpStream::connect((&*address.host, address.port)).await?;
            stream.insert(connected)
        }
    };
    open.write_all(bytes).await
}

fn failed(address: &Address, error: &std::io::Error) -> TaskError {
    let Address { host, port, .. } = address;
    TaskError::transient(format!(
        "cannot write to the socket at {host}:{port}: {error}"
    ))
}

/// Sends for [`SocketSink`].
pub struct SocketWriter<F> {
    serialize: F,
    bytes: Vec<u8>,
    context: SinkContext,
    outbox: Outbox<Item>,
    /// At a checkpoint: comes when everything before it was sent.
    sent: Option<Confirmation<()>>,
}

/// What the connection is given.
enum Item {
    Block(Bytes),
    /// Tells that all blocks before it were handed to the system.
    Report(Confirm<()>),
}

impl<F> SocketWriter<F> {
    fn hand_over(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            self.outbox.push(Item::Block(bytes.into()));
        }
    }
}

impl<In, F> SinkWriter<In> for SocketWriter<F>
where
    In: Record,
    F: FnMut(&In, &mut Vec<u8>) + Send + 'static,
{
    type Committable = ();

    fn write(&mut self, record: In, _: &SinkRecordContext) -> Result<(), TaskError> {
        (self.serialize)(&record, &mut self.bytes);
        if self.bytes.len() >= BLOCK {
            self.hand_over();
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.outbox.settle()
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.hand_over();
        self.outbox.settle().map(drop)
    }

    fn prepare_commit(&mut self, end_of_input: bool) -> Result<Poll<Vec<()>>, TaskError> {
        self.hand_over();
        if end_of_input {
            return Ok(self.outbox.finish()?.map(|()| Vec::new()));
        }
        let mut sent = match self.sent.take() {
            Some(sent) => sent,
            None => {
                let (confirm, sent) = self.context.confirmation();
                self.outbox.push(Item::Report(confirm));
                sent
            }
        };
        self.outbox.settle()?;
        if let Poll::Ready(Some(())) = sent.poll() {
            return Ok(Poll::Ready(Vec::new()));
        }
        // If nobody will confirm, the outbox knows why, or is told soon.
        self.sent = Some(sent);
        Ok(Poll::Pending)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use flott_network::{Batch, Control, NO_TIMESTAMP};
    use flott_operators::sink::{Driven, SinkOperator};
    use flott_operators::{BatchSink, SubtaskContext};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    fn line(n: &u64, bytes: &mut Vec<u8>) {
        bytes.extend(format!("{n}\n").bytes());
    }

    /// Sends the numbers, and gives the sink's error or nothing.
    async fn send_all(sink: SocketSink<fn(&u64, &mut Vec<u8>)>, last: u64) -> Option<TaskError> {
        let context = SubtaskContext::for_tests("Sink: socket");
        let place = SinkContext::new(&context, Vec::new());
        let writer = Sink::<u64>::create_writer(&sink, &place).unwrap();
        let mut sink = SinkOperator::new(Driven(writer), &context);
        let deadline = Instant::now() + Duration::from_secs(30);
        for n in 1..=last + 1 {
            if n > last {
                sink.control(Control::End).unwrap();
            } else {
                let mut batch = Batch::default();
                batch.push(n, NO_TIMESTAMP);
                sink.batch(&mut batch).unwrap();
            }
            loop {
                match sink.settle() {
                    Ok(true) => break,
                    Ok(false) => tokio::task::yield_now().await,
                    Err(error) => return Some(error),
                }
                assert!(Instant::now() < deadline, "no room in time");
            }
        }
        None
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_comes_late_gets_everything() {
        // A port that nobody listens on until the first try has failed.
        let port = {
            let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
            taken.local_addr().unwrap().port()
        };
        let sink = SocketSink::new("127.0.0.1", port, line as fn(&u64, &mut Vec<u8>));
        let error = send_all(sink, 10).await.unwrap();
        assert!(
            error.message.contains("cannot write to the socket"),
            "{error}"
        );
        let sink = SocketSink::new("127.0.0.1", port, line as fn(&u64, &mut Vec<u8>));
        let sent = tokio::spawn(send_all(sink.max_retries(60), 10_000));
        let server = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (mut client, _) = server.accept().await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert_eq!(sent.await.unwrap(), None);
        let expected: String = (1..=10_000).map(|n| format!("{n}\n")).collect();
        assert!(all == expected, "{} bytes", all.len());
    }
}
