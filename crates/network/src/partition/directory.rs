//! The partitions below a directory: found, opened, removed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use flott_model::JobId;

use super::file::index_path;
use super::index::{ENTRY_BYTES, Entry, TRAILER_BYTES, Trailer, entry_offset};
use super::{PartitionError, PartitionId, job_path};

/// Partitions that stay open between reads, two files each: well below the usual limit of 1024.
const MAX_OPEN: usize = 128;

/// A directory of partitions. Clones share what is open.
#[derive(Clone)]
pub struct PartitionDirectory {
    path: Arc<Path>,
    // A mutex: held for operations on the map, and while a partition is opened, which is once.
    open: Arc<Mutex<OpenPartitions>>,
}

#[derive(Default)]
struct OpenPartitions {
    /// With the time of the last use.
    partitions: HashMap<PartitionId, (Arc<OpenPartition>, u64)>,
    clock: u64,
}

impl PartitionDirectory {
    /// The directory at that path; it need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: Arc::from(path),
            open: Arc::default(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a partition, if it is there and whole as far as its length can tell.
    pub(super) fn open(&self, id: &PartitionId) -> Result<Arc<OpenPartition>, PartitionError> {
        let mut open = self.lock();
        open.clock += 1;
        let now = open.clock;
        if let Some((partition, used)) = open.partitions.get_mut(id) {
            *used = now;
            return Ok(Arc::clone(partition));
        }
        let partition = Arc::new(OpenPartition::open(&self.path, id)?);
        if open.partitions.len() >= MAX_OPEN {
            let oldest = open.partitions.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                open.partitions.remove(&oldest);
            }
        }
        open.partitions.insert(*id, (Arc::clone(&partition), now));
        Ok(partition)
    }

    /// Closes the partitions of a job, so that removed files give their space back.
    pub(super) fn close_job(&self, job: JobId) {
        self.lock().partitions.retain(|id, _| id.job != job);
    }

    fn lock(&self) -> MutexGuard<'_, OpenPartitions> {
        self.open.lock().expect("nothing panics while holding it")
    }
}

impl std::fmt::Debug for PartitionDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionDirectory")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Removes all partitions of a job. Blocks; it is no error if there are none.
pub fn remove_job(directory: &Path, job: JobId) -> Result<(), PartitionError> {
    remove(&job_path(directory, job))
}

/// Removes everything below the directory. Blocks; it is no error if the directory is missing.
pub fn clear_directory(directory: &Path) -> Result<(), PartitionError> {
    let list = PartitionError::file("list", directory);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(list(error)),
    };
    for entry in entries {
        remove(
            &entry
                .map_err(PartitionError::file("list", directory))?
                .path(),
        )?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), PartitionError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PartitionError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// A finished partition. Stays readable when its files are removed.
#[derive(Debug)]
pub(super) struct OpenPartition {
    id: PartitionId,
    data_path: PathBuf,
    data: File,
    index: File,
    trailer: Trailer,
}

impl OpenPartition {
    fn open(directory: &Path, id: &PartitionId) -> Result<Self, PartitionError> {
        let data_path = id.data_path(directory);
        let open = |path: PathBuf| {
            File::open(&path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => PartitionError::NotFound {
                    edge: id.edge,
                    place: directory.display().to_string(),
                    producers: vec![id.producer],
                },
                _ => PartitionError::file("open", path)(error),
            })
        };
        let index = open(index_path(&data_path))?;
        let data = open(data_path.clone())?;
        let trailer = Self::check(&data, &index).map_err(|reason| PartitionError::Damaged {
            producer: id.producer,
            file: data_path.display().to_string(),
            reason,
        })?;
        Ok(Self {
            id: *id,
            data_path,
            data,
            index,
            trailer,
        })
    }

    fn check(data: &File, index: &File) -> Result<Trailer, String> {
        let length = |file: &File| file.metadata().map(|found| found.len());
        let describe = |error: io::Error| error.to_string();
        let index_bytes = length(index).map_err(describe)?;
        let mut bytes = [0; TRAILER_BYTES];
        let at = index_bytes
            .checked_sub(TRAILER_BYTES as u64)
            .ok_or("its index is too short")?;
        index.read_exact_at(&mut bytes, at).map_err(describe)?;
        let trailer = Trailer::decode(&bytes)?;
        if index_bytes != trailer.index_bytes() {
            return Err(format!(
                "its index has {index_bytes} bytes instead of {}",
                trailer.index_bytes()
            ));
        }
        let data_bytes = length(data).map_err(describe)?;
        if data_bytes != trailer.data_bytes {
            return Err(format!(
                "it has {data_bytes} bytes instead of {}",
                trailer.data_bytes
            ));
        }
        Ok(trailer)
    }

    pub(super) fn sub_partitions(&self) -> u32 {
        self.trailer.sub_partitions
    }

    pub(super) fn regions(&self) -> u32 {
        self.trailer.regions
    }

    /// Where a region has a sub-partition.
    pub(super) fn entry(&self, region: u32, sub_partition: u32) -> Result<Entry, PartitionError> {
        let mut bytes = [0; ENTRY_BYTES];
        let at = entry_offset(self.trailer.sub_partitions, region, sub_partition);
        self.index
            .read_exact_at(&mut bytes, at)
            .map_err(|error| self.damaged(format!("its index cannot be read: {error}")))?;
        let entry =
            Entry::decode(region, sub_partition, &bytes).map_err(|why| self.damaged(why))?;
        let end = entry.offset.checked_add(entry.length);
        if end.is_none_or(|end| end > self.trailer.data_bytes) {
            return Err(self.damaged("an index entry points behind its end"));
        }
        Ok(entry)
    }

    /// Appends `length` bytes from there on.
    pub(super) fn read(
        &self,
        offset: u64,
        length: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), PartitionError> {
        let start = out.len();
        out.resize(start + length, 0);
        self.data
            .read_exact_at(&mut out[start..], offset)
            .map_err(|error| self.damaged(format!("it cannot be read: {error}")))
    }

    pub(super) fn damaged(&self, reason: impl Into<String>) -> PartitionError {
        PartitionError::Damaged {
            producer: self.id.producer,
            file: self.data_path.display().to_string(),
            reason: reason.into(),
        }
    }
}
