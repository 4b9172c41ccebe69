//! The files of a job, found by hash: localized into the container, fetched before, or fetched now.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flott_model::FailureClass;
use flott_protocol::application::PROGRAM_FILE;
use flott_protocol::message::ShippedFile;
use flott_protocol::rpc::{ConnectError, fetch_blob, hex};
use sha2::{Digest, Sha256};

use crate::supervisor::Place;

/// Fetched files, by hash.
const CACHE_DIRECTORY: &str = "blobs";
const SHA256_BYTES: usize = 32;

/// A file of a job cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("the name '{0}' of a shipped file must be a path inside the working directory")]
    Name(String),
    #[error("the job names the file '{0}' without its SHA-256")]
    NoHash(String),
    #[error("fetching the file '{name}' of the job failed: {source}")]
    Fetch { name: String, source: ConnectError },
    #[error("reading {} failed: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl BundleError {
    pub(crate) fn class(&self) -> FailureClass {
        match self {
            Self::Name(_) | Self::NoHash(_) => FailureClass::Fatal,
            Self::Fetch { .. } | Self::Read { .. } => FailureClass::Transient,
        }
    }
}

/// A name that stays below the directory it is put in; it may have directories in front.
pub(crate) fn inner_path(name: &str) -> Result<&Path, BundleError> {
    let path = Path::new(name);
    let is_inner = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    if name.is_empty() || !is_inner {
        return Err(BundleError::Name(name.to_owned()));
    }
    Ok(path)
}

/// The local copy of a file, verified.
pub(crate) async fn locate(
    place: &Place,
    file: &ShippedFile,
    executable: bool,
) -> Result<PathBuf, BundleError> {
    let path = inner_path(&file.name)?;
    let name = &file.name;
    if file.sha256.len() != SHA256_BYTES {
        return Err(BundleError::NoHash(name.clone()));
    }
    let cache = place.directory.join(CACHE_DIRECTORY);
    let fetched = cache.join(hex(&file.sha256));
    let mut candidates = vec![place.directory.join(path), fetched.clone()];
    if executable {
        candidates.push(place.directory.join(PROGRAM_FILE));
    }
    for candidate in candidates {
        if place.verified.matches(&candidate, file).await?
            && (!executable || make_executable(&candidate))
        {
            return Ok(candidate);
        }
    }
    let failed = |source| BundleError::Read {
        path: cache.clone(),
        source,
    };
    std::fs::create_dir_all(&cache).map_err(failed)?;
    // Two jobs may fetch the same file at the same time; each under a name of its own.
    let partial = tempfile_in(&cache, &file.sha256);
    let fetch = fetch_blob(&place.job_manager, &place.secret, &file.sha256, &partial).await;
    fetch.map_err(|source| BundleError::Fetch {
        name: name.clone(),
        source,
    })?;
    let mode = if executable { 0o500 } else { 0o400 };
    std::fs::set_permissions(&partial, Permissions::from_mode(mode)).map_err(failed)?;
    std::fs::rename(&partial, &fetched).map_err(failed)?;
    Ok(fetched)
}

fn tempfile_in(cache: &Path, sha256: &[u8]) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    cache.join(format!("{}.{number}.partial", hex(sha256)))
}

/// Files that were hashed in their present state; hashing a large executable takes a while.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    // Held for look-ups and inserts, never across an await.
    files: Mutex<BTreeMap<PathBuf, (FileState, Vec<u8>)>>,
}

/// What changes when a file's content does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Self {
            inode: metadata.ino(),
            size: metadata.len(),
            modified,
        }
    }
}

impl Verified {
    /// Whether the file is there with that content.
    async fn matches(&self, path: &Path, wanted: &ShippedFile) -> Result<bool, BundleError> {
        let Ok(metadata) = std::fs::metadata(path) else {
            return Ok(false);
        };
        if !metadata.is_file() || metadata.len() != wanted.size {
            return Ok(false);
        }
        let state = FileState::of(&metadata);
        if let Some((known, sha256)) = self.files().get(path)
            && *known == state
        {
            return Ok(*sha256 == wanted.sha256);
        }
        let failed = |source| BundleError::Read {
            path: path.to_owned(),
            source,
        };
        let owned = path.to_owned();
        let hashing = tokio::task::spawn_blocking(move || hash(&owned)).await;
        let found = hashing
            .map_err(|error| failed(io::Error::other(error)))?
            .map_err(failed)?;
        let equal = found == wanted.sha256;
        self.files().insert(path.to_owned(), (state, found));
        Ok(equal)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, (FileState, Vec<u8>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(path: &Path) -> io::Result<Vec<u8>> {
    const BUFFER_BYTES: usize = 64 << 10;
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().to_vec()),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn make_executable(path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else {
        return false;
    };
    if metadata.permissions().mode() & 0o100 != 0 {
        return true;
    }
    // Fails if the localized file is somebody else's (PUBLIC): then a copy is fetched.
    std::fs::set_permissions(path, Permissions::from_mode(0o500)).is_ok()
}
