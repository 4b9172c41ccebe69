//! What passes between two operators of a task, counted for whoever looks: rows, the watermark, the age of latency markers.
//! Written by the task's thread once per batch, read by a reporter.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flott_metrics::{LatencyStatistics, MetricGroup};
use flott_network::{Control, LatencyMarker};

/// The stream behind an operator's main output, or into the head of a task.
pub struct Flow {
    rows: AtomicU64,
    watermark: AtomicI64,
    /// Who reads it in the same task.
    // A std mutex: held when a task is built and for each latency marker.
    readers: Mutex<Vec<LatencyStatistics>>,
    /// Ids of the sources that markers come from, by vertex.
    sources: Arc<[String]>,
}

impl fmt::Debug for Flow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Flow")
            .field("rows", &self.rows())
            .field("watermark", &self.watermark())
            .finish_non_exhaustive()
    }
}

impl Default for Flow {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Flow {
    /// Nothing has passed. Markers are told by these ids of their sources, by vertex.
    pub fn new(sources: Arc<[String]>) -> Self {
        Self {
            rows: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
            readers: Mutex::default(),
            sources,
        }
    }

    /// Ids of the sources that markers come from, by vertex.
    pub fn sources(&self) -> &Arc<[String]> {
        &self.sources
    }

    /// An operator of this task reads the flow and wants to know how old markers are.
    pub fn read_by(&self, reader: LatencyStatistics) {
        self.readers().push(reader);
    }

    /// So many rows have passed in all; called by one thread only.
    #[inline]
    pub fn passed(&self, rows: u64) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// So many more rows have passed; called by one thread only.
    #[inline]
    pub fn passed_more(&self, rows: u64) {
        self.passed(self.rows() + rows);
    }

    /// A control element passes.
    pub fn control(&self, control: Control) {
        match control {
            Control::Watermark(watermark) => self.watermark.store(watermark, Ordering::Relaxed),
            Control::Marker(marker) => self.marker(marker),
            Control::Idle
            | Control::Active
            | Control::Barrier(_)
            | Control::KeysEnd
            | Control::End => {}
        }
    }

    fn marker(&self, marker: LatencyMarker) {
        let Some(source) = self.sources.get(marker.vertex as usize) else {
            return;
        };
        let latency = unix_millis().saturating_sub(marker.emitted_ms);
        for reader in self.readers().iter_mut() {
            reader.record(source, latency);
        }
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The last watermark; `i64::MIN` before the first.
    pub fn watermark(&self) -> i64 {
        self.watermark.load(Ordering::Relaxed)
    }

    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<LatencyStatistics>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock: markers cross processes.
pub fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Adds Flink's metrics of what goes into an operator.
pub fn report_input(
    group: &MetricGroup,
    rows: impl Fn() -> i64 + Clone + Send + Sync + 'static,
    watermark: impl Fn() -> i64 + Send + Sync + 'static,
) {
    group.counter_and_rate_over("numRecordsIn", rows);
    group.gauge_with("currentInputWatermark", watermark);
}

/// Adds Flink's metrics of what comes out of an operator.
pub fn report_output(
    group: &MetricGroup,
    rows: impl Fn() -> i64 + Clone + Send + Sync + 'static,
    watermark: impl Fn() -> i64 + Send + Sync + 'static,
) {
    group.counter_and_rate_over("numRecordsOut", rows);
    group.gauge_with("currentOutputWatermark", watermark);
}

#[cfg(test)]
mod tests {
    use flott_metrics::MetricRegistry;

    use super::*;

    #[test]
    fn markers_are_told_to_every_reader_by_their_source() {
        let registry = MetricRegistry::new();
        let flow = Flow::new(["0a".to_owned(), "0b".to_owned()].into());
        for operator in ["0c", "0d"] {
            flow.read_by(LatencyStatistics::new(registry.clone(), operator, 1));
        }
        for vertex in [1, 1, 7] {
            flow.control(Control::Marker(LatencyMarker {
                emitted_ms: unix_millis() - 50,
                vertex,
                subtask: 0,
            }));
        }
        let samples = registry.snapshot();
        let value = |operator: &str, figure: &str| {
            let name = format!(
                "latency.source_id.0b.operator_id.{operator}.operator_subtask_index.1.latency_{figure}"
            );
            let found = samples.iter().find(|sample| sample.name == name);
            found.and_then(|sample| sample.value.as_f64()).unwrap()
        };
        for operator in ["0c", "0d"] {
            assert_eq!(value(operator, "count"), 2.0);
            assert!(value(operator, "min") >= 50.0);
        }
        assert_eq!(samples.len(), 2 * 12, "a source nobody knows is left out");
    }

    #[test]
    fn both_ends_of_a_flow_are_reported() {
        let registry = MetricRegistry::new();
        let flow = Arc::new(Flow::default());
        let rows = Arc::clone(&flow);
        let rows = move || rows.rows().cast_signed();
        let watermark = Arc::clone(&flow);
        let watermark = move || watermark.watermark();
        report_output(&registry.operator("a"), rows.clone(), watermark.clone());
        report_input(&registry.operator("b"), rows, watermark);
        flow.passed(3);
        flow.passed_more(2);
        flow.control(Control::Watermark(9));
        flow.control(Control::Idle);
        let shown: Vec<String> = registry
            .snapshot()
            .iter()
            .map(|sample| format!("{}={}", sample.name, sample.value))
            .collect();
        assert_eq!(
            shown,
            [
                "a.currentOutputWatermark=9",
                "a.numRecordsOut=5",
                "a.numRecordsOutPerSecond=0.0",
                "b.currentInputWatermark=9",
                "b.numRecordsIn=5",
                "b.numRecordsInPerSecond=0.0"
            ]
        );
    }
}
