//! Metrics of tasks, jobs and task executors: listed by name, given by value, or aggregated.

use std::collections::{BTreeMap, BTreeSet};

use flott_jobmanager::{ExecutorSnapshot, JobSnapshot, WorkerInspection};
use flott_metrics::Aggregate;
use flott_model::{ExecutionAttemptId, JobStatus};
use flott_protocol::message::{Metric, TaskInspected};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::checkpoints;
use crate::job::now;

/// Names and values.
pub(crate) type Metrics = BTreeMap<String, String>;

/// What a client may ask of metrics. Lists are separated by commas; unknown parameters are ignored.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct MetricsQuery {
    /// Which; all names if it is missing.
    get: Option<String>,
    /// Which figures of aggregated ones; all if it is missing.
    agg: Option<String>,
    /// Which subtasks: `0,2-4`.
    subtasks: Option<String>,
    /// Which jobs.
    pub(crate) jobs: Option<String>,
    /// Which task executors.
    pub(crate) taskmanagers: Option<String>,
}

/// The parts of a list, if there is one.
fn list(text: Option<&str>) -> Option<BTreeSet<&str>> {
    text.map(|text| {
        text.split(',')
            .map(str::trim)
            .filter(|one| !one.is_empty())
            .collect()
    })
}

/// Whether a list names something; a missing list names all.
pub(crate) fn named(text: Option<&str>, what: &str) -> bool {
    list(text).is_none_or(|list| list.contains(what))
}

impl MetricsQuery {
    /// Whether a subtask is meant; an unreadable range means none.
    pub(crate) fn means_subtask(&self, index: usize) -> bool {
        let Some(parts) = list(self.subtasks.as_deref()) else {
            return true;
        };
        parts.iter().any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
                (Ok(first), Ok(last)) => (first..=last).contains(&index),
                _ => false,
            }
        })
    }

    /// Metrics as they are: names, or the values that are asked for. Unknown names are left out.
    pub(crate) fn plain(&self, metrics: &Metrics) -> Value {
        match list(self.get.as_deref()) {
            None => metrics.keys().map(|name| json!({ "id": name })).collect(),
            Some(names) => names
                .into_iter()
                .filter_map(|name| Some(json!({ "id": name, "value": metrics.get(name)? })))
                .collect(),
        }
    }

    /// Metrics of several, together: names, or figures over those values that are numbers.
    pub(crate) fn aggregated(&self, all: &[Metrics]) -> Value {
        let Some(names) = list(self.get.as_deref()) else {
            let names: BTreeSet<&String> = all.iter().flat_map(Metrics::keys).collect();
            return names
                .into_iter()
                .map(|name| json!({ "id": name }))
                .collect();
        };
        let figures = list(self.agg.as_deref());
        let known = names.into_iter().filter_map(|name| {
            let values = all.iter().filter_map(|metrics| metrics.get(name));
            let values: Vec<f64> = values.filter_map(|value| value.parse().ok()).collect();
            let aggregate = Aggregate::of(&values)?;
            let mut entry = Map::new();
            entry.insert("id".to_owned(), json!(name));
            for (figure, value) in [
                ("min", aggregate.min),
                ("max", aggregate.max),
                ("avg", aggregate.avg),
                ("sum", aggregate.sum),
                ("skew", aggregate.skew),
            ] {
                if figures
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(figure))
                {
                    entry.insert(figure.to_owned(), json!(value));
                }
            }
            Some(Value::Object(entry))
        });
        known.collect()
    }
}

/// The tasks of a vertex that workers told of, by subtask; those of attempts that are over are left out.
pub(crate) fn tasks<'a>(
    job: &JobSnapshot,
    vertex: usize,
    workers: &'a [WorkerInspection],
) -> BTreeMap<usize, &'a TaskInspected> {
    let subtasks = job.vertices.get(vertex).map(|vertex| &vertex.subtasks);
    let told = workers.iter().flat_map(|worker| &worker.tasks);
    told.filter_map(|task| {
        let attempt = ExecutionAttemptId::from(task.attempt);
        let index = attempt.subtask as usize;
        let current = subtasks?.get(index)?;
        let is_current = attempt.vertex.0 as usize == vertex && current.attempt == attempt.attempt;
        is_current.then_some((index, task))
    })
    .collect()
}

/// The metrics of a task.
pub(crate) fn of_task(task: &TaskInspected) -> Metrics {
    pairs(task.metrics.iter().filter(|metric| !metric.of_job)).collect()
}

fn pairs<'a>(metrics: impl Iterator<Item = &'a Metric>) -> impl Iterator<Item = (String, String)> {
    metrics.map(|metric| (metric.name.clone(), metric.value.clone()))
}

/// The metrics of all tasks of a vertex, each behind the index of its subtask.
pub(crate) fn of_vertex(tasks: &BTreeMap<usize, &TaskInspected>) -> Metrics {
    let all = tasks.iter().flat_map(|(index, task)| {
        let metrics = of_task(task).into_iter();
        metrics.map(move |(name, value)| (format!("{index}.{name}"), value))
    });
    all.collect()
}

/// The watermarks that have come to the tasks of a vertex. Sources have none.
pub(crate) fn watermarks(tasks: &BTreeMap<usize, &TaskInspected>) -> Value {
    const NAME: &str = "currentInputWatermark";
    let of = tasks.iter().filter_map(|(index, task)| {
        let metrics = of_task(task);
        let value = metrics.get(NAME)?;
        Some(json!({ "id": format!("{index}.{NAME}"), "value": value }))
    });
    of.collect()
}

/// The metrics of a job as a whole.
pub(crate) fn of_job(job: &JobSnapshot, workers: &[WorkerInspection]) -> Metrics {
    let ended = job.status.is_terminal();
    let since = |status: JobStatus| {
        let is_current = job.status == status;
        let entered = job.timestamps.get(&status).filter(|_| is_current);
        entered.map_or(0, |entered| now().saturating_sub(*entered))
    };
    let mut metrics: Metrics = [
        ("numRestarts", u64::from(job.restarts)),
        ("fullRestarts", u64::from(job.restarts)),
        ("uptime", since(JobStatus::Running)),
        ("runningTime", since(JobStatus::Running)),
        ("restartingTime", since(JobStatus::Restarting)),
        ("initializingTime", since(JobStatus::Initializing)),
        ("createdTime", since(JobStatus::Created)),
        ("failingTime", since(JobStatus::Failing)),
        ("cancellingTime", since(JobStatus::Cancelling)),
        (
            "downtime",
            if ended {
                0
            } else {
                since(JobStatus::Restarting)
            },
        ),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string()))
    .into();
    let of_checkpoints = checkpoints::metrics(job).into_iter();
    metrics.extend(of_checkpoints.map(|(name, value)| (name.to_owned(), value)));
    let tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let of_job = tasks.flat_map(|task| task.metrics.iter().filter(|metric| metric.of_job));
    metrics.extend(pairs(of_job));
    metrics
}

/// The metrics of a task executor: what its workers tell, added up, and its memory.
pub(crate) fn of_executor(executor: &ExecutorSnapshot, workers: &[WorkerInspection]) -> Metrics {
    let own = workers
        .iter()
        .filter(|worker| worker.container == executor.container);
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for metric in own.flat_map(|worker| &worker.metrics) {
        if let Ok(value) = metric.value.parse::<u64>() {
            *sums.entry(&metric.name).or_default() += value;
        }
    }
    // The agent counts all processes of the container.
    sums.insert(
        "Status.JVM.Memory.Heap.Used",
        executor.memory.resident_bytes,
    );
    sums.insert(
        "Status.JVM.Memory.Heap.Committed",
        executor.memory.resident_bytes,
    );
    sums.insert("Status.JVM.Memory.Heap.Max", executor.memory_bytes);
    sums.into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_string()))
        .collect()
}

/// The metrics of the JobManager.
pub(crate) fn of_job_manager(executors: &[ExecutorSnapshot], jobs: &[JobSnapshot]) -> Metrics {
    let running = jobs.iter().filter(|job| !job.status.is_terminal()).count();
    let total: u32 = executors.iter().map(|executor| executor.slots).sum();
    let free: u32 = executors.iter().map(|executor| executor.free_slots).sum();
    [
        ("numRegisteredTaskManagers", executors.len()),
        ("numRunningJobs", running),
        ("taskSlotsAvailable", free as usize),
        ("taskSlotsTotal", total as usize),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string()))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(get: Option<&str>, agg: Option<&str>) -> MetricsQuery {
        MetricsQuery {
            get: get.map(str::to_owned),
            agg: agg.map(str::to_owned),
            ..MetricsQuery::default()
        }
    }

    fn metrics(of: &[(&str, &str)]) -> Metrics {
        of.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn names_or_values() {
        let all = metrics(&[("a", "1"), ("b", "NaN")]);
        assert_eq!(
            query(None, None).plain(&all),
            json!([{"id": "a"}, {"id": "b"}])
        );
        let asked = query(Some("b,nope"), None).plain(&all);
        assert_eq!(asked, json!([{"id": "b", "value": "NaN"}]));
    }

    #[test]
    fn figures_over_what_is_a_number() {
        let all = [
            metrics(&[("a", "1"), ("b", "true")]),
            metrics(&[("a", "3"), ("c", "0.5")]),
        ];
        let names = query(None, None).aggregated(&all);
        assert_eq!(names, json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]));
        let some = query(Some("a,b"), Some("min,max")).aggregated(&all);
        assert_eq!(some, json!([{"id": "a", "min": 1.0, "max": 3.0}]));
        let every = query(Some("a"), None).aggregated(&all);
        assert_eq!(
            every,
            json!([{"id": "a", "min": 1.0, "max": 3.0, "avg": 2.0, "sum": 4.0, "skew": 50.0}])
        );
    }

    #[test]
    fn subtasks_are_named_by_index_and_range() {
        let of = |text: &str| MetricsQuery {
            subtasks: Some(text.to_owned()),
            ..MetricsQuery::default()
        };
        let meant = |text: &str| -> Vec<usize> {
            (0..6)
                .filter(|index| of(text).means_subtask(*index))
                .collect()
        };
        assert_eq!(meant("0,2-3"), [0, 2, 3]);
        assert_eq!(meant("x"), [0; 0]);
        assert!(MetricsQuery::default().means_subtask(5));
    }
}
