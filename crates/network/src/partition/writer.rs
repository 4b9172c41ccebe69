//! Writes a partition from a task: rows are put into memory by sub-partition, and whole regions go
//! to disk behind the task's back.
//!
//! Half of the memory fills while the other half is written. Rows of one batch may go over it: the
//! task asks `settle` before the next one.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::runtime::Handle;

use super::file::{Format, Page, PartitionFile, Region};
use super::frame::{FRAME_BYTES, FRAME_ROWS};
use super::{Compression, PartitionError, PartitionId};
use crate::{NO_TIMESTAMP, Waker};

/// Smallest unit of memory of a sub-partition.
const SMALLEST_PAGE: usize = 256;
/// What a page costs beside its bytes, so that rows without bytes are bounded too.
const PAGE_COST: usize = 64;

/// Settings of a [`PartitionWriter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionWriterSettings {
    /// Into how many parts the rows are sorted.
    pub sub_partitions: u32,
    /// Memory for rows; raised to 1 KiB per sub-partition if it is less.
    pub memory_bytes: usize,
    /// Whether frames are compressed.
    pub compression: Compression,
    /// Largest row, its event time included; less than 2 GiB.
    pub max_record_bytes: usize,
}

/// Writes one partition. Dropping it before it is finished removes what was written.
pub struct PartitionWriter {
    open: Region,
    /// Memory of `open`.
    held: usize,
    page_bytes: usize,
    region_bytes: usize,
    max_record_bytes: usize,
    bytes_taken: u64,
    disk: Disk,
    failed: Option<PartitionError>,
}

impl PartitionWriter {
    /// A writer of the partition in that directory. Touches no file yet. What goes to disk is
    /// written by blocking threads of `io`; `task` is woken whenever one is done.
    pub fn new(
        directory: &Path,
        id: PartitionId,
        settings: PartitionWriterSettings,
        io: Handle,
        task: Waker,
    ) -> Self {
        let count = settings.sub_partitions.max(1);
        let parts = count as usize;
        let page_bytes = (settings.memory_bytes / (4 * parts)).clamp(SMALLEST_PAGE, FRAME_BYTES);
        let format = Format {
            sub_partitions: count,
            compression: settings.compression,
        };
        let file = PartitionFile::new(directory, &id, format);
        Self {
            open: empty_region(parts),
            held: 0,
            page_bytes,
            region_bytes: (settings.memory_bytes / 2).max(2 * parts * page_bytes),
            max_record_bytes: settings.max_record_bytes.min(i32::MAX as usize),
            bytes_taken: 0,
            disk: Disk {
                name: id.to_string(),
                state: Arc::new(Mutex::new(DiskState::Idle(file))),
                io,
                task,
            },
            failed: None,
        }
    }

    /// Adds a row, which `encode` appends to the bytes it is given. If that fails, the row is not
    /// there. Everything else that goes wrong is an error of the next `settle`.
    #[inline]
    pub fn row<E>(
        &mut self,
        sub_partition: u32,
        timestamp: i64,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let timed = timestamp != NO_TIMESTAMP;
        let (page_bytes, limit) = (self.page_bytes, self.max_record_bytes);
        let page = match self.open[sub_partition as usize].last_mut() {
            Some(page) if page.timed == timed && !is_full(page, page_bytes) => page,
            _ => self.new_page(sub_partition, timed),
        };
        let before = page.bytes.len();
        if timed {
            page.bytes.extend_from_slice(&timestamp.to_le_bytes());
        }
        if let Err(error) = encode(&mut page.bytes) {
            page.bytes.truncate(before);
            return Err(error);
        }
        let size = page.bytes.len() - before;
        if size > limit {
            page.bytes.truncate(before);
            self.fail(PartitionError::RecordTooLarge { bytes: size, limit });
            return Ok(());
        }
        page.rows += 1;
        let full = is_full(page, page_bytes).then(|| page.bytes.capacity());
        self.bytes_taken += size as u64;
        if let Some(capacity) = full {
            // What the page needed beyond what was counted when it began.
            self.held += capacity.saturating_sub(self.page_capacity());
            if self.held >= self.region_bytes {
                self.hand_over(false);
            }
        }
        Ok(())
    }

    /// A little more than a page: the row that fills it is usually over it.
    fn page_capacity(&self) -> usize {
        self.page_bytes + self.page_bytes / 8
    }

    #[inline(never)]
    fn new_page(&mut self, sub_partition: u32, timed: bool) -> &mut Page {
        let capacity = self.page_capacity();
        self.held += capacity + PAGE_COST;
        let pages = &mut self.open[sub_partition as usize];
        pages.push(Page {
            bytes: Vec::with_capacity(capacity),
            rows: 0,
            timed,
        });
        pages.last_mut().expect("it was just pushed")
    }

    #[cold]
    fn fail(&mut self, error: PartitionError) {
        self.failed.get_or_insert(error);
    }

    /// Whether its memory is full: who can stop in the middle should.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.held >= self.region_bytes || self.failed.is_some()
    }

    /// Whether there is room for more rows. After `false` the task is woken when there may be.
    /// The error is final.
    pub fn settle(&mut self) -> Result<bool, PartitionError> {
        self.check()?;
        if self.held < self.region_bytes {
            return Ok(true);
        }
        self.hand_over(false);
        Ok(self.held < self.region_bytes)
    }

    /// Writes what is left and gives the files their names. To be called until it returns true;
    /// after `false` the task is woken. No row may follow.
    pub fn finish(&mut self) -> Result<bool, PartitionError> {
        self.check()?;
        if matches!(*self.disk.state(), DiskState::Finished(_)) {
            return Ok(true);
        }
        self.hand_over(true);
        Ok(false)
    }

    /// Bytes of all rows so far, as they were encoded.
    pub fn bytes_taken(&self) -> u64 {
        self.bytes_taken
    }

    /// Bytes that went to the data file so far, without those that are on their way.
    pub fn bytes_written(&self) -> u64 {
        match &*self.disk.state() {
            DiskState::Idle(file) => file.data_bytes(),
            DiskState::Busy(bytes) | DiskState::Finished(bytes) => *bytes,
            DiskState::Failed(_, bytes) => *bytes,
        }
    }

    fn check(&mut self) -> Result<(), PartitionError> {
        if let DiskState::Failed(error, _) = &*self.disk.state() {
            return Err(error.clone());
        }
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Gives the open region to the disk, unless that is still busy with the one before.
    fn hand_over(&mut self, last: bool) {
        let Some(file) = self.disk.take() else {
            return;
        };
        let empty = empty_region(self.open.len());
        let mut region = std::mem::replace(&mut self.open, empty);
        for pages in &mut region {
            // One whose only row could not be encoded.
            pages.retain(|page| page.rows > 0);
        }
        self.held = 0;
        self.disk.write(file, region, last);
    }
}

impl std::fmt::Debug for PartitionWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionWriter")
            .field("partition", &self.disk.name)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

fn is_full(page: &Page, page_bytes: usize) -> bool {
    page.bytes.len() >= page_bytes || page.rows >= FRAME_ROWS
}

fn empty_region(parts: usize) -> Region {
    std::iter::repeat_with(Vec::new).take(parts).collect()
}

/// The files, and who has them.
enum DiskState {
    Idle(PartitionFile),
    /// A blocking thread writes a region; so many bytes were written before.
    Busy(u64),
    Finished(u64),
    Failed(PartitionError, u64),
}

struct Disk {
    name: String,
    // A mutex: held to take the files and to put them back only.
    state: Arc<Mutex<DiskState>>,
    io: Handle,
    task: Waker,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, DiskState> {
        lock(&self.state)
    }

    fn take(&self) -> Option<PartitionFile> {
        let mut state = self.state();
        let DiskState::Idle(file) = &*state else {
            return None;
        };
        let busy = DiskState::Busy(file.data_bytes());
        match std::mem::replace(&mut *state, busy) {
            DiskState::Idle(file) => Some(file),
            _ => None,
        }
    }

    fn write(&self, mut file: PartitionFile, region: Region, last: bool) {
        let report = Report {
            state: Arc::clone(&self.state),
            task: self.task.clone(),
            result: DiskState::Failed(
                PartitionError::ShutDown {
                    file: self.name.clone(),
                },
                file.data_bytes(),
            ),
        };
        self.io.spawn_blocking(move || {
            let written = write(&mut file, &region, last);
            // Before the task goes on and fills the memory again.
            drop(region);
            report.end(match written {
                Ok(()) if last => DiskState::Finished(file.data_bytes()),
                Ok(()) => DiskState::Idle(file),
                Err(error) => DiskState::Failed(error, file.data_bytes()),
            });
        });
    }
}

fn write(file: &mut PartitionFile, region: &Region, last: bool) -> Result<(), PartitionError> {
    if region.iter().any(|pages| !pages.is_empty()) {
        file.write_region(region)?;
    }
    if last { file.finish() } else { Ok(()) }
}

/// Tells the writer how it went, whatever happened: also if the work was never begun.
struct Report {
    state: Arc<Mutex<DiskState>>,
    task: Waker,
    result: DiskState,
}

impl Report {
    fn end(mut self, result: DiskState) {
        self.result = result;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        std::mem::swap(&mut *lock(&self.state), &mut self.result);
        self.task.wake();
    }
}

fn lock(state: &Mutex<DiskState>) -> MutexGuard<'_, DiskState> {
    state.lock().expect("nothing panics while holding it")
}
