//! Pieces of files, and how they are found.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flott_filesystem::{FileStatus, FileSystem, FileSystemError, FileSystems, is_hidden};
use flott_operators::TaskError;
use flott_operators::source::{
    Assignment, EnumeratorContext, SourceSplit, SplitEnumerator, SplitPool,
};
use serde::{Deserialize, Serialize};

/// Files are not split below this.
const SMALLEST_SPLIT: u64 = 1 << 20;

/// A piece of a file: the records that begin in `start..start + length`, from `position` on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSplit {
    /// Full URI of the file.
    pub uri: String,
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub length: u64,
    /// First byte that was not read yet: `start`, or the beginning of a record.
    pub position: u64,
}

impl SourceSplit for FileSplit {
    fn split_id(&self) -> String {
        format!("{}@{}+{}", self.uri, self.start, self.length)
    }
}

/// What to look for, and how.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// Files may be read in several pieces.
    pub(super) splittable: bool,
    /// Directories below the given one are read, too.
    pub(super) recursive: bool,
    /// Looks again and again for files that are new.
    pub(super) interval: Option<Duration>,
}

/// What an enumerator of files needs to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEnumeratorCheckpoint {
    pool: SplitPool<FileSplit>,
    known: BTreeSet<String>,
    listed: bool,
}

/// Finds files and assigns their pieces.
pub struct FileEnumerator {
    context: EnumeratorContext,
    uri: String,
    search: Search,
    pool: SplitPool<FileSplit>,
    /// The files whose pieces were in the pool, if it is looked for new ones.
    known: BTreeSet<String>,
    listed: bool,
    next_look: Instant,
}

impl FileEnumerator {
    pub(super) fn new(uri: String, search: Search, context: &EnumeratorContext) -> Self {
        let parallelism = context.parallelism();
        Self {
            context: context.clone(),
            uri,
            pool: match search.interval {
                None => SplitPool::new(parallelism),
                Some(_) => SplitPool::unreserved(parallelism),
            },
            search,
            known: BTreeSet::new(),
            listed: false,
            next_look: Instant::now(),
        }
    }

    pub(super) fn restored(self, checkpoint: FileEnumeratorCheckpoint) -> Self {
        Self {
            pool: checkpoint.pool.rescaled(self.context.parallelism()),
            known: checkpoint.known,
            listed: checkpoint.listed,
            ..self
        }
    }

    /// Looks for files; whoever reads continuously gets what is new.
    fn look(&mut self) -> Result<(), TaskError> {
        let files = std::sync::Arc::clone(self.context.files());
        let (uri, recursive) = (&self.uri, self.search.recursive);
        let found = self.context.block_on(find_files(&files, uri, recursive));
        let (fs, mut found) = found?;
        self.listed = true;
        if let Some(interval) = self.search.interval {
            self.next_look = Instant::now() + interval;
            // An empty file may still be written to.
            found.retain(|file| file.len > 0 && !self.known.contains(&file.path));
            self.known
                .extend(found.iter().map(|file| file.path.clone()));
        }
        let total: u64 = found.iter().map(|file| file.len).sum();
        let share = total / u64::from(self.context.parallelism().max(1));
        for file in &found {
            let size = if self.search.splittable {
                split_size(file, share)
            } else {
                u64::MAX
            };
            self.pool
                .add(split(&fs.qualify(&file.path), file.len, size));
        }
        Ok(())
    }
}

impl SplitEnumerator for FileEnumerator {
    type Split = FileSplit;
    type Checkpoint = FileEnumeratorCheckpoint;

    fn next_split(&mut self, subtask: u32, _: &str) -> Result<Assignment<FileSplit>, TaskError> {
        if !self.listed {
            self.look()?;
        }
        if let Some(split) = self.pool.next(subtask) {
            return Ok(Assignment::Split(split));
        }
        if self.search.interval.is_none() {
            return Ok(Assignment::End);
        }
        if Instant::now() >= self.next_look {
            self.look()?;
            if let Some(split) = self.pool.next(subtask) {
                return Ok(Assignment::Split(split));
            }
        }
        let wait = self.next_look.saturating_duration_since(Instant::now());
        Ok(Assignment::Wait(wait))
    }

    fn add_splits_back(&mut self, splits: Vec<FileSplit>, subtask: u32) {
        self.pool.add_back(splits, subtask);
    }

    fn snapshot(&mut self) -> Result<FileEnumeratorCheckpoint, TaskError> {
        Ok(FileEnumeratorCheckpoint {
            pool: self.pool.clone(),
            known: self.known.clone(),
            listed: self.listed,
        })
    }
}

type Found = (std::sync::Arc<dyn FileSystem>, Vec<FileStatus>);

/// Checks at submission that there is something to read, and gives its full URI.
pub(super) async fn check_input(
    files: &FileSystems,
    uri: &str,
    recursive: bool,
) -> Result<String, TaskError> {
    let (fs, _) = find_files(files, uri, recursive).await?;
    let (_, path) = files
        .resolve(uri)
        .map_err(|error| unreadable(uri, &error))?;
    Ok(fs.qualify(&path))
}

fn unreadable(uri: &str, error: &FileSystemError) -> TaskError {
    TaskError::user(format!("input '{uri}' cannot be read: {error}"))
}

/// The files under a path (a file, a directory, or a glob). Hidden files (`.x`, `_x`) are skipped.
async fn find_files(files: &FileSystems, uri: &str, recursive: bool) -> Result<Found, TaskError> {
    let failed = |error: FileSystemError| unreadable(uri, &error);
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
        let below = if recursive {
            fs.list_recursive(&root.path).await.map_err(failed)?
        } else {
            fs.list(&root.path).await.map_err(failed)?
        };
        let visible = |file: &FileStatus| !file.is_dir && visible(&root.path, &file.path);
        found.extend(below.into_iter().filter(visible));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found.dedup_by(|a, b| a.path == b.path);
    Ok((fs, found))
}

/// Whether no part of the path below `root` is hidden.
fn visible(root: &str, path: &str) -> bool {
    path.strip_prefix(root)
        .unwrap_or(path)
        .split('/')
        .all(|name| !is_hidden(name))
}

/// Blocks, or less if there are fewer blocks than subtasks.
fn split_size(file: &FileStatus, share: u64) -> u64 {
    let size = match file.block_size {
        0 => share,
        block => block.min(share),
    };
    size.max(SMALLEST_SPLIT)
}

fn split(uri: &str, len: u64, size: u64) -> impl Iterator<Item = FileSplit> {
    (0..len.div_ceil(size)).map(move |index| {
        let start = index * size;
        FileSplit {
            uri: uri.to_owned(),
            start,
            length: size.min(len - start),
            position: start,
        }
    })
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
            for size in [3 * SMALLEST_SPLIT, u64::MAX] {
                let mut at = 0;
                for piece in split("file:///f", len, size) {
                    assert_eq!(piece.start, at);
                    assert!(piece.length > 0);
                    at += piece.length;
                }
                assert_eq!(at, len);
            }
        }
    }

    #[test]
    fn a_piece_is_a_block_or_a_share_and_never_tiny() {
        let file = |block_size| FileStatus {
            path: "/f".to_owned(),
            is_dir: false,
            len: 1 << 40,
            modification_time_ms: 0,
            permission: 0o644,
            owner: String::new(),
            block_size,
        };
        let mib = SMALLEST_SPLIT;
        assert_eq!(split_size(&file(128 * mib), 500 * mib), 128 * mib);
        assert_eq!(split_size(&file(128 * mib), 5 * mib), 5 * mib);
        assert_eq!(split_size(&file(0), 5 * mib), 5 * mib);
        assert_eq!(split_size(&file(128 * mib), 1), mib);
    }
}
