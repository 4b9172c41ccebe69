//! The environment: values that are fixed once, checks at submission, several jobs, graphs that
//! cannot be run.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use flott::prelude::*;
use flott::{Error, Role};

use crate::child;
use crate::support::{Collected, environment, run};

#[test]
fn several_jobs_one_after_the_other() {
    let env = environment(2);
    let mut jobs = Vec::new();
    for last in [10, 20, 30] {
        let out = Collected::from(env.from_sequence(1, last).rebalance());
        let result = env.execute("one of three").unwrap();
        assert!(!result.detached);
        assert_eq!(out.sorted(), (1..=last).collect::<Vec<_>>());
        jobs.push(result.job_id);
    }
    jobs.dedup();
    assert_eq!(jobs.len(), 3, "each execute() is a job of its own");
}

async fn job_in_async_code() {
    let env = environment(2);
    let out = Collected::from(
        env.from_sequence(1, 1_000)
            .key_by(|n| n % 3)
            .reduce(|a, b| *a = b),
    );
    assert_eq!(run(&env, &out), (1..=1_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn execute_inside_a_tokio_runtime() {
    job_in_async_code().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_inside_a_tokio_runtime_with_threads() {
    job_in_async_code().await;
}

#[test]
fn once_is_evaluated_once_per_call_in_this_role() {
    let env = environment(1);
    let value = env.once("now", SystemTime::now).unwrap();
    assert!(value <= SystemTime::now());
    assert_eq!(env.role(), Role::Embedded);
    let out = Collected::from(env.from_collection([value]));
    assert_eq!(run(&env, &out), [value]);
}

#[test]
fn once_refuses_a_name_that_is_taken() {
    let env = environment(1);
    env.once("name", || 1_u32).unwrap();
    let message = env.once("name", || 2_u32).unwrap_err().to_string();
    assert!(message.contains("'name'"), "{message}");
}

#[test]
fn checks_run_once_when_their_job_is_submitted() {
    let env = environment(1);
    let runs = Rc::new(Cell::new(0));
    let (counted, asked) = (Rc::clone(&runs), env.clone());
    env.on_submit(move || {
        // A check may ask the environment.
        assert_eq!(asked.default_parallelism(), 1);
        counted.set(counted.get() + 1);
        Ok(())
    });
    env.from_sequence(1, 3).discard();
    assert_eq!(runs.get(), 0);
    env.execute("first").unwrap();
    env.from_sequence(1, 3).discard();
    env.execute("second").unwrap();
    assert_eq!(runs.get(), 1);
}

#[test]
fn a_check_that_fails_keeps_the_job_from_running() {
    let env = environment(1);
    env.on_submit(|| Err("the quota is used up".into()));
    let out = Collected::from(env.from_sequence(1, 3));
    let error = env.execute("refused").unwrap_err();
    assert!(matches!(error, Error::Submission(_)), "{error:?}");
    assert_eq!(error.to_string(), "the quota is used up");
    assert_eq!(out.take(), [0_i64; 0]);
}

fn refused(env: &StreamExecutionEnvironment) -> String {
    match env.execute("refused") {
        Err(error @ Error::Graph(_)) => error.to_string(),
        other => panic!("the graph should have been refused: {other:?}"),
    }
}

#[test]
fn graphs_that_cannot_be_run_are_refused() {
    let env = environment(2);
    assert!(refused(&env).contains("no operators"));

    let numbers = env.from_sequence(1, 3).uid("numbers");
    numbers.map(|n| n).uid("numbers").name("twice").discard();
    assert!(refused(&env).contains("'twice' have the same uid"));

    env.from_sequence(1, 3)
        .map(|n| n)
        .name("few")
        .disable_chaining()
        .set_max_parallelism(1)
        .discard();
    let message = refused(&env);
    assert!(message.contains("maximum parallelism 1"), "{message}");
}

/// In a child that is submitted by its parent: the same value in every job, and the answers.
pub(crate) fn two_jobs_one_value() {
    let env = StreamExecutionEnvironment::get().unwrap();
    assert_eq!(env.role(), Role::Driver);
    env.on_submit(|| Err("a second attempt must not be checked".into()));
    let id = env.once("id", std::process::id).unwrap();
    for name in ["one", "two"] {
        env.from_sequence(1, i64::from(id)).discard();
        let result = env.execute(name).unwrap();
        assert_eq!(result.net_runtime.as_millis(), 5);
    }
    env.from_sequence(1, 1).discard();
    let message = env.execute("refused").unwrap_err().to_string();
    assert_eq!(message, "the job was not accepted: no room");
}

#[test]
fn a_driver_submits_several_jobs_with_the_same_values() {
    let mut program = child::command("two-jobs-one-value");
    let graphs = crate::plan::launch(&mut program, Role::Driver, 2);
    let names: Vec<_> = graphs.iter().map(|graph| graph.name.as_str()).collect();
    assert_eq!(names, ["one", "two", "refused"]);
    for (index, graph) in graphs.iter().enumerate() {
        assert_eq!(graph.execute_index, index as u32);
        let ids: Vec<_> = graph
            .once
            .iter()
            .filter(|value| value.name == "id")
            .collect();
        assert_eq!(
            ids.len(),
            1,
            "a worker of this job needs the value of once()"
        );
        assert_eq!(ids[0].value, graphs[0].once[0].value);
    }
}

fn threads_and_files() -> (usize, usize) {
    let count = |directory| std::fs::read_dir(directory).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// In a child whose jobs take four containers each; every second job fails.
pub(crate) fn many_jobs() {
    let env = environment(4);
    let job = |at: i64| {
        env.from_sequence(1, 1_000)
            .map(move |n| {
                assert!(at % 2 == 0 || n != 500, "every second job fails");
                n
            })
            .key_by(|n| n % 10)
            .sum(|n| n)
            .discard();
        assert_eq!(env.execute("one of many").is_ok(), at % 2 == 0);
    };
    // The first jobs begin what stays.
    (0..2).for_each(job);
    let before = threads_and_files();
    (0..40).for_each(job);
    // Threads end beside the jobs.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let now = threads_and_files();
        if now.0 <= before.0 && now.1 <= before.1 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "threads and files: {before:?} -> {now:?}"
        );
        std::thread::yield_now();
    }
}

#[test]
fn many_jobs_leave_no_threads_and_no_connections() {
    child::run("many-jobs", &[("taskmanager.numberOfTaskSlots", "1")]);
}
