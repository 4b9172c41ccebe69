//! `/jobs/:id/execution-result`: what an attached client waits for.

use flott_jobmanager::JobSnapshot;
use flott_model::JobStatus;
use serde_json::{Value, json};

use crate::{accumulators, exceptions};

pub(crate) fn execution_result(job: &JobSnapshot) -> Value {
    let status = match job.status {
        JobStatus::Finished => "SUCCEEDED",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Failed => "FAILED",
        JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Failing
        | JobStatus::Cancelling
        | JobStatus::Restarting
        | JobStatus::Suspended
        | JobStatus::Reconciling => return json!({ "status": { "id": "IN_PROGRESS" } }),
    };
    let mut result = json!({
        "id": job.id.to_string(),
        "application-status": status,
        "accumulator-results": accumulators::results(job),
        "net-runtime": job.duration_ms(),
    });
    if let Some(cause) = job.root_cause() {
        result["failure-cause"] = exceptions::serialized(cause);
    }
    json!({ "status": { "id": "COMPLETED" }, "job-execution-result": result })
}
