//! Stop-with-savepoint.

use flott_model::{
    CheckpointId, ExecutionState as S, FailureClass as C, JobStatus, ShipStrategy,
    SnapshotKind as K,
};

use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{Script, attempt, decisions, edge, every_ten_seconds, graph, output};

fn stopping() -> Script {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.complete(1);
    assert_eq!(
        script.request(5, K::StopWithSavepoint),
        [
            "open 2 StopWithSavepoint in /s",
            "timer timeout of 2 at 610s"
        ]
    );
    script
}

#[test]
fn the_job_finishes_behind_its_savepoint() {
    let mut script = stopping();
    assert_eq!(script.due(2, 20), [""; 0], "no more periodic ones");
    assert_eq!(
        script.complete(2),
        [
            "completed 2 a#0: v0_0_0 v1_0_0",
            "completed 2 b#1: v0_1_0 v1_1_0"
        ]
    );
    assert_eq!(
        script.request(6, K::StopWithSavepoint),
        ["request 6: stop-with-savepoint failed: stop-with-savepoint is under way"]
    );
    let mut actions = decisions(script.all_tasks(0, S::Finished));
    actions.retain(|it| !it.starts_with("stop ") && !it.starts_with("re"));
    assert_eq!(
        actions,
        ["status FINISHED", "discard 1 /c/chk-1"],
        "the savepoint stays"
    );
}

#[test]
fn who_hears_later_of_the_savepoint_may_have_lost_its_peers() {
    let mut script = stopping();
    script.complete(2);
    script.task("v0_0_0", S::Finished);
    assert_eq!(
        decisions(script.fail("v1_1_0", C::Transient, "the sender is gone")),
        [""; 0],
    );
    script.task("v0_1_0", S::Finished);
    let actions = decisions(script.task("v1_0_0", S::Finished));
    assert!(actions.contains(&"request 5: 2 at /c/chk-2".to_owned()));
}

#[test]
fn user_code_that_fails_behind_the_savepoint_is_told() {
    let mut script = stopping();
    script.complete(2);
    let actions = script.fail("v1_1_0", C::UserCode, "panicked");
    assert!(
        actions.iter().any(|it| it.contains("RESTARTING")),
        "{actions:?}"
    );
}

#[test]
fn the_answer_comes_with_the_end() {
    let mut script = stopping();
    script.complete(2);
    let actions = decisions(script.all_tasks(0, S::Finished));
    assert!(actions.contains(&"request 5: 2 at /c/chk-2".to_owned()));
}

#[test]
fn what_the_savepoint_covers_is_committed_before_the_end() {
    let mut script = stopping();
    script.opened(2);
    script.ack("v0_0_0 v0_1_0 v1_0_0", 2);
    script.ack_with(
        "v1_1_0",
        2,
        crate::job::testkit::snapshot("", &[output(1, 3)]),
    );
    script.enumerators(2, b"");
    let actions = script.stored(2);
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [3]");
    let actions = decisions(script.all_tasks(0, S::Finished));
    assert_eq!(actions, ["require 1"], "it is not done");
    let done = JobEvent::Committed {
        round: 1,
        failure: None,
    };
    let actions = script.send(done);
    assert!(actions.contains(&"request 5: 2 at /c/chk-2".to_owned()));
}

#[test]
fn a_task_that_fails_before_the_savepoint_restarts_the_job() {
    let mut script = stopping();
    script.opened(2);
    script.ack("v0_0_0", 2);
    let actions = decisions(script.fail("v1_0_0", C::UserCode, "boom"));
    assert!(
        actions.contains(
            &"request 5: stop-with-savepoint failed: the job failed: task sink (1/2) on a (h1): \
              boom"
                .to_owned()
        ),
        "{actions:?}"
    );
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 1 [[101]]");
    assert_eq!(script.run_all(), ["timer checkpoint 3 at 25s"], "as before");
}

#[test]
fn independent_chains_do_not_stay_stopped_when_one_fails() {
    for complete in [false, true] {
        let edges = [edge(0, 1, ShipStrategy::Forward)];
        let graph = graph(&[("source", 2), ("sink", 2)], &edges);
        let mut script = Script::checkpointing_graph(every_ten_seconds(), &graph);
        script.request(5, K::StopWithSavepoint);
        script.opened(1);
        if complete {
            script.hand_over(1);
            script.stored(1);
            script.tasks("v0_1_0 v1_1_0", S::Finished);
        }
        let actions = decisions(script.fail("v1_0_0", C::UserCode, "boom"));
        assert_eq!(
            actions[0],
            "status RESTARTING: task sink (1/2) on a (h1): boom"
        );
        let other = "cancel b#1: v0_1_0 v1_1_0".to_owned();
        assert_eq!(actions.contains(&other), !complete, "{actions:?}");
        script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Canceled);
        script.seconds = 5;
        let actions = decisions(script.fire(Timer::Restart(1)));
        let deployed = [
            "deploy a#0: v0_0_1 v1_0_1".to_owned(),
            "deploy b#1: v0_1_1 v1_1_1".to_owned(),
        ];
        assert!(actions.ends_with(&deployed), "{actions:?}");
        assert_eq!(script.core.restarts(), 1);
    }
}

#[test]
fn a_savepoint_that_fails_restarts_the_job_because_sources_have_stopped() {
    for decline in [true, false] {
        let mut script = stopping();
        script.opened(2);
        let actions = if decline {
            script.decline("v1_0_0", 2)
        } else {
            decisions(script.fire(Timer::CheckpointTimeout(CheckpointId(2))))
        };
        assert!(actions[3].starts_with("request 5: stop-with-savepoint failed:"));
        assert!(actions[4].starts_with("status RESTARTING"), "{actions:?}");
        assert!(
            actions[4].contains("its sources had stopped"),
            "{actions:?}"
        );
        assert_eq!(script.core.restarts(), 1);
    }
}

#[test]
fn nothing_has_stopped_before_there_is_a_place() {
    let mut script = stopping();
    let failure = crate::job::testkit::transient("permission denied");
    let actions = script.place(2, Err(failure));
    assert!(actions[1].starts_with("request 5: stop-with-savepoint failed:"));
    assert_eq!(actions[2..], ["timer checkpoint 3 at 20s"], "and goes on");
    assert_eq!(script.core.status(), JobStatus::Running);
}

#[test]
fn a_failure_behind_the_savepoint_goes_back_to_it() {
    let mut script = stopping();
    script.complete(2);
    script.task("v0_0_0", S::Finished);
    let actions = decisions(script.fail("v1_0_0", C::UserCode, "boom"));
    assert!(
        actions.contains(
            &"request 5: stop-with-savepoint failed: the savepoint is complete at /c/chk-2, but the \
              job did not finish: the job failed: task sink (1/2) on a (h1): boom"
                .to_owned()
        ),
        "{actions:?}"
    );
    script.tasks("v0_1_0 v1_1_0", S::Canceled);
    script.seconds = 15;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 2 [[101]]");
    script.run_all();
    script.due(3, 30);
    let actions = script.complete(3);
    assert_eq!(actions[2..], ["discard 1 /c/chk-1"], "the savepoint stays");
}

#[test]
fn a_finished_source_has_the_savepoint_begin_anew() {
    let mut script = stopping();
    script.opened(2);
    script.ack("v0_1_0", 2);
    let actions = decisions(script.task("v0_0_0", S::Finished));
    assert_eq!(actions[3], "open 3 StopWithSavepoint in /s");
    script.complete(3);
    let actions = script.tasks("v0_1_0 v1_0_0 v1_1_0", S::Finished);
    assert!(actions.contains(&"request 5: 3 at /c/chk-3".to_owned()));
    assert_eq!(script.core.status(), JobStatus::Finished);
}

#[test]
fn a_job_that_ends_by_itself_before_the_savepoint_has_finished() {
    let mut script = stopping();
    let actions = decisions(script.all_tasks(0, S::Finished));
    assert!(actions.contains(
        &"request 5: stop-with-savepoint failed: all tasks of the job have finished".to_owned()
    ));
    assert_eq!(script.core.status(), JobStatus::Finished);
}

#[test]
fn a_cancellation_ends_the_wish() {
    let mut script = stopping();
    script.complete(2);
    let actions = decisions(script.send(JobEvent::CancelRequested));
    assert_eq!(actions[0], "status CANCELLING");
    assert!(actions.contains(
        &"request 5: stop-with-savepoint failed: the savepoint is complete at /c/chk-2, but the job \
          did not finish: the job is being cancelled"
            .to_owned()
    ));
    script.task_with(attempt("v0_0_0"), S::Finished, None, vec![]);
    script.tasks("v0_1_0 v1_0_0 v1_1_0", S::Canceled);
    assert_eq!(script.core.status(), JobStatus::Canceled);
}
