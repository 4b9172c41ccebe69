//! `flott new`: what it makes builds and runs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let client = manifest.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    client.parent().unwrap().to_owned()
}

/// Outside any checkout, so that nothing is found nearby.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Exit code, and what was said.
fn flott(directory: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flott"))
        .args(args)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap();
    (code, String::from_utf8(text).unwrap())
}

fn cargo(project: &Path, args: &[&str]) -> String {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(args)
        .arg("--offline")
        .current_dir(project)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_job_builds_passes_its_tests_and_runs() {
    let directory = directory();
    let repository = repository();
    let sdk = repository.to_str().unwrap();
    let (code, said) = flott(directory.path(), &["new", "word-lengths", "--sdk", sdk]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Created the job 'word-lengths'"), "{said}");
    let project = directory.path().join("word-lengths");
    let tested = cargo(&project, &["test"]);
    assert!(tested.contains("1 passed"), "{tested}");
    let mut counts: Vec<_> = cargo(&project, &["run"])
        .lines()
        .map(str::to_owned)
        .collect();
    counts.sort();
    // to be or not to be that is the question whether tis nobler in the mind to suffer
    let expected = [
        "2 1", "2 2", "2 3", "2 4", "2 5", "2 6", "2 7", "2 8", "3 1", "3 2", "3 3", "3 4", "4 1",
        "4 2", "6 1", "6 2", "7 1", "8 1",
    ];
    assert_eq!(counts, expected);
}

#[test]
fn nothing_that_exists_is_touched() {
    let directory = directory();
    std::fs::create_dir(directory.path().join("mine")).unwrap();
    std::fs::write(directory.path().join("mine/file"), "mine").unwrap();
    let (code, said) = flott(directory.path(), &["new", "mine"]);
    assert_eq!(code, 1);
    assert!(said.contains("mine exists and is not empty"), "{said}");
    let files = std::fs::read_dir(directory.path().join("mine")).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn mistakes_are_told_and_leave_nothing() {
    let directory = directory();
    for (args, told) in [
        (&["new"][..], "PATH"),
        (&["new", "2nd"], "'2nd' cannot be the name of a package"),
        (
            &["new", "job", "--sdk", "/nowhere"],
            "there is no SDK of Flott in /nowhere",
        ),
    ] {
        let (code, said) = flott(directory.path(), args);
        assert_eq!(code, 1, "{args:?}");
        assert!(said.contains(told), "{args:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
