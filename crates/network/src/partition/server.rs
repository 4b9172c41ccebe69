//! Serves the partitions of a directory to the workers of their jobs. Lives in the agent, so that
//! partitions outlive the worker that wrote them.
//!
//! A connection is one fetch: handshake, request, and the stream or why there is none. TCP holds a fast server back; an open
//! fetch costs the agent one chunk of memory, however slow its consumer is.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flott_model::JobId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::pump::{CHUNK_BYTES, REFUSAL, STREAM};
use super::scan::{MAX_REQUEST_BYTES, Request, Scan};
use super::{PartitionDirectory, PartitionError, directory, handshake};

/// Connections whose other end has not proved yet which job it belongs to.
const MAX_HANDSHAKES: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed, e.g. because there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The token of each job: what its workers prove themselves with. Empty: there is no such job.
pub type JobTokens = Arc<dyn Fn(JobId) -> Vec<u8> + Send + Sync>;

/// Settings of a [`PartitionServer`].
#[derive(Clone)]
pub struct PartitionServerSettings {
    /// Where the partitions are.
    pub directory: PathBuf,
    /// The host that is announced.
    pub host: String,
    /// The local address to listen at.
    pub bind: IpAddr,
    /// Ports to try, in order; 0 lets the system choose.
    pub ports: Vec<u16>,
    /// The token of each job.
    pub tokens: JobTokens,
}

/// Serves partitions until it is stopped or dropped.
pub struct PartitionServer {
    address: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    directory: PartitionDirectory,
    tokens: JobTokens,
    /// Dropped when the job is removed, which ends its fetches.
    // A mutex: held for operations on the map only.
    jobs: Mutex<HashMap<JobId, watch::Sender<()>>>,
}

impl Shared {
    /// Changes when the job is removed.
    fn removal(&self, job: JobId) -> watch::Receiver<()> {
        let mut jobs = self.jobs.lock().expect("nothing panics while holding it");
        jobs.entry(job)
            .or_insert_with(|| watch::channel(()).0)
            .subscribe()
    }

    fn removed(&self, job: JobId) {
        let mut jobs = self.jobs.lock().expect("nothing panics while holding it");
        jobs.remove(&job);
    }
}

impl PartitionServer {
    /// Listens, in the tokio runtime this is called in. Makes the directory if it is missing, for
    /// its owner only.
    pub async fn start(settings: PartitionServerSettings) -> Result<Self, PartitionError> {
        make_directory(settings.directory.clone()).await?;
        let (listener, port) = bind(&settings).await?;
        let address = if settings.host.contains(':') && !settings.host.starts_with('[') {
            format!("[{}]:{port}", settings.host)
        } else {
            format!("{}:{port}", settings.host)
        };
        let shared = Arc::new(Shared {
            directory: PartitionDirectory::new(&settings.directory),
            tokens: settings.tokens,
            jobs: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// `host:port`, where consumers dial it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the fetches of a job and removes its partitions.
    pub async fn remove_job(&self, job: JobId) -> Result<(), PartitionError> {
        self.shared.removed(job);
        self.shared.directory.close_job(job);
        let path = self.shared.directory.path().to_owned();
        tokio::task::spawn_blocking(move || directory::remove_job(&path, job))
            .await
            .unwrap_or_else(|_| Err(given_up(job.to_string())))
    }

    /// Ends all fetches. The files stay.
    pub async fn stop(mut self) {
        self.task.abort();
        // An error says that it was aborted, as it should be.
        let _ = (&mut self.task).await;
    }
}

impl Drop for PartitionServer {
    fn drop(&mut self) {
        // The connections are owned by this task, and end with it.
        self.task.abort();
    }
}

impl std::fmt::Debug for PartitionServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionServer")
            .field("address", &self.address)
            .field("directory", &self.shared.directory)
            .finish_non_exhaustive()
    }
}

/// The runtime ends, and with it its blocking threads.
fn given_up(file: String) -> PartitionError {
    PartitionError::ShutDown { file }
}

async fn make_directory(path: PathBuf) -> Result<(), PartitionError> {
    let name = path.display().to_string();
    let made = tokio::task::spawn_blocking(move || {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(PartitionError::file("create", path))
    });
    made.await.unwrap_or_else(|_| Err(given_up(name)))
}

async fn bind(settings: &PartitionServerSettings) -> Result<(TcpListener, u16), PartitionError> {
    let mut refusal = io::Error::new(io::ErrorKind::InvalidInput, "no port is given");
    for port in &settings.ports {
        let bound = match TcpListener::bind((settings.bind, *port)).await {
            Ok(listener) => listener.local_addr().map(|at| (listener, at.port())),
            Err(error) => Err(error),
        };
        match bound {
            Ok(bound) => return Ok(bound),
            Err(error) => refusal = error,
        }
    }
    Err(PartitionError::Bind {
        host: settings.bind.to_string(),
        ports: settings.ports.clone(),
        source: Arc::new(refusal),
    })
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut connections = JoinSet::new();
    loop {
        // Ended ones are forgotten here, or the set would grow.
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a consumer of partitions could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let greeting = timeout(HANDSHAKE_TIMEOUT, greet(stream, &shared)).await;
            drop(permit);
            let served = match greeting {
                Ok(Ok((stream, job, request))) => serve(stream, job, request, &shared).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a fetch of partitions ended early");
            }
        });
    }
}

async fn greet(mut stream: TcpStream, shared: &Shared) -> io::Result<(TcpStream, JobId, Request)> {
    stream.set_nodelay(true)?;
    let job = handshake::listen(&mut stream, &*shared.tokens).await?;
    let length = stream.read_u32_le().await? as usize;
    if length > MAX_REQUEST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    let request = Request::decode(&request).ok_or(io::ErrorKind::InvalidData)?;
    Ok((stream, job, request))
}

async fn serve(
    mut stream: TcpStream,
    job: JobId,
    request: Request,
    shared: &Shared,
) -> io::Result<()> {
    let mut removal = shared.removal(job);
    let scan = Scan::new(shared.directory.clone(), job, request);
    tokio::select! {
        sent = send(&mut stream, scan) => sent,
        _ = removal.changed() => Err(io::Error::other("the job's partitions were removed")),
    }
}

async fn send(stream: &mut TcpStream, scan: Scan) -> io::Result<()> {
    let asking = tokio::task::spawn_blocking(move || (scan.refusal(), scan));
    let (refusal, mut scan) = asking.await.map_err(io::Error::other)?;
    if let Some(refusal) = refusal {
        stream.write_all(&[REFUSAL]).await?;
        stream.write_all(&refusal).await?;
        return stream.shutdown().await;
    }
    stream.write_all(&[STREAM]).await?;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    loop {
        chunk.clear();
        let filled = tokio::task::spawn_blocking(move || {
            let more = scan.fill(&mut chunk, CHUNK_BYTES);
            (scan, chunk, more)
        });
        let more;
        (scan, chunk, more) = filled.await.map_err(io::Error::other)?;
        stream.write_all(&chunk).await?;
        if !more {
            return stream.shutdown().await;
        }
    }
}
