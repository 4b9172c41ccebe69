//! What every file system of this crate must do, as one suite that panics where it does not.
//!
//! Feature-free, so that the integration tests can run it against a real NameNode.

use bytes::Bytes;

use crate::error::{ErrorKind, FileSystemError};
use crate::file_system::{CreateOptions, FileStatus, FileSystem, READ_CHUNK};
use crate::uri::{file_name, join};

/// Runs the suite below `root`, which is created and removed.
///
/// # Panics
/// At the first difference from the contract.
pub async fn run(fs: &dyn FileSystem, root: &str) {
    fs.mkdirs(root, 0o755)
        .await
        .expect("create the root of the suite");
    let suite = Suite { fs, root };
    suite.reads_what_was_written().await;
    suite.large_files().await;
    suite.create_rules().await;
    suite.unfinished_files().await;
    suite.synced_data().await;
    suite.directories().await;
    suite.listing().await;
    suite.renames().await;
    suite.deletes().await;
    suite.permissions().await;
    suite.globs().await;
    suite.atomic_writes().await;
    assert!(
        fs.delete(root, true)
            .await
            .expect("remove the root of the suite")
    );
    expect_kind(
        fs.status(root).await,
        &ErrorKind::NotFound,
        "status after the removal",
    );
}

struct Suite<'a> {
    fs: &'a dyn FileSystem,
    root: &'a str,
}

fn expect_kind<T>(result: Result<T, FileSystemError>, kind: &ErrorKind, what: &str) {
    match result {
        Ok(_) => panic!("{what}: succeeded instead of failing with {kind:?}"),
        Err(error) => assert_eq!(error.kind(), kind, "{what}: {error}"),
    }
}

fn names(statuses: &[FileStatus]) -> Vec<&str> {
    statuses
        .iter()
        .map(|status| file_name(&status.path))
        .collect()
}

impl Suite<'_> {
    fn path(&self, name: &str) -> String {
        join(self.root, name)
    }

    async fn put(&self, path: &str, content: &'static [u8]) -> FileStatus {
        let options = CreateOptions::overwriting();
        let mut writer = self.fs.create(path, options).await.expect("create");
        writer
            .write(Bytes::from_static(content))
            .await
            .expect("write");
        writer.close().await.expect("close")
    }

    async fn content(&self, path: &str) -> Bytes {
        self.fs.read_to_end(path).await.expect("read to the end")
    }

    async fn exists(&self, path: &str) -> bool {
        match self.fs.status(path).await {
            Ok(_) => true,
            Err(error) if error.is_not_found() => false,
            Err(error) => panic!("status: {error}"),
        }
    }

    async fn reads_what_was_written(&self) {
        let path = self.path("basic/file");
        let closed = self.put(&path, b"0123456789").await;
        let status = self.fs.status(&path).await.expect("status");
        assert_eq!((closed.path.as_str(), closed.len), (path.as_str(), 10));
        assert_eq!(status, closed);
        assert!(!status.is_dir && status.block_size > 0 && !status.owner.is_empty());
        assert!(
            status.modification_time_ms > 1_500_000_000_000,
            "milliseconds since 1970"
        );

        let reader = self.fs.open(&path).await.expect("open");
        assert_eq!((reader.len(), reader.is_empty()), (10, false));
        for (offset, len, expected) in [
            (0, 10, "0123456789"),
            (3, 4, "3456"),
            (8, 100, "89"),
            (10, 1, ""),
            (99, 5, ""),
            (4, 0, ""),
        ] {
            let read = reader.read_at(offset, len).await.expect("read");
            assert_eq!(read, expected, "{len} bytes at {offset}");
        }
        let end = reader
            .read_at(u64::MAX, usize::MAX)
            .await
            .expect("read far beyond the end");
        assert!(end.is_empty());

        let empty = self.path("basic/empty");
        let writer = self
            .fs
            .create(&empty, CreateOptions::default())
            .await
            .expect("create");
        assert_eq!(writer.close().await.expect("close").len, 0);
        assert!(self.fs.open(&empty).await.expect("open").is_empty());
        assert!(self.fs.blocks(&empty).await.expect("blocks").is_empty());

        expect_kind(
            self.fs.open(&self.path("absent")).await,
            &ErrorKind::NotFound,
            "open absent",
        );
        expect_kind(
            self.fs.status(&self.path("absent")).await,
            &ErrorKind::NotFound,
            "status",
        );
        let directory = self.path("basic");
        expect_kind(
            self.fs.open(&directory).await,
            &ErrorKind::IsADirectory,
            "open directory",
        );
        expect_kind(
            self.fs.blocks(&directory).await,
            &ErrorKind::IsADirectory,
            "blocks of it",
        );
    }

    /// More than one HDFS packet, odd write sizes, and reads across block boundaries.
    async fn large_files(&self) {
        const BLOCK: u64 = 1 << 20;
        let path = self.path("large");
        let options = CreateOptions {
            block_size: Some(BLOCK),
            ..CreateOptions::default()
        };
        let mut writer = self.fs.create(&path, options).await.expect("create");
        let expected: Vec<u8> = (0..5_000_011_u32).map(|i| (i % 251) as u8).collect();
        for chunk in expected.chunks(77_777) {
            writer
                .write(Bytes::copy_from_slice(chunk))
                .await
                .expect("write");
        }
        let status = writer.close().await.expect("close");
        assert_eq!(status.len, expected.len() as u64);

        let reader = self.fs.open(&path).await.expect("open");
        let block = BLOCK as usize;
        for (offset, len) in [
            (0, 100),
            (block - 10, 20),
            (block, block),
            (4_999_000, READ_CHUNK),
        ] {
            let read = reader.read_at(offset as u64, len).await.expect("read");
            assert!(
                read == expected[offset..expected.len().min(offset + len)],
                "{offset}+{len}"
            );
        }
        assert!(self.content(&path).await == expected, "the whole content");

        let blocks = self.fs.blocks(&path).await.expect("blocks");
        let mut next = 0;
        for block in &blocks {
            assert_eq!(block.offset, next, "blocks follow each other");
            next += block.len;
        }
        assert_eq!(next, status.len, "blocks cover the file");
    }

    async fn create_rules(&self) {
        let path = self.path("create/a/b");
        let strict = CreateOptions {
            create_parent: false,
            ..CreateOptions::default()
        };
        let orphan = self.fs.create(&path, strict.clone()).await;
        expect_kind(orphan, &ErrorKind::NotFound, "create without parent");
        self.put(&path, b"old").await;
        let again = self.fs.create(&path, strict).await;
        expect_kind(again, &ErrorKind::AlreadyExists, "create again");
        assert_eq!(self.content(&path).await, "old");
        self.put(&path, b"new content").await;
        assert_eq!(self.content(&path).await, "new content");

        let below_file = self
            .fs
            .create(&join(&path, "x"), CreateOptions::default())
            .await;
        expect_kind(below_file, &ErrorKind::NotADirectory, "create below a file");
        let directory = self
            .fs
            .create(&self.path("create/a"), CreateOptions::overwriting())
            .await;
        expect_kind(
            directory,
            &ErrorKind::IsADirectory,
            "create over a directory",
        );
        let directory = self.path("create/a");
        let strict = self.fs.create(&directory, CreateOptions::default()).await;
        expect_kind(
            strict,
            &ErrorKind::AlreadyExists,
            "create where a directory is",
        );
    }

    async fn unfinished_files(&self) {
        let path = self.path("unfinished");
        let mut writer = self
            .fs
            .create(&path, CreateOptions::default())
            .await
            .expect("create");
        let second = self.fs.create(&path, CreateOptions::default()).await;
        expect_kind(
            second,
            &ErrorKind::AlreadyExists,
            "create what is being created",
        );
        writer
            .write(Bytes::from_static(b"partial"))
            .await
            .expect("write");
        writer.abort().await.expect("abort");
        assert!(!self.exists(&path).await, "an aborted file is gone");

        let mut writer = self
            .fs
            .create(&path, CreateOptions::default())
            .await
            .expect("create");
        writer
            .write(Bytes::from_static(b"partial"))
            .await
            .expect("write");
        drop(writer);
        // Removal after a drop happens in the background.
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
        while self.exists(&path).await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "a dropped file disappears"
            );
            tokio::task::yield_now().await;
        }
    }

    async fn synced_data(&self) {
        let path = self.path("synced");
        let mut writer = self
            .fs
            .create(&path, CreateOptions::default())
            .await
            .expect("create");
        writer
            .write(Bytes::from_static(b"durable"))
            .await
            .expect("write");
        writer.hsync().await.expect("sync");
        writer
            .write(Bytes::from_static(b" rest"))
            .await
            .expect("write after sync");
        assert_eq!(writer.close().await.expect("close").len, 12);
        assert_eq!(self.content(&path).await, "durable rest");
    }

    async fn directories(&self) {
        let path = self.path("dirs/x/y");
        self.fs.mkdirs(&path, 0o755).await.expect("mkdirs");
        self.fs.mkdirs(&path, 0o755).await.expect("mkdirs again");
        let status = self.fs.status(&path).await.expect("status");
        assert!(status.is_dir && status.len == 0);
        assert_eq!(status.path, path);
        let file = self.path("dirs/file");
        self.put(&file, b"x").await;
        expect_kind(
            self.fs.mkdirs(&file, 0o755).await,
            &ErrorKind::AlreadyExists,
            "over a file",
        );
        let below = self.fs.mkdirs(&join(&file, "z"), 0o755).await;
        expect_kind(below, &ErrorKind::NotADirectory, "mkdirs below a file");
    }

    async fn listing(&self) {
        let path = self.path("list");
        for name in [
            "b",
            "a",
            ".hidden",
            "_SUCCESS",
            "d/inner",
            "with space",
            "ü",
        ] {
            self.put(&join(&path, name), b"x").await;
        }
        let listed = self.fs.list(&path).await.expect("list");
        assert_eq!(
            names(&listed),
            [".hidden", "_SUCCESS", "a", "b", "d", "with space", "ü"]
        );
        for status in &listed {
            assert_eq!(*status, self.fs.status(&status.path).await.expect("status"));
        }
        let file = join(&path, "a");
        let single = self.fs.list(&file).await.expect("list a file");
        assert_eq!(single, [self.fs.status(&file).await.expect("status")]);
        let absent = self.fs.list(&join(&path, "absent")).await;
        expect_kind(absent, &ErrorKind::NotFound, "list absent");
        let all = self
            .fs
            .list_recursive(&path)
            .await
            .expect("list recursively");
        assert_eq!(all.len(), 8);
        assert!(
            all.iter()
                .any(|status| status.path == join(&path, "d/inner"))
        );
    }

    async fn renames(&self) {
        let (from, to) = (self.path("rename/from"), self.path("rename/to"));
        self.put(&from, b"from").await;
        self.put(&to, b"to").await;
        expect_kind(
            self.fs.rename(&from, &to).await,
            &ErrorKind::AlreadyExists,
            "rename",
        );
        assert_eq!(
            (self.content(&from).await, self.content(&to).await),
            ("from".into(), "to".into())
        );
        self.fs
            .rename_overwrite(&from, &to)
            .await
            .expect("rename with overwrite");
        assert_eq!(self.content(&to).await, "from");
        assert!(!self.exists(&from).await);
        self.fs
            .rename(&to, &from)
            .await
            .expect("rename to a free name");
        assert_eq!(self.content(&from).await, "from");
        self.fs
            .rename_overwrite(&from, &to)
            .await
            .expect("overwrite of nothing");

        expect_kind(
            self.fs.rename(&from, &to).await,
            &ErrorKind::NotFound,
            "rename absent",
        );
        let nowhere = self.path("rename/absent/x");
        expect_kind(
            self.fs.rename(&to, &nowhere).await,
            &ErrorKind::NotFound,
            "no parent",
        );

        let (old, new) = (self.path("rename/old"), self.path("rename/new"));
        self.put(&join(&old, "deep/file"), b"deep").await;
        self.fs.mkdirs(&new, 0o755).await.expect("mkdirs");
        let onto = self.fs.rename(&old, &new).await;
        expect_kind(
            onto,
            &ErrorKind::AlreadyExists,
            "rename onto an empty directory",
        );
        assert!(self.fs.delete(&new, false).await.expect("delete"));
        self.fs
            .rename(&old, &new)
            .await
            .expect("rename a directory");
        assert_eq!(self.content(&join(&new, "deep/file")).await, "deep");
        assert!(!self.exists(&old).await);
    }

    async fn deletes(&self) {
        let path = self.path("delete");
        self.put(&join(&path, "x"), b"x").await;
        expect_kind(
            self.fs.delete(&path, false).await,
            &ErrorKind::NotEmpty,
            "not recursive",
        );
        assert!(self.exists(&join(&path, "x")).await);
        assert!(self.fs.delete(&path, true).await.expect("recursive"));
        assert!(
            !self
                .fs
                .delete(&path, true)
                .await
                .expect("nothing to delete")
        );
        self.fs.mkdirs(&path, 0o755).await.expect("mkdirs");
        assert!(
            self.fs
                .delete(&path, false)
                .await
                .expect("an empty directory")
        );
        self.put(&path, b"x").await;
        assert!(self.fs.delete(&path, false).await.expect("a file"));
    }

    async fn permissions(&self) {
        let file = self.path("permissions/file");
        let options = CreateOptions {
            permission: 0o600,
            ..CreateOptions::default()
        };
        let writer = self.fs.create(&file, options).await.expect("create");
        assert_eq!(writer.close().await.expect("close").permission, 0o600);
        self.fs
            .set_permission(&file, 0o640)
            .await
            .expect("set permission");
        assert_eq!(
            self.fs.status(&file).await.expect("status").permission,
            0o640
        );
        let directory = self.path("permissions/dir");
        self.fs.mkdirs(&directory, 0o700).await.expect("mkdirs");
        assert_eq!(
            self.fs.status(&directory).await.expect("status").permission,
            0o700
        );
        let absent = self.fs.set_permission(&self.path("absent"), 0o644).await;
        expect_kind(absent, &ErrorKind::NotFound, "permission of absent");
    }

    async fn globs(&self) {
        for name in [
            "2024/a.txt",
            "2024/b.csv",
            "2025/a.txt",
            "2025/.h.txt",
            "file",
        ] {
            self.put(&self.path(&format!("glob/{name}")), b"x").await;
        }
        for (pattern, expected) in [
            ("glob/*/a.txt", "2024/a.txt 2025/a.txt"),
            ("glob/202?/*.txt", "2024/a.txt 2025/.h.txt 2025/a.txt"),
            ("glob/{2024,2025}/[!.]*", "2024/a.txt 2024/b.csv 2025/a.txt"),
            ("glob/{2024/b,2025/a}.*", "2024/b.csv 2025/a.txt"),
            ("glob/{2024,202?}/b.csv", "2024/b.csv"),
            ("glob/file", "file"),
            ("glob/file/*", ""),
            ("glob/*/none", ""),
            ("glob/none/*", ""),
            ("glob/none", ""),
        ] {
            let found = self.fs.glob(&self.path(pattern)).await.expect("glob");
            let base = self.path("glob/");
            let relative: Vec<_> = found
                .iter()
                .filter_map(|status| status.path.strip_prefix(&base))
                .collect();
            assert_eq!(relative.join(" "), expected, "{pattern}");
        }
        let unclosed = self.fs.glob(&self.path("glob/[a")).await;
        expect_kind(unclosed, &ErrorKind::InvalidPath, "an unclosed bracket");
    }

    async fn atomic_writes(&self) {
        let path = self.path("atomic/file");
        for content in ["first", "second, longer"] {
            let status = self
                .fs
                .write_all_atomic(&path, content.into())
                .await
                .expect("write");
            assert_eq!(
                (status.path.as_str(), status.len),
                (path.as_str(), content.len() as u64)
            );
            assert_eq!(self.content(&path).await, content);
        }
        let directory = self.path("atomic");
        assert_eq!(
            self.fs.list(&directory).await.expect("list").len(),
            1,
            "no temporary file"
        );
        assert!(
            self.fs
                .write_all_atomic(&directory, "x".into())
                .await
                .is_err()
        );
        let left = self.fs.list(self.root).await.expect("list");
        assert!(
            left.iter().all(|status| !status.path.ends_with(".tmp")),
            "no temporary file"
        );
    }
}
