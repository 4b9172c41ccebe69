//! Links that other workers dialed: data and events come in, credit goes out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::NetworkError;
use super::connection::{Batch, ConnectionError, FrameReader, FrameWriter, Handshake, Pulse};
use super::error::ChannelName;
use super::frame::{self, Header, Kind, LINK};
use super::inflow::{FlowError, Inflow};
use super::network::Shared;
use crate::{ChannelId, Control, QueueLoad, Waker};

/// Answers that may wait for a peer that sends but does not read.
const MAX_OUTBOX_BYTES: usize = 4 << 20;

/// The receiving end of a channel, shared by its handle, its link and the registry.
pub(crate) struct InChannel {
    pub(super) id: ChannelId,
    // A mutex: held for a pop by the task, and by the network thread for a frame.
    state: Mutex<InState>,
    task: Waker,
}

pub(super) struct InState {
    pub(super) flow: Inflow,
    /// The link it comes by, and its number there.
    pub(super) link: Option<(Arc<InLink>, u32)>,
}

impl InState {
    /// Sends what credit is due.
    pub(super) fn grant(&mut self) {
        if let Some((link, number)) = &self.link {
            let bytes = self.flow.account.grant();
            if bytes > 0 {
                link.send_credit(*number, bytes);
            }
        }
    }
}

impl InChannel {
    pub(super) fn new(id: ChannelId, flow: Inflow, task: Waker) -> Self {
        Self {
            id,
            state: Mutex::new(InState { flow, link: None }),
            task,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, InState> {
        self.state.lock().expect("nothing panics while holding it")
    }

    /// How full it is, in buffers of so many bytes.
    pub(crate) fn load(&self, buffer: usize) -> QueueLoad {
        self.state().flow.load(buffer)
    }

    pub(super) fn fail(&self, error: &NetworkError) {
        let tell = self.state().flow.fail(error);
        if tell {
            self.task.wake();
        }
    }

    /// Connects it with its sender. False if it has one already.
    pub(super) fn attach(self: &Arc<Self>, link: &Arc<InLink>, number: u32) -> bool {
        {
            let mut state = self.state();
            if state.link.is_some() {
                return false;
            }
            state.link = Some((Arc::clone(link), number));
        }
        match link.insert(number, self) {
            Ok(()) => self.state().grant(),
            Err(error) => self.fail(&error),
        }
        true
    }
}

/// A link from another worker.
pub(super) struct InLink {
    pub(super) peer: String,
    // A mutex: held for operations on the maps only.
    state: Mutex<LinkState>,
    // A mutex: held to append or take bytes. Credit bounds it, and a limit whatever else.
    outbox: Mutex<Vec<u8>>,
    work: Notify,
    ping_due: AtomicBool,
    pong_due: AtomicBool,
    /// Ends the link's task; the reason is in `state.failed`.
    stopped: Notify,
    checksums: bool,
}

#[derive(Default)]
struct LinkState {
    channels: HashMap<u32, Arc<InChannel>>,
    /// Opened channels without a receiver yet.
    parked: HashMap<u32, ChannelId>,
    next_number: u32,
    failed: Option<NetworkError>,
}

impl InLink {
    pub(super) fn new(peer: String, checksums: bool) -> Self {
        Self {
            peer,
            state: Mutex::default(),
            outbox: Mutex::default(),
            work: Notify::new(),
            ping_due: AtomicBool::new(false),
            pong_due: AtomicBool::new(false),
            stopped: Notify::new(),
            checksums,
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().expect("nothing panics while holding it")
    }

    fn insert(&self, number: u32, channel: &Arc<InChannel>) -> Result<(), NetworkError> {
        let mut state = self.state();
        state.parked.remove(&number);
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        state.channels.insert(number, Arc::clone(channel));
        Ok(())
    }

    /// Notes a channel without a receiver, if there are not too many.
    pub(super) fn park(&self, number: u32, id: ChannelId, limit: usize) -> bool {
        let mut state = self.state();
        if state.parked.len() >= limit {
            return false;
        }
        state.parked.insert(number, id);
        true
    }

    fn remove(&self, number: u32) -> Option<Arc<InChannel>> {
        self.state().channels.remove(&number)
    }

    /// Ends the link from outside its task.
    pub(super) fn stop(&self, error: NetworkError) {
        self.state().failed.get_or_insert(error);
        self.stopped.notify_one();
    }

    /// The receiver of a channel is gone before the end.
    pub(super) fn close_channel(&self, number: u32) {
        if self.remove(number).is_some() {
            self.send(|out| {
                frame::append(out, Header::new(Kind::Close, number), &[], self.checksums);
            });
        }
    }

    fn send_credit(&self, number: u32, bytes: u32) {
        let mut header = Header::new(Kind::Credit, number);
        header.rows = bytes;
        self.send(|out| frame::append(out, header, &[], self.checksums));
    }

    fn refuse(&self, number: u32, message: &str) {
        self.send(|out| frame::append_error(out, number, message, self.checksums));
    }

    fn send(&self, append: impl FnOnce(&mut Vec<u8>)) {
        let full = {
            let mut outbox = self.outbox();
            append(&mut outbox);
            outbox.len() > MAX_OUTBOX_BYTES
        };
        if full {
            self.stop(self.protocol("it does not read its credit"));
        }
        self.work.notify_one();
    }

    fn outbox(&self) -> MutexGuard<'_, Vec<u8>> {
        self.outbox.lock().expect("nothing panics while holding it")
    }

    fn protocol(&self, reason: impl ToString) -> NetworkError {
        NetworkError::Protocol {
            peer: self.peer.clone(),
            reason: reason.to_string(),
        }
    }

    /// Ends all channels with the error; gives back those that never got a receiver.
    pub(super) fn fail(&self, error: &NetworkError) -> Vec<ChannelId> {
        let (channels, parked) = {
            let mut state = self.state();
            state.failed.get_or_insert_with(|| error.clone());
            (
                std::mem::take(&mut state.channels),
                std::mem::take(&mut state.parked),
            )
        };
        for channel in channels.values() {
            channel.fail(error);
        }
        parked.into_values().collect()
    }

    fn handle(
        self: &Arc<Self>,
        shared: &Shared,
        header: &Header,
        body: Vec<u8>,
    ) -> Result<(), NetworkError> {
        match header.kind {
            Kind::Data => self.data(shared, header, body)?,
            Kind::Event => self.event(shared, header, &body)?,
            Kind::Open => self.open(shared, header.channel, &body)?,
            Kind::Close => self.closed_by_sender(shared, header.channel),
            Kind::Ping => {
                self.pong_due.store(true, Ordering::Relaxed);
                self.work.notify_one();
            }
            Kind::Pong => {}
            Kind::Error => {
                return Err(NetworkError::Reported {
                    peer: self.peer.clone(),
                    message: String::from_utf8_lossy(&body).into_owned(),
                });
            }
            Kind::Credit => return Err(self.protocol("credit from the sending end")),
        }
        Ok(())
    }

    fn data(&self, shared: &Shared, header: &Header, body: Vec<u8>) -> Result<(), NetworkError> {
        let channel = self.state().channels.get(&header.channel).cloned();
        let Some(channel) = channel else {
            shared.count_dropped();
            shared.pool().put(body);
            return Ok(());
        };
        let returned = {
            let mut state = channel.state();
            if state.flow.is_closed() {
                shared.count_dropped();
                Some(body)
            } else {
                let result = state.flow.data(header, body, shared.budget());
                state.grant();
                result.map_err(|error| self.protocol(error))?
            }
        };
        if let Some(buffer) = returned {
            shared.pool().put(buffer);
        }
        channel.task.wake();
        Ok(())
    }

    fn event(&self, shared: &Shared, header: &Header, body: &[u8]) -> Result<(), NetworkError> {
        let control = frame::decode_event(body).map_err(|error| self.protocol(error))?;
        let channel = self.state().channels.get(&header.channel).cloned();
        let Some(channel) = channel else {
            shared.count_dropped();
            return Ok(());
        };
        let result: Result<(), FlowError> = channel.state().flow.event(header, control);
        result.map_err(|error| self.protocol(error))?;
        if control == Control::End {
            self.remove(header.channel);
        }
        if control.calls() {
            channel.task.call();
        } else {
            channel.task.wake();
        }
        Ok(())
    }

    fn open(
        self: &Arc<Self>,
        shared: &Shared,
        number: u32,
        body: &[u8],
    ) -> Result<(), NetworkError> {
        let id = frame::decode_channel(body).map_err(|error| self.protocol(error))?;
        {
            // Rising numbers are never used twice, without remembering them.
            let mut state = self.state();
            if number < state.next_number || number == LINK {
                drop(state);
                return Err(self.protocol(format!("channel number {number} was used before")));
            }
            state.next_number = number + 1;
        }
        if let Err(reason) = shared.registry().open(self, number, id) {
            self.refuse(number, reason);
        }
        Ok(())
    }

    fn closed_by_sender(&self, shared: &Shared, number: u32) {
        let (channel, parked) = {
            let mut state = self.state();
            (state.channels.remove(&number), state.parked.remove(&number))
        };
        if let Some(id) = parked {
            shared.registry().unpark(self, [id]);
        }
        if let Some(channel) = channel {
            channel.fail(&NetworkError::SenderClosed {
                channel: ChannelName(channel.id),
            });
        }
    }

    fn fill(&self, batch: &mut Batch) {
        if self.ping_due.swap(false, Ordering::Relaxed) {
            batch.push(Header::new(Kind::Ping, LINK), &[]);
        }
        if self.pong_due.swap(false, Ordering::Relaxed) {
            batch.push(Header::new(Kind::Pong, LINK), &[]);
        }
        let mut outbox = self.outbox();
        batch.push_encoded(&outbox);
        outbox.clear();
    }
}

/// Fails the link whatever ends its task, and forgets what waited for receivers.
struct FailAtEnd<'a> {
    link: &'a InLink,
    shared: &'a Shared,
}

impl Drop for FailAtEnd<'_> {
    fn drop(&mut self) {
        let parked = self.link.fail(&NetworkError::ShutDown);
        self.shared.registry().unpark(self.link, parked);
        self.shared.dismiss(self.link);
    }
}

/// Serves an accepted connection until it ends. The permit limits unfinished handshakes.
pub(super) async fn serve(
    mut stream: TcpStream,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
) {
    let settings = shared.settings();
    let remote = stream.peer_addr().map_or_else(
        |_| "a closed connection".into(),
        |address| address.to_string(),
    );
    let accepting = accept(&mut stream, &shared, &remote);
    let mut stop = shared.stop();
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(settings.connect_timeout, accepting) => accepted,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    drop(permit);
    let link = match accepted {
        Ok(Ok(link)) => link,
        Ok(Err(error)) => {
            tracing::warn!(%remote, %error, "connection refused");
            return;
        }
        Err(_) => {
            tracing::warn!(%remote, "handshake timed out");
            return;
        }
    };
    let _guard = FailAtEnd {
        link: &link,
        shared: &shared,
    };
    let error = transfer(&link, &shared, &mut stream).await;
    tracing::debug!(peer = link.peer, %error, "link ended");
    let parked = link.fail(&error);
    shared.registry().unpark(&link, parked);
}

async fn accept(
    stream: &mut TcpStream,
    shared: &Shared,
    remote: &str,
) -> Result<Arc<InLink>, NetworkError> {
    let settings = shared.settings();
    stream
        .set_nodelay(true)
        .map_err(|error| ConnectionError::from(error).with_peer(remote))?;
    let handshake = Handshake {
        settings,
        peer: remote,
    };
    let hello = handshake.listen(stream).await?;
    let peer = format!("{} ({remote})", hello.container);
    let link = Arc::new(InLink::new(peer, settings.checksums));
    match shared.admit(&hello, &link) {
        Ok(()) => handshake.welcome(stream).await.inspect_err(|_| {
            shared.dismiss(&link);
        })?,
        Err(error) => {
            handshake.refuse(stream, &error.to_string()).await?;
            return Err(error);
        }
    }
    Ok(link)
}

/// Returns why the link ended.
async fn transfer(link: &Arc<InLink>, shared: &Shared, stream: &mut TcpStream) -> NetworkError {
    let settings = shared.settings();
    let (read, write) = stream.split();
    let pulse = Pulse::default();
    let mut writer = FrameWriter::new(write);
    let reading = async {
        let mut reader = FrameReader::new(read, &pulse, shared.pool(), settings.piece_bytes());
        loop {
            match reader.next().await {
                Ok(Some((header, body))) => {
                    if let Err(error) = link.handle(shared, &header, body) {
                        return error;
                    }
                }
                Ok(None) => {
                    return NetworkError::Disconnected {
                        peer: link.peer.clone(),
                    };
                }
                Err(error) => return error.with_peer(&link.peer),
            }
        }
    };
    let writing = async {
        let mut batch = Batch::new(settings.checksums);
        loop {
            link.fill(&mut batch);
            if batch.is_empty() {
                link.work.notified().await;
            } else if let Err(error) = writer.write(&mut batch, shared.pool()).await {
                return ConnectionError::from(error).with_peer(&link.peer);
            }
        }
    };
    let silence = pulse.watch(settings.ping_interval, settings.ping_timeout, || {
        link.ping_due.store(true, Ordering::Relaxed);
        link.work.notify_one();
    });
    let mut stop = shared.stop();
    let error = tokio::select! {
        error = reading => error,
        error = writing => error,
        () = silence => NetworkError::Silent {
            peer: link.peer.clone(),
            timeout: settings.ping_timeout,
        },
        () = link.stopped.notified() => link.stop_reason(),
        _ = stop.wait_for(|stop| *stop) => NetworkError::ShutDown,
    };
    let report = matches!(
        error,
        NetworkError::Protocol { .. } | NetworkError::Superseded { .. }
    );
    if report {
        writer.report(&error, settings.checksums).await;
    }
    error
}

impl InLink {
    fn stop_reason(&self) -> NetworkError {
        let reason = self.state().failed.clone();
        reason.unwrap_or(NetworkError::ShutDown)
    }
}
