//! What comes too late.

use std::time::Duration;

use flott_metrics::Counter;
use flott_record::Record;

use super::emitter::Emitter;
use crate::{OutputTag, SubtaskContext};

/// How long windows stay open for late records, and where those go that come later still.
pub struct LateData<T> {
    allowed: Duration,
    tag: Option<OutputTag<T>>,
}

impl<T> Clone for LateData<T> {
    fn clone(&self) -> Self {
        Self {
            allowed: self.allowed,
            tag: self.tag.clone(),
        }
    }
}

impl<T> Default for LateData<T> {
    /// No lateness is allowed; late records are dropped.
    fn default() -> Self {
        Self {
            allowed: Duration::ZERO,
            tag: None,
        }
    }
}

impl<T> LateData<T> {
    /// Windows stay open for so long after the watermark has passed their end.
    #[must_use]
    pub fn allowed(self, lateness: Duration) -> Self {
        Self {
            allowed: lateness,
            ..self
        }
    }

    /// Late records go to that side output.
    #[must_use]
    pub fn to_side_output(self, tag: OutputTag<T>) -> Self {
        Self {
            tag: Some(tag),
            ..self
        }
    }
}

/// What an operator does with late records.
pub(super) struct Late<T> {
    tag: Option<OutputTag<T>>,
    allowed: i64,
    /// Dropped records.
    dropped: Counter,
}

impl<T: Record> Late<T> {
    pub(super) fn new(data: LateData<T>, context: &SubtaskContext) -> Self {
        Self {
            tag: data.tag,
            allowed: i64::try_from(data.allowed.as_millis()).unwrap_or(i64::MAX),
            dropped: context.metrics.counter("numLateRecordsDropped"),
        }
    }

    /// When a window or record of that event time is forgotten.
    #[inline(always)]
    pub(super) fn until(&self, timestamp: i64) -> i64 {
        timestamp.saturating_add(self.allowed)
    }

    /// Whether windows stay after they are complete.
    pub(super) fn is_allowed(&self) -> bool {
        self.allowed > 0
    }

    /// A record belongs to no window any more.
    #[cold]
    pub(super) fn reject<U: Record>(&self, row: T, timestamp: i64, emitter: &mut Emitter<U>) {
        match &self.tag {
            Some(tag) => emitter.side(tag, row, timestamp),
            None => self.dropped.inc(),
        }
    }
}
