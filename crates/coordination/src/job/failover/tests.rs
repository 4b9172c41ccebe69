//! Failures, restarts, cancellation.

use flott_model::{ExecutionState as S, Failure, FailureClass as C, JobStatus};

use crate::job::RestartStrategy;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{Script, attempt, restarts, without_executions, worker};

#[test]
fn a_failed_task_restarts_the_job() {
    let mut script = Script::running(restarts(1));
    script.seconds = 10;
    assert_eq!(
        script.fail("v1_0_0", C::UserCode, "panic: boom"),
        [
            "v1_0_0 FAILED on a#0",
            "status RESTARTING: task sink (1/2) on a (h1): panic: boom",
            "v0_0_0 CANCELING on a#0",
            "v0_1_0 CANCELING on b#1",
            "v1_1_0 CANCELING on b#1",
            "timer cancellation 1 at 190s",
            "cancel a#0: v0_0_0",
            "cancel b#1: v0_1_0 v1_1_0",
        ]
    );
    assert_eq!(
        script.task("v0_0_0", S::Running),
        [""; 0],
        "it had not heard yet"
    );
    script.task("v0_0_0", S::Canceled);
    assert_eq!(
        script.task("v0_1_0", S::Finished),
        ["v0_1_0 FINISHED on b#1"],
        "it was faster"
    );
    script.seconds = 11;
    assert_eq!(
        script.task("v1_1_0", S::Canceled),
        ["v1_1_0 CANCELED on b#1", "timer restart 1 at 15s"],
        "the delay counts from the failure"
    );
    script.seconds = 15;
    assert_eq!(script.fire(Timer::Restart(9)), [""; 0], "another restart's");
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        [
            "status RUNNING",
            "require 2",
            "deploy a#0: v0_0_1 v1_0_1",
            "deploy b#1: v0_1_1 v1_1_1",
        ]
    );
    assert_eq!(script.core.restarts(), 1);
    assert_eq!(
        script.task("v0_0_0", S::Finished),
        [""; 0],
        "an earlier attempt"
    );
}

#[test]
fn a_worker_that_never_registered_ended_in_main() {
    for (class, message) in [
        (C::UserCode, "main() failed on the worker: exit code 3"),
        (C::Transient, "exit code 3"),
    ] {
        let mut script = Script::two_by_two(RestartStrategy::None);
        script.send(JobEvent::Started);
        script.grant("a@h1:0 b@h2:0");
        let failure = Failure::new(class, "exit code 3");
        let worker = worker("a#0");
        script.send(JobEvent::WorkerLost { worker, failure });
        let cause = script.core.failure_history().next().unwrap();
        assert_eq!(cause.failure.message, message);
    }
}

#[test]
fn a_slow_stop_restarts_at_once_when_the_delay_is_over() {
    let mut script = Script::running(restarts(1));
    script.fail("v1_0_0", C::UserCode, "boom");
    script.task("v0_0_0", S::Canceled);
    script.task("v0_1_0", S::Canceled);
    script.seconds = 6;
    let actions = without_executions(script.task("v1_1_0", S::Canceled));
    assert_eq!(actions[..2], ["status RUNNING", "require 2"]);
}

#[test]
fn the_strategy_is_exhausted() {
    let mut script = Script::running(restarts(1));
    script.fail("v1_0_0", C::UserCode, "first");
    script.all_tasks(0, S::Canceled);
    script.fire(Timer::Restart(1));
    script.all_tasks(1, S::Running);
    let actions = without_executions(script.fail("v1_1_1", C::UserCode, "second"));
    assert_eq!(
        actions[0],
        "status FAILING: task sink (2/2) on b (h2): second"
    );
    let actions = script.all_tasks(1, S::Canceled);
    assert_eq!(
        actions.last().unwrap(),
        "status FAILED: task sink (2/2) on b (h2): second\n\
         (restart strategy fixed-delay exhausted after 1 restart)"
    );
    let history: Vec<&str> = script
        .core
        .failure_history()
        .map(|it| it.failure.message.as_str())
        .collect();
    assert_eq!(history, ["first", "second"]);
}

#[test]
fn a_fatal_failure_is_never_forgiven() {
    let mut script = Script::running(restarts(9));
    script.fail("v1_0_0", C::Fatal, "another graph");
    assert_eq!(script.core.status(), JobStatus::Failing);
    let actions = script.all_tasks(0, S::Canceled);
    assert_eq!(
        actions.last().unwrap(),
        "status FAILED: task sink (1/2) on a (h1): another graph"
    );
}

#[test]
fn a_fatal_failure_during_a_restart_ends_it() {
    let mut script = Script::running(restarts(9));
    script.fail("v1_0_0", C::Transient, "connection reset");
    let actions = script.fail("v1_1_0", C::Fatal, "wrong architecture");
    assert_eq!(
        actions,
        [
            "v1_1_0 FAILED on b#1",
            "status FAILING: task sink (2/2) on b (h2): wrong architecture",
        ]
    );
    script.all_tasks(0, S::Canceled);
    assert_eq!(script.core.status(), JobStatus::Failed);
}

#[test]
fn the_exit_of_a_process_explains_the_resets_its_peers_saw() {
    let mut script = Script::running(RestartStrategy::None);
    script.fail("v1_0_0", C::Transient, "connection reset by peer");
    script.lose_worker("b#1", "killed by SIGKILL");
    let actions = script.task("v0_0_0", S::Canceled);
    assert_eq!(
        actions.last().unwrap(),
        "status FAILED: b (h2): killed by SIGKILL\n(no restart: restart-strategy.type is none)"
    );
}

#[test]
fn an_echo_does_not_hide_the_user_s_failure() {
    let mut script = Script::running(RestartStrategy::None);
    script.fail("v1_0_0", C::UserCode, "panic: boom");
    script.fail("v1_1_0", C::Transient, "connection reset by peer");
    script.lose_worker("b#1", "exit code 101");
    let actions = script.task("v0_0_0", S::Canceled);
    assert!(
        actions.last().unwrap().contains("panic: boom"),
        "{actions:?}"
    );
}

#[test]
fn a_lost_worker_is_started_again_in_its_slots() {
    let mut script = Script::running(restarts(1));
    assert_eq!(
        script.lose_worker("b#1", "killed by SIGSEGV"),
        [
            "stop b#1",
            "v0_1_0 FAILED on b#1",
            "v1_1_0 FAILED on b#1",
            "status RESTARTING: b (h2): killed by SIGSEGV",
            "v0_0_0 CANCELING on a#0",
            "v1_0_0 CANCELING on a#0",
            "timer cancellation 1 at 180s",
            "cancel a#0: v0_0_0 v1_0_0",
        ]
    );
    assert_eq!(script.lose_worker("b#1", "again"), [""; 0]);
    script.task("v0_0_0", S::Canceled);
    script.task("v1_0_0", S::Canceled);
    let actions = without_executions(script.fire(Timer::Restart(1)));
    assert_eq!(
        actions[..3],
        ["status RUNNING", "require 2", "start b#2 [0]"]
    );
    let failure = script.core.executions().nth(1).map(|view| view.attempt);
    assert_eq!(failure, Some(attempt("v0_1_1")));
}

#[test]
fn a_lost_container_is_asked_for_again() {
    let mut script = Script::running(restarts(1));
    script.lose_container("b");
    assert_eq!(script.lose_container("b"), [""; 0], "told twice");
    script.task("v0_0_0", S::Canceled);
    script.task("v1_0_0", S::Canceled);
    script.seconds = 5;
    assert_eq!(
        without_executions(script.fire(Timer::Restart(1))),
        ["status RUNNING", "require 2", "timer slots 2 at 305s"]
    );
    assert_eq!(
        script.fire(Timer::SlotRequest(1)),
        [""; 0],
        "the first request's"
    );
    assert_eq!(
        script.grant("c@h3:4"),
        ["start c#2 [4]", "timer worker c#2 at 65s"],
        "the survivor keeps its worker"
    );
}

#[test]
fn a_replacement_may_come_before_the_tasks_have_stopped() {
    let mut script = Script::running(restarts(1));
    script.lose_container("b");
    assert_eq!(script.grant("c@h3:0,1"), ["release c/1"]);
    script.task("v0_0_0", S::Canceled);
    script.task("v1_0_0", S::Canceled);
    let actions = without_executions(script.fire(Timer::Restart(1)));
    assert_eq!(
        actions[..3],
        ["status RUNNING", "require 2", "start c#2 [0]"]
    );
}

#[test]
fn no_replacement_will_come() {
    let failure = Failure::new(C::Fatal, "too many containers failed");
    for stopped in [false, true] {
        let mut script = Script::running(restarts(9));
        script.lose_container("b");
        if stopped {
            script.all_tasks(0, S::Canceled);
        }
        script.send(JobEvent::SlotsUnavailable(failure.clone()));
        script.all_tasks(0, S::Canceled);
        assert_eq!(script.core.status(), JobStatus::Failed);
        let last = script.core.failure_history().last().unwrap();
        assert_eq!(last.failure.message, "too many containers failed");
    }
}

#[test]
fn a_worker_with_finished_tasks_only_may_go() {
    let mut script = Script::running(RestartStrategy::None);
    script.task("v0_1_0", S::Finished);
    script.task("v1_1_0", S::Finished);
    assert_eq!(script.lose_worker("b#1", "exit code 0"), ["stop b#1"]);
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn tasks_that_do_not_stop_are_stopped_with_their_worker() {
    let mut script = Script::running(restarts(1));
    script.fail("v1_0_0", C::UserCode, "boom");
    script.task("v0_0_0", S::Canceled);
    assert_eq!(
        script.fire(Timer::Cancellation(9)),
        [""; 0],
        "another round's"
    );
    script.seconds = 180;
    let actions = without_executions(script.fire(Timer::Cancellation(1)));
    assert_eq!(
        actions[..4],
        ["stop b#1", "status RUNNING", "require 2", "start b#2 [0]"]
    );
    assert_eq!(script.lose_worker("b#1", "killed"), [""; 0]);
    let cause = &script.core.failure_history().last().unwrap().failure;
    assert_eq!(cause.message, "boom");
}

#[test]
fn cancelled_in_every_phase() {
    let prepared: [(&str, fn() -> Script); 7] = [
        ("created", || Script::two_by_two(restarts(1))),
        ("waiting", || {
            let mut script = Script::two_by_two(restarts(1));
            script.send(JobEvent::Started);
            script
        }),
        ("starting", || {
            let mut script = Script::two_by_two(restarts(1));
            script.send(JobEvent::Started);
            script.grant("a@h1:0,1");
            script
        }),
        ("running", || Script::running(restarts(1))),
        ("restarting", || {
            let mut script = Script::running(restarts(1));
            script.fail("v0_0_0", C::UserCode, "boom");
            script
        }),
        ("pausing", || {
            let mut script = Script::running(restarts(1));
            script.fail("v0_0_0", C::UserCode, "boom");
            script.all_tasks(0, S::Canceled);
            script
        }),
        ("failing", || {
            let mut script = Script::running(restarts(1));
            script.fail("v0_0_0", C::Fatal, "boom");
            script
        }),
    ];
    for (phase, prepare) in prepared {
        let mut script = prepare();
        let mut actions = script.send(JobEvent::CancelRequested);
        assert!(
            actions.contains(&"status CANCELLING".to_owned()),
            "{phase}: {actions:?}"
        );
        assert!(
            !script
                .send(JobEvent::CancelRequested)
                .iter()
                .any(|it| it.contains("status"))
        );
        actions.extend(script.all_tasks(0, S::Canceled));
        assert_eq!(actions.last().unwrap(), "status CANCELED", "{phase}");
        assert_eq!(
            actions
                .iter()
                .filter(|action| *action == "require 0")
                .count(),
            1,
            "{phase}"
        );
    }
}

#[test]
fn a_failure_while_cancelling_rewrites_no_history() {
    let mut script = Script::running(restarts(1));
    script.fail("v1_0_0", C::Transient, "connection reset");
    script.all_tasks(0, S::Canceled);
    script.fire(Timer::Restart(1));
    script.all_tasks(1, S::Running);
    script.send(JobEvent::CancelRequested);
    script.fail("v1_0_1", C::UserCode, "panic while stopping");
    script.lose_worker("b#1", "killed");
    script.all_tasks(1, S::Canceled);
    assert_eq!(script.core.status(), JobStatus::Canceled);
    let history: Vec<&str> = script
        .core
        .failure_history()
        .map(|it| it.failure.message.as_str())
        .collect();
    assert_eq!(history, ["connection reset"]);
}

#[test]
fn a_task_cancelled_by_nobody_failed() {
    let mut script = Script::running(restarts(1));
    let actions = script.task("v0_0_0", S::Canceled);
    assert_eq!(actions[0], "v0_0_0 FAILED on a#0");
    assert!(actions[1].contains("without being asked"), "{actions:?}");
}
