//! What a task reports of itself under Flink's names, beside what its operators report.

mod shuffle;

use std::sync::Arc;
use std::time::Duration;

use flott_metrics::{MetricRegistry, ScopeVariables};
use flott_model::ExecutionAttemptId;
use flott_operators::{Doing, TaskClock, TaskCounters};
use flott_protocol::message::{Metric, TaskMetrics, WorkerSpec};

use crate::plan::Plan;

/// A registry for the metrics of a subtask.
pub(super) fn registry(
    spec: &WorkerSpec,
    plan: &Plan,
    attempt: ExecutionAttemptId,
) -> MetricRegistry {
    let graph = &plan.graph;
    let vertex = graph.vertices.get(attempt.vertex.0 as usize);
    let (name, id) = vertex.map_or_else(Default::default, |vertex| {
        (vertex.name.clone(), vertex.operator_uid().to_string())
    });
    let variables = [
        ("host", spec.host.clone()),
        ("tm_id", spec.container.clone()),
        ("job_id", spec.job.clone()),
        ("job_name", graph.name.clone()),
        ("task_id", id),
        ("task_name", name),
        ("task_attempt_id", attempt.to_string()),
        ("task_attempt_num", attempt.attempt.to_string()),
        ("subtask_index", attempt.subtask.to_string()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    MetricRegistry::of(ScopeVariables::from(variables))
}

/// Adds the metrics of a task as a whole.
pub(super) fn report_task(
    registry: &MetricRegistry,
    counters: &Arc<TaskCounters>,
    clock: &TaskClock,
) {
    let task = registry.task();
    let timers = clock.clone();
    task.counter_and_rate_over("numFiredTimers", move || {
        timers.timers_fired().cast_signed()
    });
    let read = |read: fn(&TaskCounters) -> u64| {
        let counters = Arc::clone(counters);
        move || read(&counters).cast_signed()
    };
    let counts: [(&str, fn(&TaskCounters) -> u64); 5] = [
        ("numRecordsIn", |one| one.sum(|one| &one.records_in)),
        ("numRecordsOut", |one| one.sum(|one| &one.records_out)),
        ("numBytesIn", |one| one.sum(|one| &one.bytes_in)),
        ("numBytesOut", |one| one.sum(|one| &one.bytes_out)),
        ("numBuffersOut", |one| one.sum(|one| &one.buffers_out)),
    ];
    for (name, count) in counts {
        task.counter_and_rate_over(name, read(count));
    }
    for (doing, share, total) in [
        (Doing::Busy, "busyTimeMsPerSecond", "accumulateBusyTimeMs"),
        (Doing::Idle, "idleTimeMsPerSecond", "accumulateIdleTimeMs"),
        (
            Doing::Backpressured,
            "backPressuredTimeMsPerSecond",
            "accumulateBackPressuredTimeMs",
        ),
    ] {
        let time = Arc::clone(counters);
        let time = move || millis(time.time(doing));
        task.time_share_over(share, time.clone());
        task.counter_over(total, time);
    }
    // A task that finds no room never blocks its thread: all its back pressure is what Flink calls soft.
    let soft = Arc::clone(counters);
    task.time_share_over("softBackPressuredTimeMsPerSecond", move || {
        millis(soft.time(Doing::Backpressured))
    });
    task.time_share_over("hardBackPressuredTimeMsPerSecond", || 0);
    shuffle::report(&task, counters);
    let doing = Arc::clone(counters);
    task.gauge_with("isBackPressured", move || {
        doing.doing() == Doing::Backpressured
    });
    let input = Arc::clone(counters);
    task.gauge_with("currentInputWatermark", move || input.input.watermark());
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The counters that every report carries.
pub(super) fn counted(attempt: ExecutionAttemptId, counters: &TaskCounters) -> TaskMetrics {
    TaskMetrics {
        attempt: Some(attempt.into()),
        records_in: counters.sum(|one| &one.records_in),
        records_out: counters.sum(|one| &one.records_out),
        bytes_in: counters.sum(|one| &one.bytes_in),
        bytes_out: counters.sum(|one| &one.bytes_out),
        busy_us: micros(counters.time(Doing::Busy)),
        backpressured_us: micros(counters.time(Doing::Backpressured)),
        idle_us: micros(counters.time(Doing::Idle)),
    }
}

/// Metrics of the process, as far as the operating system tells them, under Flink's names: what is its heap there is its
/// resident memory here.
pub(super) fn process_metrics() -> Vec<Metric> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    process_metrics_of(&status)
}

fn process_metrics_of(status: &str) -> Vec<Metric> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let resident = field("VmRSS:").map(|kilobytes| kilobytes * 1024);
    let values = [
        ("Status.JVM.Memory.Heap.Used", resident),
        ("Status.JVM.Threads.Count", field("Threads:")),
    ];
    let known = values
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known
        .map(|(name, value)| Metric {
            name: name.to_owned(),
            value: value.to_string(),
            of_job: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_task_has_flinks_metrics() {
        let registry = MetricRegistry::new();
        let counters = Arc::new(TaskCounters::default());
        let clock = TaskClock::manual(0);
        report_task(&registry, &counters, &clock);
        clock.fired(3);
        TaskCounters::add(&counters.records_in, 7);
        TaskCounters::add(&counters.add_writer().records_out, 5);
        counters.does(Doing::Backpressured, Instant::now());
        let value = |name: &str| {
            let samples = registry.snapshot();
            let found = samples.into_iter().find(|sample| sample.name == name);
            found.map(|sample| sample.value.to_string())
        };
        for (name, expected) in [
            ("numRecordsIn", "7"),
            ("numRecordsOut", "5"),
            ("numRecordsInPerSecond", "0.0"),
            ("numFiredTimers", "3"),
            ("isBackPressured", "true"),
            ("accumulateBusyTimeMs", "0"),
            ("currentInputWatermark", "-9223372036854775808"),
        ] {
            assert_eq!(value(name).as_deref(), Some(expected), "{name}");
        }
        registry.update(5_000);
        for name in [
            "busyTimeMsPerSecond",
            "softBackPressuredTimeMsPerSecond",
            "hardBackPressuredTimeMsPerSecond",
        ] {
            assert_eq!(value(name).as_deref(), Some("0"), "{name}");
        }
        let report = counted(
            flott_operators::SubtaskContext::for_tests("x").attempt,
            &counters,
        );
        assert_eq!((report.records_in, report.records_out), (7, 5));
    }

    #[test]
    fn the_operating_system_tells_memory_and_threads() {
        let status = "Name:\tx\nVmRSS:\t   2048 kB\nThreads:\t9\n";
        let shown: Vec<String> = process_metrics_of(status)
            .iter()
            .map(|metric| format!("{}={}", metric.name, metric.value))
            .collect();
        assert_eq!(
            shown,
            [
                "Status.JVM.Memory.Heap.Used=2097152",
                "Status.JVM.Threads.Count=9"
            ]
        );
        assert_eq!(process_metrics_of("nonsense"), []);
        assert_eq!(process_metrics().len(), 2);
    }
}
