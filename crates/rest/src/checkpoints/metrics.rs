//! The metrics of a job that tell of its checkpoints.

use flott_coordination::checkpoint::CheckpointRecord;
use flott_jobmanager::JobSnapshot;

use super::{Times, external_path, since};

/// What Flink says for numbers that there are none of yet.
const NONE: i64 = -1;

/// Names and values; none for a job that cannot have checkpoints.
pub(crate) fn metrics(job: &JobSnapshot) -> Vec<(&'static str, String)> {
    if !super::has_checkpoints(job) {
        return Vec::new();
    }
    let statistics = &job.checkpoints;
    let counts = statistics.counts;
    // The last one that is complete, whatever it is.
    let completed = [&statistics.latest_completed, &statistics.latest_savepoint];
    let latest = completed.into_iter().flatten();
    let latest = latest.max_by_key(|record| record.checkpoint);
    let number =
        |of: &dyn Fn(&CheckpointRecord) -> String| latest.map_or_else(|| NONE.to_string(), of);
    let size = number(&|record| record.bytes().to_string());
    let nothing = number(&|_| "0".to_owned());
    let duration = number(&|record| since(record.triggered, record.ended()).to_string());
    let path = latest.and_then(external_path).unwrap_or("n/a");
    let restored = statistics.latest_restored.as_ref();
    let restored = restored.map(|record| Times::of(job).at(record.at));
    vec![
        ("totalNumberOfCheckpoints", counts.total.to_string()),
        (
            "numberOfInProgressCheckpoints",
            counts.in_progress.to_string(),
        ),
        ("numberOfCompletedCheckpoints", counts.completed.to_string()),
        ("numberOfFailedCheckpoints", counts.failed.to_string()),
        (
            "lastCheckpointRestoreTimestamp",
            restored.map_or_else(|| NONE.to_string(), |time| time.to_string()),
        ),
        ("lastCheckpointSize", size.clone()),
        ("lastCheckpointFullSize", size),
        ("lastCheckpointDuration", duration),
        ("lastCheckpointProcessedData", nothing.clone()),
        ("lastCheckpointPersistedData", nothing),
        ("lastCheckpointExternalPath", path.to_owned()),
        (
            "lastCompletedCheckpointId",
            number(&|record| record.checkpoint.to_string()),
        ),
    ]
}
