//! Commits while the job runs.

use flott_model::{
    CheckpointId, ExecutionState as S, Failure, FailureClass as C, JobStatus, ShipStrategy as Ship,
};

use crate::checkpoint::CheckpointSettings;
use crate::job::message::{JobEvent, Timer};
use crate::job::testkit::{
    Script, attempt, decisions, edge, every_ten_seconds, graph, output, snapshot, transient,
};

/// Two chains beside each other, with checkpoints.
fn chains() -> Script {
    let edges = [edge(0, 1, Ship::Forward)];
    let graph = graph(&[("source", 2), ("sink", 2)], &edges);
    Script::checkpointing_graph(every_ten_seconds(), &graph)
}

/// A checkpoint in which the first sink hands over what it has.
fn checkpoint(script: &mut Script, number: u64, bytes: &[u8]) -> Vec<String> {
    let outputs: Vec<_> = bytes.iter().map(|byte| output(1, *byte)).collect();
    script.due(number, number * 10);
    script.opened(number);
    script.ack("v0_0_0 v0_1_0 v1_1_0", number);
    script.ack_with("v1_0_0", number, snapshot("", &outputs));
    let mut actions = script.enumerators(number, b"");
    actions.extend(script.stored(number));
    actions.retain(|it| it.starts_with("commit"));
    actions
}

fn committed(script: &mut Script, round: u64, failure: Option<Failure>) -> Vec<String> {
    decisions(script.send(JobEvent::Committed { round, failure }))
}

#[test]
fn what_a_checkpoint_covers_is_committed() {
    let mut script = chains();
    assert_eq!(
        checkpoint(&mut script, 1, &[1, 2]),
        ["commit a#0 round 1 [1, 2]"]
    );
    assert_eq!(committed(&mut script, 1, None), [""; 0]);
    assert_eq!(
        checkpoint(&mut script, 2, &[2, 3]),
        ["commit b#1 round 2 [3]"],
        "the task had not heard of the first one"
    );
}

#[test]
fn what_looks_the_same_is_not_the_same() {
    let mut script = chains();
    let same = |id: &str| flott_model::StoredCommittable {
        id: id.to_owned(),
        ..output(1, 7)
    };
    script.due(1, 10);
    script.opened(1);
    script.ack("v0_0_0 v0_1_0", 1);
    script.ack_with(
        "v1_0_0",
        1,
        snapshot("", &[same("a#1"), same("a#2"), same("")]),
    );
    script.ack_with("v1_1_0", 1, snapshot("", &[same("b#1"), same("")]));
    script.enumerators(1, b"");
    let actions = script.stored(1);
    assert_eq!(
        actions.last().unwrap(),
        "commit a#0 round 1 [7, 7, 7, 7, 7]"
    );
    committed(&mut script, 1, None);
    // The first sink finishes without having heard of that.
    let left = vec![same("a#1"), same("a#2"), same("a#3")];
    script.task("v0_0_0", S::Finished);
    script.task_with(attempt("v1_0_0"), S::Finished, None, left);
    script.due(2, 20);
    script.hand_over(2);
    let actions = script.stored(2);
    assert_eq!(actions.last().unwrap(), "commit b#1 round 2 [7]");
}

#[test]
fn what_a_finished_task_left_is_committed_once_though_nothing_has_an_id() {
    let mut script = chains();
    let nameless = flott_model::StoredCommittable {
        id: String::new(),
        ..output(1, 7)
    };
    script.task("v0_0_0", S::Finished);
    script.task_with(
        attempt("v1_0_0"),
        S::Finished,
        None,
        vec![nameless.clone(), nameless],
    );
    script.due(1, 10);
    script.hand_over(1);
    let actions = script.stored(1);
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [7, 7]");
    committed(&mut script, 1, None);
    script.due(2, 20);
    script.hand_over(2);
    assert!(!script.stored(2).iter().any(|it| it.starts_with("commit")));
    script.tasks("v0_1_0 v1_1_0", S::Finished);
    assert_eq!(script.core.status(), JobStatus::Finished);
}

#[test]
fn the_next_ones_wait_and_come_together() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    assert_eq!(checkpoint(&mut script, 2, &[2]), [""; 0]);
    assert_eq!(checkpoint(&mut script, 3, &[3]), [""; 0]);
    assert_eq!(
        committed(&mut script, 1, None),
        ["commit b#1 round 2 [2, 3]"]
    );
}

#[test]
fn what_is_not_known_to_be_committed_rides_along() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    script.due(2, 20);
    script.opened(2);
    script.ack("v0_0_0 v0_1_0 v1_0_0", 2);
    script.enumerators(2, b"");
    let metadata = script.metadata_after(JobEvent::CheckpointAcknowledged {
        attempt: attempt("v1_1_0"),
        checkpoint: CheckpointId(2),
        snapshot: snapshot("", &[output(1, 9)]),
    });
    assert_eq!(metadata[0].uncommitted, [output(1, 1)]);
    let all: Vec<u8> = metadata[0]
        .committables()
        .map(|it| it.committable[0])
        .collect();
    assert_eq!(all, [1, 9]);
}

#[test]
fn a_failed_round_is_tried_again_elsewhere_after_a_pause() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    assert_eq!(
        committed(&mut script, 1, Some(transient("no space left"))),
        ["timer commit 1 at 11s"]
    );
    assert_eq!(
        checkpoint(&mut script, 2, &[2]),
        [""; 0],
        "the pause is not over"
    );
    assert_eq!(script.fire(Timer::Commit(1)), ["commit b#1 round 2 [1, 2]"]);
    assert_eq!(committed(&mut script, 1, None), [""; 0], "an old answer");
    assert_eq!(committed(&mut script, 2, None), [""; 0]);
}

#[test]
fn a_commit_that_fails_for_good_restarts_the_job_and_is_tried_again() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    for round in 1..=2 {
        committed(&mut script, round, Some(transient("no space left")));
        script.fire(Timer::Commit(round));
    }
    let actions = committed(&mut script, 3, Some(transient("no space left")));
    assert_eq!(
        actions[0],
        "status RESTARTING: outputs that a checkpoint covers were not committed: no space left\n\
         (round 3 of 3)"
    );
    script.all_tasks(0, S::Canceled);
    script.seconds = 30;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert_eq!(actions.last().unwrap(), "commit b#1 round 4 [1]");
}

#[test]
fn what_cannot_be_committed_at_all_fails_the_job() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    let failure = Failure::new(C::Fatal, "no sink with that uid");
    assert!(committed(&mut script, 1, Some(failure))[0].starts_with("status FAILING"));
}

#[test]
fn another_worker_takes_over() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    let actions = decisions(script.lose_worker("a#0", "killed"));
    assert!(
        actions.contains(&"timer commit 1 at 11s".to_owned()),
        "{actions:?}"
    );
    assert_eq!(
        script.fire(Timer::Commit(1)),
        ["commit b#1 round 2 [1]"],
        "the other chain goes on meanwhile"
    );
}

#[test]
fn a_restart_waits_for_no_answer_and_asks_again_if_it_must() {
    let mut script = Script::checkpointing(every_ten_seconds());
    checkpoint(&mut script, 1, &[1]);
    script.lose_worker("a#0", "killed");
    script.tasks("v0_1_0 v1_1_0", S::Canceled);
    assert_eq!(committed(&mut script, 1, None), [""; 0], "of a lost worker");
    script.seconds = 15;
    script.fire(Timer::Restart(1));
    assert_eq!(
        script.register("a#2").last().unwrap(),
        "deploy b#1: v0_1_1 v1_1_1"
    );
    assert_eq!(script.fire(Timer::Commit(1)), ["commit b#1 round 2 [1]"]);
}

#[test]
fn an_answer_during_a_restart_counts() {
    let mut script = Script::checkpointing(every_ten_seconds());
    checkpoint(&mut script, 1, &[1]);
    script.lose_worker("b#1", "killed");
    assert_eq!(committed(&mut script, 1, None), [""; 0]);
    script.tasks("v0_0_0 v1_0_0", S::Canceled);
    script.seconds = 15;
    script.fire(Timer::Restart(1));
    let actions = decisions(script.register("b#2"));
    assert!(
        !actions.iter().any(|it| it.starts_with("commit")),
        "{actions:?}"
    );
}

#[test]
fn a_finished_sink_is_covered_by_the_next_checkpoint_once() {
    let mut script = chains();
    script.task("v0_1_0", S::Finished);
    script.task_with(attempt("v1_1_0"), S::Finished, None, vec![output(1, 8)]);
    script.due(1, 10);
    script.hand_over(1);
    let actions = script.stored(1);
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [8]");
    committed(&mut script, 1, None);
    script.due(2, 20);
    script.hand_over(2);
    let actions = script.stored(2);
    assert!(
        !actions.iter().any(|it| it.starts_with("commit")),
        "{actions:?}"
    );
    script.task("v0_0_0", S::Finished);
    let last = script.task_with(attempt("v1_0_0"), S::Finished, None, vec![output(1, 9)]);
    assert_eq!(
        decisions(last),
        ["open 3 Checkpoint", "timer timeout of 3 at 620s"],
        "what is left is in a checkpoint before it is committed"
    );
    assert_eq!(script.opened(3), ["enumerators 3"]);
    assert_eq!(script.enumerators(3, b""), ["store 3 in /c/chk-3"]);
    let actions = script.stored(3);
    assert_eq!(
        actions,
        [
            "completed 3 a#0: ",
            "completed 3 b#1: ",
            "require 1",
            "commit b#1 round 2 [9]",
            "discard 2 /c/chk-2"
        ]
    );
    committed(&mut script, 2, None);
    assert_eq!(script.core.status(), JobStatus::Finished);
}

/// Two chains of which all tasks have finished, with something left to be committed.
fn finished(settings: CheckpointSettings) -> (Script, Vec<String>) {
    let edges = [edge(0, 1, Ship::Forward)];
    let graph = graph(&[("source", 2), ("sink", 2)], &edges);
    let mut script = Script::checkpointing_graph(settings, &graph);
    script.tasks("v0_0_0 v0_1_0 v1_1_0", S::Finished);
    let last = script.task_with(attempt("v1_0_0"), S::Finished, None, vec![output(1, 9)]);
    (script, decisions(last))
}

#[test]
fn the_last_checkpoint_is_tried_again_after_a_pause() {
    let settings = CheckpointSettings {
        tolerable_failed: 1,
        ..every_ten_seconds()
    };
    let (mut script, actions) = finished(settings);
    assert_eq!(actions[0], "open 1 Checkpoint");
    let failed = script.place(1, Err(transient("safe mode")));
    assert_eq!(failed, ["discard 1 ", "timer checkpoint 2 at 1s"]);
    assert_eq!(script.due(2, 1)[0], "open 2 Checkpoint");
    script.opened(2);
    script.enumerators(2, b"");
    let failed = script.metadata(2, Err(transient("safe mode")));
    assert!(
        failed.iter().any(|it| it.starts_with("status RESTARTING")),
        "{failed:?}"
    );
    script.seconds = 10;
    let actions = decisions(script.fire(Timer::Restart(1)));
    assert!(actions.contains(&"deploy a#0: v0_0_1 v1_0_1".to_owned()));
}

#[test]
fn a_lost_worker_does_not_disturb_the_last_checkpoint() {
    let (mut script, _) = finished(every_ten_seconds());
    script.opened(1);
    assert_eq!(script.lose_container("a"), ["stop a#0"]);
    script.enumerators(1, b"");
    let actions = script.stored(1);
    assert_eq!(actions.last().unwrap(), "commit b#1 round 1 [9]");
}

#[test]
fn the_job_can_be_cancelled_until_the_last_checkpoint_is_complete() {
    let (mut script, _) = finished(every_ten_seconds());
    let actions = decisions(script.send(JobEvent::CancelRequested));
    assert!(actions.contains(&"status CANCELED".to_owned()));
    assert!(actions.contains(&"discard 1 ".to_owned()));
}

#[test]
fn without_periodic_checkpoints_there_is_no_last_one() {
    let with_finished = every_ten_seconds();
    let without = CheckpointSettings {
        after_tasks_finish: false,
        ..with_finished.clone()
    };
    for settings in [CheckpointSettings::default(), without] {
        let (_, actions) = finished(settings);
        assert_eq!(actions, ["require 1", "commit a#0 round 1 [9]"]);
    }
}

#[test]
fn the_last_act_commits_what_a_checkpoint_left() {
    let mut script = chains();
    checkpoint(&mut script, 1, &[1]);
    script.all_tasks(0, S::Finished);
    assert_eq!(script.core.status(), JobStatus::Running);
    let actions = committed(&mut script, 1, None);
    assert!(actions.contains(&"status FINISHED".to_owned()));
}

#[test]
fn committables_of_one_that_was_given_up_come_with_the_next() {
    let mut script = chains();
    script.due(1, 10);
    script.opened(1);
    script.ack_with("v1_0_0", 1, snapshot("", &[output(1, 1)]));
    script.task("v0_1_0", S::Finished);
    script.opened(2);
    script.ack("v0_0_0 v1_1_0", 2);
    script.ack_with("v1_0_0", 2, snapshot("", &[output(1, 1), output(1, 2)]));
    script.enumerators(2, b"");
    let actions = script.stored(2);
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [1, 2]");
}
