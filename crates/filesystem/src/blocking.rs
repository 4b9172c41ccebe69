//! Files for threads outside any async runtime: the engine's workers.
//!
//! The calls run on a runtime of one thread that [`BlockingFs`] owns; the caller waits. Called from
//! an async task they would hold up that task's worker thread, so don't.

use std::future::Future;
use std::sync::{Arc, mpsc};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{BlockLocation, CreateOptions, FileStatus, FileSystem};
use crate::registry::FileSystems;
use crate::{FileReader, FileWriter};

/// All file systems for synchronous callers. Clones share the runtime and the connections.
#[derive(Debug, Clone)]
pub struct BlockingFs {
    file_systems: FileSystems,
    runtime: Arc<OwnedRuntime>,
}

/// Dropping a runtime waits for its threads, which panics inside async code; this does not wait.
#[derive(Debug)]
struct OwnedRuntime(Option<Runtime>);

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl OwnedRuntime {
    /// Waits on a channel, not in `block_on`, which panics where the caller is inside a runtime.
    fn wait<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let runtime = self.0.as_ref().expect("taken only when dropped");
        runtime.spawn(async move {
            // The receiver waits until this is sent.
            let _ = sender.send(call.await);
        });
        receiver.recv().unwrap_or_else(|_| {
            Err(FileSystemError::new(operation, path, ErrorKind::Other)
                .with_detail("the file system's thread ended"))
        })
    }
}

impl BlockingFs {
    /// Takes the settings, not the connections: those belong to the caller's runtime.
    pub fn new(file_systems: &FileSystems) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("flott-files")
            .enable_all()
            .build()?;
        Ok(Self {
            file_systems: file_systems.detached(),
            runtime: Arc::new(OwnedRuntime(Some(runtime))),
        })
    }

    fn run<T, F>(
        &self,
        operation: &'static str,
        uri: &str,
        call: impl FnOnce(Arc<dyn FileSystem>, String) -> F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (fs, path) = self.file_systems.resolve(uri)?;
        self.runtime.wait(operation, uri, call(fs, path))
    }

    /// See [`FileSystem::open`].
    pub fn open(&self, uri: &str) -> Result<BlockingReader> {
        let reader = self.run("open", uri, |fs, path| async move { fs.open(&path).await })?;
        Ok(BlockingReader {
            reader: Arc::from(reader),
            path: uri.to_owned(),
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// See [`FileSystem::create`].
    pub fn create(&self, uri: &str, options: CreateOptions) -> Result<BlockingWriter> {
        let create =
            |fs: Arc<dyn FileSystem>, path: String| async move { fs.create(&path, options).await };
        Ok(BlockingWriter {
            writer: Some(self.run("create", uri, create)?),
            path: uri.to_owned(),
            runtime: Arc::clone(&self.runtime),
        })
    }

    /// See [`FileSystem::status`].
    pub fn status(&self, uri: &str) -> Result<FileStatus> {
        self.run("read the status of", uri, |fs, path| async move {
            fs.status(&path).await
        })
    }

    /// See [`FileSystem::list`].
    pub fn list(&self, uri: &str) -> Result<Vec<FileStatus>> {
        self.run("list", uri, |fs, path| async move { fs.list(&path).await })
    }

    /// See [`FileSystem::list_recursive`].
    pub fn list_recursive(&self, uri: &str) -> Result<Vec<FileStatus>> {
        self.run("list", uri, |fs, path| async move {
            fs.list_recursive(&path).await
        })
    }

    /// See [`FileSystem::glob`].
    pub fn glob(&self, pattern: &str) -> Result<Vec<FileStatus>> {
        self.run(
            "match",
            pattern,
            |fs, path| async move { fs.glob(&path).await },
        )
    }

    /// See [`FileSystem::blocks`].
    pub fn blocks(&self, uri: &str) -> Result<Vec<BlockLocation>> {
        self.run(
            "locate",
            uri,
            |fs, path| async move { fs.blocks(&path).await },
        )
    }

    /// See [`FileSystem::mkdirs`].
    pub fn mkdirs(&self, uri: &str, permission: u16) -> Result<()> {
        self.run("create directory", uri, move |fs, path| async move {
            fs.mkdirs(&path, permission).await
        })
    }

    /// See [`FileSystem::delete`].
    pub fn delete(&self, uri: &str, recursive: bool) -> Result<bool> {
        self.run("delete", uri, move |fs, path| async move {
            fs.delete(&path, recursive).await
        })
    }

    /// See [`FileSystem::rename`]. Both must be on the same file system.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let to = self.same_file_system(from, to)?;
        self.run("rename", from, |fs, path| async move {
            fs.rename(&path, &to).await
        })
    }

    /// See [`FileSystem::rename_overwrite`]. Both must be on the same file system.
    pub fn rename_overwrite(&self, from: &str, to: &str) -> Result<()> {
        let to = self.same_file_system(from, to)?;
        self.run("rename", from, |fs, path| async move {
            fs.rename_overwrite(&path, &to).await
        })
    }

    /// The full URI of a path or URI.
    pub fn qualify(&self, uri: &str) -> Result<String> {
        self.file_systems.qualify(uri)
    }

    fn same_file_system(&self, from: &str, to: &str) -> Result<String> {
        let (source, _) = self.file_systems.resolve(from)?;
        let (target, path) = self.file_systems.resolve(to)?;
        if source.qualify("/") != target.qualify("/") {
            return Err(FileSystemError::new("rename", from, ErrorKind::Unsupported)
                .with_detail(format!("{to} is on another file system")));
        }
        Ok(path)
    }
}

/// An open file; see [`FileReader`].
#[derive(Clone)]
pub struct BlockingReader {
    reader: Arc<dyn FileReader>,
    path: String,
    runtime: Arc<OwnedRuntime>,
}

impl std::fmt::Debug for BlockingReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingReader")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl BlockingReader {
    /// Length of the file when it was opened.
    pub fn len(&self) -> u64 {
        self.reader.len()
    }

    /// Whether the file had no bytes when it was opened.
    pub fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// See [`FileReader::read_at`].
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let reader = Arc::clone(&self.reader);
        self.runtime.wait("read", &self.path, async move {
            reader.read_at(offset, len).await
        })
    }
}

/// A file being written; see [`FileWriter`]. Dropped without close, the file is removed.
pub struct BlockingWriter {
    /// None after a panic inside the file system took it.
    writer: Option<Box<dyn FileWriter>>,
    path: String,
    runtime: Arc<OwnedRuntime>,
}

impl std::fmt::Debug for BlockingWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockingWriter")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl BlockingWriter {
    fn take(&mut self, operation: &'static str) -> Result<Box<dyn FileWriter>> {
        self.writer.take().ok_or_else(|| {
            FileSystemError::new(operation, &self.path, ErrorKind::Other)
                .with_detail("the file failed before")
        })
    }

    /// See [`FileWriter::write`].
    pub fn write(&mut self, data: Bytes) -> Result<()> {
        let mut writer = self.take("write")?;
        let (writer, result) = self.runtime.wait("write", &self.path, async move {
            let result = writer.write(data).await;
            Ok((writer, result))
        })?;
        self.writer = Some(writer);
        result
    }

    /// See [`FileWriter::hsync`].
    pub fn hsync(&mut self) -> Result<()> {
        let mut writer = self.take("sync")?;
        let (writer, result) = self.runtime.wait("sync", &self.path, async move {
            let result = writer.hsync().await;
            Ok((writer, result))
        })?;
        self.writer = Some(writer);
        result
    }

    /// See [`FileWriter::close`].
    pub fn close(mut self) -> Result<FileStatus> {
        let writer = self.take("close")?;
        self.runtime
            .wait("close", &self.path, async move { writer.close().await })
    }

    /// See [`FileWriter::abort`].
    pub fn abort(mut self) -> Result<()> {
        let writer = self.take("abort")?;
        self.runtime
            .wait("abort", &self.path, async move { writer.abort().await })
    }
}

impl Drop for BlockingWriter {
    fn drop(&mut self) {
        // Removal needs the runtime around it; an error has nobody to go to.
        if let Some(writer) = self.writer.take() {
            let _ = self
                .runtime
                .wait("abort", &self.path, async move { writer.abort().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryFileSystem;

    fn check(fs: &BlockingFs, root: &str) {
        let file = format!("{root}/a/x");
        let mut writer = fs.create(&file, CreateOptions::default()).unwrap();
        writer.write(Bytes::from_static(b"hello ")).unwrap();
        writer.hsync().unwrap();
        writer.write(Bytes::from_static(b"world")).unwrap();
        assert_eq!(writer.close().unwrap().len, 11);
        let reader = fs.open(&file).unwrap();
        assert_eq!(
            (reader.len(), reader.read_at(6, 100).unwrap().as_ref()),
            (11, &b"world"[..])
        );
        assert_eq!(fs.blocks(&file).unwrap().len(), 1);
        assert_eq!(fs.list(&format!("{root}/a")).unwrap().len(), 1);
        assert_eq!(fs.glob(&format!("{root}/*/[xy]")).unwrap().len(), 1);

        let second = format!("{root}/a/y");
        drop(fs.create(&second, CreateOptions::default()).unwrap());
        assert!(fs.status(&second).unwrap_err().is_not_found());
        fs.rename(&file, &second).unwrap();
        assert!(fs.rename(&file, &second).unwrap_err().is_not_found());
        fs.mkdirs(&format!("{root}/b"), 0o755).unwrap();
        assert_eq!(fs.list_recursive(root).unwrap().len(), 3);
        assert!(fs.delete(root, true).unwrap());
    }

    #[test]
    fn works_without_a_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let systems = FileSystems::local().with("memory", "", Arc::new(MemoryFileSystem::new()));
        let fs = BlockingFs::new(&systems).unwrap();
        check(&fs, &format!("file://{}/t", directory.path().display()));
        check(&fs, "memory:///t");
        let across = fs.rename("memory:///t", "file:///t").unwrap_err();
        assert_eq!(*across.kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn inside_a_runtime_it_blocks_but_does_not_panic() {
        let fs = BlockingFs::new(&FileSystems::local()).unwrap();
        assert!(fs.status("/").unwrap().is_dir);
        drop(fs);
    }
}
