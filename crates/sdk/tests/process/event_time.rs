//! Streams with event time and watermarks that advance in the middle of the stream, but leave no
//! record late: results do not depend on when watermarks come.

use flott::Record;
use flott::prelude::*;
use flott::time::{WatermarkGenerator, WatermarkOutput};
use proptest::prelude::*;

/// How much earlier a record may be than the ones before it.
const DISORDER: i64 = 20;

/// The largest time so far, less the disorder, after each batch.
struct Behind(i64);

impl<T> WatermarkGenerator<T> for Behind {
    fn on_event(&mut self, _: &T, timestamp: i64, output: &mut WatermarkOutput) {
        self.0 = self.0.max(timestamp);
        output.emit_watermark(self.0 - DISORDER - 1);
    }
    fn on_periodic_emit(&mut self, _: &mut WatermarkOutput) {}
}

/// Gives each record the time that `at` says; together they must be [`times`].
pub(crate) fn timed<T: Record + Sync>(
    env: &StreamExecutionEnvironment,
    rows: Vec<T>,
    at: fn(&T) -> i64,
) -> DataStream<T> {
    let strategy = WatermarkStrategy::for_generator(|| Behind(i64::MIN + DISORDER + 1))
        .with_timestamp_assigner(move |row: &T, _| at(row));
    env.from_collection(rows)
        .assign_timestamps_and_watermarks(strategy)
}

/// Event times in bounded disorder, each with something else.
pub(crate) fn times<T: std::fmt::Debug>(
    other: impl Strategy<Value = T>,
    most: usize,
) -> impl Strategy<Value = Vec<(i64, T)>> {
    let row = (0..DISORDER, other);
    proptest::collection::vec(row, 0..most).prop_map(|rows| {
        let numbered = (0..).step_by(2).zip(rows);
        numbered
            .map(|(base, (jitter, other)): (i64, _)| (base + jitter, other))
            .collect()
    })
}
