//! The local disk. Every call runs on the runtime's blocking pool, none on its workers.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{CreateOptions, FileReader, FileStatus, FileSystem, FileWriter};
use crate::uri::{join, normalize};

/// Local disks have no blocks; this is the unit in which big files are split.
const SPLIT_SIZE: u64 = 32 << 20;

/// Small writes are gathered up to this size, since each one costs a hop to the blocking pool.
const WRITE_BUFFER: usize = 64 << 10;

/// The file system of this machine.
#[derive(Debug, Clone, Default)]
pub struct LocalFileSystem;

impl LocalFileSystem {
    /// The local file system; it has no settings.
    pub fn new() -> Self {
        Self
    }
}

/// Runs one blocking call and gives its failure an operation and a path.
async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: &str,
    call: impl FnOnce(&str) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let owned = path.to_owned();
    let result = tokio::task::spawn_blocking(move || call(&owned)).await;
    // The pool refuses work only while the runtime goes down.
    result
        .map_err(io::Error::other)
        .flatten()
        .map_err(|e| FileSystemError::io(operation, path, e))
}

fn status_of(path: &str, metadata: &Metadata) -> FileStatus {
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let is_dir = metadata.is_dir();
    FileStatus {
        path: path.to_owned(),
        is_dir,
        len: if is_dir { 0 } else { metadata.len() },
        modification_time_ms: modified.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        }),
        permission: (metadata.permissions().mode() & 0o7777) as u16,
        owner: crate::user::name_of(metadata.uid()),
        block_size: if is_dir { 0 } else { SPLIT_SIZE },
    }
}

#[async_trait]
impl FileSystem for LocalFileSystem {
    fn qualify(&self, path: &str) -> String {
        format!("file://{path}")
    }

    async fn open(&self, path: &str) -> Result<Box<dyn FileReader>> {
        let (file, len) = blocking("open", path, |path| {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok((file, metadata.len()))
        })
        .await?;
        Ok(Box::new(LocalReader {
            path: path.to_owned(),
            file: Arc::new(file),
            len,
        }))
    }

    async fn create(&self, path: &str, options: CreateOptions) -> Result<Box<dyn FileWriter>> {
        let file = blocking("create", path, move |path| create_file(path, &options)).await?;
        Ok(Box::new(LocalWriter {
            path: path.to_owned(),
            file: Arc::new(file),
            buffer: BytesMut::new(),
            closed: false,
        }))
    }

    async fn status(&self, path: &str) -> Result<FileStatus> {
        blocking("read the status of", path, |path| {
            Ok(status_of(path, &fs::metadata(path)?))
        })
        .await
    }

    async fn list(&self, path: &str) -> Result<Vec<FileStatus>> {
        blocking("list", path, list_directory).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let target = to.to_owned();
        blocking("rename", from, move |from| {
            rename_to_free_name(from, &target)
        })
        .await
        .map_err(|error| error.with_target(to))
    }

    async fn rename_overwrite(&self, from: &str, to: &str) -> Result<()> {
        let target = to.to_owned();
        blocking("rename", from, move |from| fs::rename(from, target))
            .await
            .map_err(|error| error.with_target(to))
    }

    async fn mkdirs(&self, path: &str, permission: u16) -> Result<()> {
        blocking("create directory", path, move |path| {
            make_directories(path, permission)
        })
        .await
    }

    async fn delete(&self, path: &str, recursive: bool) -> Result<bool> {
        blocking("delete", path, move |path| {
            // The link itself is deleted, never what it points to.
            let metadata = match fs::symlink_metadata(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                other => other?,
            };
            if !metadata.is_dir() {
                fs::remove_file(path)?;
            } else if recursive {
                fs::remove_dir_all(path)?;
            } else {
                fs::remove_dir(path)?;
            }
            Ok(true)
        })
        .await
    }

    async fn set_permission(&self, path: &str, permission: u16) -> Result<()> {
        blocking("change permissions of", path, move |path| {
            fs::set_permissions(path, fs::Permissions::from_mode(u32::from(permission)))
        })
        .await
    }
}

fn create_file(path: &str, options: &CreateOptions) -> io::Result<File> {
    if options.create_parent
        && let Some(parent) = Path::new(path).parent()
    {
        // What exists there and is no directory is reported as existing.
        fs::create_dir_all(parent).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => io::ErrorKind::NotADirectory.into(),
            _ => error,
        })?;
    }
    if options.overwrite {
        // A new inode instead of truncation: readers of the old content keep it.
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mode = u32::from(options.permission);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The umask took bits away that the caller asked for by number.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn list_directory(path: &str) -> io::Result<Vec<FileStatus>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(vec![status_of(path, &metadata)]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("name {name:?} is not UTF-8"),
            )
        })?;
        let child = join(path, &name);
        let metadata = match fs::metadata(&child) {
            // A dangling link is an entry too; a file deleted meanwhile is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => entry.metadata(),
            other => other,
        };
        match metadata {
            Ok(metadata) => found.push(status_of(&child, &metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn rename_to_free_name(from: &str, to: &str) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // Some network and overlay file systems lack the flag.
        Err(nix::Error::EINVAL | nix::Error::ENOSYS | nix::Error::ENOTSUP) => {
            rename_without_flag(from, to)
        }
        other => other.map_err(io::Error::from),
    }
}

/// A hard link fails atomically where the name is taken; directories cannot be linked, so for
/// them a check has to do.
fn rename_without_flag(from: &str, to: &str) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_dir() {
        if fs::symlink_metadata(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        return fs::rename(from, to);
    }
    fs::hard_link(from, to)?;
    fs::remove_file(from)
}

fn make_directories(path: &str, permission: u16) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(u32::from(permission) | 0o300)
        .create(path)?;
    // Against the umask, as in create_file; parents keep what the umask leaves them.
    fs::set_permissions(path, fs::Permissions::from_mode(u32::from(permission)))
}

struct LocalReader {
    path: String,
    file: Arc<File>,
    len: u64,
}

#[async_trait]
impl FileReader for LocalReader {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(rest);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let file = Arc::clone(&self.file);
        blocking("read", &self.path, move |_| {
            let mut buffer = vec![0; len];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(Bytes::from(buffer))
        })
        .await
    }
}

struct LocalWriter {
    path: String,
    file: Arc<File>,
    buffer: BytesMut,
    closed: bool,
}

impl LocalWriter {
    async fn write_out(&mut self, data: Bytes) -> Result<()> {
        let file = Arc::clone(&self.file);
        let gathered = self.buffer.split().freeze();
        blocking("write", &self.path, move |_| {
            (&*file).write_all(&gathered)?;
            (&*file).write_all(&data)
        })
        .await
    }

    /// Removes the file, unless somebody else's file has the name by now.
    fn remove_own(file: &File, path: &str) -> io::Result<()> {
        let (ours, named) = (file.metadata()?, fs::symlink_metadata(path)?);
        if (ours.dev(), ours.ino()) == (named.dev(), named.ino()) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

#[async_trait]
impl FileWriter for LocalWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        if self.buffer.len() + data.len() < WRITE_BUFFER {
            self.buffer.extend_from_slice(&data);
            return Ok(());
        }
        self.write_out(data).await
    }

    async fn hsync(&mut self) -> Result<()> {
        self.write_out(Bytes::new()).await?;
        let file = Arc::clone(&self.file);
        blocking("sync", &self.path, move |_| file.sync_all()).await
    }

    async fn close(mut self: Box<Self>) -> Result<FileStatus> {
        self.write_out(Bytes::new()).await?;
        let file = Arc::clone(&self.file);
        let status = blocking("close", &self.path, move |path| {
            Ok(status_of(path, &file.metadata()?))
        })
        .await?;
        self.closed = true;
        Ok(status)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.closed = true;
        let file = Arc::clone(&self.file);
        let removed = blocking("abort", &self.path, move |path| {
            Self::remove_own(&file, path)
        })
        .await;
        match removed {
            Err(error) if *error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl Drop for LocalWriter {
    fn drop(&mut self) {
        if !self.closed {
            // Nobody is left to tell; a file that cannot be removed stays incomplete.
            let _ = Self::remove_own(&self.file, &self.path);
        }
    }
}

/// A relative path made absolute by the working directory of the process.
pub(crate) fn absolute(path: &str) -> io::Result<String> {
    if path.starts_with('/') {
        return Ok(without_dots(path));
    }
    let directory = std::env::current_dir()?;
    let directory = directory.to_str().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the working directory is not UTF-8",
        )
    })?;
    Ok(without_dots(&join(directory, path)))
}

/// `..` after a symbolic link means the link's target, which only the kernel can know.
fn without_dots(path: &str) -> String {
    if path.split('/').any(|part| part == "..") {
        path.to_owned()
    } else {
        normalize(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        crate::conformance::run(&LocalFileSystem::new(), root).await;
    }

    #[test]
    fn the_fallback_rename_does_not_replace() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        for name in ["a", "b"] {
            fs::write(path(name), name).unwrap();
        }
        let taken = rename_without_flag(&path("a"), &path("b")).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        rename_without_flag(&path("a"), &path("c")).unwrap();
        assert_eq!(fs::read(path("c")).unwrap(), b"a");
        fs::create_dir(path("d")).unwrap();
        assert!(rename_without_flag(&path("d"), &path("c")).is_err());
        rename_without_flag(&path("d"), &path("e")).unwrap();
        assert!(fs::metadata(path("d")).is_err() && fs::metadata(path("e")).unwrap().is_dir());
    }

    #[tokio::test]
    async fn a_late_drop_spares_the_successor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x").to_str().unwrap().to_owned();
        let fs = LocalFileSystem::new();
        let late = fs.create(&path, CreateOptions::default()).await.unwrap();
        let mut successor = fs
            .create(&path, CreateOptions::overwriting())
            .await
            .unwrap();
        successor.write(Bytes::from_static(b"new")).await.unwrap();
        successor.close().await.unwrap();
        drop(late);
        assert_eq!(fs.read_to_end(&path).await.unwrap(), "new");
    }

    #[tokio::test]
    async fn dangling_links_are_listed_and_deleted_as_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().to_str().unwrap();
        std::os::unix::fs::symlink("nowhere", directory.path().join("link")).unwrap();
        let fs = LocalFileSystem::new();
        assert_eq!(fs.list(root).await.unwrap().len(), 1);
        assert!(fs.delete(&join(root, "link"), false).await.unwrap());
        assert!(fs.list(root).await.unwrap().is_empty());
    }

    #[test]
    fn relative_paths_start_at_the_working_directory() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("x").unwrap(), here.join("x").to_str().unwrap());
        assert_eq!(absolute("//a/./b/").unwrap(), "/a/b");
        assert_eq!(absolute("/a/../b").unwrap(), "/a/../b");
    }
}
