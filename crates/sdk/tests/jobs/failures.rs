//! User code that panics, and what becomes of its job and of the process.

use std::sync::atomic::{AtomicU32, Ordering};

use flott::prelude::*;
use serde::{Deserialize, Serialize, Serializer};

use crate::child;
use crate::support::{Collected, environment, failure, lines, names, run, text};

type Build = fn(&StreamExecutionEnvironment, &str);

const CASES: [(&str, Build, &str); 6] = [
    (
        "map",
        |env, _| {
            env.from_sequence(1, 1_000)
                .map(|n| {
                    assert!(n != 400, "record {n} is bad");
                    n
                })
                .discard();
        },
        "Source: Sequence -> Map -> Sink: Discard (2/4)",
    ),
    (
        "filter",
        |env, _| {
            env.from_sequence(1, 1_000)
                .rebalance()
                .filter(|n| panic!("record {n} is bad"))
                .discard();
        },
        "Filter -> Sink: Discard (",
    ),
    (
        "flat map",
        |env, _| {
            env.from_sequence(1, 1_000)
                .flat_map(|n| {
                    (0..2).map(move |_| {
                        if n == 400 {
                            panic!("record {n} is bad")
                        } else {
                            n
                        }
                    })
                })
                .discard();
        },
        "Source: Sequence -> Flat Map -> Sink: Discard (2/4)",
    ),
    (
        "key selector",
        |env, _| {
            env.from_sequence(1, 1_000)
                .key_by(|n| {
                    if *n == 400 {
                        panic!("record {n} is bad")
                    } else {
                        *n
                    }
                })
                .reduce(|_, _| ())
                .discard();
        },
        "Source: Sequence (2/4)",
    ),
    (
        "reduce",
        |env, _| {
            env.from_sequence(1, 1_000)
                .key_by(|n| n % 4)
                .reduce(|_, n| assert!(n != 400, "record {n} is bad"))
                .discard();
        },
        "Keyed Reduce -> Sink: Discard (",
    ),
    (
        "sink",
        |env, out| {
            env.from_sequence(1, 1_000)
                .rebalance()
                .write_text(out, |n, _| assert!(*n != 400, "record {n} is bad"));
        },
        "Sink: Text Files (",
    ),
];

#[test]
fn a_panic_of_user_code_fails_its_job_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    for (name, build, task) in CASES {
        let env = environment(4);
        build(&env, text(&directory.path().join(name)));
        let failure = failure(env.execute(name));
        assert!(failure.task.starts_with(task), "{name}: {failure:?}");
        assert!(
            // A key selector belongs to no operator.
            failure.message.starts_with("operator '") || name == "key selector",
            "{name}: {failure:?}"
        );
        assert!(
            failure.message.contains(": user code panicked: record "),
            "{name}: {failure:?}"
        );
        assert!(failure.message.contains(" is bad"), "{name}: {failure:?}");
        // The process goes on.
        let out = Collected::from(env.from_sequence(1, 10).rebalance());
        assert_eq!(run(&env, &out), (1..=10).collect::<Vec<_>>());
    }
}

#[test]
fn a_panic_with_a_value_that_is_not_text() {
    let env = environment(1);
    env.from_sequence(1, 10)
        .map(|n| {
            if n == 5 {
                std::panic::panic_any(5_u8);
            }
            n
        })
        .discard();
    let failure = failure(env.execute("odd"));
    let expected = "operator 'Map', record 5: user code panicked: a value that is not text";
    assert!(failure.message.starts_with(expected), "{failure:?}");
}

/// In a child with three restarts: the first two tries panic, each in the middle.
pub(crate) fn restarts_until_it_works() {
    static PANICS: AtomicU32 = AtomicU32::new(0);
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let env = environment(4);
    env.from_sequence(1, 50_000)
        .map(|n| {
            if n == 30_000 && PANICS.fetch_add(1, Ordering::SeqCst) < 2 {
                panic!("not yet");
            }
            (n % 10, n)
        })
        .key_by(|(key, _)| *key)
        .sum(|(_, n)| n)
        .write_text(text(&out), |(key, sum), line| {
            // Long lines, so that the tries that fail have written something.
            line.push_str(&format!("{key} {sum:>40}"));
        });
    env.execute("restarts").unwrap();
    assert_eq!(PANICS.load(Ordering::SeqCst), 3, "two panics and a success");
    let lines = lines(&out);
    assert_eq!(lines.len(), 50_000, "every update once");
    for key in 0..10_i64 {
        let prefix = format!("{key} ");
        let updates = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
        let largest = updates
            .map(|sum| sum.trim_start().parse::<i64>().unwrap())
            .max();
        assert_eq!(largest, Some((1..=50_000).filter(|n| n % 10 == key).sum()));
    }
    let names = names(&out);
    assert!(
        names.iter().all(|name| name.starts_with("part-")),
        "{names:?}"
    );
}

/// In a child with two restarts: every try panics.
pub(crate) fn restarts_are_exhausted() {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let env = environment(1);
    env.from_sequence(1, 10)
        .map(|n| {
            if n == 5 {
                TRIES.fetch_add(1, Ordering::SeqCst);
                panic!("never");
            }
            n
        })
        .discard();
    let failure = failure(env.execute("exhausted"));
    assert_eq!(TRIES.load(Ordering::SeqCst), 3);
    let text = failure.to_string();
    assert!(text.contains("user code panicked: never"), "{text}");
    assert!(text.contains("restart"), "{text}");
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
struct Stubborn {
    #[serde(serialize_with = "refuse")]
    n: i64,
}

fn refuse<S: Serializer>(n: &i64, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom(format!("{n} stays where it is")))
}

/// In a child whose subtasks are in different containers.
pub(crate) fn cannot_be_serialized() {
    let env = environment(2);
    env.from_sequence(1, 10)
        .map(|n| Stubborn { n })
        .rebalance()
        .discard();
    let failure = failure(env.execute("stubborn"));
    assert!(
        failure.task.starts_with("Source: Sequence -> Map ("),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("a record cannot be serialized"),
        "{failure:?}"
    );
    assert!(failure.message.contains("stays where it is"), "{failure:?}");
}

#[test]
fn records_that_stay_in_one_container_need_not_be_serialized() {
    let env = environment(2);
    let out = Collected::from(env.from_sequence(1, 10).map(|n| Stubborn { n }).rebalance());
    assert_eq!(run(&env, &out).len(), 10);
}

#[test]
fn records_that_refuse_to_travel_fail_the_job() {
    child::run(
        "cannot-be-serialized",
        &[("taskmanager.numberOfTaskSlots", "1")],
    );
}

fn restarts(attempts: &'static str, slots: &'static str) -> [(&'static str, &'static str); 4] {
    [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", attempts),
        ("restart-strategy.fixed-delay.delay", "1 ms"),
        ("taskmanager.numberOfTaskSlots", slots),
    ]
}

#[test]
fn a_job_that_is_restarted_ends_well_without_duplicates() {
    child::run("restarts-until-it-works", &restarts("3", "4"));
    child::run("restarts-until-it-works", &restarts("2", "1"));
}

#[test]
fn a_job_without_restarts_left_fails() {
    child::run("restarts-are-exhausted", &restarts("2", "1"));
}
