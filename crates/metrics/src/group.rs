//! Where metrics are added: by name, in groups.

use std::sync::Arc;

use crate::gauge::{GaugeValue, MetricValue};
use crate::meter::Source;
use crate::name::filter_name;
use crate::registry::{Metric, MetricRegistry};
use crate::scope::ScopeFormat;
use crate::share::TimeShare;
use crate::{Counter, Gauge, Histogram, Meter};

/// A place for metrics: a task, an operator, or a group that a user made inside one.
///
/// Adding a metric takes a lock and builds its name, so do it once, in `open`. The metric that comes back is cheap to use
/// and may be cloned. A name that is used twice in a group gives the same metric; if the two are of different kinds, the
/// second works but is not reported.
///
/// ```
/// use flott_metrics::MetricRegistry;
///
/// let operator = MetricRegistry::new().operator("enrich");
/// let cache = operator.add_group("cache");
/// let hits = cache.counter("hits");
/// hits.inc();
/// cache.gauge_with("hitsDoubled", { let hits = hits.clone(); move || hits.count() * 2 });
/// assert_eq!(cache.scope(), ["enrich", "cache"]);
/// ```
#[derive(Debug, Clone)]
pub struct MetricGroup {
    registry: MetricRegistry,
    of_job: bool,
    /// The operator it belongs to, by the name its author gave it.
    operator: Option<Arc<str>>,
    scope: Arc<[String]>,
}

impl MetricGroup {
    pub(crate) fn new(registry: MetricRegistry, of_job: bool) -> Self {
        Self {
            registry,
            of_job,
            operator: None,
            scope: Arc::default(),
        }
    }

    pub(crate) fn of_operator(registry: MetricRegistry, name: &str) -> Self {
        Self {
            operator: Some(name.into()),
            ..Self::new(registry, false).add_group(name)
        }
    }

    /// A group inside this one. Dots, colons, commas and blanks in its name are shown as `_`.
    pub fn add_group(&self, name: &str) -> Self {
        let mut scope = self.scope.to_vec();
        scope.push(filter_name(name));
        Self {
            scope: scope.into(),
            ..self.clone()
        }
    }

    /// A group for one value of something that takes several: `add_group_with("topic", "orders")`.
    pub fn add_group_with(&self, key: &str, value: &str) -> Self {
        self.add_group(key).add_group(value)
    }

    /// Where all metrics of the task are.
    pub fn registry(&self) -> &MetricRegistry {
        &self.registry
    }

    /// The parts of the names in this group, from the operator on.
    pub fn scope(&self) -> &[String] {
        &self.scope
    }

    /// The name that a metric of this group has among those of the whole cluster.
    pub fn metric_identifier(&self, name: &str) -> String {
        let mut variables = self.registry.variables().clone();
        let (format, groups) = match &self.operator {
            Some(operator) => {
                variables.insert("operator_name".to_owned(), operator.to_string());
                // The first part is the operator, which the format names already.
                (
                    ScopeFormat::OPERATOR,
                    self.scope.get(1..).unwrap_or_default(),
                )
            }
            None => (ScopeFormat::TASK, &*self.scope),
        };
        let mut identifier = ScopeFormat::new(format).render(&variables);
        for part in groups.iter().map(String::as_str).chain([name]) {
            identifier.push('.');
            identifier.push_str(part);
        }
        identifier
    }

    /// A counter, from 0.
    pub fn counter(&self, name: &str) -> Counter {
        let same = |known: &Metric| match known {
            Metric::Counter(counter) => Some(counter.clone()),
            _ => None,
        };
        let make = || Metric::Counter(Counter::default());
        self.add(name, same, make).unwrap_or_default()
    }

    /// A counter whose number is kept elsewhere and read when somebody asks.
    pub fn counter_over(&self, name: &str, read: impl Fn() -> i64 + Send + Sync + 'static) {
        self.add(name, keep, || Metric::CounterOver(Arc::new(read)));
    }

    /// A gauge that holds the value it was given last, at first `initial`.
    pub fn gauge<T: GaugeValue>(&self, name: &str, initial: T) -> Gauge<T> {
        let gauge = Gauge::new(initial);
        let read = gauge.clone();
        self.gauge_with(name, move || read.get());
        gauge
    }

    /// A gauge whose value is computed when somebody asks, on a thread of the reporter. It must not block.
    pub fn gauge_with<V: Into<MetricValue>>(
        &self,
        name: &str,
        read: impl Fn() -> V + Send + Sync + 'static,
    ) {
        self.add(name, keep, || {
            Metric::Gauge(Arc::new(move || read().into()))
        });
    }

    /// A meter, from 0.
    pub fn meter(&self, name: &str) -> Meter {
        let same = |known: &Metric| match known {
            Metric::Meter(meter) => Some(meter.clone()),
            _ => None,
        };
        let make = || Metric::Meter(Meter::new());
        self.add(name, same, make).unwrap_or_default()
    }

    /// The rate at which a count grows that is kept elsewhere.
    pub fn meter_over(&self, name: &str, read: impl Fn() -> i64 + Send + Sync + 'static) {
        self.add(name, keep, || {
            Metric::Meter(Meter::over(Source::Read(Box::new(read))))
        });
    }

    /// The share of time spent in something, in milliseconds per second, over a count of milliseconds that is kept
    /// elsewhere.
    pub fn time_share_over(&self, name: &str, read: impl Fn() -> i64 + Send + Sync + 'static) {
        self.add(name, keep, || {
            Metric::Share(TimeShare::over(Box::new(read)))
        });
    }

    /// A counter and, with `PerSecond` appended to its name, the rate at which it grows.
    pub fn counter_and_rate_over(
        &self,
        name: &str,
        read: impl Fn() -> i64 + Clone + Send + Sync + 'static,
    ) {
        self.counter_over(name, read.clone());
        self.meter_over(&format!("{name}PerSecond"), read);
    }

    /// A histogram over the last 1,024 values.
    pub fn histogram(&self, name: &str) -> Histogram {
        self.add_histogram(name, Histogram::new)
    }

    /// A histogram over the last `window` values.
    pub fn histogram_with_window(&self, name: &str, window: usize) -> Histogram {
        self.add_histogram(name, || Histogram::with_window(window))
    }

    fn add_histogram(&self, name: &str, make: impl Fn() -> Histogram) -> Histogram {
        let same = |known: &Metric| match known {
            Metric::Histogram(histogram) => Some(histogram.clone()),
            _ => None,
        };
        self.add(name, same, || Metric::Histogram(make()))
            .unwrap_or_else(make)
    }

    fn add<T>(
        &self,
        name: &str,
        same: impl FnOnce(&Metric) -> Option<T>,
        make: impl FnOnce() -> Metric,
    ) -> Option<T> {
        let mut full = self.scope.join(".");
        if !full.is_empty() {
            full.push('.');
        }
        full.push_str(&filter_name(name));
        self.registry.add(self.of_job, full, same, make)
    }
}

/// Of metrics without a handle the first of a name stays.
fn keep(known: &Metric) -> Option<()> {
    match known {
        Metric::Counter(_) | Metric::Histogram(_) => None,
        Metric::CounterOver(_) | Metric::Gauge(_) | Metric::Meter(_) | Metric::Share(_) => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScopeVariables;

    #[test]
    fn an_identifier_has_flinks_scope() {
        let variables = [
            ("host", "node1"),
            ("tm_id", "container_1"),
            ("job_name", "clicks of today"),
            ("task_name", "Map -> Sink"),
            ("subtask_index", "3"),
        ];
        let variables: ScopeVariables = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let registry = MetricRegistry::of(variables);
        let operator = registry.operator("Map: 1");
        assert_eq!(
            operator.add_group("mine").metric_identifier("hits"),
            "node1.taskmanager.container_1.clicks_of_today.Map__1.3.mine.hits"
        );
        assert_eq!(
            registry.task().metric_identifier("x"),
            "node1.taskmanager.container_1.clicks_of_today.Map_->_Sink.3.x"
        );
    }

    #[test]
    fn a_counter_brings_its_rate() {
        let registry = MetricRegistry::new();
        let count = Counter::default();
        let read = count.clone();
        let group = registry.task();
        group.counter_and_rate_over("numRecordsIn", move || read.count());
        count.inc_by(60);
        registry.update(5_000);
        let values: Vec<String> = registry
            .snapshot()
            .iter()
            .map(|one| format!("{}={}", one.name, one.value))
            .collect();
        assert_eq!(values, ["numRecordsIn=60", "numRecordsInPerSecond=1.0"]);
    }
}
