//! When checkpoints begin.

use std::time::Duration;

use flott_model::{ExecutionState as S, ShipStrategy as Ship, SnapshotKind as K};

use crate::checkpoint::CheckpointSettings;
use crate::job::message::{JobAction, JobEvent, Timer};
use crate::job::testkit::{
    Script, decisions, edge, every_ten_seconds, graph, transient, without_executions,
};

#[test]
fn the_first_is_due_an_interval_after_the_last_task_runs() {
    let edges = [edge(0, 1, Ship::Hash)];
    let graph = graph(&[("source", 2), ("sink", 2)], &edges);
    let mut script = Script::beginning(every_ten_seconds(), &graph, Default::default());
    script.start_on_two();
    script.seconds = 3;
    for task in ["v0_0_0", "v0_1_0", "v1_0_0"] {
        assert_eq!(without_executions(script.task(task, S::Running)), [""; 0]);
    }
    script.seconds = 4;
    assert_eq!(
        without_executions(script.task("v1_1_0", S::Running)),
        ["timer checkpoint 1 at 14s"]
    );
    assert_eq!(
        script.due(1, 14),
        [
            "timer checkpoint 2 at 24s",
            "open 1 Checkpoint",
            "timer timeout of 1 at 614s"
        ]
    );
}

#[test]
fn sources_are_told_to_begin() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    assert_eq!(
        script.opened(1),
        ["trigger 1 a#0: v0_0_0", "trigger 1 b#1: v0_1_0"]
    );
    assert_eq!(script.opened(1), [""; 0], "doubled");
}

#[test]
fn without_a_directory_the_jobmanager_holds_them() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    let triggered = script.place(1, Ok(String::new()));
    assert_eq!(
        triggered,
        ["trigger 1 a#0: v0_0_0", "trigger 1 b#1: v0_1_0"]
    );
}

#[test]
fn only_as_many_are_on_their_way_as_may_be() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    assert_eq!(script.due(2, 20), [""; 0], "the first one is on its way");
    let after = script.complete(1);
    assert_eq!(
        after[2..],
        [
            "timer checkpoint 3 at 30s",
            "open 2 Checkpoint",
            "timer timeout of 2 at 620s"
        ]
    );

    let mut two = Script::checkpointing(CheckpointSettings {
        max_concurrent: 2,
        ..every_ten_seconds()
    });
    two.due(1, 10);
    assert_eq!(two.due(2, 20)[1], "open 2 Checkpoint");
    assert_eq!(two.due(3, 30), [""; 0]);
}

#[test]
fn after_a_completion_there_is_a_pause() {
    let mut script = Script::checkpointing(CheckpointSettings {
        min_pause: Duration::from_secs(8),
        ..every_ten_seconds()
    });
    script.due(1, 10);
    script.seconds = 15;
    script.complete(1);
    assert_eq!(script.due(2, 20), ["timer checkpoint 3 at 23s"]);
    assert_eq!(
        script.due(3, 23),
        [
            "timer checkpoint 4 at 33s",
            "open 2 Checkpoint",
            "timer timeout of 2 at 623s"
        ]
    );
}

#[test]
fn behind_finished_sources_their_consumers_begin() {
    // a (2) -> b (2) -> c (1); d (1) -> c.
    let edges = [
        edge(0, 1, Ship::Forward),
        edge(1, 2, Ship::Hash),
        edge(3, 2, Ship::Hash),
    ];
    let vertices = [("a", 2), ("b", 2), ("c", 1), ("d", 1)];
    let mut script = Script::checkpointing_graph(every_ten_seconds(), &graph(&vertices, &edges));
    script.task("v0_0_0", S::Finished);
    script.due(1, 10);
    assert_eq!(
        script.opened(1),
        ["trigger 1 a#0: v1_0_0 v3_0_0", "trigger 1 b#1: v0_1_0"]
    );
    script.ack("v0_1_0 v1_0_0 v1_1_0 v2_0_0 v3_0_0", 1);
    script.enumerators(1, b"");
    script.stored(1);
    script.tasks("v0_1_0 v1_0_0 v1_1_0 v3_0_0", S::Finished);
    script.due(2, 20);
    assert_eq!(
        script.opened(2),
        ["trigger 2 a#0: v2_0_0", "enumerators 2"],
        "no source is left to be waited for"
    );
}

#[test]
fn finished_tasks_prevent_them_if_so_configured() {
    let mut script = Script::checkpointing(CheckpointSettings {
        after_tasks_finish: false,
        ..every_ten_seconds()
    });
    script.task("v0_0_0", S::Finished);
    assert_eq!(script.due(1, 10), [""; 0]);
    assert_eq!(
        script.request(1, K::Savepoint),
        [
            "request 1: the savepoint failed: some tasks have finished, and \
             execution.checkpointing.checkpoints-after-tasks-finish is false"
        ]
    );
}

#[test]
fn a_task_that_finishes_while_the_place_is_made_prevents_it_if_so_configured() {
    let mut script = Script::checkpointing(CheckpointSettings {
        after_tasks_finish: false,
        ..every_ten_seconds()
    });
    script.due(1, 10);
    script.task("v0_0_0", S::Finished);
    assert_eq!(script.opened(1), ["discard 1 /c/chk-1"]);
    assert_eq!(script.core.failure_history().count(), 0);
}

#[test]
fn a_task_that_finishes_before_its_barrier_has_the_checkpoint_begin_anew() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    script.ack("v0_1_0", 1);
    script.seconds = 11;
    assert_eq!(
        decisions(script.task("v0_0_0", S::Finished)),
        [
            "aborted 1 a#0: v1_0_0",
            "aborted 1 b#1: v0_1_0 v1_1_0",
            "discard 1 /c/chk-1",
            "timer checkpoint 3 at 21s",
            "open 2 Checkpoint",
            "timer timeout of 2 at 611s",
        ]
    );
    assert_eq!(
        script.opened(2),
        ["trigger 2 a#0: ", "trigger 2 b#1: v0_1_0"],
        "every worker learns of it"
    );
    assert_eq!(script.ack("v0_1_0 v1_0_0", 2), ["enumerators 2"]);
    assert_eq!(
        decisions(script.task("v1_0_0", S::Finished)),
        [""; 0],
        "it has taken part"
    );
    assert_eq!(script.ack("v1_1_0", 2), [""; 0]);
    assert_eq!(script.enumerators(2, b""), ["store 2 in /c/chk-2"]);
}

#[test]
fn without_interval_there_are_none() {
    let mut script = Script::checkpointing(CheckpointSettings::default());
    assert_eq!(script.due(1, 10), [""; 0]);
    assert_eq!(script.request(1, K::Savepoint)[0], "open 1 Savepoint in /s");
}

#[test]
fn a_batch_job_takes_none() {
    let mut graph = graph(&[("source", 2)], &[]);
    graph.mode = flott_model::RuntimeMode::Batch.into();
    let mut script = Script::checkpointing_graph(every_ten_seconds(), &graph);
    assert_eq!(script.due(1, 10), [""; 0]);
    assert_eq!(
        script.request(5, K::Checkpoint),
        ["request 5: the checkpoint failed: the job runs in BATCH, which takes no checkpoints"]
    );
}

#[test]
fn numbers_are_greater_than_any_that_was_seen() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.send(JobEvent::CheckpointSeen(flott_model::CheckpointId(41)));
    script.send(JobEvent::CheckpointSeen(flott_model::CheckpointId(12)));
    assert_eq!(script.due(1, 10)[1], "open 42 Checkpoint");
}

#[test]
fn options_travel_with_the_trigger() {
    let trigger = |settings: CheckpointSettings, kind: K| {
        let mut script = Script::checkpointing(settings);
        script.request(1, kind);
        let opened = JobEvent::CheckpointOpened {
            checkpoint: flott_model::CheckpointId(1),
            timestamp_ms: 99,
            result: Ok("/d".to_owned()),
        };
        for action in script.core.handle(Duration::ZERO, opened) {
            if let JobAction::TriggerCheckpoint { trigger, .. } = action {
                return trigger;
            }
        }
        panic!("nobody is told");
    };
    let settings = CheckpointSettings {
        unaligned: true,
        aligned_timeout: Duration::from_secs(3),
        ..every_ten_seconds()
    };
    let checkpoint = trigger(settings.clone(), K::Checkpoint);
    assert_eq!(
        (checkpoint.timestamp_ms, checkpoint.directory.as_str()),
        (99, "/d")
    );
    assert!(checkpoint.options.unaligned && !checkpoint.options.full);
    assert_eq!(checkpoint.options.aligned_timeout, Duration::from_secs(3));
    let savepoint = trigger(settings.clone(), K::DrainWithSavepoint);
    assert_eq!(savepoint.kind, K::DrainWithSavepoint);
    assert!(!savepoint.options.unaligned && savepoint.options.full);
    let at_least_once = trigger(
        CheckpointSettings {
            mode: crate::checkpoint::CheckpointingMode::AtLeastOnce,
            ..settings
        },
        K::Checkpoint,
    );
    assert!(!at_least_once.options.unaligned, "only exactly-once can be");
}

#[test]
fn a_checkpoint_that_gets_no_place_has_failed() {
    let mut script = Script::checkpointing(CheckpointSettings {
        tolerable_failed: 1,
        ..every_ten_seconds()
    });
    script.due(1, 10);
    assert_eq!(
        script.place(1, Err(transient("NameNode in safe mode"))),
        ["discard 1 "],
        "if one is made nevertheless it goes"
    );
    assert_eq!(script.core.checkpoints().counts.failed, 1);
    script.due(2, 20);
    let actions = script.place(2, Err(transient("NameNode in safe mode")));
    assert_eq!(
        actions[1],
        "status RESTARTING: checkpoint 2 failed: no directory could be made for it: NameNode in \
         safe mode\n(2 failed one after the other; \
         execution.checkpointing.tolerable-failed-checkpoints is 1)"
    );
}

#[test]
fn stale_timers_begin_nothing() {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.complete(1);
    assert_eq!(script.due(1, 12), [""; 0]);
    assert_eq!(
        decisions(script.fire(Timer::CheckpointTimeout(flott_model::CheckpointId(1)))),
        [""; 0]
    );
}
