//! The staging area in HDFS: files by content hash that are never changed, and one private
//! directory for each application.
//!
//! ```text
//! <root>/cache/<sha256>/<name>                 uploaded under a temporary name, then renamed
//! <root>/cache/<sha256>/.used-by-<application> marker; alive as long as the next line's directory
//! <root>/<application>/application.pb          removed by whoever sees the application end
//! ```

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use flott_filesystem::{CreateOptions, ErrorKind, FileStatus, FileSystem, file_name, join, parent};
use flott_protocol::application::{SPEC_FILE, StagedFile};
use futures::future::try_join_all;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use crate::console::Console;

const CACHE: &str = "cache";
const MARKER: &str = ".used-by-";
const TEMPORARY: &str = ".tmp";
const CHUNK_BYTES: usize = 1 << 20;
/// Entries that nobody used for so long are removed.
pub(crate) const UNUSED_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Flott's own executables: no secrets, the same for everybody.
    Engine,
    /// The user's executable.
    Program,
    /// A file shipped with it.
    Shipped,
}

impl Kind {
    fn directory_permission(self) -> u16 {
        if self == Self::Engine { 0o755 } else { 0o700 }
    }

    fn file_permission(self) -> u16 {
        match self {
            Self::Engine => 0o755,
            Self::Program => 0o700,
            // Whoever ships a helper program wants to execute it.
            Self::Shipped => 0o700,
        }
    }
}

/// A file of this machine that containers need, with its hash.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    /// Name in the container; may have directories in front.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) sha256: [u8; 32],
}

impl LocalFile {
    /// Reads and hashes a file.
    pub(crate) async fn read(name: String, path: PathBuf, kind: Kind) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let hashed = tokio::task::spawn_blocking(move || hash(path))
            .await
            .context("hashing failed")?;
        let (path, size, sha256) = hashed.with_context(|| format!("cannot read {shown}"))?;
        Ok(Self {
            name,
            path,
            kind,
            size,
            sha256,
        })
    }
}

fn hash(path: PathBuf) -> std::io::Result<(PathBuf, u64, [u8; 32])> {
    let mut file = std::fs::File::open(&path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut size = 0;
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok((path, size, hasher.finalize().into())),
            count => {
                hasher.update(&buffer[..count]);
                size += count as u64;
            }
        }
    }
}

/// The staging area of one user.
#[derive(Debug, Clone)]
pub(crate) struct StagingArea {
    files: Arc<dyn FileSystem>,
    root: String,
    replication: Option<u32>,
}

/// What staging one file did.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) file: StagedFile,
    pub(crate) uploaded_bytes: u64,
}

impl StagingArea {
    /// An area below `root`, a path of `files`. Nothing is created yet.
    pub(crate) fn new(files: Arc<dyn FileSystem>, root: String, replication: Option<u32>) -> Self {
        Self {
            files,
            root,
            replication,
        }
    }

    /// The full URL of an application's directory.
    pub(crate) fn application_url(&self, application: &str) -> String {
        self.files.qualify(&self.application_path(application))
    }

    fn application_path(&self, application: &str) -> String {
        join(&self.root, application)
    }

    /// Creates the application's directory. Before staging: it keeps the cache entries alive.
    pub(crate) async fn create_application(&self, application: &str) -> anyhow::Result<()> {
        // One by one, or the parents would get the permission of the last.
        self.directory(&self.root, 0o755).await?;
        self.directory(&self.application_path(application), 0o700)
            .await
    }

    /// Removes the application's directory; fine if it is gone.
    pub(crate) async fn remove_application(&self, application: &str) -> anyhow::Result<()> {
        let path = self.application_path(application);
        // Looking first, because in safe mode HDFS does not even delete what is not there.
        if self.status(&path).await?.is_some() {
            self.files.delete(&path, true).await?;
        }
        Ok(())
    }

    /// Whether the file system answers. Before anything is created that would have to be removed.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        self.status(&self.root).await.map(|_| ())
    }

    /// Writes the application's description.
    pub(crate) async fn write_spec(
        &self,
        application: &str,
        spec: Bytes,
    ) -> anyhow::Result<StagedFile> {
        let path = join(&self.application_path(application), SPEC_FILE);
        let options = CreateOptions {
            permission: 0o600,
            create_parent: false,
            replication: self.replication,
            ..CreateOptions::default()
        };
        let sha256 = Sha256::digest(&spec).to_vec();
        let mut writer = self.files.create(&path, options).await?;
        writer.write(spec).await?;
        writer.close().await?;
        let status = self.files.status(&path).await?;
        Ok(self.describe(SPEC_FILE, &status, sha256, false, false))
    }

    /// Makes sure that all files are in the cache.
    pub(crate) async fn stage_all(
        &self,
        application: &str,
        files: &[LocalFile],
        console: &Console,
    ) -> anyhow::Result<Vec<Staged>> {
        self.directory(&self.root, 0o755).await?;
        self.directory(&join(&self.root, CACHE), 0o755).await?;
        try_join_all(
            files
                .iter()
                .map(|file| self.stage(application, file, console)),
        )
        .await
    }

    async fn stage(
        &self,
        application: &str,
        file: &LocalFile,
        console: &Console,
    ) -> anyhow::Result<Staged> {
        let directory = join(&join(&self.root, CACHE), &hex(&file.sha256));
        self.directory(&directory, file.kind.directory_permission())
            .await?;
        // First the marker, then the look: who cleans up does it the other way round.
        let marker = join(&directory, &format!("{MARKER}{application}"));
        self.files
            .create(&marker, CreateOptions::overwriting())
            .await?
            .close()
            .await?;
        let path = join(&directory, file_name(&file.name));
        let mut uploaded_bytes = 0;
        let mut status = self.status(&path).await?;
        if let Some(damaged) = status.take_if(|status| status.len != file.size) {
            // Not by us: files get their name when they are whole.
            self.files.delete(&damaged.path, false).await?;
        }
        let status = match status {
            Some(status) => status,
            None => {
                uploaded_bytes = self.upload(&path, file, console).await?;
                self.files.status(&path).await?
            }
        };
        ensure!(
            status.len == file.size,
            "{} has {} bytes, {} were expected: remove it and try again",
            self.files.qualify(&path),
            status.len,
            file.size
        );
        let public = file.kind == Kind::Engine && self.is_public(&status).await?;
        let bundle = file.kind != Kind::Engine;
        let file = self.describe(&file.name, &status, file.sha256.to_vec(), public, bundle);
        Ok(Staged {
            file,
            uploaded_bytes,
        })
    }

    /// Uploads under a temporary name, then gives it its name, unless somebody was faster.
    async fn upload(&self, path: &str, file: &LocalFile, console: &Console) -> anyhow::Result<u64> {
        let unique: u64 = rand::random();
        let hidden = format!(".{}.{unique:016x}{TEMPORARY}", file_name(path));
        let temporary = join(parent(path), &hidden);
        let result = async {
            self.write(&temporary, file, console).await?;
            self.permission(&temporary, file.kind.file_permission())
                .await?;
            match self.files.rename(&temporary, path).await {
                Err(error) if *error.kind() == ErrorKind::AlreadyExists => {
                    self.files.delete(&temporary, false).await?;
                    Ok(file.size)
                }
                renamed => Ok(renamed.map(|()| file.size)?),
            }
        }
        .await;
        if result.is_err() {
            // The first error is the one to tell.
            let _ = self.files.delete(&temporary, false).await;
        }
        result
    }

    async fn write(&self, path: &str, file: &LocalFile, console: &Console) -> anyhow::Result<()> {
        let options = CreateOptions {
            permission: file.kind.file_permission(),
            create_parent: false,
            replication: self.replication,
            ..CreateOptions::default()
        };
        let transfer = console.transfer(&file.name, file.size);
        let reading = || format!("cannot read {}", file.path.display());
        let mut source = tokio::fs::File::open(&file.path)
            .await
            .with_context(reading)?;
        let mut writer = self.files.create(path, options).await?;
        let mut hasher = Sha256::new();
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            if source.read_buf(&mut chunk).await.with_context(reading)? == 0 {
                break;
            }
            hasher.update(&chunk);
            transfer.advance(chunk.len() as u64);
            writer.write(chunk.freeze()).await?;
        }
        if hasher.finalize().as_slice() != file.sha256 {
            writer.abort().await?;
            bail!(
                "{} was changed while it was uploaded: try again",
                file.path.display()
            );
        }
        writer.close().await?;
        Ok(())
    }

    /// Removes cache entries that were not used since `now_ms - UNUSED_MS` and are not needed by
    /// an application whose directory exists. Says how many.
    pub(crate) async fn remove_unused(&self, now_ms: u64) -> anyhow::Result<usize> {
        let old =
            |status: &FileStatus| status.modification_time_ms.saturating_add(UNUSED_MS) < now_ms;
        let cache = join(&self.root, CACHE);
        let mut removed = 0;
        for entry in self
            .files
            .list(&cache)
            .await?
            .iter()
            .filter(|entry| entry.is_dir && old(entry))
        {
            let files = self.files.list(&entry.path).await?;
            if files.iter().all(old) && !self.is_used(&files).await? {
                self.files.delete(&entry.path, true).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn is_used(&self, files: &[FileStatus]) -> anyhow::Result<bool> {
        let markers = files
            .iter()
            .filter_map(|file| file_name(&file.path).strip_prefix(MARKER));
        let markers: BTreeSet<&str> = markers.collect();
        for application in markers {
            if self
                .status(&self.application_path(application))
                .await?
                .is_some()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Applications whose directory was made before `now_ms - UNUSED_MS`.
    pub(crate) async fn old_applications(&self, now_ms: u64) -> anyhow::Result<Vec<String>> {
        let entries = self.files.list(&self.root).await?;
        let old = entries.iter().filter(|entry| {
            entry.is_dir && entry.modification_time_ms.saturating_add(UNUSED_MS) < now_ms
        });
        let names = old.map(|entry| file_name(&entry.path));
        Ok(names
            .filter(|name| name.starts_with("application_"))
            .map(str::to_owned)
            .collect())
    }

    /// NodeManagers take a file as PUBLIC only if everybody may reach and read it.
    async fn is_public(&self, file: &FileStatus) -> anyhow::Result<bool> {
        if file.permission & 0o004 == 0 {
            return Ok(false);
        }
        let mut above = Vec::new();
        let mut directory = parent(&file.path);
        loop {
            above.push(directory);
            if directory == "/" {
                break;
            }
            directory = parent(directory);
        }
        let all = try_join_all(above.iter().map(|directory| self.files.status(directory))).await?;
        Ok(all
            .iter()
            .all(|directory| directory.permission & 0o001 != 0))
    }

    /// Makes a directory with exactly this permission; one that exists is left alone.
    async fn directory(&self, path: &str, permission: u16) -> anyhow::Result<()> {
        if self.status(path).await?.is_some() {
            return Ok(());
        }
        self.files.mkdirs(path, permission).await?;
        self.permission(path, permission).await
    }

    /// Repairs what a umask took away.
    async fn permission(&self, path: &str, permission: u16) -> anyhow::Result<()> {
        if self.files.status(path).await?.permission & 0o777 != permission {
            self.files.set_permission(path, permission).await?;
        }
        Ok(())
    }

    async fn status(&self, path: &str) -> anyhow::Result<Option<FileStatus>> {
        match self.files.status(path).await {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn describe(
        &self,
        name: &str,
        status: &FileStatus,
        sha256: Vec<u8>,
        public: bool,
        bundle: bool,
    ) -> StagedFile {
        StagedFile {
            name: name.to_owned(),
            url: self.files.qualify(&status.path),
            size: status.len,
            modification_time_ms: status.modification_time_ms,
            public,
            sha256,
            bundle,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
