//! Deleting a savepoint, or a checkpoint that was kept, because a user says so.

use std::collections::BTreeSet;

use flott_filesystem::{ErrorKind, FileSystem, FileSystemError, FileSystems, join};

use super::storage::{CheckpointError, METADATA, load};

/// Deletes a savepoint or retained checkpoint; `path` is its directory, or its `_metadata`.
///
/// Only what its `_metadata` names is deleted: what else is in the directory stays, and the directory
/// with it. `_metadata` goes first, so that nothing incomplete looks complete.
///
/// # Errors
/// When there is none, or something of it could not be deleted.
pub async fn dispose(files: &FileSystems, path: &str) -> Result<(), CheckpointError> {
    let stored = load(files, path).await?;
    let directory = stored.directory;
    let failed = |source| CheckpointError::Delete {
        path: directory.clone(),
        source,
    };
    let (fs, inside) = files.resolve(&directory).map_err(failed)?;
    let metadata = fs.delete(&join(&inside, METADATA), false).await;
    metadata.map_err(failed)?;
    let partly = |source| CheckpointError::Remains {
        path: directory.clone(),
        source,
    };
    let names: BTreeSet<&str> = stored.metadata.files().collect();
    for name in names {
        delete(files, fs.as_ref(), &inside, name)
            .await
            .map_err(partly)?;
    }
    match fs.delete(&inside, false).await {
        Ok(_) => Ok(()),
        // Somebody else keeps something there.
        Err(error) if *error.kind() == ErrorKind::NotEmpty => Ok(()),
        Err(error) => Err(partly(error)),
    }
}

/// A file as handles name it: in the directory, or by its whole path.
async fn delete(
    files: &FileSystems,
    fs: &dyn FileSystem,
    directory: &str,
    name: &str,
) -> Result<(), FileSystemError> {
    if name.contains('/') {
        let (fs, inside) = files.resolve(name)?;
        return fs.delete(&inside, false).await.map(drop);
    }
    fs.delete(&join(directory, name), false).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use flott_filesystem::MemoryFileSystem;
    use flott_model::{
        CHECKPOINT_VERSION, CheckpointMetadata, OperatorSubtaskState, StateHandle, SubtaskSnapshot,
        VertexSnapshot,
    };

    use super::*;

    fn metadata(file: &str) -> CheckpointMetadata {
        let state = OperatorSubtaskState {
            keyed: Some(StateHandle {
                file: file.to_owned(),
                length: 1,
                ..StateHandle::default()
            }),
            ..OperatorSubtaskState::default()
        };
        CheckpointMetadata {
            version: CHECKPOINT_VERSION,
            vertices: vec![VertexSnapshot {
                subtasks: vec![SubtaskSnapshot {
                    operators: vec![state],
                    ..SubtaskSnapshot::default()
                }],
                ..VertexSnapshot::default()
            }],
            ..CheckpointMetadata::default()
        }
    }

    async fn savepoint(contents: &[(&str, Vec<u8>)]) -> FileSystems {
        let memory = Arc::new(MemoryFileSystem::new());
        memory.mkdirs("/sp", 0o755).await.unwrap();
        for (name, content) in contents {
            let path = join("/sp", name);
            let content = content.clone().into();
            memory.write_all_atomic(&path, content).await.unwrap();
        }
        let files = FileSystems::new(BTreeMap::new(), None, None).unwrap();
        files.with("memory", "", memory)
    }

    async fn names(files: &FileSystems) -> Vec<String> {
        let (fs, _) = files.resolve("memory:///sp").unwrap();
        let found = fs.list("/sp").await;
        let found = found.map_err(|error| error.kind().clone());
        match found {
            Ok(found) => found.into_iter().map(|status| status.path).collect(),
            Err(kind) => vec![format!("{kind:?}")],
        }
    }

    #[tokio::test]
    async fn everything_of_a_savepoint_goes_and_its_directory() {
        let contents = [
            ("_metadata", metadata("state-1").to_file()),
            ("state-1", vec![1]),
        ];
        let files = savepoint(&contents).await;
        dispose(&files, "memory:///sp/").await.unwrap();
        assert_eq!(names(&files).await, ["NotFound"]);
    }

    #[tokio::test]
    async fn what_somebody_else_keeps_there_stays() {
        let contents = [
            ("_metadata", metadata("state-1").to_file()),
            ("state-1", vec![1]),
            ("notes.txt", vec![2]),
        ];
        let files = savepoint(&contents).await;
        dispose(&files, "memory:///sp/_metadata").await.unwrap();
        assert_eq!(names(&files).await, ["/sp/notes.txt"]);
    }

    #[tokio::test]
    async fn what_is_no_savepoint_is_left_alone() {
        let contents = [("_metadata", b"something else".to_vec())];
        let files = savepoint(&contents).await;
        let error = dispose(&files, "memory:///sp")
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not begin with FLTM"), "{error}");
        assert_eq!(names(&files).await, ["/sp/_metadata"]);
        let error = dispose(&files, "memory:///none").await.unwrap_err();
        assert!(error.to_string().contains("memory:///none"), "{error}");
    }
}
