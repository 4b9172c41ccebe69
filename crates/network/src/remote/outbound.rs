//! Links that this worker dialed: data and events go out, credit comes in.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::NetworkError;
use super::connection::{Batch, ConnectionError, FrameReader, FrameWriter, Handshake, Pulse};
use super::error::ChannelName;
use super::frame::{self, Header, Kind, LINK};
use super::network::Shared;
use super::outflow::{Outflow, Outgoing};
use crate::{ChannelId, QueueLoad, Waker};

/// The sending end of a channel, shared by its handle and its link.
pub(crate) struct OutChannel {
    id: ChannelId,
    number: u32,
    // A mutex: held for a push or a pop by the task, and by the network thread for a frame.
    flow: Mutex<Outflow>,
    task: Waker,
}

impl OutChannel {
    pub(super) fn flow(&self) -> MutexGuard<'_, Outflow> {
        self.flow.lock().expect("nothing panics while holding it")
    }

    /// How full it is, in buffers of so many bytes.
    pub(crate) fn load(&self, buffer: usize) -> QueueLoad {
        self.flow().load(buffer)
    }

    fn fail(&self, error: &NetworkError) {
        let tell = self.flow().fail(error);
        if tell {
            self.task.wake();
        }
    }
}

/// A link, from before it is connected until it failed.
pub(super) struct OutLink {
    address: String,
    // A mutex: held for operations on the lists only.
    state: Mutex<LinkState>,
    work: Notify,
    ping_due: AtomicBool,
    pong_due: AtomicBool,
}

#[derive(Default)]
struct LinkState {
    channels: HashMap<u32, Arc<OutChannel>>,
    /// Channels with something to write, in turn.
    ready: VecDeque<Arc<OutChannel>>,
    next_number: u32,
    failed: Option<NetworkError>,
}

impl OutLink {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            state: Mutex::default(),
            work: Notify::new(),
            ping_due: AtomicBool::new(false),
            pong_due: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().expect("nothing panics while holding it")
    }

    pub(super) fn has_failed(&self) -> bool {
        self.state().failed.is_some()
    }

    /// Adds a channel. If the link has failed, so has the channel.
    pub(super) fn open(&self, id: ChannelId, task: Waker, piece_bytes: usize) -> Arc<OutChannel> {
        let mut state = self.state();
        let number = state.next_number;
        let mut flow = Outflow::new(number, piece_bytes);
        if number == LINK && state.failed.is_none() {
            state.failed = Some(NetworkError::Protocol {
                peer: self.address.clone(),
                reason: "all channel numbers of the link are used up".into(),
            });
        }
        if let Some(error) = &state.failed {
            flow.fail(error);
        }
        let channel = Arc::new(OutChannel {
            id,
            number,
            flow: Mutex::new(flow),
            task,
        });
        if state.failed.is_none() {
            state.next_number += 1;
            state.channels.insert(number, Arc::clone(&channel));
        }
        drop(state);
        self.schedule(&channel);
        channel
    }

    /// Lets the writer look at the channel, if there is something for it. Call it after each change.
    pub(super) fn schedule(&self, channel: &Arc<OutChannel>) {
        {
            let mut flow = channel.flow();
            if flow.scheduled || !flow.has_next() {
                return;
            }
            flow.scheduled = true;
        }
        self.state().ready.push_back(Arc::clone(channel));
        self.work.notify_one();
    }

    /// The handle of the channel is gone.
    pub(super) fn release(&self, channel: &Arc<OutChannel>) {
        let finished = {
            let mut flow = channel.flow();
            flow.release();
            flow.is_finished()
        };
        if finished {
            self.state().channels.remove(&channel.number);
        } else {
            self.schedule(channel);
        }
    }

    /// Ends all channels with the error. Only the first one counts.
    pub(super) fn fail(&self, error: &NetworkError) {
        let channels = {
            let mut state = self.state();
            state.failed.get_or_insert_with(|| error.clone());
            state.ready.clear();
            std::mem::take(&mut state.channels)
        };
        for channel in channels.values() {
            channel.fail(error);
        }
    }

    fn fill(&self, batch: &mut Batch) {
        if self.ping_due.swap(false, Ordering::Relaxed) {
            batch.push(Header::new(Kind::Ping, LINK), &[]);
        }
        if self.pong_due.swap(false, Ordering::Relaxed) {
            batch.push(Header::new(Kind::Pong, LINK), &[]);
        }
        // One frame of each channel in turn.
        while !batch.is_full() {
            let Some(channel) = self.state().ready.pop_front() else {
                return;
            };
            let (outgoing, again, finished) = {
                let mut flow = channel.flow();
                let outgoing = flow.next();
                flow.scheduled = flow.has_next();
                (outgoing, flow.scheduled, flow.is_finished())
            };
            match outgoing {
                None => {}
                Some(Outgoing::Open) => {
                    let header = Header::new(Kind::Open, channel.number);
                    batch.push(header, &frame::encode_channel(&channel.id));
                }
                Some(Outgoing::Data(header, piece)) => batch.push_piece(header, piece),
                Some(Outgoing::Event(header, control)) => {
                    batch.push(header, &frame::encode_event(control));
                }
                Some(Outgoing::Close(header)) => batch.push(header, &[]),
            }
            let mut state = self.state();
            if again {
                state.ready.push_back(channel);
            } else if finished {
                state.channels.remove(&channel.number);
            }
        }
    }

    fn handle(&self, header: &Header, body: &[u8]) -> Result<(), NetworkError> {
        match header.kind {
            Kind::Credit => {
                // Credit for a channel that is closed here may still be under way.
                let channel = self.state().channels.get(&header.channel).cloned();
                if let Some(channel) = channel {
                    let tell = channel.flow().add_credit(header.rows);
                    if tell {
                        channel.task.wake();
                    }
                    self.schedule(&channel);
                }
            }
            Kind::Close => self.end_channel(header.channel, |channel| {
                NetworkError::ReceiverClosed { channel }
            }),
            Kind::Error if header.channel == LINK => {
                return Err(NetworkError::Reported {
                    peer: self.address.clone(),
                    message: String::from_utf8_lossy(body).into_owned(),
                });
            }
            Kind::Error => self.end_channel(header.channel, |channel| NetworkError::Refused {
                channel,
                message: String::from_utf8_lossy(body).into_owned(),
            }),
            Kind::Ping => {
                self.pong_due.store(true, Ordering::Relaxed);
                self.work.notify_one();
            }
            Kind::Pong => {}
            Kind::Data | Kind::Event | Kind::Open => {
                return Err(NetworkError::Protocol {
                    peer: self.address.clone(),
                    reason: format!("a {:?} frame from the receiving end", header.kind),
                });
            }
        }
        Ok(())
    }

    fn end_channel(&self, number: u32, error: impl FnOnce(ChannelName) -> NetworkError) {
        let channel = self.state().channels.remove(&number);
        if let Some(channel) = channel {
            channel.fail(&error(ChannelName(channel.id)));
        }
    }
}

/// Fails the link whatever ends its task, so that no channel waits for ever.
struct FailAtEnd<'a>(&'a OutLink);

impl Drop for FailAtEnd<'_> {
    fn drop(&mut self) {
        self.0.fail(&NetworkError::ShutDown);
    }
}

/// Connects the link and keeps it going until it fails or the network is shut down.
pub(super) async fn run(link: Arc<OutLink>, shared: Arc<Shared>) {
    let _guard = FailAtEnd(&link);
    let mut stop = shared.stop();
    let stream = tokio::select! {
        stream = connect(&link, &shared) => stream,
        _ = stop.wait_for(|stop| *stop) => Err(NetworkError::ShutDown),
    };
    let result = match stream {
        Ok(stream) => transfer(&link, &shared, stream, stop).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        tracing::debug!(address = link.address, %error, "link ended");
        link.fail(error);
    }
    shared.forget(&link);
}

async fn connect(link: &OutLink, shared: &Shared) -> Result<TcpStream, NetworkError> {
    let settings = shared.settings();
    let address = &link.address;
    let connecting = async {
        let connected = TcpStream::connect(address.as_str()).await;
        let mut stream = connected
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|source| NetworkError::Connect {
                address: address.clone(),
                source: Arc::new(source),
            })?;
        let handshake = Handshake {
            settings,
            peer: address,
        };
        handshake.dial(&mut stream).await?;
        Ok(stream)
    };
    tokio::time::timeout(settings.connect_timeout, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(NetworkError::ConnectTimeout {
                address: address.clone(),
                timeout: settings.connect_timeout,
            })
        })
}

async fn transfer(
    link: &OutLink,
    shared: &Shared,
    mut stream: TcpStream,
    stop: watch::Receiver<bool>,
) -> Result<(), NetworkError> {
    let settings = shared.settings();
    let (read, write) = stream.split();
    let pulse = Pulse::default();
    let mut writer = FrameWriter::new(write);
    let reading = async {
        let mut reader = FrameReader::new(read, &pulse, shared.pool(), settings.piece_bytes());
        let failed = |error: ConnectionError| error.with_peer(&link.address);
        while let Some((header, body)) = reader.next().await.map_err(failed)? {
            link.handle(&header, &body)?;
        }
        // The answer to the end of our own side.
        if *stop.borrow() {
            return Ok(());
        }
        Err(NetworkError::Disconnected {
            peer: link.address.clone(),
        })
    };
    let both = async {
        let mut stop = stop.clone();
        tokio::try_join!(reading, write_all(link, shared, &mut writer, &mut stop)).map(|_| ())
    };
    let silence = pulse.watch(settings.ping_interval, settings.ping_timeout, || {
        link.ping_due.store(true, Ordering::Relaxed);
        link.work.notify_one();
    });
    let result = tokio::select! {
        result = both => result,
        () = silence => Err(NetworkError::Silent {
            peer: link.address.clone(),
            timeout: settings.ping_timeout,
        }),
    };
    if let Err(error @ NetworkError::Protocol { .. }) = &result {
        writer.report(error, settings.checksums).await;
    }
    result
}

async fn write_all<W: tokio::io::AsyncWrite + Unpin>(
    link: &OutLink,
    shared: &Shared,
    writer: &mut FrameWriter<W>,
    stop: &mut watch::Receiver<bool>,
) -> Result<(), NetworkError> {
    let failed = |error: std::io::Error| ConnectionError::from(error).with_peer(&link.address);
    let mut batch = Batch::new(shared.settings().checksums);
    loop {
        link.fill(&mut batch);
        if !batch.is_empty() {
            writer
                .write(&mut batch, shared.pool())
                .await
                .map_err(failed)?;
            continue;
        }
        let stopped = tokio::select! {
            () = link.work.notified() => false,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        if stopped {
            // What came in meanwhile; then the other end sees the end of the stream, and answers.
            link.fill(&mut batch);
            if batch.is_empty() {
                return writer.finish().await.map_err(failed);
            }
        }
    }
}
