//! From URIs to file systems, with the settings of one Hadoop installation or none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{FileStatus, FileSystem};
use crate::hdfs::HdfsFileSystem;
use crate::local::{self, LocalFileSystem};
use crate::uri::{Location, join, normalize};

/// All file systems a process knows. Cheap to clone; clones share connections.
///
/// Connections belong to the tokio runtime that used them first: a second runtime needs
/// [`FileSystems::detached`].
#[derive(Debug, Clone)]
pub struct FileSystems {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: BTreeMap<String, String>,
    user: String,
    default: Location,
    registered: BTreeMap<(String, String), Arc<dyn FileSystem>>,
    // A std mutex: held for look-ups only, never across an await.
    hdfs: Mutex<HashMap<String, HdfsFileSystem>>,
}

impl FileSystems {
    /// `hadoop`: core-site and hdfs-site with variables expanded; may be empty (local mode).
    /// `user`: before `HADOOP_USER_NAME`, before the user of the process.
    /// `default_fs`: before `fs.defaultFS` of the settings, before the local disk.
    pub fn new(
        hadoop: BTreeMap<String, String>,
        user: Option<String>,
        default_fs: Option<String>,
    ) -> Result<Self> {
        let named = default_fs
            .as_deref()
            .or_else(|| hadoop.get("fs.defaultFS").map(String::as_str));
        let default = match named.map(str::trim).filter(|uri| !uri.is_empty()) {
            None => Location::parse("file:///")?,
            Some(uri) => Location::parse(uri)?,
        };
        if default.scheme.is_none() {
            let uri = named.unwrap_or_default().trim();
            return Err(FileSystemError::new("resolve", uri, ErrorKind::InvalidPath)
                .with_detail("the default file system needs a scheme, such as hdfs://host:port"));
        }
        Ok(Self {
            inner: Arc::new(Inner {
                settings: hadoop,
                user: crate::user::effective_user(user),
                default,
                registered: BTreeMap::new(),
                hdfs: Mutex::default(),
            }),
        })
    }

    /// Only the local disk, and HDFS by full `hdfs://host:port` URIs.
    pub fn local() -> Self {
        Self::new(BTreeMap::new(), None, None).expect("without settings nothing can be malformed")
    }

    /// A registry that also answers `scheme://authority/…` with the given file system.
    #[must_use]
    pub fn with(&self, scheme: &str, authority: &str, fs: Arc<dyn FileSystem>) -> Self {
        let mut inner = self.inner.without_connections();
        inner
            .registered
            .insert((scheme.to_ascii_lowercase(), authority.to_owned()), fs);
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The same settings with connections of its own, for use on another tokio runtime.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            inner: Arc::new(self.inner.without_connections()),
        }
    }

    /// The user towards Hadoop.
    pub fn user(&self) -> &str {
        &self.inner.user
    }

    /// The file system of a URI, and the absolute path inside it. Plain paths belong to the
    /// default file system; relative ones start at the working directory or the HDFS home.
    /// Does not connect and does not look whether the path exists.
    pub fn resolve(&self, uri: &str) -> Result<(Arc<dyn FileSystem>, String)> {
        let location = self.complete(Location::parse(uri)?);
        let scheme = location.scheme.as_deref().unwrap_or_default();
        let key = (scheme.to_owned(), location.authority.clone());
        if let Some(fs) = self.inner.registered.get(&key) {
            return Ok((Arc::clone(fs), normalize(&location.path)));
        }
        match scheme {
            "file" => {
                if !matches!(location.authority.as_str(), "" | "localhost") {
                    return Err(FileSystemError::new("resolve", uri, ErrorKind::InvalidPath)
                        .with_detail("file URIs have no host: write file:///path"));
                }
                let path = local::absolute(&location.path)
                    .map_err(|error| FileSystemError::io("resolve", uri, error))?;
                Ok((Arc::new(LocalFileSystem::new()), path))
            }
            "hdfs" => {
                let fs = self.hdfs(&location.authority)?;
                let path = if location.path.starts_with('/') {
                    normalize(&location.path)
                } else {
                    normalize(&join(&fs.home(), &location.path))
                };
                Ok((Arc::new(fs), path))
            }
            other => Err(FileSystemError::new("resolve", uri, ErrorKind::Unsupported)
                .with_detail(format!("there is no file system for {other}://"))),
        }
    }

    /// The full URI of a path or URI, as it can be given to another process.
    pub fn qualify(&self, uri: &str) -> Result<String> {
        let (fs, path) = self.resolve(uri)?;
        Ok(fs.qualify(&path))
    }

    /// The whole content of a small file.
    pub async fn read_to_end(&self, uri: &str) -> Result<Bytes> {
        let (fs, path) = self.resolve(uri)?;
        fs.read_to_end(&path).await
    }

    /// Writes a small file so that others see the old content or the new one, never a part.
    pub async fn write_all_atomic(&self, uri: &str, content: Bytes) -> Result<FileStatus> {
        let (fs, path) = self.resolve(uri)?;
        fs.write_all_atomic(&path, content).await
    }

    /// Fills in what a plain path or `hdfs:///x` leaves to the default file system.
    fn complete(&self, mut location: Location) -> Location {
        let default = &self.inner.default;
        if location.scheme.is_none() {
            location.scheme.clone_from(&default.scheme);
            location.authority.clone_from(&default.authority);
        } else if location.authority.is_empty() && location.scheme == default.scheme {
            location.authority.clone_from(&default.authority);
        }
        location
    }

    fn hdfs(&self, authority: &str) -> Result<HdfsFileSystem> {
        let mut known = self
            .inner
            .hdfs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(fs) = known.get(authority) {
            return Ok(fs.clone());
        }
        let fs = HdfsFileSystem::new(authority, &self.inner.settings, &self.inner.user)?;
        known.insert(authority.to_owned(), fs.clone());
        Ok(fs)
    }
}

impl Inner {
    fn without_connections(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            user: self.user.clone(),
            default: self.default.clone(),
            registered: self.registered.clone(),
            hdfs: Mutex::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryFileSystem;

    fn hadoop(pairs: &[(&str, &str)]) -> FileSystems {
        let map = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        FileSystems::new(map, Some("alice".to_owned()), None).unwrap()
    }

    #[test]
    fn plain_paths_follow_the_default() {
        let local = FileSystems::local();
        assert_eq!(local.qualify("/a//b/").unwrap(), "file:///a/b");
        let hdfs = hadoop(&[("fs.defaultFS", " hdfs://nn:9000\n")]);
        assert_eq!(hdfs.qualify("/a").unwrap(), "hdfs://nn:9000/a");
        assert_eq!(hdfs.qualify("a").unwrap(), "hdfs://nn:9000/user/alice/a");
        assert_eq!(hdfs.qualify("hdfs:///a").unwrap(), "hdfs://nn:9000/a");
        assert_eq!(
            hdfs.qualify("hdfs://other/a").unwrap(),
            "hdfs://other:8020/a"
        );
        assert_eq!(hdfs.qualify("file:///a").unwrap(), "file:///a");
    }

    #[test]
    fn name_services_stay_names() {
        let fs = hadoop(&[
            ("fs.defaultFS", "hdfs://ns"),
            ("dfs.ha.namenodes.ns", "a, b"),
            ("dfs.namenode.rpc-address.ns.a", "h1:8020"),
            ("dfs.namenode.rpc-address.ns.b", "h2:8020"),
        ]);
        assert_eq!(fs.qualify("x").unwrap(), "hdfs://ns/user/alice/x");
    }

    #[test]
    fn what_cannot_work_is_said() {
        let message = |uri| FileSystems::local().resolve(uri).unwrap_err().to_string();
        assert!(message("s3://bucket/x").contains("no file system for s3://"));
        assert!(message("file://host/x").contains("file:///path"));
        assert!(message("hdfs:///x").contains("fs.defaultFS"));
        assert!(FileSystems::new(BTreeMap::new(), None, Some("/x".to_owned())).is_err());
    }

    #[tokio::test]
    async fn registered_file_systems_are_found() {
        let fs = FileSystems::local().with("memory", "", Arc::new(MemoryFileSystem::new()));
        fs.write_all_atomic("memory:///d/x", Bytes::from_static(b"1"))
            .await
            .unwrap();
        fs.write_all_atomic("memory:///d/x", Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert_eq!(fs.read_to_end("memory:///d/x").await.unwrap(), "2");
        let (memory, _) = fs.resolve("memory:///").unwrap();
        assert_eq!(memory.list("/d").await.unwrap().len(), 1);
    }
}
