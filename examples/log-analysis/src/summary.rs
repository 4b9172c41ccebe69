//! What is told of all requests for a path in an hour.

use std::fmt;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

use crate::access::Access;

/// Requests for a path in an hour, as far as they have come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    hour: Str,
    path: Str,
    requests: u64,
    errors: u64,
    bytes: u64,
    largest: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            hour,
            path,
            requests,
            errors,
            bytes,
            largest,
        } = self;
        write!(
            f,
            "{hour} {path} requests={requests} errors={errors} bytes={bytes} largest={largest}"
        )
    }
}

/// Adds requests up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summarize;

impl AggregateFunction<Access> for Summarize {
    type Accumulator = Summary;
    type Output = Summary;

    fn create_accumulator(&self) -> Summary {
        Summary::default()
    }

    fn add(&self, summary: &mut Summary, access: Access) {
        let one = Summary {
            requests: 1,
            errors: u64::from(access.status >= 400),
            bytes: access.bytes,
            largest: access.bytes,
            hour: access.hour,
            path: access.path,
        };
        self.merge(summary, one);
    }

    fn get_result(&self, summary: &Summary) -> Summary {
        summary.clone()
    }

    fn merge(&self, summary: &mut Summary, other: Summary) {
        summary.hour = other.hour;
        summary.path = other.path;
        summary.requests += other.requests;
        summary.errors += other.errors;
        summary.bytes += other.bytes;
        summary.largest = summary.largest.max(other.largest);
    }
}
