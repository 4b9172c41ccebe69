//! Actions as text.

use flott_model::{CheckpointId, ExecutionAttemptId, SlotId};

use crate::job::message::{JobAction, Timer, WorkerId};

fn short(worker: &WorkerId) -> String {
    format!(
        "{}#{}",
        worker.container,
        worker.incarnation.0 & 0xffff_ffff
    )
}

pub(super) fn short_attempt(attempt: &ExecutionAttemptId) -> String {
    format!(
        "v{}_{}_{}",
        attempt.vertex.0, attempt.subtask, attempt.attempt
    )
}

fn short_slots(slots: &[SlotId]) -> String {
    let names: Vec<String> = slots
        .iter()
        .map(|slot| format!("{}/{}", slot.container, slot.index))
        .collect();
    names.join(" ")
}

/// Actions on checkpoints.
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "the other actions are described by the caller"
)]
fn describe_checkpoint(action: &JobAction) -> String {
    let told = |what: &str, checkpoint: &CheckpointId, worker, attempts: &[ExecutionAttemptId]| {
        let names: Vec<String> = attempts.iter().map(short_attempt).collect();
        format!("{what} {checkpoint} {}: {}", short(worker), names.join(" "))
    };
    match action {
        JobAction::OpenCheckpoint {
            checkpoint,
            kind,
            directory,
        } => format!(
            "open {checkpoint} {kind:?}{}",
            directory
                .as_ref()
                .map_or(String::new(), |it| format!(" in {it}"))
        ),
        JobAction::TriggerCheckpoint {
            worker,
            attempts,
            trigger,
        } => told("trigger", &trigger.checkpoint, worker, attempts),
        JobAction::SnapshotEnumerators { checkpoint } => format!("enumerators {checkpoint}"),
        JobAction::StoreMetadata {
            checkpoint,
            directory,
            ..
        } => format!("store {checkpoint} in {directory}"),
        JobAction::NotifyCompleted {
            worker,
            checkpoint,
            attempts,
        } => told("completed", checkpoint, worker, attempts),
        JobAction::NotifyAborted {
            worker,
            checkpoint,
            attempts,
        } => told("aborted", checkpoint, worker, attempts),
        JobAction::Discard {
            checkpoint,
            directory,
            keep,
            files,
        } if keep.is_empty() && files.is_empty() => format!("discard {checkpoint} {directory}"),
        JobAction::Discard {
            checkpoint,
            directory,
            keep,
            files,
        } => format!("discard {checkpoint} {directory} keep {keep:?} files {files:?}"),
        JobAction::CheckpointChanged(Some(checkpoint)) => format!("changed {checkpoint}"),
        JobAction::CheckpointChanged(None) => "changed all".to_owned(),
        JobAction::SnapshotRequestDone { request, result } => match result {
            Ok(done) => format!("request {request}: {} at {}", done.checkpoint, done.path),
            Err(failure) => format!("request {request}: {failure}"),
        },
        JobAction::ResetEnumerators { checkpoint, states } => {
            let checkpoint = checkpoint.map_or("nothing".to_owned(), |it| it.to_string());
            let states: Vec<&[u8]> = states.iter().map(|it| it.state.as_slice()).collect();
            format!("enumerators begin with {checkpoint} {states:?}")
        }
        other => unreachable!("{other:?} is described elsewhere"),
    }
}

pub(super) fn describe(action: &JobAction) -> String {
    match action {
        JobAction::RequireSlots(slots) => format!("require {slots}"),
        JobAction::ReleaseSlots(slots) => format!("release {}", short_slots(slots)),
        JobAction::StartWorker { worker, slots } => format!("start {} {slots:?}", short(worker)),
        JobAction::StopWorker(worker) => format!("stop {}", short(worker)),
        JobAction::Deploy { worker, tasks } => {
            let names: Vec<String> = tasks
                .iter()
                .map(|task| short_attempt(&task.attempt))
                .collect();
            format!("deploy {}: {}", short(worker), names.join(" "))
        }
        JobAction::CancelTasks { worker, attempts } => {
            let names: Vec<String> = attempts.iter().map(short_attempt).collect();
            format!("cancel {}: {}", short(worker), names.join(" "))
        }
        JobAction::Commit {
            worker,
            round,
            outputs,
            ..
        } => {
            let bytes: Vec<u8> = outputs
                .iter()
                .flat_map(|output| output.committable.clone())
                .collect();
            format!("commit {} round {round} {bytes:?}", short(worker))
        }
        JobAction::ReleasePartitions => "release partitions".to_owned(),
        JobAction::ScheduleTimer(timer, due) => {
            let name = match timer {
                Timer::SlotRequest(request) => format!("slots {request}"),
                Timer::WorkerStart(worker) => format!("worker {}", short(worker)),
                Timer::Cancellation(round) => format!("cancellation {round}"),
                Timer::Restart(restart) => format!("restart {restart}"),
                Timer::Commit(number) => format!("commit {number}"),
                Timer::CheckpointDue(number) => format!("checkpoint {number}"),
                Timer::CheckpointTimeout(checkpoint) => format!("timeout of {checkpoint}"),
            };
            format!("timer {name} at {}s", due.as_secs())
        }
        JobAction::StatusChanged(status, None) => format!("status {status}"),
        JobAction::StatusChanged(status, Some(failure)) => format!("status {status}: {failure}"),
        JobAction::ExecutionChanged {
            attempt,
            state,
            worker,
            ..
        } => {
            let worker = worker
                .as_ref()
                .map_or(String::new(), |it| format!(" on {}", short(it)));
            format!("{} {state}{worker}", short_attempt(attempt))
        }
        JobAction::OpenCheckpoint { .. }
        | JobAction::TriggerCheckpoint { .. }
        | JobAction::SnapshotEnumerators { .. }
        | JobAction::StoreMetadata { .. }
        | JobAction::NotifyCompleted { .. }
        | JobAction::NotifyAborted { .. }
        | JobAction::Discard { .. }
        | JobAction::CheckpointChanged(_)
        | JobAction::SnapshotRequestDone { .. }
        | JobAction::ResetEnumerators { .. } => describe_checkpoint(action),
    }
}
