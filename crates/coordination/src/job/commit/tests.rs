//! The commit of a finished job.

use flott_model::{ExecutionState as S, Failure, FailureClass as C, JobStatus};

use crate::job::RestartStrategy;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{Script, attempt, output, restarts, transient, without_executions};

/// All tasks of a running job finish; the sinks have something to commit.
fn finish(script: &mut Script, number: u32) -> Vec<String> {
    script.task(&format!("v0_0_{number}"), S::Finished);
    script.task(&format!("v0_1_{number}"), S::Finished);
    let (first, second) = (format!("v1_0_{number}"), format!("v1_1_{number}"));
    let base = u8::try_from(number * 10).unwrap();
    script.task_with(
        attempt(&second),
        S::Finished,
        None,
        vec![output(1, base + 2)],
    );
    let last = script.task_with(
        attempt(&first),
        S::Finished,
        None,
        vec![output(1, base + 1)],
    );
    without_executions(last)
}

fn committing() -> Script {
    let mut script = Script::running(restarts(9));
    assert_eq!(
        finish(&mut script, 0),
        ["require 1", "commit a#0 round 1 [1, 2]"]
    );
    script
}

fn committed(script: &mut Script, round: u64, failure: Option<Failure>) -> Vec<String> {
    script.send(JobEvent::Committed { round, failure })
}

#[test]
fn outputs_are_committed_before_the_end() {
    let mut script = committing();
    assert_eq!(script.core.status(), JobStatus::Running);
    assert_eq!(committed(&mut script, 7, None), [""; 0], "another round's");
    assert_eq!(
        script.send(JobEvent::CancelRequested),
        [""; 0],
        "too late to cancel"
    );
    assert_eq!(
        committed(&mut script, 1, None),
        [
            "stop a#0",
            "stop b#1",
            "require 0",
            "release a/0 b/0",
            "status FINISHED"
        ]
    );
    assert_eq!(committed(&mut script, 1, None), [""; 0], "doubled");
}

#[test]
fn outputs_of_earlier_attempts_are_forgotten() {
    let mut script = Script::running(restarts(1));
    script.task_with(attempt("v1_0_0"), S::Finished, None, vec![output(1, 9)]);
    script.fail("v1_1_0", C::UserCode, "boom");
    script.all_tasks(0, S::Canceled);
    script.fire(Timer::Restart(1));
    script.all_tasks(1, S::Running);
    let actions = finish(&mut script, 1);
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [11, 12]");
}

#[test]
fn another_worker_takes_over() {
    let mut script = committing();
    assert_eq!(
        script.lose_worker("a#0", "killed by SIGKILL"),
        ["stop a#0", "timer commit 1 at 1s"]
    );
    assert_eq!(
        committed(&mut script, 1, None),
        [""; 0],
        "its answer came too late"
    );
    assert_eq!(script.fire(Timer::Commit(1)), ["commit b#1 round 2 [1, 2]"]);
    assert_eq!(script.fire(Timer::Commit(1)), [""; 0]);
    assert_eq!(script.lose_container("a"), [""; 0], "nobody needs it");
    let actions = committed(&mut script, 2, None);
    assert_eq!(actions.last().unwrap(), "status FINISHED");
}

#[test]
fn a_worker_is_started_for_it() {
    let mut script = committing();
    script.lose_worker("b#1", "gone");
    script.lose_worker("a#0", "gone");
    assert_eq!(
        script.fire(Timer::Commit(1)),
        ["start b#2 [0]", "timer worker b#2 at 60s"],
        "elsewhere, if it can"
    );
    assert_eq!(script.register("b#2"), ["commit b#2 round 2 [1, 2]"]);
}

#[test]
fn a_slot_is_waited_for() {
    let mut script = committing();
    assert_eq!(script.lose_container("b"), ["stop b#1"]);
    assert_eq!(
        script.lose_container("a"),
        ["stop a#0", "timer commit 1 at 1s"]
    );
    assert_eq!(script.fire(Timer::Commit(1)), ["timer slots 2 at 300s"]);
    assert_eq!(
        script.fire(Timer::SlotRequest(1)),
        [""; 0],
        "the first request's"
    );
    assert_eq!(
        script.grant("c@h3:0,1"),
        ["release c/1", "start c#2 [0]", "timer worker c#2 at 60s"],
        "one is enough"
    );
    assert_eq!(script.register("c#2"), ["commit c#2 round 2 [1, 2]"]);
}

#[test]
fn no_slot_comes() {
    let prepare = || {
        let mut script = committing();
        script.lose_container("b");
        script.lose_container("a");
        script.fire(Timer::Commit(1));
        script
    };
    let mut script = prepare();
    let actions = script.fire(Timer::SlotRequest(2));
    assert!(
        actions
            .last()
            .unwrap()
            .starts_with("status FAILED: got 0 of 1 slots"),
        "{actions:?}"
    );
    let mut script = prepare();
    let failure = Failure::new(C::Fatal, "no more containers");
    let actions = script.send(JobEvent::SlotsUnavailable(failure));
    assert_eq!(actions.last().unwrap(), "status FAILED: no more containers");
}

#[test]
fn failed_rounds_go_around_and_end() {
    let mut script = committing();
    let why = || Some(transient("no space left"));
    assert_eq!(committed(&mut script, 1, why()), ["timer commit 1 at 1s"]);
    assert_eq!(script.fire(Timer::Commit(1)), ["commit b#1 round 2 [1, 2]"]);
    assert_eq!(committed(&mut script, 2, why()), ["timer commit 2 at 2s"]);
    assert_eq!(script.fire(Timer::Commit(2)), ["commit a#0 round 3 [1, 2]"]);
    let actions = committed(&mut script, 3, why());
    let expected = "the outputs of the job were not committed: no space left\n(round 3 of 3)";
    assert_eq!(actions[0], format!("status FAILING: {expected}"));
    assert_eq!(
        *actions.last().unwrap(),
        format!("status FAILED: {expected}")
    );
}

#[test]
fn a_fatal_refusal_is_not_repeated() {
    let mut script = committing();
    let failure = Failure::new(C::Fatal, "the target exists");
    let actions = committed(&mut script, 1, Some(failure));
    assert!(
        actions.last().unwrap().starts_with("status FAILED"),
        "{actions:?}"
    );
}

#[test]
fn lost_processes_are_tried_again_for_a_while() {
    let mut script = committing();
    script.lose_container("b");
    let mut worker = "a#0".to_owned();
    for lost in 1..10_u64 {
        let actions = script.lose_worker(&worker, "gone");
        let pause = [1, 2, 4, 8, 16, 30, 30, 30, 30][usize::try_from(lost).unwrap() - 1];
        assert_eq!(
            *actions.last().unwrap(),
            format!("timer commit {lost} at {pause}s")
        );
        let actions = script.fire(Timer::Commit(lost));
        worker = actions[0].split(' ').nth(1).unwrap().to_owned();
    }
    let actions = script.lose_worker(&worker, "gone");
    assert!(
        actions.last().unwrap().contains("10 processes were lost"),
        "{actions:?}"
    );
    assert_eq!(script.core.status(), JobStatus::Failed);
}

#[test]
fn without_outputs_nothing_is_committed() {
    let mut script = Script::running(RestartStrategy::None);
    let actions = script.all_tasks(0, S::Finished);
    assert!(
        !actions.iter().any(|action| action.starts_with("commit")),
        "{actions:?}"
    );
}
