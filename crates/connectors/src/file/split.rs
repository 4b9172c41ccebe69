//! Which pieces of which files there are to read. Found once, at submission.

use flott_filesystem::{FileStatus, FileSystems, is_hidden};
use flott_operators::TaskError;
use prost::Message;

/// Files are not split below this.
const SMALLEST_SPLIT: u64 = 1 << 20;

/// A piece of a file: the lines that begin in `start..start + length`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileSplit {
    /// Full URI of the file.
    #[prost(string, tag = "1")]
    pub uri: String,
    /// First byte.
    #[prost(uint64, tag = "2")]
    pub start: u64,
    /// Number of bytes.
    #[prost(uint64, tag = "3")]
    pub length: u64,
}

/// All pieces, as they are shipped with the job.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct FileSplits {
    /// In order of file and offset.
    #[prost(message, repeated, tag = "1")]
    pub splits: Vec<FileSplit>,
}

impl FileSplits {
    /// The pieces of one subtask: every n-th.
    pub fn of_subtask(&self, subtask: u32, parallelism: u32) -> Vec<FileSplit> {
        self.splits
            .iter()
            .skip(subtask as usize)
            .step_by(parallelism.max(1) as usize)
            .cloned()
            .collect()
    }
}

/// Finds the files under a path (a file, a directory, or a glob) and splits them by blocks, finer
/// if there are fewer blocks than subtasks. Hidden files (`.x`, `_x`) are skipped.
pub async fn enumerate_splits(
    files: &FileSystems,
    uri: &str,
    parallelism: u32,
) -> Result<FileSplits, TaskError> {
    let failed = |error: flott_filesystem::FileSystemError| {
        TaskError::user(format!("input '{uri}' cannot be read: {error}"))
    };
    let (fs, path) = files.resolve(uri).map_err(failed)?;
    let roots = if path.contains(['*', '?', '[', '{']) {
        fs.glob(&path).await.map_err(failed)?
    } else {
        vec![fs.status(&path).await.map_err(failed)?]
    };
    if roots.is_empty() {
        return Err(TaskError::user(format!(
            "input '{uri}' does not exist: no file matches"
        )));
    }
    let mut found: Vec<FileStatus> = Vec::new();
    for root in roots {
        if !root.is_dir {
            found.push(root);
            continue;
        }
        let prefix = root.path.clone();
        let below = fs.list_recursive(&root.path).await.map_err(failed)?;
        found.extend(
            below
                .into_iter()
                .filter(|file| !file.is_dir && visible(&prefix, &file.path)),
        );
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    let total: u64 = found.iter().map(|file| file.len).sum();
    let share = (total / u64::from(parallelism.max(1))).max(SMALLEST_SPLIT);
    let splits = found
        .iter()
        .flat_map(|file| split(&fs.qualify(&file.path), file, share))
        .collect();
    Ok(FileSplits { splits })
}

/// Whether no part of the path below `root` is hidden.
fn visible(root: &str, path: &str) -> bool {
    path.strip_prefix(root)
        .unwrap_or(path)
        .split('/')
        .all(|name| !is_hidden(name))
}

fn split(uri: &str, file: &FileStatus, share: u64) -> Vec<FileSplit> {
    let size = if file.block_size == 0 {
        share
    } else {
        file.block_size.min(share)
    };
    let size = size.max(SMALLEST_SPLIT);
    (0..file.len.div_ceil(size))
        .map(|index| {
            let start = index * size;
            FileSplit {
                uri: uri.to_owned(),
                start,
                length: size.min(file.len - start),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_directories_are_skipped() {
        assert!(visible("/in", "/in/a/b.txt"));
        assert!(!visible("/in", "/in/.part-1"));
        assert!(!visible("/in", "/in/_temporary/b.txt"));
        assert!(
            visible("/_in", "/_in/a"),
            "what the user names is not hidden"
        );
    }

    #[test]
    fn splits_cover_a_file_exactly() {
        for len in [
            0,
            1,
            SMALLEST_SPLIT,
            SMALLEST_SPLIT + 1,
            10 * SMALLEST_SPLIT - 1,
        ] {
            let file = FileStatus {
                path: "/f".to_owned(),
                is_dir: false,
                len,
                modification_time_ms: 0,
                permission: 0o644,
                owner: String::new(),
                block_size: 4 * SMALLEST_SPLIT,
            };
            let mut at = 0;
            for piece in split("file:///f", &file, 3 * SMALLEST_SPLIT) {
                assert_eq!(piece.start, at);
                assert!(piece.length > 0);
                at += piece.length;
            }
            assert_eq!(at, len);
        }
    }

    #[test]
    fn every_split_has_one_subtask() {
        let piece = |start| FileSplit {
            uri: "f".to_owned(),
            start,
            length: 1,
        };
        let all = FileSplits {
            splits: (0..10).map(piece).collect(),
        };
        let mut given: Vec<FileSplit> = (0..3)
            .flat_map(|subtask| all.of_subtask(subtask, 3))
            .collect();
        given.sort_by_key(|split| split.start);
        assert_eq!(given, all.splits);
    }
}
