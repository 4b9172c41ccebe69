//! How long latency markers took from a source to an operator.

use std::collections::BTreeMap;

use crate::{Histogram, MetricRegistry};

/// Values kept for each source, as Flink's `metrics.latency.history-size` has it.
const WINDOW: usize = 128;

/// One operator's latencies by source, in milliseconds. They are metrics of the job, under Flink's names:
/// `latency.source_id.<source>.operator_id.<operator>.operator_subtask_index.<subtask>.latency_p99`.
#[derive(Debug)]
pub struct LatencyStatistics {
    registry: MetricRegistry,
    operator_id: String,
    subtask: u32,
    by_source: BTreeMap<String, Histogram>,
}

impl LatencyStatistics {
    /// Of an operator's subtask, without values.
    pub fn new(registry: MetricRegistry, operator_id: &str, subtask: u32) -> Self {
        Self {
            registry,
            operator_id: operator_id.to_owned(),
            subtask,
            by_source: BTreeMap::new(),
        }
    }

    /// A marker arrived that a source emitted that long ago. Clocks of two machines may differ: less than nothing is nothing.
    pub fn record(&mut self, source_id: &str, latency_ms: i64) {
        let histogram = match self.by_source.get(source_id) {
            Some(known) => known,
            None => {
                let group = self
                    .registry
                    .job()
                    .add_group("latency")
                    .add_group_with("source_id", source_id)
                    .add_group_with("operator_id", &self.operator_id)
                    .add_group_with("operator_subtask_index", &self.subtask.to_string());
                let histogram = group.histogram_with_window("latency", WINDOW);
                self.by_source
                    .entry(source_id.to_owned())
                    .or_insert(histogram)
            }
        };
        histogram.update(latency_ms.max(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_metrics_of_the_job_by_source() {
        let registry = MetricRegistry::new();
        let mut latencies = LatencyStatistics::new(registry.clone(), "0b", 2);
        for latency in [4, 6, -1] {
            latencies.record("0a", latency);
        }
        latencies.record("0c", 9);
        let samples = registry.snapshot();
        assert!(samples.iter().all(|one| one.of_job));
        let value = |name: &str| {
            let found = samples.iter().find(|one| one.name == name);
            found.map(|one| one.value.to_string())
        };
        let of = |source: &str, figure: &str| {
            let place = "operator_id.0b.operator_subtask_index.2";
            value(&format!(
                "latency.source_id.{source}.{place}.latency_{figure}"
            ))
            .unwrap()
        };
        assert_eq!((of("0a", "min"), of("0a", "max")), ("0".into(), "6".into()));
        assert_eq!(
            (of("0c", "mean"), of("0c", "p99")),
            ("9.0".into(), "9.0".into())
        );
    }
}
