//! Commits the outputs of a finished job, or of a checkpoint: beside the tasks, since it waits for storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_model::OperatorUid;
use flott_operators::TaskError;
use flott_operators::sink::CommitStage;
use flott_protocol::message::{CommitOutputs, CommitResult, WorkerMessage, worker_message};
use tokio::sync::mpsc;

use crate::plan::Plan;

/// Commits and answers. Ends with the process if that ends: the request is idempotent.
pub(super) fn spawn(
    request: CommitOutputs,
    plan: &Arc<Plan>,
    files: Arc<FileSystems>,
    messages: mpsc::Sender<WorkerMessage>,
) {
    let plan = Arc::clone(plan);
    tokio::spawn(async move {
        let round = request.round;
        let result = commit(request, &plan, files).await;
        let failure = result.err().map(|error| error.to_failure());
        let kind = worker_message::Kind::Committed(CommitResult { round, failure });
        let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
    });
}

async fn commit(
    request: CommitOutputs,
    plan: &Plan,
    files: Arc<FileSystems>,
) -> Result<(), TaskError> {
    let mut by_operator: BTreeMap<OperatorUid, Vec<Vec<u8>>> = BTreeMap::new();
    for output in request.outputs {
        let uid = output.uid().ok_or_else(|| {
            TaskError::fatal("an output names no operator: its checkpoint is damaged")
        })?;
        by_operator.entry(uid).or_default().push(output.committable);
    }
    let stage = match (request.last, request.checkpointed) {
        (false, _) => CommitStage::Checkpoint,
        (true, true) => CommitStage::End,
        (true, false) => CommitStage::EndWithoutCheckpoints,
    };
    for (uid, committables) in by_operator {
        let committer = plan.committer(uid).ok_or_else(|| {
            TaskError::fatal(format!(
                "outputs of operator {uid} cannot be committed: the job has no sink with that uid"
            ))
        })?;
        committer(Arc::clone(&files), stage, committables).await?;
    }
    Ok(())
}
