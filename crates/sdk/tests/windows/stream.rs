//! Random records around a growing time, as a stream with event time.

use flott::Record;
use flott::prelude::*;
use flott::time::{WatermarkGenerator, WatermarkOutput};
use proptest::prelude::*;

/// Key, event time, value.
pub(crate) type Row = (u8, i64, i64);

/// Records are at most so far from their turn, in milliseconds.
pub(crate) const DISORDER: i64 = 40;

/// Up to `most` records, in the order of their arrival.
pub(crate) fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let row = (0..20_u8, 0..DISORDER, 0..6_i64, -9..9_i64);
    proptest::collection::vec(row, 0..most).prop_map(|rows| {
        let mut now = 0;
        let at = rows.into_iter().map(|(key, by, on, value)| {
            now += on;
            (key, now - by, value)
        });
        at.collect()
    })
}

/// After each batch, the largest event time less what records may be behind.
struct Behind {
    largest: i64,
    by: i64,
}

impl<T> WatermarkGenerator<T> for Behind {
    fn on_event(&mut self, _: &T, timestamp: i64, output: &mut WatermarkOutput) {
        self.largest = self.largest.max(timestamp);
        output.emit_watermark(self.largest - self.by - 1);
    }
    fn on_periodic_emit(&mut self, _: &mut WatermarkOutput) {}
}

/// Watermarks stay so far behind the records.
pub(crate) fn behind<T: Record>(
    by: i64,
    time: impl Fn(&T) -> i64 + Send + Sync + 'static,
) -> WatermarkStrategy<T> {
    WatermarkStrategy::for_generator(move || Behind {
        largest: i64::MIN / 2,
        by,
    })
    .with_timestamp_assigner(move |row, _| time(row))
}

/// From one subtask, in order; or each record from the subtask that has its number. Nothing is late.
pub(crate) fn timed(
    env: &StreamExecutionEnvironment,
    rows: &[Row],
    parallel: bool,
) -> DataStream<Row> {
    let rows = rows.to_vec();
    let strategy = behind(DISORDER, |row: &Row| row.1);
    if parallel {
        env.from_sequence(0, rows.len() as i64 - 1)
            .map(move |index| rows[index as usize])
            .assign_timestamps_and_watermarks(strategy)
    } else {
        env.from_collection(rows)
            .assign_timestamps_and_watermarks(strategy)
    }
}
