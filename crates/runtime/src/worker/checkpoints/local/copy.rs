//! The copy of a file that is being written.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::range::Range;
use super::ranges_of;

/// It comes after the file in storage, block by block, and is given up when anything goes wrong.
pub(in crate::worker::checkpoints) struct Copy {
    directory: PathBuf,
    path: PathBuf,
    /// Opened with the first block.
    file: Option<Arc<File>>,
    length: u64,
    /// Of the blob that is being written.
    begin: u64,
    checksum: u32,
    ranges: Vec<Range>,
    failed: bool,
}

impl Copy {
    pub(super) fn new(directory: PathBuf, name: &str) -> Self {
        Self {
            path: directory.join(name),
            directory,
            file: None,
            length: 0,
            begin: 0,
            checksum: 0,
            ranges: Vec::new(),
            failed: false,
        }
    }

    /// A block of the blob.
    pub(in crate::worker::checkpoints) async fn write(&mut self, block: Bytes) {
        if self.failed {
            return;
        }
        let file = self.file.as_ref().map(Arc::clone);
        let (directory, path) = (self.directory.clone(), self.path.clone());
        let (length, checksum) = (block.len() as u64, self.checksum);
        let written = tokio::task::spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => {
                    std::fs::create_dir_all(directory)?;
                    Arc::new(File::create_new(path)?)
                }
            };
            (&*file).write_all(&block)?;
            Ok((file, crc32c::crc32c_append(checksum, &block)))
        });
        match written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            Ok((file, checksum)) => {
                self.file = Some(file);
                self.checksum = checksum;
                self.length += length;
            }
            Err(error) => self.give_up(&error),
        }
    }

    /// The blob is whole; what follows is another one.
    pub(in crate::worker::checkpoints) fn end_blob(&mut self) {
        let range = Range {
            offset: self.begin,
            length: self.length - self.begin,
            checksum: self.checksum,
        };
        if range.length > 0 {
            self.ranges.push(range);
        }
        self.begin = self.length;
        self.checksum = 0;
    }

    /// The file is whole: from here on it is found. Not synced: a machine that goes down takes the container with it.
    pub(in crate::worker::checkpoints) async fn complete(mut self) {
        if self.failed || self.file.is_none() {
            return;
        }
        let lines: String = self.ranges.iter().map(Range::line).collect();
        let path = ranges_of(&self.path);
        let written = tokio::task::spawn_blocking(move || std::fs::write(path, lines));
        if let Err(error) = written
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
        {
            self.give_up(&error);
        }
    }

    /// Nobody will need it.
    pub(in crate::worker::checkpoints) fn discard(self) {
        if self.file.is_some() {
            // Else it goes with the checkpoints before the next complete one.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        let file = self.path.display();
        tracing::warn!(%error, %file, "no copy of the state is kept here: a new worker reads the storage");
        self.failed = true;
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
