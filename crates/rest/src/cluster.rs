//! Answers about the cluster: overview, executors, configuration.

use std::collections::BTreeMap;

use flott_jobmanager::{ExecutorSnapshot, JobSnapshot};
use flott_model::JobStatus;
use serde_json::{Value, json};

use crate::job::now;

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

/// A task executor. Memory that a JVM would have and this has not is 0.
pub(crate) fn executor(executor: &ExecutorSnapshot) -> Value {
    let free = executor
        .memory_bytes
        .saturating_sub(executor.memory.resident_bytes);
    json!({
        "id": executor.container,
        "path": executor.host,
        "dataPort": -1,
        "jmxPort": -1,
        "timeSinceLastHeartbeat": now().saturating_sub(executor.silent_ms),
        "slotsNumber": executor.slots,
        "freeSlots": executor.free_slots,
        "totalResource": resource(executor.slots),
        "freeResource": resource(executor.free_slots),
        "hardware": {
            "cpuCores": executor.slots,
            "physicalMemory": executor.memory_bytes,
            "freeMemory": free,
            "managedMemory": 0,
        },
        "memoryConfiguration": {
            "frameworkHeap": 0,
            "taskHeap": 0,
            "frameworkOffHeap": 0,
            "taskOffHeap": 0,
            "networkMemory": 0,
            "managedMemory": 0,
            "jvmMetaspace": 0,
            "jvmOverhead": 0,
            "totalFlinkMemory": executor.memory_bytes,
            "totalProcessMemory": executor.memory_bytes,
        },
        "flott-memory": {
            "resident": executor.memory.resident_bytes,
            "virtual": executor.memory.virtual_bytes,
            "peak-resident": executor.memory.peak_resident_bytes,
        },
    })
}

fn resource(slots: u32) -> Value {
    json!({
        "cpuCores": f64::from(slots),
        "taskHeapMemory": 0,
        "taskOffHeapMemory": 0,
        "managedMemory": 0,
        "networkMemory": 0,
        "extendedResources": {},
    })
}
