//! `/jobs/:id/exceptions`: what failed, newest first, with the old fields for the newest.

use flott_jobmanager::{FailureSnapshot, JobSnapshot};
use flott_model::{Failure, FailureClass};
use serde_json::{Value, json};

pub(crate) fn exceptions(job: &JobSnapshot) -> Value {
    let newest = job.failures.first();
    let entries: Vec<Value> = job.failures.iter().map(entry).collect();
    let all: Vec<Value> = newest.iter().flat_map(|failure| all(failure)).collect();
    json!({
        "root-exception": newest.map(|failure| failure.root.to_string()),
        "timestamp": newest.map(|failure| failure.root.timestamp_ms),
        "all-exceptions": all,
        "truncated": false,
        "exceptionHistory": { "entries": entries, "truncated": false },
    })
}

/// What stands where Flink has the name of an exception's class.
fn class(failure: &Failure) -> &'static str {
    match failure.class() {
        FailureClass::Transient => "flott.TransientFailure",
        FailureClass::UserCode => "flott.UserCodeFailure",
        FailureClass::Fatal => "flott.FatalFailure",
    }
}

/// A failure where Flink has a serialized Java object; there is none here.
pub(crate) fn serialized(failure: &Failure) -> Value {
    json!({
        "class": class(failure),
        "stack-trace": failure.to_string(),
        "serialized-throwable": "",
    })
}

fn all(failure: &FailureSnapshot) -> impl Iterator<Item = Value> {
    std::iter::once(&failure.root)
        .chain(&failure.concurrent)
        .map(|failure| {
            json!({
                "exception": failure.to_string(),
                "task": optional(&failure.task),
                "location": optional(&failure.location),
                "endpoint": optional(&failure.location),
                "timestamp": failure.timestamp_ms,
                "taskManagerId": optional(&failure.location),
            })
        })
}

fn info(failure: &Failure) -> Value {
    json!({
        "exceptionName": class(failure),
        "stacktrace": failure.to_string(),
        "timestamp": failure.timestamp_ms,
        "failureLabels": {},
        "taskName": optional(&failure.task),
        "location": optional(&failure.location),
        "endpoint": optional(&failure.location),
        "taskManagerId": optional(&failure.location),
    })
}

fn entry(failure: &FailureSnapshot) -> Value {
    let mut entry = info(&failure.root);
    entry["concurrentExceptions"] = failure.concurrent.iter().map(info).collect();
    entry
}

fn optional(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}
