//! Commits: all at once or piece by piece, again and again, beside the files of others.

use std::path::Path;

use super::*;

fn file_systems() -> Arc<FileSystems> {
    Arc::new(FileSystems::new([].into(), None, None).unwrap())
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A pending file of an operator and what commits it.
fn pending(directory: &Path, operator: u32, id: &str) -> Vec<u8> {
    let file = PendingFile {
        directory: format!("file://{}", directory.display()),
        pending: pending_name(operator, 0, id),
        committed: committed_name(operator, 0, id),
    };
    std::fs::write(directory.join(&file.pending), id).unwrap();
    file.encode_to_vec()
}

#[tokio::test]
async fn a_commit_may_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = [pending(root, 3, "a"), pending(root, 3, "b")];
    // The first try ended after one file.
    committer(3)(file_systems(), vec![files[0].clone()])
        .await
        .unwrap();
    let b = pending(root, 3, "b");
    assert_eq!(b, files[1]);
    for _ in 0..2 {
        committer(3)(file_systems(), files.to_vec()).await.unwrap();
        assert_eq!(names(root), ["part-3-0-a", "part-3-0-b"]);
    }
    assert_eq!(
        std::fs::read_to_string(root.join("part-3-0-b")).unwrap(),
        "b"
    );
}

#[tokio::test]
async fn a_commit_removes_the_leftovers_of_its_operator_only() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let file = pending(root, 1, "good");
    pending(root, 1, "leftover");
    pending(root, 11, "of-another-sink");
    std::fs::write(root.join(".part-of-nobody"), "").unwrap();
    committer(1)(file_systems(), vec![file]).await.unwrap();
    assert_eq!(
        names(root),
        [
            ".part-11-0-of-another-sink.inprogress",
            ".part-of-nobody",
            "part-1-0-good"
        ]
    );
}

#[tokio::test]
async fn a_file_that_is_gone_cannot_be_committed() {
    let directory = tempfile::tempdir().unwrap();
    let file = pending(directory.path(), 1, "gone");
    std::fs::remove_file(directory.path().join(pending_name(1, 0, "gone"))).unwrap();
    let error = committer(1)(file_systems(), vec![file]).await.unwrap_err();
    assert!(
        error.message.contains("part-1-0-gone' cannot be committed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_committable_that_is_damaged_is_an_error() {
    let error = committer(1)(file_systems(), vec![vec![0xff; 5]])
        .await
        .unwrap_err();
    assert!(error.message.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn a_directory_is_prepared_once_and_found_again_by_a_retry() {
    let directory = tempfile::tempdir().unwrap();
    let files = file_systems();
    let out = directory.path().join("a/b");
    let uri = prepare_output(&files, out.to_str().unwrap(), SubmissionStage::First)
        .await
        .unwrap();
    assert_eq!(uri, format!("file://{}", out.display()));
    // Empty: fine.
    prepare_output(&files, &uri, SubmissionStage::First)
        .await
        .unwrap();
    pending(&out, 1, "left");
    let error = prepare_output(&files, &uri, SubmissionStage::First)
        .await
        .unwrap_err();
    assert!(error.message.contains("hidden files"), "{error}");
    std::fs::write(out.join("visible"), "").unwrap();
    let error = prepare_output(&files, &uri, SubmissionStage::First)
        .await
        .unwrap_err();
    assert!(error.message.contains("is not empty"), "{error}");
    assert_eq!(
        prepare_output(&files, &uri, SubmissionStage::Retry)
            .await
            .unwrap(),
        uri
    );
}

#[tokio::test]
async fn what_an_earlier_attempt_had_committed_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let file = pending(root, 1, "now");
    for name in ["part-1-0-before", "part-11-0-of-another-sink", "unrelated"] {
        std::fs::write(root.join(name), "").unwrap();
    }
    // Twice: the answer of the first may be lost.
    for _ in 0..2 {
        committer(1)(file_systems(), vec![file.clone()])
            .await
            .unwrap();
        assert_eq!(
            names(root),
            ["part-1-0-now", "part-11-0-of-another-sink", "unrelated"]
        );
    }
}

#[tokio::test]
async fn a_job_that_does_not_finish_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = file_systems();
    let out = directory.path().join("out");
    let uri = out.to_str().unwrap();
    // Asking for the plan creates nothing; removing nothing is fine.
    prepare_output(&files, uri, SubmissionStage::Plan)
        .await
        .unwrap();
    assert!(!out.exists());
    abandon_output(&files, uri, 1).await.unwrap();

    prepare_output(&files, uri, SubmissionStage::First)
        .await
        .unwrap();
    pending(&out, 1, "left");
    pending(&out, 2, "of-another-sink");
    abandon_output(&files, uri, 1).await.unwrap();
    assert_eq!(names(&out), [".part-2-0-of-another-sink.inprogress"]);
    abandon_output(&files, uri, 2).await.unwrap();
    assert!(!out.exists());
}
