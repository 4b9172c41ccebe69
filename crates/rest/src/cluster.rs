//! Answers about the cluster: overview, configuration.

use std::collections::BTreeMap;

use flott_jobmanager::{ExecutorSnapshot, JobSnapshot};
use flott_model::JobStatus;
use serde_json::{Value, json};

/// The version that clients of Flink's interface are told; it is its shape that counts.
const FLINK_VERSION: &str = "1.20";
const REVISION: &str = concat!("flott-", env!("CARGO_PKG_VERSION"));
const REFRESH_INTERVAL_MS: u32 = 3000;
/// Parts of a key whose value nobody may read (Flink's list).
const SENSITIVE: [&str; 8] = [
    "password",
    "secret",
    "fs.azure.account.key",
    "apikey",
    "api-key",
    "auth-params",
    "service-key",
    "token",
];

pub(crate) fn overview(executors: &[ExecutorSnapshot], jobs: &[JobSnapshot]) -> Value {
    let count = |is: fn(JobStatus) -> bool| jobs.iter().filter(|job| is(job.status)).count();
    json!({
        "taskmanagers": executors.len(),
        "slots-total": executors.iter().map(|executor| executor.slots).sum::<u32>(),
        "slots-available": executors.iter().map(|executor| executor.free_slots).sum::<u32>(),
        "jobs-running": count(|status| !status.is_terminal()),
        "jobs-finished": count(|status| status == JobStatus::Finished),
        "jobs-cancelled": count(|status| status == JobStatus::Canceled),
        "jobs-failed": count(|status| status == JobStatus::Failed),
        "flink-version": FLINK_VERSION,
        "flink-commit": REVISION,
    })
}

pub(crate) fn dashboard() -> Value {
    json!({
        "refresh-interval": REFRESH_INTERVAL_MS,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": FLINK_VERSION,
        "flink-revision": REVISION,
        "features": {
            "web-submit": false,
            "web-cancel": true,
            "web-rescale": false,
            "web-history": false,
        },
    })
}

pub(crate) fn configuration(settings: &BTreeMap<String, String>) -> Value {
    let entries = settings.iter().map(|(key, value)| {
        let lower = key.to_lowercase();
        let hidden = SENSITIVE.iter().any(|part| lower.contains(part));
        json!({ "key": key, "value": if hidden { "******" } else { value } })
    });
    entries.collect()
}
