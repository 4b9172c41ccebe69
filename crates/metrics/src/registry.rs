//! The metrics of a task: groups add to it, a reporter reads it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::gauge::MetricValue;
use crate::group::MetricGroup;
use crate::scope::ScopeVariables;
use crate::share::TimeShare;
use crate::{Counter, Histogram, Meter};

/// Metrics of a task, at most. What is added beyond works, but nobody sees it.
const MOST_METRICS: usize = 4_096;

/// A metric as it was when somebody asked.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSample {
    /// Whether it belongs to the job as a whole, as latencies do, instead of the task.
    pub of_job: bool,
    /// `numRecordsIn`, `Map.numRecordsOut`, `buffers.inPoolUsage`: Flink's name within the subtask.
    pub name: String,
    /// What it was.
    pub value: MetricValue,
}

pub(crate) type ReadGauge = Arc<dyn Fn() -> MetricValue + Send + Sync>;
pub(crate) type ReadCount = Arc<dyn Fn() -> i64 + Send + Sync>;

#[derive(Clone)]
pub(crate) enum Metric {
    Counter(Counter),
    CounterOver(ReadCount),
    Gauge(ReadGauge),
    Meter(Meter),
    Share(TimeShare),
    Histogram(Histogram),
}

#[derive(Default)]
struct Inner {
    /// By `of_job` and full name.
    metrics: BTreeMap<(bool, String), Metric>,
    refused: u64,
}

struct Shared {
    // A std mutex: held to add a metric, or for a copy of the list when a reporter reads.
    inner: Mutex<Inner>,
    variables: ScopeVariables,
}

/// The metrics of one subtask. Clones are the same registry.
#[derive(Clone)]
pub struct MetricRegistry(Arc<Shared>);

impl fmt::Debug for MetricRegistry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = self.lock().metrics.len();
        out.debug_struct("MetricRegistry")
            .field("metrics", &metrics)
            .finish_non_exhaustive()
    }
}

impl Default for MetricRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl MetricRegistry {
    /// Without metrics.
    pub fn new() -> Self {
        Self::of(ScopeVariables::new())
    }

    /// Without metrics, of the subtask that these variables describe.
    pub fn of(variables: ScopeVariables) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::default(),
            variables,
        }))
    }

    /// The group of the task's own metrics.
    pub fn task(&self) -> MetricGroup {
        MetricGroup::new(self.clone(), false)
    }

    /// The group of an operator's metrics.
    pub fn operator(&self, name: &str) -> MetricGroup {
        MetricGroup::of_operator(self.clone(), name)
    }

    /// A group of metrics that belong to the job as a whole.
    pub fn job(&self) -> MetricGroup {
        MetricGroup::new(self.clone(), true)
    }

    /// Tells meters and shares what time it is. To be called every second or so.
    pub fn update(&self, now_ms: i64) {
        for (_, metric) in self.copy() {
            // A count of the user's is user code; what panics stays as it was.
            let _ = catch_unwind(AssertUnwindSafe(|| match &metric {
                Metric::Meter(meter) => meter.update(now_ms),
                Metric::Share(share) => share.update(now_ms),
                Metric::Counter(_)
                | Metric::CounterOver(_)
                | Metric::Gauge(_)
                | Metric::Histogram(_) => {}
            }));
        }
    }

    /// All metrics, by name. One whose gauge panics is left out.
    pub fn snapshot(&self) -> Vec<MetricSample> {
        let mut samples = Vec::new();
        for ((of_job, name), metric) in self.copy() {
            let read = catch_unwind(AssertUnwindSafe(|| match &metric {
                Metric::Counter(counter) => vec![(name.clone(), counter.count().into())],
                Metric::CounterOver(read) => vec![(name.clone(), read().into())],
                Metric::Gauge(read) => vec![(name.clone(), read())],
                Metric::Meter(meter) => vec![(name.clone(), meter.rate().into())],
                Metric::Share(share) => vec![(name.clone(), share.per_second().into())],
                Metric::Histogram(histogram) => histogram
                    .statistics()
                    .named()
                    .map(|(figure, value)| (format!("{name}_{figure}"), value))
                    .into(),
            }));
            match read {
                Ok(values) => {
                    samples.extend(values.into_iter().map(|(name, value)| MetricSample {
                        of_job,
                        name,
                        value,
                    }))
                }
                Err(_) => tracing::debug!(metric = name, "reading the metric panicked"),
            }
        }
        samples
    }

    /// The metric of that name: the one there is, or `make`'s. `None` if the name is taken by a metric of another kind or
    /// there are too many; then the caller's metric works without being seen.
    pub(crate) fn add<T>(
        &self,
        of_job: bool,
        name: String,
        same: impl FnOnce(&Metric) -> Option<T>,
        make: impl FnOnce() -> Metric,
    ) -> Option<T> {
        let mut inner = self.lock();
        if let Some(known) = inner.metrics.get(&(of_job, name.clone())) {
            let found = same(known);
            if found.is_none() {
                tracing::warn!(
                    metric = name,
                    "the name is taken by another metric; this one will not be reported"
                );
            }
            return found;
        }
        if inner.metrics.len() >= MOST_METRICS {
            if inner.refused == 0 {
                tracing::warn!(
                    metric = name,
                    "a task reports {MOST_METRICS} metrics at most; this one and further ones will not be reported"
                );
            }
            inner.refused += 1;
            return None;
        }
        let metric = make();
        let made = same(&metric);
        inner.metrics.insert((of_job, name), metric);
        made
    }

    pub(crate) fn variables(&self) -> &ScopeVariables {
        &self.0.variables
    }

    /// Readers work on a copy: a gauge may add a metric.
    fn copy(&self) -> Vec<((bool, String), Metric)> {
        let inner = self.lock();
        let metrics = inner.metrics.iter();
        metrics
            .map(|(name, metric)| (name.clone(), metric.clone()))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry: &MetricRegistry) -> Vec<(String, String)> {
        let samples = registry.snapshot().into_iter();
        samples
            .map(|sample| (sample.name, sample.value.to_string()))
            .collect()
    }

    #[test]
    fn names_are_those_of_flinks_rest() {
        let registry = MetricRegistry::new();
        registry.task().counter("numRecordsIn").inc_by(5);
        let buffers = registry.task().add_group("buffers");
        buffers.gauge("inPoolUsage", 0.5).set(0.25);
        let operator = registry.operator("Source: bids");
        operator.counter("numRecordsOut").inc();
        let user = operator.add_group_with("kind", "a.b");
        user.gauge_with("queue", || "long");
        let pairs = [
            ("Source__bids.kind.a_b.queue", "long"),
            ("Source__bids.numRecordsOut", "1"),
            ("buffers.inPoolUsage", "0.25"),
            ("numRecordsIn", "5"),
        ];
        assert_eq!(
            shown(&registry),
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_histogram_is_reported_by_its_figures() {
        let registry = MetricRegistry::new();
        registry.operator("a").histogram("size").update(7);
        let shown = shown(&registry);
        assert_eq!(shown.len(), 12);
        assert!(shown.contains(&("a.size_p999".into(), "7.0".into())));
        assert!(shown.contains(&("a.size_min".into(), "7".into())));
    }

    #[test]
    fn the_same_name_is_the_same_metric_and_another_kind_is_not_seen() {
        let registry = MetricRegistry::new();
        let group = registry.operator("a");
        group.counter("n").inc();
        group.counter("n").inc();
        group.meter("n").mark();
        assert_eq!(shown(&registry), [("a.n".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_gauge_that_panics_is_left_out() {
        let registry = MetricRegistry::new();
        registry
            .task()
            .gauge_with("bad", || -> i64 { panic!("as users do") });
        registry.task().counter("good");
        registry.update(1);
        assert_eq!(shown(&registry), [("good".to_owned(), "0".to_owned())]);
    }

    #[test]
    fn there_is_a_limit() {
        let registry = MetricRegistry::new();
        for index in 0..MOST_METRICS + 10 {
            registry.task().counter(&index.to_string()).inc();
        }
        assert_eq!(shown(&registry).len(), MOST_METRICS);
    }

    #[test]
    fn metrics_of_the_job_stand_apart() {
        let registry = MetricRegistry::new();
        registry.job().counter("x");
        registry.task().counter("x");
        let levels: Vec<bool> = registry.snapshot().iter().map(|one| one.of_job).collect();
        assert_eq!(levels, [false, true]);
    }
}
