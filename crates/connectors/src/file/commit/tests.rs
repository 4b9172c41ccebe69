//! Commits: all at once or piece by piece, again and again, beside the files of others.

use std::path::Path;

use super::*;

fn file_systems() -> Arc<FileSystems> {
    Arc::new(FileSystems::new([].into(), None, None).unwrap())
}

/// Paths below a directory, sorted.
fn names(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_str().unwrap();
            names.push(below.to_owned());
            if path.is_dir() {
                open.push(path);
            }
        }
    }
    names.sort();
    names
}

fn output(directory: &Path, operator: u32) -> Output {
    Output {
        directory: format!("file://{}", directory.display()),
        names: PartNames::default(),
        operator,
    }
}

/// A name with an id that ends with that digit.
fn name(operator: u32, id: u8) -> String {
    let id = format!("00000000-0000-4000-8000-00000000000{id}");
    PartNames::default().committed(operator, 0, &id, 0)
}

/// A pending file of an operator.
fn pending(directory: &Path, operator: u32, bucket: &str, id: u8) -> PartFile {
    let part = PartFile {
        bucket: bucket.to_owned(),
        name: name(operator, id),
    };
    let path = part.pending(directory.to_str().unwrap());
    std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
    std::fs::write(path, id.to_string()).unwrap();
    part
}

fn hidden(name: &str) -> String {
    format!(".{name}{IN_PROGRESS}")
}

#[tokio::test]
async fn a_commit_may_be_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let parts = [pending(root, 3, "", 1), pending(root, 3, "b", 2)];
    let output = output(root, 3);
    // The first try ended after one file.
    let first = vec![parts[0].clone()];
    output
        .commit(&file_systems(), CommitStage::EndWithoutCheckpoints, first)
        .await
        .unwrap();
    pending(root, 3, "b", 2);
    for _ in 0..2 {
        let all = parts.to_vec();
        output
            .commit(&file_systems(), CommitStage::EndWithoutCheckpoints, all)
            .await
            .unwrap();
        let second = format!("b/{}", name(3, 2));
        assert_eq!(names(root), ["b".to_owned(), second.clone(), name(3, 1)]);
        assert_eq!(std::fs::read_to_string(root.join(second)).unwrap(), "2");
    }
}

#[tokio::test]
async fn a_commit_removes_the_leftovers_of_its_operator_only() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let part = pending(root, 1, "", 1);
    pending(root, 1, "", 2);
    pending(root, 1, "left/over", 3);
    pending(root, 11, "", 4);
    pending(root, 11, "shared", 5);
    pending(root, 1, "shared", 6);
    std::fs::write(root.join(".part-of-nobody"), "").unwrap();
    let output = output(root, 1);
    output
        .commit(
            &file_systems(),
            CommitStage::EndWithoutCheckpoints,
            vec![part],
        )
        .await
        .unwrap();
    assert_eq!(
        names(root),
        [
            hidden(&name(11, 4)),
            ".part-of-nobody".to_owned(),
            name(1, 1),
            "shared".to_owned(),
            format!("shared/{}", hidden(&name(11, 5))),
        ]
    );
}

#[tokio::test]
async fn a_file_that_is_gone_cannot_be_committed() {
    let directory = tempfile::tempdir().unwrap();
    let part = PartFile {
        bucket: String::new(),
        name: name(1, 9),
    };
    let output = output(directory.path(), 1);
    let error = output
        .commit(
            &file_systems(),
            CommitStage::EndWithoutCheckpoints,
            vec![part],
        )
        .await
        .unwrap_err();
    let expected = format!("{}' cannot be committed", name(1, 9));
    assert!(error.message.contains(&expected), "{error}");
}

#[tokio::test]
async fn many_files_are_renamed_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let parts: Vec<PartFile> = (0..100)
        .map(|n| pending(root, 1, &format!("{}", n / 10), (n % 10) as u8))
        .collect();
    let output = output(root, 1);
    output
        .commit(
            &file_systems(),
            CommitStage::EndWithoutCheckpoints,
            parts.clone(),
        )
        .await
        .unwrap();
    let visible = names(root);
    assert_eq!(visible.len(), 110);
    for part in parts {
        assert!(visible.contains(&format!("{}/{}", part.bucket, part.name)));
    }
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
    pending(&out, 1, "", 1);
    let error = prepare_output(&files, &uri, SubmissionStage::First)
        .await
        .unwrap_err();
    assert!(error.message.contains("hidden files"), "{error}");
    std::fs::write(out.join("visible"), "").unwrap();
    let error = prepare_output(&files, &uri, SubmissionStage::First)
        .await
        .unwrap_err();
    assert!(error.message.contains("is not empty"), "{error}");
    let again = prepare_output(&files, &uri, SubmissionStage::Retry);
    assert_eq!(again.await.unwrap(), uri);
}

#[tokio::test]
async fn what_an_earlier_attempt_had_committed_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let part = pending(root, 1, "now", 1);
    std::fs::create_dir(root.join("before")).unwrap();
    let before = format!("before/{}", name(1, 2));
    for name in [before, name(1, 3), name(11, 4), "part-1-0-notes".to_owned()] {
        std::fs::write(root.join(name), "").unwrap();
    }
    let output = output(root, 1);
    // Twice: the answer of the first may be lost.
    for _ in 0..2 {
        let parts = vec![part.clone()];
        output
            .commit(&file_systems(), CommitStage::EndWithoutCheckpoints, parts)
            .await
            .unwrap();
        assert_eq!(
            names(root),
            [
                "now".to_owned(),
                format!("now/{}", name(1, 1)),
                "part-1-0-notes".to_owned(),
                name(11, 4),
            ]
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
    output(&out, 1).abandon(&files).await.unwrap();

    prepare_output(&files, uri, SubmissionStage::First)
        .await
        .unwrap();
    pending(&out, 1, "a/b", 1);
    pending(&out, 2, "", 2);
    output(&out, 1).abandon(&files).await.unwrap();
    assert_eq!(names(&out), [hidden(&name(2, 2))]);
    output(&out, 2).abandon(&files).await.unwrap();
    assert!(!out.exists());
}
