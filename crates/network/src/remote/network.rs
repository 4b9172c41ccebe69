//! A worker's network: one thread for all sockets, its listener, and its links.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};

use super::budget::{Budget, BufferPool};
use super::credit::CreditAccount;
use super::frame::CHECKSUM_BYTES;
use super::hello::Hello;
use super::inbound::{self, InChannel, InLink};
use super::inflow::Inflow;
use super::outbound::{self, OutLink};
use super::registry::Registry;
use super::{NetworkError, NetworkSettings, RemoteReceiver, RemoteSender};
use crate::{ChannelId, Waker};

/// Connections whose other end has not proved yet that it belongs to the job.
const MAX_HANDSHAKES: usize = 64;
/// How long links may take to write what they can when the network is shut down.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);
/// Buffers kept for reuse, however much memory there is.
const MAX_IDLE_BUFFERS: u64 = 1024;

/// The remote exchange of a worker. Dropping it shuts it down.
pub struct Network {
    shared: Arc<Shared>,
    address: String,
    stop: watch::Sender<bool>,
    // A mutex: whoever comes first joins the thread.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Counters of a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkStatistics {
    /// Frames that arrived for channels that were closed, or never open.
    pub dropped_frames: u64,
    /// Links that this worker dialed.
    pub links_out: usize,
    /// Links that other workers dialed.
    pub links_in: usize,
    /// Bytes of the budget that are neither a channel's share nor borrowed; negative if the shares
    /// alone are above it.
    pub available_bytes: i64,
}

/// What handles and links have in common.
pub(super) struct Shared {
    settings: NetworkSettings,
    pool: BufferPool,
    budget: Budget,
    registry: Registry,
    // A mutex: held for operations on the map only.
    links: Mutex<HashMap<String, Arc<OutLink>>>,
    // A mutex: held for operations on the map only.
    peers: Mutex<HashMap<String, Peer>>,
    dropped_frames: AtomicU64,
    runtime: Handle,
    stop: watch::Receiver<bool>,
    /// Each task has a clone: when all are gone, none runs. Taken at shutdown.
    running: Mutex<Option<mpsc::Sender<()>>>,
}

/// A worker that has dialed this one.
struct Peer {
    incarnation: u64,
    link: Option<Arc<InLink>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while holding it")
}

impl Network {
    /// Starts to listen, and the thread that serves all sockets.
    pub fn start(settings: NetworkSettings) -> Result<Self, NetworkError> {
        settings.validate()?;
        let start = |source: io::Error| NetworkError::Start {
            source: Arc::new(source),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(start)?;
        let (listener, port) = bind(&runtime, &settings)?;
        let address = settings.announce(port);
        let (stop, stopped) = watch::channel(false);
        let (running, idle) = mpsc::channel(1);
        let capacity = settings.piece_bytes() + CHECKSUM_BYTES;
        let idle_buffers = (settings.memory_bytes / 4 / capacity as u64).clamp(4, MAX_IDLE_BUFFERS);
        let shared = Arc::new(Shared {
            pool: BufferPool::new(idle_buffers as usize, capacity),
            budget: Budget::new(settings.memory_bytes),
            registry: Registry::default(),
            links: Mutex::default(),
            peers: Mutex::default(),
            dropped_frames: AtomicU64::new(0),
            runtime: runtime.handle().clone(),
            stop: stopped,
            running: Mutex::new(Some(running)),
            settings,
        });
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("flott-network".into())
            .spawn(move || run(runtime, listener, &for_thread, idle))
            .map_err(start)?;
        Ok(Self {
            shared,
            address,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// `host:port`, where other workers dial this one.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A sender to the worker at `address`, by the link to it, which is dialed if there is none.
    /// Use the address as the worker announced it: by another name it gets a second link, which
    /// replaces the first. A failure to connect is an error of the sender. `task` is woken when
    /// credit that it waits for arrives, and when the channel fails.
    pub fn sender(&self, channel: ChannelId, address: &str, task: Waker) -> RemoteSender {
        let link = self.shared.link(address);
        let end = link.open(channel, task, self.shared.settings.piece_bytes());
        RemoteSender::new(Arc::clone(&self.shared), link, end)
    }

    /// The receiver of exactly that channel. `task` is woken when something arrives, and when the
    /// channel fails.
    pub fn receiver(&self, channel: ChannelId, task: Waker) -> RemoteReceiver {
        let settings = &self.shared.settings;
        let share = settings.exclusive_bytes();
        let account = CreditAccount::new(
            share,
            u64::from(settings.channel_floating_bytes),
            settings.frame_bytes as u64 / 2,
        );
        self.shared.budget.take(share);
        let flow = Inflow::new(account, settings.max_record_bytes);
        let end = Arc::new(InChannel::new(channel, flow, task));
        if let Err(error) = self.shared.registry.register(&end) {
            end.fail(&error);
        } else if *self.shared.stop.borrow() {
            end.fail(&NetworkError::ShutDown);
        }
        RemoteReceiver::new(Arc::clone(&self.shared), end)
    }

    /// Counters, as they are now.
    pub fn statistics(&self) -> NetworkStatistics {
        let peers = lock(&self.shared.peers);
        NetworkStatistics {
            dropped_frames: self.shared.dropped_frames.load(Ordering::Relaxed),
            links_out: lock(&self.shared.links).len(),
            links_in: peers.values().filter(|peer| peer.link.is_some()).count(),
            available_bytes: self.shared.budget.available(),
        }
    }

    /// Writes what credit allows, closes all links, and ends the thread. Channels that did not reach
    /// their end fail.
    pub fn shutdown(&self) {
        lock(&self.shared.running).take();
        self.stop.send_replace(true);
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the network thread panicked");
        }
        self.shared.registry.fail(&NetworkError::ShutDown);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("address", &self.address)
            .field("statistics", &self.statistics())
            .finish_non_exhaustive()
    }
}

fn bind(runtime: &Runtime, settings: &NetworkSettings) -> Result<(TcpListener, u16), NetworkError> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in settings.ports.iter().copied() {
        let address = SocketAddr::new(settings.bind, port);
        // Not `block_on`: a worker may be started from inside another runtime.
        let bound = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let port = listener.local_addr()?.port();
            let _entered = runtime.enter();
            Ok((TcpListener::from_std(listener)?, port))
        });
        match bound {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(NetworkError::Bind {
        host: settings.bind.to_string(),
        ports: settings.ports.clone(),
        source: Arc::new(last),
    })
}

fn run(
    runtime: Runtime,
    listener: TcpListener,
    shared: &Arc<Shared>,
    mut idle: mpsc::Receiver<()>,
) {
    runtime.block_on(async {
        let mut stop = shared.stop();
        tokio::select! {
            () = accept_all(&listener, shared) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        drop(listener);
        // Nobody sends: this waits until all tasks have dropped their clones.
        if tokio::time::timeout(SHUTDOWN_PATIENCE, idle.recv())
            .await
            .is_err()
        {
            tracing::warn!("links did not end within {SHUTDOWN_PATIENCE:?}, they are cut");
        }
    });
    // Not by dropping it, which would wait for a name server that does not answer.
    runtime.shutdown_background();
}

async fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    /// Pause after a failure such as too many open files, which would repeat at once.
    const PAUSE: Duration = Duration::from_millis(50);
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => shared.spawn_serve(stream, permit),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Shared {
    pub(super) fn settings(&self) -> &NetworkSettings {
        &self.settings
    }

    pub(super) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    pub(super) fn count_dropped(&self) {
        self.dropped_frames.fetch_add(1, Ordering::Relaxed);
    }

    fn spawn_serve(self: &Arc<Self>, stream: TcpStream, permit: tokio::sync::OwnedSemaphorePermit) {
        let Some(running) = lock(&self.running).clone() else {
            return;
        };
        let shared = Arc::clone(self);
        self.runtime.spawn(async move {
            inbound::serve(stream, shared, permit).await;
            drop(running);
        });
    }

    /// The link to the address; a new one if there is none, or the last one failed.
    fn link(self: &Arc<Self>, address: &str) -> Arc<OutLink> {
        let mut links = lock(&self.links);
        if let Some(link) = links.get(address)
            && !link.has_failed()
        {
            return Arc::clone(link);
        }
        let link = Arc::new(OutLink::new(address));
        let Some(running) = lock(&self.running).clone() else {
            link.fail(&NetworkError::ShutDown);
            return link;
        };
        links.insert(address.to_owned(), Arc::clone(&link));
        let (shared, dialed) = (Arc::clone(self), Arc::clone(&link));
        self.runtime.spawn(async move {
            outbound::run(dialed, shared).await;
            drop(running);
        });
        link
    }

    /// A dialed link has ended.
    pub(super) fn forget(&self, link: &Arc<OutLink>) {
        lock(&self.links).retain(|_, known| !Arc::ptr_eq(known, link));
    }

    /// A worker has proved that it belongs to the job. Its newest connection is the one that counts;
    /// a connection of an earlier life is refused.
    pub(super) fn admit(&self, hello: &Hello, link: &Arc<InLink>) -> Result<(), NetworkError> {
        let mut peers = lock(&self.peers);
        let peer = peers.entry(hello.container.clone()).or_insert(Peer {
            incarnation: hello.incarnation,
            link: None,
        });
        if hello.incarnation < peer.incarnation {
            return Err(NetworkError::Superseded {
                peer: link.peer.clone(),
            });
        }
        peer.incarnation = hello.incarnation;
        if let Some(older) = peer.link.replace(Arc::clone(link)) {
            older.stop(NetworkError::Superseded {
                peer: older.peer.clone(),
            });
        }
        Ok(())
    }

    /// An accepted link has ended.
    pub(super) fn dismiss(&self, link: &InLink) {
        for peer in lock(&self.peers).values_mut() {
            let same = |known: &mut Arc<InLink>| std::ptr::eq(Arc::as_ptr(known), link);
            peer.link.take_if(same);
        }
    }
}
