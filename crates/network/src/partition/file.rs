//! The files of a partition while they are written: region after region, then renamed.
//!
//! They are not synced: a partition is lost with its node anyway, and the page cache outlives the
//! process that wrote it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::frame;
use super::index::{Entry, Trailer};
use super::{Compression, PartitionError, PartitionId};

/// Bytes that are given to the file system at once.
const WRITE_BYTES: usize = 256 * 1024;

/// Encoded rows of one sub-partition.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u32,
    pub(super) timed: bool,
}

/// What the writer had in memory: the pages of each sub-partition.
pub(super) type Region = Vec<Vec<Page>>;

/// How the files of a partition are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) sub_partitions: u32,
    pub(super) compression: Compression,
}

/// A partition that is being written. Dropping it before it is finished removes its files.
#[derive(Debug)]
pub(super) struct PartitionFile {
    data_path: PathBuf,
    format: Format,
    open: Option<(File, File)>,
    /// Encoded frames that the data file does not have yet.
    pending: Vec<u8>,
    /// Bytes of the data file, `pending` included.
    data_bytes: u64,
    regions: u32,
    rows: u64,
    finished: bool,
}

impl PartitionFile {
    /// Touches no file before the first region is written.
    pub(super) fn new(directory: &Path, id: &PartitionId, format: Format) -> Self {
        Self {
            data_path: id.data_path(directory),
            format,
            open: None,
            pending: Vec::new(),
            data_bytes: 0,
            regions: 0,
            rows: 0,
            finished: false,
        }
    }

    pub(super) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Appends a region; its pages are as they were afterwards.
    pub(super) fn write_region(&mut self, region: &Region) -> Result<(), PartitionError> {
        self.open()?;
        let mut entries = Vec::with_capacity(region.len() * super::index::ENTRY_BYTES);
        let mut gathered = Vec::new();
        for (sub_partition, pages) in (0..).zip(region) {
            let start = self.data_bytes;
            self.write_pages(sub_partition, pages, &mut gathered)?;
            let rows = pages.iter().map(|page| u64::from(page.rows)).sum();
            let entry = Entry {
                offset: start,
                length: self.data_bytes - start,
                rows,
            };
            entry.append(self.regions, sub_partition, &mut entries);
            self.rows += rows;
        }
        self.write_pending(0)?;
        self.regions += 1;
        self.write_index(&entries)
    }

    /// Small pages share frames: what a frame costs should be little against what it holds.
    fn write_pages(
        &mut self,
        sub_partition: u32,
        mut pages: &[Page],
        gathered: &mut Vec<u8>,
    ) -> Result<(), PartitionError> {
        while let Some(first) = pages.first() {
            let (mut bytes, mut rows, mut together) = (0, 0, 0);
            for page in pages {
                let fits = bytes + page.bytes.len() <= frame::FRAME_BYTES
                    && rows + page.rows <= frame::FRAME_ROWS
                    && page.timed == first.timed;
                if together > 0 && !fits {
                    break;
                }
                bytes += page.bytes.len();
                rows += page.rows;
                together += 1;
            }
            let payload = if together == 1 {
                &first.bytes
            } else {
                gathered.clear();
                for page in &pages[..together] {
                    gathered.extend_from_slice(&page.bytes);
                }
                &*gathered
            };
            let before = self.pending.len();
            let compression = self.format.compression;
            frame::append(
                &mut self.pending,
                sub_partition,
                rows,
                first.timed,
                payload,
                compression,
            );
            self.data_bytes += (self.pending.len() - before) as u64;
            self.write_pending(WRITE_BYTES)?;
            pages = &pages[together..];
        }
        Ok(())
    }

    /// Writes the frames out if they are at least so many bytes.
    fn write_pending(&mut self, at_least: usize) -> Result<(), PartitionError> {
        if self.pending.is_empty() || self.pending.len() < at_least {
            return Ok(());
        }
        let (data, _) = self.open.as_mut().expect("opened before the region");
        data.write_all(&self.pending)
            .map_err(PartitionError::file("write", in_progress(&self.data_path)))?;
        self.pending.clear();
        Ok(())
    }

    fn write_index(&mut self, bytes: &[u8]) -> Result<(), PartitionError> {
        let (_, index) = self.open.as_mut().expect("opened before it is written");
        let path = in_progress(&index_path(&self.data_path));
        index
            .write_all(bytes)
            .map_err(PartitionError::file("write", path))
    }

    fn open(&mut self) -> Result<(), PartitionError> {
        if self.open.is_some() {
            return Ok(());
        }
        if let Some(directory) = self.data_path.parent() {
            fs::create_dir_all(directory).map_err(PartitionError::file("create", directory))?;
        }
        let create = |path: PathBuf| {
            let path = in_progress(&path);
            File::create(&path).map_err(PartitionError::file("create", path))
        };
        self.open = Some((
            create(self.data_path.clone())?,
            create(index_path(&self.data_path))?,
        ));
        Ok(())
    }

    /// Gives the files their names; the index last, because where it is, the partition is.
    pub(super) fn finish(&mut self) -> Result<(), PartitionError> {
        self.open()?;
        let trailer = Trailer {
            sub_partitions: self.format.sub_partitions,
            regions: self.regions,
            data_bytes: self.data_bytes,
            rows: self.rows,
        };
        self.write_index(&trailer.encode())?;
        self.open = None;
        for path in [self.data_path.clone(), index_path(&self.data_path)] {
            fs::rename(in_progress(&path), &path)
                .map_err(PartitionError::file("rename to", path))?;
        }
        self.finished = true;
        Ok(())
    }
}

impl Drop for PartitionFile {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        for path in [index_path(&self.data_path), self.data_path.clone()] {
            // Whatever is left goes with the directory of the job.
            let _ = fs::remove_file(in_progress(&path));
            let _ = fs::remove_file(path);
        }
    }
}

pub(super) fn index_path(data_path: &Path) -> PathBuf {
    data_path.with_extension("index")
}

fn in_progress(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".inprogress");
    PathBuf::from(name)
}
