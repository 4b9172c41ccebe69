//! HDFS through hdfs-native. Adds to it: bounded waiting, error classes, and cleanup after drops.

mod address;
mod failure;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hdfs_native::client::FileStatus as HdfsStatus;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{CreateOptions, FileReader, FileStatus, FileSystem, FileWriter};
use crate::uri::normalize;

/// hdfs-native alone would try for minutes before it gives up on a NameNode.
const FIRST_CONTACT: Duration = Duration::from_secs(20);

/// Once a NameNode has answered, an absence may be a failover: wait longer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(60);

/// One chunk to or from DataNodes, with hdfs-native's own change to other replicas in between.
const DATA_TIMEOUT: Duration = Duration::from_secs(150);

/// The files of one NameNode or HA name service. Cheap to clone.
///
/// The connection belongs to the tokio runtime that made the first call: use it there only.
#[derive(Clone)]
pub struct HdfsFileSystem {
    inner: Arc<Inner>,
}

struct Inner {
    /// `hdfs://ns` or `hdfs://host:port`.
    base: String,
    user: String,
    settings: BTreeMap<String, String>,
    addresses: Vec<String>,
    client: OnceCell<Client>,
    answered: AtomicBool,
    first_contact: Duration,
}

impl std::fmt::Debug for HdfsFileSystem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HdfsFileSystem")
            .field("base", &self.inner.base)
            .field("user", &self.inner.user)
            .finish_non_exhaustive()
    }
}

impl HdfsFileSystem {
    /// `authority` is a name service of the settings, a host, or `host:port`.
    /// Connects at the first call, not here.
    pub fn new(authority: &str, settings: &BTreeMap<String, String>, user: &str) -> Result<Self> {
        let settings = address::clean(settings);
        let target = address::target(authority, &settings)?;
        Ok(Self {
            inner: Arc::new(Inner {
                base: format!("hdfs://{}", target.authority),
                user: user.to_owned(),
                settings,
                addresses: target.addresses,
                client: OnceCell::new(),
                answered: AtomicBool::new(false),
                first_contact: FIRST_CONTACT,
            }),
        })
    }

    /// Where relative paths start: `/user/<name>`.
    pub fn home(&self) -> String {
        let prefix = self.inner.settings.get("dfs.user.home.dir.prefix");
        normalize(&format!(
            "{}/{}",
            prefix.map_or("/user", String::as_str),
            self.inner.user
        ))
    }

    fn unreachable(&self, operation: &'static str, path: &str) -> FileSystemError {
        let addresses = self.inner.addresses.clone();
        FileSystemError::new(
            operation,
            self.qualify(path),
            ErrorKind::Unreachable { addresses },
        )
    }

    /// The client, after one of the NameNodes accepted a connection for the first time.
    async fn client(&self, operation: &'static str, path: &str) -> Result<&Client> {
        if !self.inner.answered.load(Ordering::Relaxed) {
            address::probe(&self.inner.addresses, self.inner.first_contact)
                .await
                .map_err(|why| self.unreachable(operation, path).with_detail(why))?;
        }
        let build = async || {
            ClientBuilder::new()
                .with_url(&self.inner.base)
                // The settings are complete: without this, files named by HADOOP_CONF_DIR would be
                // read again, without expansion of variables. An empty name has no files.
                .with_config_dir("/dev/null")
                .with_config(self.inner.settings.clone())
                .with_user(&self.inner.user)
                .build()
        };
        let built = self.inner.client.get_or_try_init(build).await;
        built.map_err(|error| failure::classify(self, operation, path, error))
    }

    /// Waits for a metadata call, but not for as long as hdfs-native would.
    async fn call<T>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = hdfs_native::Result<T>>,
    ) -> Result<T> {
        let answered = self.inner.answered.load(Ordering::Relaxed);
        let limit = if answered {
            METADATA_TIMEOUT
        } else {
            self.inner.first_contact
        };
        let Ok(result) = timeout(limit, call).await else {
            let why =
                format!("no answer within {limit:?}; is an active NameNode listening there?",);
            return Err(self.unreachable(operation, path).with_detail(why));
        };
        result
            .map_err(|error| failure::classify(self, operation, path, error))
            .inspect(|_| self.inner.answered.store(true, Ordering::Relaxed))
    }

    async fn data<T>(
        &self,
        operation: &'static str,
        path: &str,
        call: impl Future<Output = hdfs_native::Result<T>>,
    ) -> Result<T> {
        match timeout(DATA_TIMEOUT, call).await {
            Ok(result) => result.map_err(|e| failure::classify_data(self, operation, path, e)),
            Err(_) => {
                let why = format!("no progress for {} s", DATA_TIMEOUT.as_secs());
                let error = FileSystemError::new(operation, self.qualify(path), ErrorKind::Other);
                Err(error.with_detail(why))
            }
        }
    }

    async fn rename_with(&self, from: &str, to: &str, overwrite: bool) -> Result<()> {
        let client = self.client("rename", from).await?;
        let renamed = self
            .call("rename", from, client.rename(from, to, overwrite))
            .await;
        renamed.map_err(|error| error.with_target(to))
    }
}

fn convert(status: HdfsStatus) -> FileStatus {
    FileStatus {
        path: status.path,
        is_dir: status.isdir,
        len: status.length as u64,
        modification_time_ms: status.modification_time,
        permission: status.permission & 0o7777,
        owner: status.owner,
        block_size: status.blocksize.unwrap_or(0),
    }
}

#[async_trait]
impl FileSystem for HdfsFileSystem {
    fn qualify(&self, path: &str) -> String {
        format!("{}{path}", self.inner.base)
    }

    async fn open(&self, path: &str) -> Result<Box<dyn FileReader>> {
        let client = self.client("open", path).await?;
        let reader = self.call("open", path, client.read(path)).await?;
        Ok(Box::new(HdfsReader {
            fs: self.clone(),
            path: path.to_owned(),
            reader,
        }))
    }

    async fn create(&self, path: &str, options: CreateOptions) -> Result<Box<dyn FileWriter>> {
        let client = self.client("create", path).await?;
        let mut request = WriteOptions::default()
            .overwrite(options.overwrite)
            .create_parent(options.create_parent)
            .permission(u32::from(options.permission));
        request.replication = options.replication;
        request.block_size = options.block_size;
        let writer = self
            .call("create", path, client.create(path, request))
            .await
            .map_err(|error| match error.kind() {
                // Without overwriting it does not matter what is in the way.
                ErrorKind::IsADirectory if !options.overwrite => {
                    error.with_kind(ErrorKind::AlreadyExists)
                }
                _ => error,
            })?;
        // Only the time of creation tells our file from a successor when it must be removed.
        let created = self
            .call("create", path, client.get_file_info(path))
            .await?;
        Ok(Box::new(HdfsWriter {
            fs: self.clone(),
            path: path.to_owned(),
            writer: Some(writer),
            created_ms: created.modification_time,
            broken: false,
        }))
    }

    async fn status(&self, path: &str) -> Result<FileStatus> {
        let operation = "read the status of";
        let client = self.client(operation, path).await?;
        Ok(convert(
            self.call(operation, path, client.get_file_info(path))
                .await?,
        ))
    }

    async fn list(&self, path: &str) -> Result<Vec<FileStatus>> {
        let client = self.client("list", path).await?;
        let iterator = client.list_status_iter(path, false);
        let mut found = Vec::new();
        // Every step is bounded, not the whole: directories may be huge.
        while let Some(status) = self
            .call("list", path, async { iterator.next().await.transpose() })
            .await?
        {
            found.push(convert(status));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_with(from, to, false).await
    }

    async fn rename_overwrite(&self, from: &str, to: &str) -> Result<()> {
        self.rename_with(from, to, true).await
    }

    async fn mkdirs(&self, path: &str, permission: u16) -> Result<()> {
        let operation = "create directory";
        let client = self.client(operation, path).await?;
        self.call(
            operation,
            path,
            client.mkdirs(path, u32::from(permission), true),
        )
        .await
    }

    async fn delete(&self, path: &str, recursive: bool) -> Result<bool> {
        let client = self.client("delete", path).await?;
        self.call("delete", path, client.delete(path, recursive))
            .await
    }

    async fn set_permission(&self, path: &str, permission: u16) -> Result<()> {
        let operation = "change permissions of";
        let client = self.client(operation, path).await?;
        self.call(
            operation,
            path,
            client.set_permission(path, u32::from(permission)),
        )
        .await
    }
}

struct HdfsReader {
    fs: HdfsFileSystem,
    path: String,
    reader: hdfs_native::file::FileReader,
}

#[async_trait]
impl FileReader for HdfsReader {
    fn len(&self) -> u64 {
        self.reader.file_length() as u64
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        // hdfs-native panics beyond the end.
        let end = self.reader.file_length();
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        let len = len.min(end - offset);
        if len == 0 {
            return Ok(Bytes::new());
        }
        self.fs
            .data("read", &self.path, self.reader.read_range(offset, len))
            .await
    }
}

struct HdfsWriter {
    fs: HdfsFileSystem,
    path: String,
    /// None once closed.
    writer: Option<hdfs_native::file::FileWriter>,
    created_ms: u64,
    broken: bool,
}

impl HdfsWriter {
    fn writer(&mut self) -> hdfs_native::Result<&mut hdfs_native::file::FileWriter> {
        let lost = || HdfsError::OperationFailed("the file failed before".to_owned());
        self.writer
            .as_mut()
            .filter(|_| !self.broken)
            .ok_or_else(lost)
    }

    /// Removes the file, unless somebody else's file has the name by now.
    async fn remove_own(fs: &HdfsFileSystem, path: &str, created_ms: u64) -> Result<()> {
        match fs.status(path).await {
            Ok(status) if status.modification_time_ms == created_ms => {
                fs.delete(path, false).await.map(|_| ())
            }
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl FileWriter for HdfsWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        let (fs, path) = (self.fs.clone(), self.path.clone());
        let call = async { Box::pin(self.writer()?.write_bytes(data)).await };
        let wrote = fs.data("write", &path, call).await;
        self.broken |= wrote.is_err();
        wrote.map(|_| ())
    }

    async fn hsync(&mut self) -> Result<()> {
        let (fs, path) = (self.fs.clone(), self.path.clone());
        let call = async { Box::pin(self.writer()?.hsync()).await };
        let synced = fs.data("sync", &path, call).await;
        self.broken |= synced.is_err();
        synced
    }

    async fn close(mut self: Box<Self>) -> Result<FileStatus> {
        let (fs, path) = (self.fs.clone(), self.path.clone());
        let call = async { Box::pin(self.writer()?.close()).await };
        fs.data("close", &path, call).await?;
        self.writer = None;
        fs.status(&path).await
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        // The writer goes first, so that its lease is no longer renewed.
        self.writer = None;
        Self::remove_own(&self.fs, &self.path, self.created_ms).await
    }
}

impl Drop for HdfsWriter {
    fn drop(&mut self) {
        // Without a runtime the NameNode's lease recovery closes the file some minutes later.
        if self.writer.take().is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (fs, path, created_ms) = (self.fs.clone(), self.path.clone(), self.created_ms);
            runtime.spawn(async move {
                // Nobody is left to tell.
                let _ = Self::remove_own(&fs, &path, created_ms).await;
            });
        }
    }
}

/// Used by [`address::probe`] and its tests.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts, then says nothing: a hung NameNode, or no NameNode at all.
    #[tokio::test]
    async fn an_unresponsive_name_node_is_given_up_in_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut fs = HdfsFileSystem::new(&address, &BTreeMap::new(), "me").unwrap();
        let inner = Arc::get_mut(&mut fs.inner).expect("not shared yet");
        inner.first_contact = Duration::from_millis(500);
        let started = Instant::now();
        let error = fs.status("/x").await.unwrap_err();
        assert_eq!(
            *error.kind(),
            ErrorKind::Unreachable {
                addresses: vec![address.clone()]
            }
        );
        assert!(error.to_string().contains(&address), "{error}");
        assert!(started.elapsed() < FIRST_CONTACT);
    }

    #[tokio::test]
    async fn a_refused_connection_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let why = address::probe(std::slice::from_ref(&address), Duration::from_millis(600))
            .await
            .unwrap_err();
        assert!(why.contains(&address) && why.contains("refused"), "{why}");
    }
}
