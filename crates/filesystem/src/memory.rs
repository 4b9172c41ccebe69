//! Files in memory, for tests of everything above this crate. Same rules, no disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{CreateOptions, FileReader, FileStatus, FileSystem, FileWriter};
use crate::uri::{normalize, parent};

/// Blocks of this size are reported unless a file asks for another.
const BLOCK_SIZE: u64 = 1 << 20;

/// A file system that lives as long as its clones.
#[derive(Debug, Clone, Default)]
pub struct MemoryFileSystem {
    // A std mutex: held for map operations only, never across an await.
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    nodes: BTreeMap<String, Node>,
    next_id: u64,
}

#[derive(Debug, Clone)]
struct Node {
    /// Tells a file from a successor with the same name.
    id: u64,
    /// None for directories.
    content: Option<Bytes>,
    modification_time_ms: u64,
    permission: u16,
    block_size: u64,
}

impl MemoryFileSystem {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        // Every change is a single map operation, so a panic elsewhere leaves nothing half done.
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Tree {
    /// The root is always there, and has no node.
    fn is_dir(&self, path: &str) -> bool {
        path == "/"
            || self
                .nodes
                .get(path)
                .is_some_and(|node| node.content.is_none())
    }

    fn status(&self, path: &str) -> Option<FileStatus> {
        let root = || Node {
            id: 0,
            content: None,
            modification_time_ms: 0,
            permission: 0o755,
            block_size: 0,
        };
        let node = match self.nodes.get(path) {
            Some(node) => node.clone(),
            None if path == "/" => root(),
            None => return None,
        };
        Some(FileStatus {
            path: path.to_owned(),
            is_dir: node.content.is_none(),
            len: node
                .content
                .as_ref()
                .map_or(0, |content| content.len() as u64),
            modification_time_ms: node.modification_time_ms,
            permission: node.permission,
            owner: "memory".to_owned(),
            block_size: node.block_size,
        })
    }

    fn insert(&mut self, path: &str, content: Option<Bytes>, permission: u16, block: u64) -> u64 {
        self.next_id += 1;
        let node = Node {
            id: self.next_id,
            content,
            modification_time_ms: now_ms(),
            permission,
            block_size: block,
        };
        self.nodes.insert(path.to_owned(), node);
        self.next_id
    }

    fn mkdirs(&mut self, path: &str, permission: u16) -> Result<(), ErrorKind> {
        if self.is_dir(path) {
            return Ok(());
        }
        if self.nodes.contains_key(path) {
            return Err(ErrorKind::AlreadyExists);
        }
        self.mkdirs(parent(path), 0o755)
            .map_err(|_| ErrorKind::NotADirectory)?;
        self.insert(path, None, permission, 0);
        Ok(())
    }

    fn check_parent(&self, path: &str) -> Result<(), ErrorKind> {
        match parent(path) {
            directory if self.is_dir(directory) => Ok(()),
            file if self.nodes.contains_key(file) => Err(ErrorKind::NotADirectory),
            _ => Err(ErrorKind::NotFound),
        }
    }

    /// Paths strictly below a directory.
    fn below(&self, path: &str) -> Vec<String> {
        let prefix = if path == "/" {
            "/".to_owned()
        } else {
            format!("{path}/")
        };
        let from = self.nodes.range(prefix.clone()..);
        from.map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .cloned()
            .collect()
    }

    fn rename(&mut self, from: &str, to: &str, overwrite: bool) -> Result<(), ErrorKind> {
        let source_is_dir = self.status(from).ok_or(ErrorKind::NotFound)?.is_dir;
        self.check_parent(to)?;
        if to == from || to.starts_with(&format!("{from}/")) || from == "/" {
            return Err(if to == from {
                ErrorKind::AlreadyExists
            } else {
                ErrorKind::InvalidPath
            });
        }
        if let Some(target) = self.status(to) {
            match (overwrite, source_is_dir, target.is_dir) {
                (false, _, _) => return Err(ErrorKind::AlreadyExists),
                (true, false, true) => return Err(ErrorKind::IsADirectory),
                (true, true, false) => return Err(ErrorKind::NotADirectory),
                (true, true, true) if !self.below(to).is_empty() => {
                    return Err(ErrorKind::NotEmpty);
                }
                _ => {}
            }
        }
        for path in std::iter::once(from.to_owned()).chain(self.below(from)) {
            if let Some(node) = self.nodes.remove(&path) {
                self.nodes
                    .insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Ok(())
    }

    fn delete(&mut self, path: &str, recursive: bool) -> Result<bool, ErrorKind> {
        let below = self.below(path);
        if !recursive && !below.is_empty() {
            return Err(ErrorKind::NotEmpty);
        }
        for path in &below {
            self.nodes.remove(path);
        }
        Ok(self.nodes.remove(path).is_some())
    }
}

#[async_trait]
impl FileSystem for MemoryFileSystem {
    fn qualify(&self, path: &str) -> String {
        format!("memory://{path}")
    }

    async fn open(&self, path: &str) -> Result<Box<dyn FileReader>> {
        let key = normalize(path);
        let tree = self.tree();
        if tree.is_dir(&key) {
            return Err(FileSystemError::new("open", path, ErrorKind::IsADirectory));
        }
        let content = tree.nodes.get(&key).and_then(|node| node.content.clone());
        let not_found = || FileSystemError::new("open", path, ErrorKind::NotFound);
        Ok(Box::new(MemoryReader {
            content: content.ok_or_else(not_found)?,
        }))
    }

    async fn create(&self, path: &str, options: CreateOptions) -> Result<Box<dyn FileWriter>> {
        let key = normalize(path);
        let mut tree = self.tree();
        let created = match tree.status(&key) {
            Some(status) if status.is_dir && options.overwrite => Err(ErrorKind::IsADirectory),
            Some(_) if !options.overwrite => Err(ErrorKind::AlreadyExists),
            _ if options.create_parent => tree.mkdirs(parent(&key), 0o755).map_err(|kind| {
                if kind == ErrorKind::AlreadyExists {
                    ErrorKind::NotADirectory
                } else {
                    kind
                }
            }),
            _ => tree.check_parent(&key),
        };
        created.map_err(|kind| FileSystemError::new("create", path, kind))?;
        let block_size = options.block_size.unwrap_or(BLOCK_SIZE);
        let id = tree.insert(&key, Some(Bytes::new()), options.permission, block_size);
        Ok(Box::new(MemoryWriter {
            fs: self.clone(),
            path: key,
            id,
            content: BytesMut::new(),
            closed: false,
        }))
    }

    async fn status(&self, path: &str) -> Result<FileStatus> {
        let status = self.tree().status(&normalize(path));
        status.ok_or_else(|| FileSystemError::new("read the status of", path, ErrorKind::NotFound))
    }

    async fn list(&self, path: &str) -> Result<Vec<FileStatus>> {
        let key = normalize(path);
        let tree = self.tree();
        let not_found = || FileSystemError::new("list", path, ErrorKind::NotFound);
        let status = tree.status(&key).ok_or_else(not_found)?;
        if !status.is_dir {
            return Ok(vec![status]);
        }
        let mut paths = tree.below(&key);
        paths.retain(|path| parent(path) == key);
        Ok(paths.iter().filter_map(|path| tree.status(path)).collect())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let result = self.tree().rename(&normalize(from), &normalize(to), false);
        result.map_err(|kind| FileSystemError::new("rename", from, kind).with_target(to))
    }

    async fn rename_overwrite(&self, from: &str, to: &str) -> Result<()> {
        let result = self.tree().rename(&normalize(from), &normalize(to), true);
        result.map_err(|kind| FileSystemError::new("rename", from, kind).with_target(to))
    }

    async fn mkdirs(&self, path: &str, permission: u16) -> Result<()> {
        let result = self.tree().mkdirs(&normalize(path), permission);
        result.map_err(|kind| FileSystemError::new("create directory", path, kind))
    }

    async fn delete(&self, path: &str, recursive: bool) -> Result<bool> {
        let result = self.tree().delete(&normalize(path), recursive);
        result.map_err(|kind| FileSystemError::new("delete", path, kind))
    }

    async fn set_permission(&self, path: &str, permission: u16) -> Result<()> {
        let mut tree = self.tree();
        let node = tree.nodes.get_mut(&normalize(path)).ok_or_else(|| {
            FileSystemError::new("change permissions of", path, ErrorKind::NotFound)
        })?;
        node.permission = permission;
        Ok(())
    }
}

struct MemoryReader {
    content: Bytes,
}

#[async_trait]
impl FileReader for MemoryReader {
    fn len(&self) -> u64 {
        self.content.len() as u64
    }

    async fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.content.len());
        let end = start.saturating_add(len).min(self.content.len());
        Ok(self.content.slice(start..end))
    }
}

struct MemoryWriter {
    fs: MemoryFileSystem,
    path: String,
    id: u64,
    content: BytesMut,
    closed: bool,
}

impl MemoryWriter {
    /// Fails when the file was deleted or replaced meanwhile, as a lost lease does in HDFS.
    fn publish(&self, operation: &'static str) -> Result<FileStatus> {
        let lost = || FileSystemError::new(operation, &self.path, ErrorKind::NotFound);
        let mut tree = self.fs.tree();
        let node = tree
            .nodes
            .get_mut(&self.path)
            .filter(|node| node.id == self.id);
        let node = node.ok_or_else(lost)?;
        node.content = Some(self.content.clone().freeze());
        node.modification_time_ms = now_ms();
        tree.status(&self.path).ok_or_else(lost)
    }

    fn remove_own(&self) {
        let mut tree = self.fs.tree();
        if tree
            .nodes
            .get(&self.path)
            .is_some_and(|node| node.id == self.id)
        {
            tree.nodes.remove(&self.path);
        }
    }
}

#[async_trait]
impl FileWriter for MemoryWriter {
    async fn write(&mut self, data: Bytes) -> Result<()> {
        self.content.extend_from_slice(&data);
        Ok(())
    }

    async fn hsync(&mut self) -> Result<()> {
        self.publish("sync").map(|_| ())
    }

    async fn close(mut self: Box<Self>) -> Result<FileStatus> {
        self.closed = true;
        self.publish("close")
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        // Dropping removes the file.
        Ok(())
    }
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.remove_own();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passes_the_conformance_suite() {
        crate::conformance::run(&MemoryFileSystem::new(), "/tests/root").await;
    }

    #[tokio::test]
    async fn a_replaced_file_cannot_be_closed_by_its_first_writer() {
        let fs = MemoryFileSystem::new();
        let late = fs.create("/x", CreateOptions::default()).await.unwrap();
        let successor = fs.create("/x", CreateOptions::overwriting()).await.unwrap();
        successor.close().await.unwrap();
        assert!(late.close().await.unwrap_err().is_not_found());
        assert!(fs.status("/x").await.is_ok());
    }
}
