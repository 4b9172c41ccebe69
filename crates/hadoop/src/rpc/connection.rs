//! A connection: the socket and the one task that owns it. Calls are pipelined.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::error::{RemoteException, RpcError};
use super::frame::{self, FrameError};
use super::handshake::{Handshake, HandshakeError, Step};
use super::session::{Event, Session, SessionError};
use crate::conf::{ConfError, HadoopConf, HostPort};
use crate::sasl::{MessageCodec, Qop};
use crate::token::Token;

/// Calls waiting to be written.
const QUEUED_CALLS: usize = 64;
/// Unsent bytes above which no further call is taken from the queue.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How long to look for a reason after a write failed.
const LAST_WORDS: Duration = Duration::from_secs(1);
const READ_CHUNK: usize = 16 << 10;

/// Who we are to the server.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A user name the server believes (insecure clusters, client protocols only).
    Simple {
        /// The name.
        user: String,
    },
    /// A token, through SASL.
    Token(Token),
}

/// Limits of a connection.
#[derive(Debug, Clone)]
pub struct RpcOptions {
    /// For the TCP connection.
    pub connect_timeout: Duration,
    /// For each call, and for the login as a whole.
    pub call_timeout: Duration,
    /// Levels of protection we accept; the strongest the server offers is taken.
    pub protection: Vec<Qop>,
    /// Longest frame accepted.
    pub max_response: usize,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            call_timeout: Duration::from_secs(120),
            protection: vec![Qop::Auth],
            max_response: 128 << 20,
        }
    }
}

impl RpcOptions {
    /// The limits a cluster's configuration sets.
    pub fn from_conf(conf: &HadoopConf) -> Result<Self, ConfError> {
        let millis = |key, default| conf.duration_ms(key, default).map(Duration::from_millis);
        let key = "hadoop.rpc.protection";
        let value = conf.get_or(key, "authentication");
        let protection = Qop::parse_list(&value)
            .ok()
            .filter(|levels| !levels.is_empty());
        let protection = protection.ok_or_else(|| ConfError::Invalid {
            key: key.to_owned(),
            value,
            expected: "a list of authentication, integrity, privacy",
        })?;
        let call_timeout = millis("ipc.client.rpc-timeout.ms", 120_000)?;
        Ok(Self {
            connect_timeout: millis("ipc.client.connect.timeout", 20_000)?,
            // In Hadoop 0 means no limit; a heartbeat that waits for ever is of no use to anybody.
            call_timeout: if call_timeout.is_zero() {
                Duration::from_secs(120)
            } else {
                call_timeout
            },
            protection,
            max_response: usize::try_from(conf.u64("ipc.maximum.response.length", 128 << 20)?)
                .unwrap_or(usize::MAX),
        })
    }
}

struct Call {
    method: &'static str,
    request: Vec<u8>,
    reply: oneshot::Sender<Result<Bytes, RpcError>>,
}

struct Pending {
    method: &'static str,
    reply: oneshot::Sender<Result<Bytes, RpcError>>,
}

/// Handle of an open connection. The connection ends when the last handle is dropped.
#[derive(Debug, Clone)]
pub struct RpcConnection {
    address: Arc<str>,
    calls: mpsc::Sender<Call>,
    call_timeout: Duration,
    /// Set once, by the task, before it ends.
    end: Arc<OnceLock<RpcError>>,
}

impl RpcConnection {
    /// Connects and logs in.
    pub async fn connect(
        server: &HostPort,
        protocol: &'static str,
        auth: &Auth,
        options: &RpcOptions,
    ) -> Result<Self, RpcError> {
        let address: Arc<str> = server.to_string().into();
        let mut stream = timeout(options.connect_timeout, open_socket(server))
            .await
            .map_err(|_| RpcError::Timeout {
                address: address.to_string(),
                doing: "connecting",
                timeout: options.connect_timeout,
            })?
            .map_err(|source| RpcError::Connect {
                address: address.to_string(),
                source: source.into(),
            })?;
        let mut received = BytesMut::new();
        let mut output = BytesMut::new();
        let (codec, user) = match auth {
            Auth::Simple { user } => {
                output.extend_from_slice(&frame::preamble(false));
                (None, Some(user.as_str()))
            }
            Auth::Token(token) => {
                let login = login(&mut stream, token, options, &address, &mut received);
                let codec = timeout(options.call_timeout, login).await.map_err(|_| {
                    RpcError::Timeout {
                        address: address.to_string(),
                        doing: LOGIN,
                        timeout: options.call_timeout,
                    }
                })??;
                (codec, None)
            }
        };
        let mut session = Session::new(protocol, codec, options.max_response);
        session.write_context(user, &mut output);
        let (calls, queue) = mpsc::channel(QUEUED_CALLS);
        let end = Arc::new(OnceLock::new());
        let (reader, writer) = stream.into_split();
        let task = Task {
            address: Arc::clone(&address),
            session,
            queue,
            pending: HashMap::new(),
            received,
            output,
            end: Arc::clone(&end),
        };
        tokio::spawn(task.run(reader, writer));
        Ok(Self {
            address,
            calls,
            call_timeout: options.call_timeout,
            end,
        })
    }

    /// Calls a method and waits for its answer. Other calls may run at the same time on the same connection.
    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, RpcError> {
        let (reply, answer) = oneshot::channel();
        let call = Call {
            method,
            request: request.encode_length_delimited_to_vec(),
            reply,
        };
        let exchange = async {
            self.calls
                .send(call)
                .await
                .map_err(|_| self.end_reason(method))?;
            answer
                .await
                .unwrap_or_else(|_| Err(self.end_reason(method)))
        };
        let mut body =
            timeout(self.call_timeout, exchange)
                .await
                .map_err(|_| RpcError::Timeout {
                    address: self.address.to_string(),
                    doing: method,
                    timeout: self.call_timeout,
                })??;
        frame::decode_delimited(&mut body, "a response").map_err(|error| self.malformed(&error))
    }

    /// Whether the connection has ended; every further call fails with the reason.
    pub fn is_closed(&self) -> bool {
        self.calls.is_closed()
    }

    fn end_reason(&self, method: &'static str) -> RpcError {
        let closed = || RpcError::Closed {
            address: self.address.to_string(),
            doing: method,
        };
        self.end.get().cloned().unwrap_or_else(closed)
    }

    fn malformed(&self, error: &FrameError) -> RpcError {
        RpcError::Malformed {
            address: self.address.to_string(),
            reason: error.to_string(),
        }
    }
}

const LOGIN: &str = "logging in";

async fn open_socket(server: &HostPort) -> io::Result<TcpStream> {
    let mut last = None;
    for address in lookup_host((server.host.as_str(), server.port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_nodelay(true)?;
        // Takes the place of Hadoop's pings: finds peers that vanished without a word.
        socket.set_keepalive(true)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host name has no address")))
}

async fn login(
    stream: &mut TcpStream,
    token: &Token,
    options: &RpcOptions,
    address: &str,
    received: &mut BytesMut,
) -> Result<Option<MessageCodec>, RpcError> {
    let broken = |source: io::Error| RpcError::Io {
        address: address.to_owned(),
        doing: LOGIN,
        source: source.into(),
    };
    let mut handshake = Handshake::new(token, &options.protection);
    let mut output = handshake.start();
    loop {
        stream.write_all_buf(&mut output).await.map_err(broken)?;
        let frame = loop {
            let frame = frame::take_frame(received, options.max_response);
            let frame = frame.map_err(|error| handshake_error(error.into(), address))?;
            if let Some(frame) = frame {
                break frame;
            }
            if stream.read_buf(received).await.map_err(broken)? == 0 {
                return Err(RpcError::Closed {
                    address: address.to_owned(),
                    doing: LOGIN,
                });
            }
        };
        match handshake
            .receive(frame)
            .map_err(|error| handshake_error(error, address))?
        {
            Step::Send(bytes) => output = bytes,
            Step::Done(codec) => return Ok(codec.map(|codec| *codec)),
        }
    }
}

fn handshake_error(error: HandshakeError, address: &str) -> RpcError {
    let address = address.to_owned();
    match error {
        HandshakeError::Frame(error) => RpcError::Malformed {
            address,
            reason: error.to_string(),
        },
        HandshakeError::Sasl(source) => RpcError::Sasl { address, source },
        HandshakeError::Remote(exception) => RpcError::Remote {
            address,
            doing: LOGIN,
            exception,
        },
    }
}

/// Why the task ends, before it is known which call to blame.
enum End {
    Io(io::Error),
    Closed,
    Session(SessionError),
    Fatal(RemoteException),
    /// Nobody holds a handle.
    Unused,
}

struct Task {
    address: Arc<str>,
    session: Session,
    queue: mpsc::Receiver<Call>,
    pending: HashMap<i32, Pending>,
    received: BytesMut,
    output: BytesMut,
    end: Arc<OnceLock<RpcError>>,
}

impl Task {
    async fn run(mut self, reader: OwnedReadHalf, writer: OwnedWriteHalf) {
        let end = self.serve(reader, writer).await;
        let default = self.error_of(&end, "waiting for a call");
        // First the reason, then the queue: a caller that finds the queue closed finds the reason too.
        self.end.get_or_init(|| default);
        self.queue.close();
        for (_, Pending { method, reply }) in std::mem::take(&mut self.pending) {
            let _ = reply.send(Err(self.error_of(&end, method)));
        }
        while let Ok(Call { method, reply, .. }) = self.queue.try_recv() {
            let _ = reply.send(Err(self.error_of(&end, method)));
        }
    }

    async fn serve(&mut self, mut reader: OwnedReadHalf, mut writer: OwnedWriteHalf) -> End {
        loop {
            // The login may have read more than its own frames.
            if let Err(end) = self.deliver() {
                return end;
            }
            self.received.reserve(READ_CHUNK);
            tokio::select! {
                call = self.queue.recv(), if self.output.len() < OUTPUT_LIMIT => match call {
                    Some(call) => self.enqueue(call),
                    None => return End::Unused,
                },
                written = writer.write_buf(&mut self.output), if !self.output.is_empty() => match written {
                    Ok(0) => return End::Closed,
                    Ok(_) => {}
                    // The server may have said why before it hung up.
                    Err(error) => {
                        let last = timeout(LAST_WORDS, self.last_words(&mut reader)).await;
                        return last.ok().flatten().unwrap_or(End::Io(error));
                    }
                },
                read = reader.read_buf(&mut self.received) => match read {
                    Ok(0) => return End::Closed,
                    Ok(_) => {}
                    Err(error) => return End::Io(error),
                },
            }
        }
    }

    async fn last_words(&mut self, reader: &mut OwnedReadHalf) -> Option<End> {
        while reader.read_buf(&mut self.received).await.ok()? > 0 {
            if let Err(end) = self.deliver() {
                return Some(end);
            }
        }
        None
    }

    fn enqueue(&mut self, call: Call) {
        // Callers that gave up leave entries behind; servers answer late or never.
        self.pending.retain(|_, pending| !pending.reply.is_closed());
        let id = self
            .session
            .write_call(call.method, &call.request, &mut self.output);
        self.pending.insert(
            id,
            Pending {
                method: call.method,
                reply: call.reply,
            },
        );
    }

    fn deliver(&mut self) -> Result<(), End> {
        while let Some(event) = self
            .session
            .next_event(&mut self.received)
            .map_err(End::Session)?
        {
            match event {
                Event::Fatal(exception) => return Err(End::Fatal(exception)),
                Event::Answer { call_id, result } => {
                    let Some(Pending { method, reply }) = self.pending.remove(&call_id) else {
                        tracing::debug!(call_id, address = %self.address, "answer nobody waits for");
                        continue;
                    };
                    let _ = reply.send(result.map_err(|exception| RpcError::Remote {
                        address: self.address.to_string(),
                        doing: method,
                        exception,
                    }));
                }
            }
        }
        Ok(())
    }

    fn error_of(&self, end: &End, doing: &'static str) -> RpcError {
        let address = self.address.to_string();
        match end {
            End::Io(error) => {
                let source = io::Error::new(error.kind(), error.to_string());
                RpcError::Io {
                    address,
                    doing,
                    source: source.into(),
                }
            }
            End::Closed | End::Unused => RpcError::Closed { address, doing },
            End::Session(SessionError::Frame(error)) => RpcError::Malformed {
                address,
                reason: error.to_string(),
            },
            End::Session(SessionError::Sasl(source)) => RpcError::Sasl {
                address,
                source: source.clone(),
            },
            End::Fatal(exception) => RpcError::Remote {
                address,
                doing,
                exception: exception.clone(),
            },
        }
    }
}
