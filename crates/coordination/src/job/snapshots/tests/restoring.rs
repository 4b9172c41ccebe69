//! What a job begins from at first.

use std::sync::Arc;

use flott_model::{
    CheckpointId, CheckpointMetadata, JobGraph, JobStatus, ShipStrategy as Ship, SnapshotKind,
    SubtaskRestore,
};

use crate::checkpoint::{
    CheckpointSettings, ClaimMode, Origin, SavepointRestore, StoredCheckpoint,
};
use crate::job::message::{JobAction, JobEvent};
use crate::job::testkit::{
    Script, decisions, edge, every_ten_seconds, graph, offers, output, snapshot, worker,
};

fn two_by_two() -> JobGraph {
    graph(&[("source", 2), ("sink", 2)], &[edge(0, 1, Ship::Hash)])
}

/// The metadata of a checkpoint of [`two_by_two`], in which the first source has a file.
fn metadata(number: u64, kind: SnapshotKind) -> CheckpointMetadata {
    let mut script = Script::checkpointing(every_ten_seconds());
    script.due(1, 10);
    script.opened(1);
    script.ack_with("v0_0_0", 1, snapshot("x", &[]));
    script.ack("v0_1_0 v1_1_0", 1);
    script.ack_with("v1_0_0", 1, snapshot("", &[output(1, 4)]));
    let states = JobEvent::EnumeratorsSnapshotted {
        checkpoint: CheckpointId(1),
        worker: None,
        result: Ok(vec![flott_model::EnumeratorState {
            operator: crate::job::testkit::uid(0),
            state: b"e".to_vec(),
        }]),
    };
    let mut metadata = script.metadata_after(states).remove(0);
    metadata.id = number;
    metadata.kind = kind.number();
    metadata
}

fn stored(number: u64, kind: SnapshotKind) -> StoredCheckpoint {
    StoredCheckpoint {
        metadata: Arc::new(metadata(number, kind)),
        directory: format!("/old/{number}"),
        path: format!("hdfs:/old/{number}"),
    }
}

fn from_savepoint(claim: ClaimMode) -> Origin {
    Origin {
        savepoint: Some(SavepointRestore {
            checkpoint: stored(30, SnapshotKind::Savepoint),
            claim,
            allow_non_restored: false,
        }),
        ..Origin::default()
    }
}

/// What tasks are deployed with.
fn restores(script: &mut Script) -> Vec<SubtaskRestore> {
    let mut found = Vec::new();
    let now = std::time::Duration::ZERO;
    let mut events = vec![
        JobEvent::Started,
        JobEvent::SlotsGranted(offers("a@h1:0 b@h2:0")),
    ];
    for name in ["a#0", "b#1"] {
        events.push(JobEvent::WorkerRegistered {
            worker: worker(name),
            data_address: "x:1".to_owned(),
        });
    }
    for event in events {
        for action in script.core.handle(now, event) {
            if let JobAction::Deploy { tasks, .. } = action {
                found.extend(tasks.into_iter().filter_map(|task| task.restore));
            }
        }
    }
    found
}

#[test]
fn every_task_is_given_its_part_and_outputs_are_committed_again() {
    let mut script = Script::beginning(
        every_ten_seconds(),
        &two_by_two(),
        from_savepoint(ClaimMode::NoClaim),
    );
    let actions = decisions(script.start_on_two());
    assert_eq!(
        actions[0..2],
        ["status RUNNING", "enumerators begin with 30 [[101]]"]
    );
    assert_eq!(
        actions[actions.len() - 3..],
        [
            "deploy a#0: v0_0_0 v1_0_0",
            "deploy b#1: v0_1_0 v1_1_0",
            "commit a#0 round 1 [4]"
        ]
    );
    let restored = script.core.checkpoints().latest_restored.clone().unwrap();
    assert_eq!(
        (restored.checkpoint.0, restored.path.as_str()),
        (30, "hdfs:/old/30")
    );
    script.run_all();
    assert_eq!(script.due(1, 10)[1], "open 31 Checkpoint");
}

#[test]
fn handles_are_relative_to_the_old_directory() {
    let origin = from_savepoint(ClaimMode::NoClaim);
    let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), origin);
    let restores = restores(&mut script);
    assert_eq!(restores.len(), 4);
    for restore in &restores {
        assert_eq!(restore.checkpoint, 30);
        assert_eq!(restore.directory, "/old/30");
        assert!(!restore.finished);
    }
    let state = restores[0].operators[0].states[0].state.clone().unwrap();
    assert_eq!(state.file, "x");
}

/// Whether the checkpoints a job takes after a restore are full, and what they delete.
fn first_two(claim: ClaimMode) -> (Vec<bool>, Vec<String>) {
    let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), from_savepoint(claim));
    script.start_on_two();
    script.run_all();
    let (mut full, mut deleted) = (Vec::new(), Vec::new());
    for (timer, number) in [(1, 31), (2, 32)] {
        script.due(timer, timer * 10);
        let opened = JobEvent::CheckpointOpened {
            checkpoint: CheckpointId(number),
            timestamp_ms: 0,
            result: Ok(format!("/c/chk-{number}")),
        };
        let now = std::time::Duration::from_secs(script.seconds);
        for action in script.core.handle(now, opened) {
            if let JobAction::TriggerCheckpoint { trigger, .. } = action {
                full.push(trigger.options.full);
            }
        }
        let actions = script.complete(number).into_iter();
        deleted.extend(actions.filter(|it| it.starts_with("discard")));
    }
    (full, deleted)
}

#[test]
fn a_savepoint_that_is_not_claimed_is_left_alone() {
    let (full, deleted) = first_two(ClaimMode::NoClaim);
    assert_eq!(full, [true, true, false, false], "two sources each");
    assert_eq!(deleted, ["discard 31 /c/chk-31"]);
}

#[test]
fn a_claimed_savepoint_is_the_jobs_own() {
    let (full, deleted) = first_two(ClaimMode::Claim);
    assert_eq!(full, [false; 4]);
    assert_eq!(deleted, ["discard 30 /old/30", "discard 31 /c/chk-31"]);
}

#[test]
fn a_failure_before_the_first_checkpoint_goes_back_to_the_savepoint() {
    let origin = from_savepoint(ClaimMode::NoClaim);
    let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), origin);
    script.start_on_two();
    script.run_all();
    script.fail("v0_0_0", flott_model::FailureClass::UserCode, "boom");
    script.tasks(
        "v0_1_0 v1_0_0 v1_1_0",
        flott_model::ExecutionState::Canceled,
    );
    script.seconds = 5;
    let actions = decisions(script.fire(crate::job::Timer::Restart(1)));
    assert_eq!(actions[1], "enumerators begin with 30 [[101]]");
    assert_eq!(script.core.checkpoints().counts.restored, 2);
}

#[test]
fn a_job_that_cannot_begin_from_it_fails_before_anything_is_asked_for() {
    let edges = [edge(0, 1, Ship::Hash)];
    let mut other = graph(&[("source", 2), ("sink", 2)], &edges);
    other.vertices[0].operators[0].uid = vec![9; 16];
    let origin = from_savepoint(ClaimMode::NoClaim);
    let mut script = Script::beginning(every_ten_seconds(), &other, origin.clone());
    let actions = decisions(script.send(JobEvent::Started));
    assert!(
        actions[0].starts_with(
            "status FAILING: cannot restore from hdfs:/old/30: it has state of 'source' (uid \
             00000000000000000000000000000000), and the job has no operator with that uid"
        ),
        "{actions:?}"
    );
    assert_eq!(script.core.status(), JobStatus::Failed);
    assert!(!actions.iter().any(|it| it.starts_with("start")));
    let mut allowed = origin;
    if let Some(savepoint) = &mut allowed.savepoint {
        savepoint.allow_non_restored = true;
    }
    let mut script = Script::beginning(every_ten_seconds(), &other, allowed);
    let actions = decisions(script.start_on_two());
    assert_eq!(
        actions[1], "enumerators begin with 30 []",
        "of a source that is gone"
    );
}

#[test]
fn a_batch_job_begins_from_nothing() {
    let mut graph = two_by_two();
    graph.mode = flott_model::RuntimeMode::Batch.into();
    let origin = from_savepoint(ClaimMode::NoClaim);
    let mut script = Script::beginning(CheckpointSettings::default(), &graph, origin);
    let actions = script.send(JobEvent::Started);
    assert_eq!(
        actions[0],
        "status FAILING: cannot restore from hdfs:/old/30: the job runs in BATCH, which has no state \
         to restore"
    );
}

#[test]
fn files_of_older_ones_that_the_newest_uses_stay() {
    let with = |number: u64, file: &str| {
        let mut stored = stored(number, SnapshotKind::Checkpoint);
        let metadata = Arc::make_mut(&mut stored.metadata);
        let states = &mut metadata.vertices[0].subtasks[0].operators;
        states[0].state.as_mut().unwrap().file = file.to_owned();
        stored
    };
    let origin = Origin {
        completed: vec![
            with(40, "/shared/x"),
            with(41, "/shared/y"),
            with(42, "/shared/x"),
        ],
        ..Origin::default()
    };
    let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), origin);
    let actions = decisions(script.send(JobEvent::Started)).into_iter();
    let discards: Vec<String> = actions.filter(|it| it.starts_with("discard")).collect();
    assert_eq!(
        discards,
        [
            "discard 40 /old/40",
            "discard 41 /old/41 keep [] files [\"/shared/y\"]"
        ]
    );
}

#[test]
fn a_claimed_savepoint_is_the_jobs_own_for_the_next_jobmanager_too() {
    for (claim, deleted) in [(ClaimMode::Claim, true), (ClaimMode::NoClaim, false)] {
        let origin = Origin {
            completed: vec![stored(30, SnapshotKind::Savepoint)],
            ..from_savepoint(claim)
        };
        let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), origin);
        script.start_on_two();
        script.run_all();
        script.due(1, 10);
        let actions = script.complete(31);
        let discard = "discard 30 /old/30".to_owned();
        assert_eq!(actions.contains(&discard), deleted, "{actions:?}");
    }
}

#[test]
fn the_jobs_own_checkpoints_come_before_the_savepoint() {
    let origin = Origin {
        completed: vec![
            stored(41, SnapshotKind::Checkpoint),
            stored(40, SnapshotKind::Checkpoint),
        ],
        seen: Some(CheckpointId(44)),
        ..from_savepoint(ClaimMode::NoClaim)
    };
    let mut script = Script::beginning(every_ten_seconds(), &two_by_two(), origin);
    let actions = decisions(script.start_on_two());
    assert!(actions.contains(&"enumerators begin with 41 [[101]]".to_owned()));
    assert!(
        actions.contains(&"discard 40 /old/40".to_owned()),
        "it was not needed any more"
    );
    assert_eq!(actions.last().unwrap(), "commit a#0 round 1 [4]");
    script.run_all();
    assert_eq!(script.due(1, 10)[1], "open 45 Checkpoint");
}
