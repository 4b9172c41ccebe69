//! `/jobs/:id/vertices/:vertex/backpressure`: which operator holds up the others.

use std::collections::BTreeMap;

use flott_protocol::message::TaskInspected;
use serde_json::{Value, json};

use crate::job::now;
use crate::metrics::of_task;

/// Shares of time in back pressure above which it is called low, and high.
const LOW: f64 = 0.1;
const HIGH: f64 = 0.5;

fn level(ratio: f64) -> &'static str {
    match ratio {
        ratio if ratio > HIGH => "high",
        ratio if ratio > LOW => "low",
        _ => "ok",
    }
}

/// The back pressure of a vertex's tasks; without any that run there is nothing to tell.
pub(crate) fn backpressure(tasks: &BTreeMap<usize, &TaskInspected>) -> Value {
    if tasks.is_empty() {
        return json!({ "status": "deprecated" });
    }
    let mut worst: f64 = 0.0;
    let mut subtasks = Vec::with_capacity(tasks.len());
    for (index, task) in tasks {
        let metrics = of_task(task);
        let ratio = |name: &str| {
            let share = metrics
                .get(name)
                .and_then(|value| value.parse::<f64>().ok());
            share.unwrap_or(0.0) / 1000.0
        };
        let backpressured = ratio("backPressuredTimeMsPerSecond");
        worst = worst.max(backpressured);
        subtasks.push(json!({
            "subtask": index,
            "attempt-number": task.attempt.attempt,
            "backpressureLevel": level(backpressured),
            "backpressure-level": level(backpressured),
            "ratio": backpressured,
            "idleRatio": ratio("idleTimeMsPerSecond"),
            "busyRatio": ratio("busyTimeMsPerSecond"),
        }));
    }
    json!({
        "status": "ok",
        "backpressureLevel": level(worst),
        "backpressure-level": level(worst),
        "end-timestamp": now(),
        "subtasks": subtasks,
    })
}

#[cfg(test)]
mod tests {
    use flott_protocol::message::Metric;

    use super::*;

    fn task(shares: [u32; 3]) -> TaskInspected {
        let names = [
            "backPressuredTimeMsPerSecond",
            "idleTimeMsPerSecond",
            "busyTimeMsPerSecond",
        ];
        let metric = |(name, value): (&str, u32)| Metric {
            name: name.to_owned(),
            value: value.to_string(),
            of_job: false,
        };
        TaskInspected {
            metrics: names.into_iter().zip(shares).map(metric).collect(),
            ..TaskInspected::default()
        }
    }

    #[test]
    fn the_worst_subtask_counts() {
        let (calm, held) = (task([100, 800, 100]), task([501, 0, 499]));
        let mut answer = backpressure(&BTreeMap::from([(0, &calm), (1, &held)]));
        assert!(answer["end-timestamp"].take().is_u64());
        assert_eq!(
            answer,
            json!({
                "status": "ok", "backpressureLevel": "high", "backpressure-level": "high",
                "end-timestamp": null,
                "subtasks": [
                    { "subtask": 0, "attempt-number": 0, "backpressureLevel": "ok", "backpressure-level": "ok",
                      "ratio": 0.1, "idleRatio": 0.8, "busyRatio": 0.1 },
                    { "subtask": 1, "attempt-number": 0, "backpressureLevel": "high", "backpressure-level": "high",
                      "ratio": 0.501, "idleRatio": 0.0, "busyRatio": 0.499 },
                ],
            })
        );
        assert_eq!(level(0.3), "low");
    }

    #[test]
    fn without_tasks_there_is_nothing_to_tell() {
        let nothing = backpressure(&BTreeMap::new());
        assert_eq!(nothing, json!({ "status": "deprecated" }));
    }
}
