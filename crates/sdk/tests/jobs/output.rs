//! `write_text`: what is visible when, and what is refused.

use std::path::Path;

use flott::prelude::*;

use crate::support::{environment, failure, lines, names, text};

fn write_numbers(env: &StreamExecutionEnvironment, last: i64, directory: &Path) {
    env.from_sequence(1, last)
        .write_text(text(directory), |n, line| line.push_str(&n.to_string()));
}

fn numbers(from: i64, to: i64) -> Vec<String> {
    let mut numbers: Vec<String> = (from..=to).map(|n| n.to_string()).collect();
    numbers.sort();
    numbers
}

fn assert_only_parts(directory: &Path) {
    let names = names(directory);
    assert!(
        names.iter().all(|name| name.starts_with("part-")),
        "{names:?}"
    );
}

#[test]
fn every_record_is_a_line_in_a_visible_file() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("deep/out");
    let env = environment(3);
    write_numbers(&env, 1_000, &out);
    env.execute("write").unwrap();
    assert_eq!(lines(&out), numbers(1, 1_000));
    assert_eq!(names(&out).len(), 3);
    assert_only_parts(&out);
}

#[test]
fn nothing_is_visible_before_the_job_is_finished() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let env = environment(2);
    let watched = out.clone();
    env.from_sequence(1, 200_000)
        .map(move |n| {
            if n % 10_000 == 0 {
                let visible = lines(&watched);
                assert!(visible.is_empty(), "{} lines are visible", visible.len());
            }
            // Long, so that files are really written meanwhile.
            format!("{n:>50}")
        })
        .write_text(text(&out), |record, line| line.push_str(record));
    env.execute("hidden").unwrap();
    let lines = lines(&out);
    assert_eq!(lines.len(), 200_000);
    assert_eq!(lines.last().map(|line| line.trim_start()), Some("200000"));
    assert_only_parts(&out);
}

#[test]
fn an_empty_result_is_an_empty_directory() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let env = environment(2);
    write_numbers(&env, 0, &out);
    env.execute("empty").unwrap();
    assert_eq!(names(&out), [""; 0]);
}

#[test]
fn a_job_that_fails_in_the_middle_shows_nothing() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let env = environment(2);
    env.from_sequence(1, 200_000)
        .map(|n| {
            assert_ne!(n, 190_000, "too much");
            n
        })
        .write_text(text(&out), |n, line| line.push_str(&format!("{n:>50}")));
    let failure = failure(env.execute("fails"));
    assert!(failure.message.contains("too much"), "{failure}");
    // Nothing is left, so the next job may write there.
    assert!(!out.exists(), "{:?}", names(&out));
    write_numbers(&env, 10, &out);
    env.execute("next").unwrap();
    assert_eq!(lines(&out), numbers(1, 10));
    assert_only_parts(&out);
}

#[test]
fn two_sinks_may_share_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let env = environment(2);
    let all = env.from_sequence(1, 100);
    for half in [0, 1] {
        all.clone()
            .filter(move |n| n % 2 == half)
            .write_text(text(root.path()), |n, line| line.push_str(&n.to_string()));
    }
    env.execute("share").unwrap();
    assert_eq!(lines(root.path()), numbers(1, 100));
    assert_only_parts(root.path());
}

fn submission_error(env: &StreamExecutionEnvironment) -> String {
    match env.execute("refused") {
        Err(flott::Error::Submission(message)) => message,
        other => panic!("the output should have been refused: {other:?}"),
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let env = environment(1);
    let full = root.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("precious"), "data").unwrap();
    for (path, why) in [
        (full.clone(), "is not empty"),
        (full.join("precious"), "is a file"),
        (full.join("precious/below"), "cannot be written"),
    ] {
        write_numbers(&env, 1, &path);
        let message = submission_error(&env);
        let expected = format!("output '{}'", path.display());
        assert!(
            message.contains(&expected) && message.contains(why),
            "{message}"
        );
    }
    assert_eq!(
        std::fs::read_to_string(full.join("precious")).unwrap(),
        "data"
    );
    assert_eq!(names(&full), ["precious"]);
}

#[test]
fn an_output_that_disappears_fails_the_job_by_name() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("out");
    let env = environment(1);
    let doomed = out.clone();
    env.from_sequence(1, 50_000)
        .map(move |n| {
            if n == 1 {
                // A file in its place: no subtask can write below it.
                std::fs::remove_dir(&doomed).unwrap();
                std::fs::write(&doomed, "").unwrap();
            }
            n
        })
        .write_text(text(&out), |n, line| line.push_str(&format!("{n:>50}")));
    let failure = failure(env.execute("disappears"));
    let message = failure.to_string();
    assert!(
        message.contains("output '") && message.contains(text(&out)),
        "{message}"
    );
    assert!(message.contains("Sink: Text Files (1/1)"), "{message}");
}
