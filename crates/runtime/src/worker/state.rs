//! Where a worker keeps state that does not fit into memory (`state.backend.type: rocksdb`), and how
//! much memory there is for the rest.

use std::path::{Path, PathBuf};

use flott_config::{Configuration, ExecutorMemory, StateBackendType, options};
use flott_protocol::message::WorkerSpec;
use flott_state::cold::{ColdBackend, HotPool, RocksOptions, open_stores};

use super::WorkerError;

/// The state on disk of a worker; deleted with this value.
pub(super) struct LocalState {
    directory: PathBuf,
    pub(super) backend: ColdBackend,
}

impl Drop for LocalState {
    fn drop(&mut self) {
        // What is left goes when the next worker begins there, or with the application.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl LocalState {
    /// For files that go when they are closed.
    pub(super) fn directory(&self) -> PathBuf {
        self.directory.clone()
    }

    /// As configured; `None`: all state is in memory.
    pub(super) fn of(
        spec: &WorkerSpec,
        configuration: &Configuration,
    ) -> Result<Option<Self>, WorkerError> {
        if configuration.get(&options::STATE_BACKEND_TYPE) != StateBackendType::RocksDb {
            return Ok(None);
        }
        let memory = Memory::of(spec, configuration);
        let Some(stores) = open_stores(rocks_options(configuration, memory.rocks)) else {
            return Ok(None); // Refused before the job began, unless it runs in BATCH.
        };
        let container = Some(spec.container.as_str()).filter(|name| !name.is_empty());
        let name = format!("flott-state-{}-{}", container.unwrap_or("local"), spec.job);
        let name = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
        let directory = parent(spec, configuration).join(name);
        begin(&directory).map_err(|source| WorkerError::State {
            directory: directory.display().to_string(),
            source,
        })?;
        let pool = HotPool::new(memory.hot);
        Ok(Some(Self {
            backend: ColdBackend::new(stores, pool, directory.clone()),
            directory,
        }))
    }
}

/// An empty directory: what an earlier worker of the job has left is of no use.
fn begin(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(directory)
}

/// The directory that the worker's is made in.
fn parent(spec: &WorkerSpec, configuration: &Configuration) -> PathBuf {
    let configured = configuration
        .get(&options::STATE_BACKEND_ROCKSDB_LOCALDIR)
        .or_else(|| configuration.get(&options::IO_TMP_DIRS));
    let chosen = configured.and_then(|all| choose(&all, spec.incarnation));
    chosen.unwrap_or_else(|| {
        // Beside the partitions, in the container's own directory; only embedded workers have none.
        let partitions = Path::new(&spec.partition_dir);
        let beside = partitions
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        beside.map_or_else(std::env::temp_dir, Path::to_owned)
    })
}

/// One of several directories, another one for each worker.
fn choose(all: &str, worker: u64) -> Option<PathBuf> {
    let paths = all.split([',', '|']).map(str::trim);
    let paths: Vec<&str> = paths.filter(|path| !path.is_empty()).collect();
    let at = usize::try_from(worker).ok()? % paths.len().max(1);
    let path = paths.get(at)?;
    Some(PathBuf::from(path.strip_prefix("file://").unwrap_or(path)))
}

/// What there is for state.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    /// For rows in memory.
    hot: u64,
    /// For RocksDB; `None`: its own defaults.
    rocks: Option<u64>,
}

impl Memory {
    fn of(spec: &WorkerSpec, configuration: &Configuration) -> Self {
        let container = match spec.container_memory_bytes {
            0 => ExecutorMemory::configured(configuration),
            bytes => ExecutorMemory::of(configuration, bytes),
        };
        let all = u64::from(configuration.get(&options::TASKMANAGER_NUMBER_OF_TASK_SLOTS));
        let held = spec.slots.len().max(1) as u64;
        let fixed = configuration.get(&options::STATE_BACKEND_ROCKSDB_MEMORY_FIXED_PER_SLOT);
        let fixed = fixed.map(|size| size.bytes().saturating_mul(held));
        let per_worker = configuration.get(&options::STATE_BACKEND_ROCKSDB_MEMORY_FIXED_PER_TM);
        let fixed = fixed.or_else(|| per_worker.map(|size| size.bytes()));
        let managed = || {
            let managed = container.managed_bytes(configuration);
            managed / all.max(held) * held
        };
        let hot_ratio = configuration.get(&options::STATE_BACKEND_ROCKSDB_HOT_RATIO);
        if fixed.is_none() && !configuration.get(&options::STATE_BACKEND_ROCKSDB_MEMORY_MANAGED) {
            return Self {
                hot: managed(),
                rocks: None,
            };
        }
        let whole = fixed.unwrap_or_else(managed);
        let hot = (whole as f64 * hot_ratio.get()) as u64;
        Self {
            hot,
            rocks: Some(whole.saturating_sub(hot)),
        }
    }
}

fn rocks_options(configuration: &Configuration, memory_bytes: Option<u64>) -> RocksOptions {
    let buffer = configuration.get(&options::STATE_BACKEND_ROCKSDB_WRITE_BUFFER_SIZE);
    RocksOptions {
        memory_bytes,
        write_buffer_ratio: configuration
            .get(&options::STATE_BACKEND_ROCKSDB_WRITE_BUFFER_RATIO)
            .get(),
        partitioned_index_filters: configuration
            .get(&options::STATE_BACKEND_ROCKSDB_PARTITIONED_INDEX_FILTERS),
        block_bytes: configuration
            .get(&options::STATE_BACKEND_ROCKSDB_BLOCK_SIZE)
            .bytes(),
        write_buffer_bytes: buffer.map(|size| size.bytes()),
        background_threads: configuration.get(&options::STATE_BACKEND_ROCKSDB_THREAD_NUM),
        open_files: configuration.get(&options::STATE_BACKEND_ROCKSDB_FILES_OPEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(settings: &[(&str, &str)], slots: usize) -> Memory {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let configuration = Configuration::from_map(settings.iter().map(own).collect()).unwrap();
        let spec = WorkerSpec {
            slots: vec![0; slots],
            container_memory_bytes: 1 << 30,
            ..WorkerSpec::default()
        };
        Memory::of(&spec, &configuration)
    }

    #[test]
    fn memory_is_that_of_the_slots() {
        let slots = ("taskmanager.numberOfTaskSlots", "4");
        let size = ("taskmanager.memory.managed.size", "400m");
        let mebibytes = |hot: u64, rocks: Option<u64>| Memory {
            hot: hot << 20,
            rocks: rocks.map(|rocks| rocks << 20),
        };
        assert_eq!(memory(&[slots, size], 2), mebibytes(100, Some(100)));
        let hot = ("flott.state.backend.rocksdb.memory.hot-ratio", "0.25");
        assert_eq!(memory(&[slots, size, hot], 4), mebibytes(100, Some(300)));
        let fixed = ("state.backend.rocksdb.memory.fixed-per-slot", "30m");
        assert_eq!(memory(&[slots, size, fixed], 2), mebibytes(30, Some(30)));
        let fixed = ("state.backend.rocksdb.memory.fixed-per-tm", "30m");
        assert_eq!(memory(&[slots, size, fixed], 2), mebibytes(15, Some(15)));
        let own = ("state.backend.rocksdb.memory.managed", "false");
        assert_eq!(memory(&[slots, size, own], 2), mebibytes(200, None));
    }

    #[test]
    fn workers_take_turns_with_directories() {
        let of = |worker| choose("/one, file:///two", worker);
        assert_eq!(of(4), Some("/one".into()));
        assert_eq!(of(5), Some("/two".into()));
        assert_eq!(choose(" , ", 1), None);
    }
}
