//! Complete checkpoints that are kept: what a restart begins from, and what can be deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use flott_model::{CheckpointId, CheckpointMetadata, SubtaskSnapshot};

use super::stored::StoredCheckpoint;

/// The checkpoints a restart may begin from.
#[derive(Debug)]
pub(super) struct Completed {
    /// Oldest first.
    retained: Vec<Retained>,
    num_retained: usize,
    /// What the job began from, if it is not its own.
    origin: Option<Arc<StoredCheckpoint>>,
}

#[derive(Debug)]
struct Retained {
    stored: Arc<StoredCheckpoint>,
    /// The job's own: deleted when newer ones take its place. Savepoints are the user's.
    owned: bool,
}

/// What is to be deleted of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) checkpoint: CheckpointId,
    pub(super) directory: String,
    /// Names in the directory that are still in use.
    pub(super) keep: Vec<String>,
    /// Whole paths elsewhere that are not.
    pub(super) files: Vec<String>,
}

impl Completed {
    pub(super) fn new(num_retained: u32, origin: Option<Arc<StoredCheckpoint>>) -> Self {
        Self {
            retained: Vec::new(),
            // A restart needs one.
            num_retained: num_retained.max(1) as usize,
            origin,
        }
    }

    /// What a restart begins from.
    pub(super) fn newest(&self) -> Option<&Arc<StoredCheckpoint>> {
        let own = self.retained.last().map(|newest| &newest.stored);
        own.or(self.origin.as_ref())
    }

    /// Takes a new one, newer than all; gives those that need no longer be kept.
    pub(super) fn add(
        &mut self,
        stored: Arc<StoredCheckpoint>,
        owned: bool,
    ) -> Vec<Arc<StoredCheckpoint>> {
        self.retained.push(Retained { stored, owned });
        let mut surplus = self.owned().saturating_sub(self.num_retained);
        let newest_owned = self.retained.iter().rposition(|it| it.owned);
        let mut subsumed = Vec::new();
        let mut position = 0;
        self.retained.retain(|it| {
            // A savepoint is only kept in mind while it is what a restart begins from.
            let forgotten = !it.owned && Some(position) < newest_owned;
            position += 1;
            if it.owned && surplus > 0 {
                surplus -= 1;
                subsumed.push(Arc::clone(&it.stored));
                return false;
            }
            !forgotten
        });
        subsumed
    }

    fn owned(&self) -> usize {
        self.retained.iter().filter(|it| it.owned).count()
    }

    /// Gives up the oldest of those that are the job's own.
    pub(super) fn pop(&mut self) -> Option<Arc<StoredCheckpoint>> {
        let oldest = self.retained.iter().position(|it| it.owned)?;
        Some(self.retained.remove(oldest).stored)
    }

    /// Whole paths of all files that retained checkpoints need.
    fn in_use(&self) -> BTreeSet<String> {
        let retained = self.retained.iter().map(|it| &it.stored);
        retained
            .chain(&self.origin)
            .flat_map(|it| files(&it.metadata, &it.directory))
            .collect()
    }

    /// What can go of a checkpoint with these files that is no longer retained. `also`: files that are
    /// in use beside those of retained ones.
    pub(super) fn rest(
        &self,
        checkpoint: CheckpointId,
        directory: &str,
        files: BTreeSet<String>,
        also: &BTreeSet<String>,
    ) -> Rest {
        let mut in_use = self.in_use();
        in_use.extend(also.iter().cloned());
        let inside = |path: &String| is_inside(path, directory);
        let name = |path: &String| path[directory.len() + 1..].to_owned();
        Rest {
            checkpoint,
            directory: directory.to_owned(),
            keep: in_use
                .iter()
                .filter(|path| inside(path))
                .map(name)
                .collect(),
            files: files
                .difference(&in_use)
                .filter(|path| !inside(path))
                .cloned()
                .collect(),
        }
    }

    /// For tests.
    pub(super) fn check(&self) {
        let ids = self
            .retained
            .iter()
            .map(|it| it.stored.metadata.checkpoint());
        assert!(ids.is_sorted(), "completed ids grow");
        assert!(
            self.owned() <= self.num_retained,
            "no more are kept than asked for"
        );
    }
}

/// Whether a path leads into a directory.
fn is_inside(path: &str, directory: &str) -> bool {
    let below = path.strip_prefix(directory);
    !directory.is_empty() && below.is_some_and(|below| below.starts_with('/'))
}

/// The whole paths of a checkpoint's files.
pub(super) fn files(metadata: &CheckpointMetadata, directory: &str) -> BTreeSet<String> {
    metadata
        .files()
        .map(|name| whole(name, directory))
        .collect()
}

/// The whole paths of a subtask's files.
pub(super) fn files_of(snapshot: &SubtaskSnapshot, directory: &str) -> BTreeSet<String> {
    let handles = snapshot
        .operators
        .iter()
        .flat_map(|state| state.keyed.iter().chain(&state.state));
    let channels = snapshot.channels.iter();
    handles
        .chain(channels.filter_map(|channel| channel.state.as_ref()))
        .map(|handle| handle.file.as_str())
        .filter(|file| !file.is_empty())
        .map(|name| whole(name, directory))
        .collect()
}

/// A handle names a file in its checkpoint's directory, or a whole path.
fn whole(name: &str, directory: &str) -> String {
    if name.contains('/') {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use flott_model::{OperatorSubtaskState, StateHandle, VertexSnapshot};

    use super::*;

    fn stored(id: u64, names: &[&str]) -> Arc<StoredCheckpoint> {
        let state = |name: &&str| OperatorSubtaskState {
            keyed: Some(StateHandle {
                file: (*name).to_owned(),
                ..StateHandle::default()
            }),
            ..OperatorSubtaskState::default()
        };
        let subtask = SubtaskSnapshot {
            operators: names.iter().map(state).collect(),
            ..SubtaskSnapshot::default()
        };
        let metadata = CheckpointMetadata {
            id,
            vertices: vec![VertexSnapshot {
                subtasks: vec![subtask],
                ..VertexSnapshot::default()
            }],
            ..CheckpointMetadata::default()
        };
        Arc::new(StoredCheckpoint {
            metadata: Arc::new(metadata),
            directory: format!("/c/chk-{id}"),
            path: format!("/c/chk-{id}"),
        })
    }

    fn ids(stored: &[Arc<StoredCheckpoint>]) -> Vec<u64> {
        stored.iter().map(|it| it.metadata.id).collect()
    }

    fn newest(completed: &Completed) -> Option<u64> {
        completed.newest().map(|it| it.metadata.id)
    }

    fn rest(completed: &Completed, stored: &StoredCheckpoint) -> Rest {
        let files = files(&stored.metadata, &stored.directory);
        let id = stored.metadata.checkpoint();
        completed.rest(id, &stored.directory, files, &BTreeSet::new())
    }

    #[test]
    fn the_newest_are_kept() {
        let mut completed = Completed::new(2, None);
        assert_eq!(newest(&completed), None);
        assert_eq!(ids(&completed.add(stored(1, &[]), true)), [0_u64; 0]);
        assert_eq!(ids(&completed.add(stored(2, &[]), true)), [0_u64; 0]);
        assert_eq!(ids(&completed.add(stored(4, &[]), true)), [1]);
        completed.check();
        assert_eq!(newest(&completed), Some(4));
        assert_eq!(completed.pop().map(|it| it.metadata.id), Some(2));
        assert_eq!(newest(&completed), Some(4));
    }

    #[test]
    fn a_savepoint_is_what_a_restart_begins_from_and_is_never_deleted() {
        let mut completed = Completed::new(1, Some(stored(3, &[])));
        assert_eq!(newest(&completed), Some(3), "the origin");
        completed.add(stored(4, &[]), true);
        assert_eq!(ids(&completed.add(stored(5, &[]), false)), [0_u64; 0]);
        assert_eq!(newest(&completed), Some(5));
        assert_eq!(ids(&completed.add(stored(6, &[]), true)), [4]);
        assert_eq!(newest(&completed), Some(6));
        assert_eq!(completed.pop().map(|it| it.metadata.id), Some(6));
        assert_eq!(completed.pop(), None, "5 is the user's");
        assert_eq!(newest(&completed), Some(3));
    }

    #[test]
    fn files_that_are_in_use_stay() {
        let mut completed = Completed::new(1, None);
        let first = stored(1, &["a", "b", "/c/shared/x", "/c/shared/y"]);
        completed.add(Arc::clone(&first), true);
        let second = stored(2, &["a", "/c/chk-1/b", "/c/shared/y"]);
        assert_eq!(ids(&completed.add(second, true)), [1]);
        assert_eq!(
            rest(&completed, &first),
            Rest {
                checkpoint: CheckpointId(1),
                directory: "/c/chk-1".to_owned(),
                keep: vec!["b".to_owned()],
                files: vec!["/c/shared/x".to_owned()],
            }
        );
    }

    #[test]
    fn what_is_left_in_another_directory_goes_with_its_last_user() {
        let mut completed = Completed::new(1, None);
        let second = stored(2, &["a", "/c/chk-1/b"]);
        completed.add(Arc::clone(&second), true);
        completed.add(stored(3, &["/c/chk-11/q"]), true);
        let rest = rest(&completed, &second);
        assert_eq!(rest.files, ["/c/chk-1/b"]);
        assert_eq!(rest.keep, [""; 0]);
    }

    #[test]
    fn files_on_their_way_and_of_the_origin_are_in_use() {
        let completed = Completed::new(1, Some(stored(1, &["/s/x"])));
        let lost = BTreeSet::from(["/s/x".to_owned(), "/s/y".to_owned(), "/s/z".to_owned()]);
        let on_their_way = BTreeSet::from(["/s/y".to_owned()]);
        let rest = completed.rest(CheckpointId(2), "", lost, &on_their_way);
        assert_eq!(rest.files, ["/s/z"]);
        assert_eq!(rest.keep, [""; 0]);
    }
}
