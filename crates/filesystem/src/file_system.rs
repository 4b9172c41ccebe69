//! The trait every file system implements, and the plain data it speaks.
//!
//! Paths are absolute and without scheme, as [`crate::FileSystems::resolve`] returns them.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::uri::{file_name, join, parent, unique_suffix};

/// How much a sequential reader should ask for at once: bounds memory, and amortises the
/// connection that HDFS opens for each positioned read.
pub const READ_CHUNK: usize = 4 << 20;

/// What is known about one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStatus {
    /// Absolute path inside its file system, without scheme.
    pub path: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Bytes; 0 for directories.
    pub len: u64,
    /// Milliseconds since 1970.
    pub modification_time_ms: u64,
    /// Unix permission bits, for example `0o644`.
    pub permission: u16,
    /// Name of the owner.
    pub owner: String,
    /// The unit in which large files should be split; 0 for directories.
    pub block_size: u64,
}

/// Where a piece of a file lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLocation {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
    /// Hosts that hold a copy; empty when the file system does not tell.
    pub hosts: Vec<String>,
}

/// How a file is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Replace an existing file instead of failing with `AlreadyExists`.
    pub overwrite: bool,
    /// Create missing parent directories instead of failing with `NotFound`.
    pub create_parent: bool,
    /// Permission bits of the new file.
    pub permission: u16,
    /// Copies (HDFS only); the server's default if absent.
    pub replication: Option<u32>,
    /// Block size (HDFS only); the server's default if absent.
    pub block_size: Option<u64>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            overwrite: false,
            create_parent: true,
            permission: 0o644,
            replication: None,
            block_size: None,
        }
    }
}

impl CreateOptions {
    /// The defaults, but replacing what is there.
    pub fn overwriting() -> Self {
        Self {
            overwrite: true,
            ..Self::default()
        }
    }
}

/// An open file: positioned reads, any number of them at the same time.
#[async_trait]
pub trait FileReader: Send + Sync {
    /// Length of the file when it was opened.
    fn len(&self) -> u64;

    /// Whether the file had no bytes when it was opened.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads exactly `len` bytes at `offset`, fewer only where the file ends.
    /// The whole answer is held in memory: ask for [`READ_CHUNK`] or less.
    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes>;
}

/// A file being written. Dropped without [`close`](FileWriter::close) the file is removed where
/// that is possible: it never stays behind looking complete because of a forgotten close.
#[async_trait]
pub trait FileWriter: Send {
    /// Appends. After an error the file can only be aborted.
    async fn write(&mut self, data: Bytes) -> Result<()>;

    /// Makes what was written durable. Readers may see it only after the close: hdfs-native does
    /// not read the block that is still being written.
    async fn hsync(&mut self) -> Result<()>;

    /// Completes the file and tells what it became.
    async fn close(self: Box<Self>) -> Result<FileStatus>;

    /// Gives the file up and removes it.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// Files and directories behind one protocol. All implementations pass [`crate::conformance`].
#[async_trait]
pub trait FileSystem: std::fmt::Debug + Send + Sync {
    /// The full URI of a path of this file system, as it can be given to another process.
    fn qualify(&self, path: &str) -> String;

    /// Opens a file for reading.
    async fn open(&self, path: &str) -> Result<Box<dyn FileReader>>;

    /// Creates a file. Its name is taken at once, its content may appear at the close.
    async fn create(&self, path: &str, options: CreateOptions) -> Result<Box<dyn FileWriter>>;

    /// What is at this path.
    async fn status(&self, path: &str) -> Result<FileStatus>;

    /// The entries of a directory sorted by path; for a file, the file itself.
    async fn list(&self, path: &str) -> Result<Vec<FileStatus>>;

    /// Moves a file or directory; fails with `AlreadyExists` if there is something at `to`.
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Moves a file, atomically replacing a file at `to`.
    async fn rename_overwrite(&self, from: &str, to: &str) -> Result<()>;

    /// Creates a directory and its parents; fine if it is already there (then unchanged).
    async fn mkdirs(&self, path: &str, permission: u16) -> Result<()>;

    /// Removes a file or directory; `false` if there was nothing.
    /// A directory with entries needs `recursive`, else `NotEmpty`.
    async fn delete(&self, path: &str, recursive: bool) -> Result<bool>;

    /// Replaces the permission bits.
    async fn set_permission(&self, path: &str, permission: u16) -> Result<()>;

    /// The pieces of a file, in order; none for an empty file.
    async fn blocks(&self, path: &str) -> Result<Vec<BlockLocation>> {
        let status = self.status(path).await?;
        if status.is_dir {
            return Err(FileSystemError::new(
                "locate",
                self.qualify(path),
                ErrorKind::IsADirectory,
            ));
        }
        Ok(even_blocks(status.len, status.block_size))
    }

    /// Everything below a directory, files and directories, sorted by path.
    async fn list_recursive(&self, path: &str) -> Result<Vec<FileStatus>> {
        let mut found = Vec::new();
        let mut open = vec![path.to_owned()];
        while let Some(directory) = open.pop() {
            for status in self.list(&directory).await? {
                if status.is_dir {
                    open.push(status.path.clone());
                }
                found.push(status);
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// All paths matching a pattern of `*`, `?`, `[a-z]`, `[!a]`, `{a,b}` and `\` as escape,
    /// component by component, sorted. No match is an empty list, not an error.
    async fn glob(&self, pattern: &str) -> Result<Vec<FileStatus>> {
        crate::glob::glob(self, pattern).await
    }

    /// The whole content. Meant for small files: it is held in memory.
    async fn read_to_end(&self, path: &str) -> Result<Bytes> {
        let reader = self.open(path).await?;
        let mut content = BytesMut::new();
        while (content.len() as u64) < reader.len() {
            let chunk = reader.read_at(content.len() as u64, READ_CHUNK).await?;
            if chunk.is_empty() {
                break;
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }

    /// Writes a small file so that others see the old content or the new one, never a part.
    async fn write_all_atomic(&self, path: &str, content: Bytes) -> Result<FileStatus> {
        let hidden = format!(".{}.{}.tmp", file_name(path), unique_suffix());
        let temporary = join(parent(path), &hidden);
        let mut writer = self.create(&temporary, CreateOptions::default()).await?;
        writer.write(content).await?;
        // Durable before it becomes visible, or a crash could leave an empty file under the name.
        writer.hsync().await?;
        let mut status = writer.close().await?;
        if let Err(error) = self.rename_overwrite(&temporary, path).await {
            // Best effort: the failed rename is the error that matters.
            let _ = self.delete(&temporary, false).await;
            return Err(error);
        }
        path.clone_into(&mut status.path);
        Ok(status)
    }
}

/// Block arithmetic for file systems that do not say where their blocks are.
pub(crate) fn even_blocks(len: u64, block_size: u64) -> Vec<BlockLocation> {
    let step = if block_size == 0 { len } else { block_size };
    let mut blocks = Vec::new();
    let mut offset = 0;
    while offset < len {
        let size = step.min(len - offset);
        blocks.push(BlockLocation {
            offset,
            len: size,
            hosts: Vec::new(),
        });
        offset += size;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_file_exactly() {
        let sizes = |len, size| {
            even_blocks(len, size)
                .into_iter()
                .map(|b| (b.offset, b.len))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(0, 4), []);
        assert_eq!(sizes(10, 4), [(0, 4), (4, 4), (8, 2)]);
        assert_eq!(sizes(8, 4), [(0, 4), (4, 4)]);
        assert_eq!(sizes(5, 0), [(0, 5)]);
    }
}
