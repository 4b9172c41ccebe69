//! How event times and watermarks come about, as the program says it.

use std::sync::Arc;
use std::time::Duration;

use flott_network::{Batch, NO_TIMESTAMP};

use super::WatermarkGenerator;
use super::generator::{BatchGenerator, BoundedOutOfOrderness, Custom};
use crate::blame::Site;

type NewGenerator<T> = dyn Fn() -> Box<dyn BatchGenerator<T>> + Send + Sync;
/// Gives all rows of a batch their times: one dynamic call for all of them.
type Stamp<T> = dyn Fn(&mut Batch<T>, &mut Site) + Send + Sync;

/// Keeps sources of one group together in event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkAlignment {
    /// The group: all sources of the job that name it.
    pub group: String,
    /// How far a watermark may be ahead of the smallest one of the group, in milliseconds.
    pub max_drift_ms: i64,
    /// How often the sources tell each other how far they are, in milliseconds.
    pub update_interval_ms: i64,
}

pub(super) enum Assigner<T> {
    /// Rows keep the times that the source gave them.
    Keep,
    /// The time at which the row is read.
    Ingestion,
    Custom(Arc<Stamp<T>>),
}

/// Says which event time a row has, and how far event time has come.
///
/// ```
/// use std::time::Duration;
/// # use flott_operators::time::WatermarkStrategy;
///
/// struct Click { at_ms: i64 }
/// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(5))
///     .with_timestamp_assigner(|click: &Click, _| click.at_ms)
///     .with_idleness(Duration::from_secs(60));
/// # let _: WatermarkStrategy<Click> = strategy;
/// ```
pub struct WatermarkStrategy<T> {
    /// `None`: no watermarks before the last one, at the end of the input.
    generator: Option<Arc<NewGenerator<T>>>,
    assigner: Assigner<T>,
    idleness_ms: Option<i64>,
    alignment: Option<WatermarkAlignment>,
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> Self {
        Self {
            generator: self.generator.clone(),
            assigner: match &self.assigner {
                Assigner::Keep => Assigner::Keep,
                Assigner::Ingestion => Assigner::Ingestion,
                Assigner::Custom(stamp) => Assigner::Custom(Arc::clone(stamp)),
            },
            idleness_ms: self.idleness_ms,
            alignment: self.alignment.clone(),
        }
    }
}

impl<T: 'static> WatermarkStrategy<T> {
    fn new(generator: Option<Arc<NewGenerator<T>>>) -> Self {
        Self {
            generator,
            assigner: Assigner::Keep,
            idleness_ms: None,
            alignment: None,
        }
    }

    /// Event times never go back: each watermark is just below the largest time so far.
    pub fn for_monotonous_timestamps() -> Self {
        Self::for_bounded_out_of_orderness(Duration::ZERO)
    }

    /// Rows come at most so much later than rows with later event times: each watermark is that far
    /// (and one millisecond) below the largest time so far.
    pub fn for_bounded_out_of_orderness(delay: Duration) -> Self {
        let delay = millis(delay);
        Self::new(Some(Arc::new(move || {
            Box::new(BoundedOutOfOrderness::new(delay))
        })))
    }

    /// No watermarks but the one at the end of the input.
    pub fn no_watermarks() -> Self {
        Self::new(None)
    }

    /// Watermarks of a generator of your own: periodic, punctuated, or both.
    ///
    /// ```
    /// # use flott_operators::time::{WatermarkGenerator, WatermarkOutput, WatermarkStrategy};
    ///
    /// /// Rows that end a section carry the mark.
    /// struct AtMarks;
    /// impl WatermarkGenerator<(String, bool)> for AtMarks {
    ///     fn on_event(&mut self, row: &(String, bool), timestamp: i64, output: &mut WatermarkOutput) {
    ///         if row.1 {
    ///             output.emit_watermark(timestamp);
    ///         }
    ///     }
    ///     fn on_periodic_emit(&mut self, _: &mut WatermarkOutput) {}
    /// }
    /// let strategy = WatermarkStrategy::for_generator(|| AtMarks);
    /// # let _ = strategy;
    /// ```
    pub fn for_generator<G: WatermarkGenerator<T>>(
        factory: impl Fn() -> G + Send + Sync + 'static,
    ) -> Self {
        Self::new(Some(Arc::new(move || Box::new(Custom(factory())))))
    }

    /// Event time is the time at which a row is read.
    pub fn for_ingestion_time() -> Self {
        Self {
            assigner: Assigner::Ingestion,
            ..Self::for_monotonous_timestamps()
        }
    }

    /// Takes event times, in milliseconds since the epoch, from the rows. The second argument is the
    /// time that the row has already, from its source or from an assigner before this one.
    #[must_use]
    pub fn with_timestamp_assigner<F>(mut self, assign: F) -> Self
    where
        F: Fn(&T, Option<i64>) -> i64 + Send + Sync + 'static,
    {
        self.assigner = Assigner::Custom(Arc::new(move |batch, site| {
            let mut scope = site.scope();
            if batch.timestamps.is_empty() {
                batch.timestamps.reserve(batch.rows.len());
                for row in &batch.rows {
                    scope.next();
                    batch.timestamps.push(assign(row, None));
                }
            } else {
                for (row, timestamp) in batch.rows.iter().zip(&mut batch.timestamps) {
                    scope.next();
                    let previous = (*timestamp != NO_TIMESTAMP).then_some(*timestamp);
                    *timestamp = assign(row, previous);
                }
            }
        }));
        self
    }

    /// After so long without rows (in processing time) nobody waits for this split's watermark, until
    /// the next row. Without it a split without rows holds all event time back.
    #[must_use]
    pub fn with_idleness(mut self, after: Duration) -> Self {
        self.idleness_ms = Some(millis(after).max(1));
        self
    }

    /// Sources of the job that name the same group wait for each other: none reads on while its
    /// watermark is more than `max_drift` ahead of the smallest one of the group. They tell each
    /// other how far they are every `update_interval`. Only at sources; no effect elsewhere.
    #[must_use]
    pub fn with_watermark_alignment(
        mut self,
        group: &str,
        max_drift: Duration,
        update_interval: Duration,
    ) -> Self {
        self.alignment = Some(WatermarkAlignment {
            group: group.to_owned(),
            max_drift_ms: millis(max_drift),
            update_interval_ms: millis(update_interval).max(1),
        });
        self
    }

    /// What [`WatermarkStrategy::with_watermark_alignment`] said.
    pub fn alignment(&self) -> Option<&WatermarkAlignment> {
        self.alignment.as_ref()
    }

    pub(super) fn generator(&self) -> Option<Box<dyn BatchGenerator<T>>> {
        self.generator.as_ref().map(|make| make())
    }

    pub(super) fn has_watermarks(&self) -> bool {
        self.generator.is_some()
    }

    pub(super) fn assigner(&self) -> &Assigner<T> {
        &self.assigner
    }

    pub(super) fn idleness_ms(&self) -> Option<i64> {
        self.idleness_ms
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
