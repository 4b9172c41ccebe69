//! Sources: collections, sequences, text files in every shape.

use std::path::Path;

use crate::support::{Collected, environment, run, text};

fn read(path: &str, parallelism: u32) -> Vec<String> {
    let env = environment(parallelism);
    let lines = Collected::from(env.read_text_file(path));
    run(&env, &lines)
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) {
    let path = directory.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn collections_keep_their_order() {
    let env = environment(4);
    let items: Vec<i64> = (0..10_000).rev().collect();
    let collected = Collected::from(env.from_collection(items.clone()));
    env.execute("collection").unwrap();
    assert_eq!(collected.take(), items);
}

#[test]
fn sources_may_be_empty() {
    let env = environment(3);
    let nothing = Collected::from(
        env.from_collection(Vec::<i64>::new())
            .union([env.from_sequence(1, 0)]),
    );
    let sums = Collected::from(
        env.from_collection(Vec::<(String, i64)>::new())
            .key_by_ref(|(key, _)| key)
            .sum(|(_, n)| n),
    );
    env.execute("nothing").unwrap();
    assert_eq!(nothing.take(), [0_i64; 0]);
    assert_eq!(sums.take(), []);
}

#[test]
fn a_sequence_is_complete_in_any_number_of_subtasks() {
    for parallelism in [1, 2, 7] {
        let env = environment(parallelism);
        let numbers = Collected::from(env.from_sequence(-3, 20_000));
        assert_eq!(run(&env, &numbers), (-3..=20_000).collect::<Vec<_>>());
    }
}

#[test]
fn a_sequence_shorter_than_its_subtasks_and_at_the_ends_of_i64() {
    let env = environment(8);
    let low = Collected::from(env.from_sequence(i64::MIN, i64::MIN + 1));
    let high = Collected::from(env.from_sequence(i64::MAX - 1, i64::MAX));
    env.execute("extremes").unwrap();
    assert_eq!(low.sorted(), [i64::MIN, i64::MIN + 1]);
    assert_eq!(high.sorted(), [i64::MAX - 1, i64::MAX]);
}

#[test]
fn line_ends_of_all_kinds() {
    let directory = tempfile::tempdir().unwrap();
    for (content, expected) in [
        ("", &[][..]),
        ("\n", &[""]),
        ("one", &["one"]),
        ("one\n", &["one"]),
        ("one\r\ntwo\r\n", &["one", "two"]),
        ("one\r\n\r\ntwo", &["one", "", "two"]),
        ("\r\n", &[""]),
        ("a\rb\n", &["a\rb"]),
    ] {
        write(directory.path(), "file", content);
        let mut lines = read(text(&directory.path().join("file")), 2);
        lines.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(lines, expected, "{content:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "file", b"caf\xe9\nna\xc3\xafve\n\xff\xfe");
    assert_eq!(
        read(text(directory.path()), 1),
        ["caf\u{fffd}", "na\u{ef}ve", "\u{fffd}\u{fffd}"]
    );
}

#[test]
fn a_directory_is_read_below_without_hidden_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "a.txt", "a\n");
    write(root, "empty", "");
    write(root, "sub/deep/b.txt", "b");
    for hidden in [
        ".hidden",
        "_SUCCESS",
        ".git/x",
        "sub/_temporary/y",
        "sub/.z",
    ] {
        write(root, hidden, "must not be read\n");
    }
    for path in [
        text(root).to_owned(),
        format!("{}/", text(root)),
        format!("file://{}", text(root)),
    ] {
        assert_eq!(read(&path, 3), ["a", "b"], "{path}");
    }
}

#[test]
fn globs_choose_files() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for name in [
        "2024-01/x.log",
        "2024-02/x.log",
        "2024-02/y.txt",
        "2025-01/x.log",
    ] {
        write(root, name, name);
    }
    let glob = |pattern: &str| read(&format!("{}/{pattern}", text(root)), 2);
    assert_eq!(glob("2024-*/x.log"), ["2024-01/x.log", "2024-02/x.log"]);
    assert_eq!(glob("202?-01/*"), ["2024-01/x.log", "2025-01/x.log"]);
    assert_eq!(
        glob("{2025,2024}-01/x.log"),
        ["2024-01/x.log", "2025-01/x.log"]
    );
    // A directory that a glob names is read below.
    assert_eq!(glob("2024-0[2]"), ["2024-02/x.log", "2024-02/y.txt"]);
}

#[test]
fn a_large_file_is_read_once_by_many_subtasks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large");
    // Lines of uneven length, so that splits end inside lines; more than one split per subtask.
    let lines: Vec<String> = (0..60_000)
        .map(|n| format!("{n:06}{}", "x".repeat(n % 131)))
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 4 << 20);
    let env = environment(4);
    let subtasks = Collected::from(env.read_text_file(text(&path)));
    assert_eq!(run(&env, &subtasks), lines);
}

#[test]
fn one_huge_line_is_one_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("line");
    // Longer than several splits of the file: only one subtask may read it.
    let line = "0123456789abcdef".repeat(5 << 16);
    std::fs::write(&path, &line).unwrap();
    for parallelism in [1, 4] {
        let read = read(text(&path), parallelism);
        assert_eq!(read.len(), 1);
        assert!(read[0] == line, "the line was changed");
    }
}

#[test]
fn an_input_that_is_missing_is_named_before_the_job_begins() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["missing.txt", "missing/*.txt"] {
        let path = format!("{}/{name}", text(directory.path()));
        let env = environment(2);
        env.read_text_file(&path).discard();
        let error = env.execute("missing").unwrap_err();
        assert!(matches!(error, flott::Error::Submission(_)), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(&format!("input '{path}'")), "{message}");
    }
}

#[test]
fn a_file_system_nobody_knows_is_refused() {
    let env = environment(1);
    env.read_text_file("gopher://host/path").discard();
    let message = env.execute("gopher").unwrap_err().to_string();
    assert!(message.contains("input 'gopher://host/path'"), "{message}");
}
