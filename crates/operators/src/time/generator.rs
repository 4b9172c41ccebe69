//! What makes watermarks of event times.

use flott_network::{Batch, NO_TIMESTAMP};

/// Makes watermarks: one for each split of a source and for each subtask of
/// `assign_timestamps_and_watermarks`.
pub trait WatermarkGenerator<T>: Send + 'static {
    /// Called for each row with its event time in milliseconds since the epoch. What is emitted here
    /// follows the batch of rows that the row came in.
    fn on_event(&mut self, row: &T, timestamp: i64, output: &mut WatermarkOutput);

    /// Called every `pipeline.auto-watermark-interval` while rows come, and once after the last of
    /// them.
    fn on_periodic_emit(&mut self, output: &mut WatermarkOutput);
}

/// Where a generator emits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkOutput {
    watermark: i64,
    idle: bool,
}

impl Default for WatermarkOutput {
    fn default() -> Self {
        Self {
            watermark: NO_TIMESTAMP,
            idle: false,
        }
    }
}

impl WatermarkOutput {
    /// No row with this event time (milliseconds since the epoch) or a smaller one is expected to
    /// follow. Watermarks never go back: a smaller one than before has no effect. Ends idleness.
    pub fn emit_watermark(&mut self, timestamp: i64) {
        self.idle = false;
        self.watermark = self.watermark.max(timestamp);
    }

    /// Nothing is to be expected for a while: nobody should wait for this watermark. The next row or
    /// watermark ends that.
    pub fn mark_idle(&mut self) {
        self.idle = true;
    }

    /// Ends [`WatermarkOutput::mark_idle`].
    pub fn mark_active(&mut self) {
        self.idle = false;
    }

    /// The last watermark; [`NO_TIMESTAMP`] if there was none.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Whether it is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }
}

/// A generator as it is called: once per batch.
pub(super) trait BatchGenerator<T>: Send {
    fn observe(&mut self, batch: &Batch<T>, output: &mut WatermarkOutput);
    fn periodic(&mut self, output: &mut WatermarkOutput);
    /// What [`BatchGenerator::periodic`] would emit, where that is known without asking.
    fn peek(&self) -> Option<i64> {
        None
    }
}

/// The largest event time so far, less the longest delay that is expected.
pub(super) struct BoundedOutOfOrderness {
    largest: i64,
    delay_ms: i64,
}

impl BoundedOutOfOrderness {
    pub(super) fn new(delay_ms: i64) -> Self {
        Self {
            largest: NO_TIMESTAMP,
            delay_ms,
        }
    }
}

impl<T> BatchGenerator<T> for BoundedOutOfOrderness {
    fn observe(&mut self, batch: &Batch<T>, _: &mut WatermarkOutput) {
        let largest = batch.timestamps.iter().copied().max();
        self.largest = self.largest.max(largest.unwrap_or(NO_TIMESTAMP));
    }

    fn periodic(&mut self, output: &mut WatermarkOutput) {
        if self.largest != NO_TIMESTAMP {
            // Rows with the largest time itself may still come.
            output.watermark = output
                .watermark
                .max(self.largest.saturating_sub(self.delay_ms).saturating_sub(1));
        }
    }

    fn peek(&self) -> Option<i64> {
        let watermark = self.largest.saturating_sub(self.delay_ms).saturating_sub(1);
        Some(watermark)
    }
}

/// The user's generator.
pub(super) struct Custom<G>(pub(super) G);

impl<T, G: WatermarkGenerator<T>> BatchGenerator<T> for Custom<G> {
    fn observe(&mut self, batch: &Batch<T>, output: &mut WatermarkOutput) {
        output.idle = false;
        let timestamps = batch.timestamps.iter().copied();
        let timestamps = timestamps.chain(std::iter::repeat(NO_TIMESTAMP));
        for (row, timestamp) in batch.rows.iter().zip(timestamps) {
            self.0.on_event(row, timestamp, output);
        }
    }

    fn periodic(&mut self, output: &mut WatermarkOutput) {
        self.0.on_periodic_emit(output);
    }
}
