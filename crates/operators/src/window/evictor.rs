//! Evictors: drop records of a window before or after its function is called.

use std::sync::Arc;
use std::time::Duration;

use flott_network::NO_TIMESTAMP;

use super::{Elements, Window};

/// What an evictor may ask. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct EvictorContext {
    pub(super) watermark: i64,
    pub(super) processing_time: i64,
}

impl EvictorContext {
    /// The event time up to which all records have come.
    pub fn current_watermark(&self) -> i64 {
        self.watermark
    }

    /// The time of the machine.
    pub fn current_processing_time(&self) -> i64 {
        self.processing_time
    }
}

/// Drops records of a window when it fires. A window that nothing is left of emits nothing.
///
/// An evictor of the user's own: keeps the even numbers.
///
/// ```
/// use flott_operators::window::{Elements, Evictor, EvictorContext, Window};
///
/// #[derive(Clone)]
/// struct DropOdd;
///
/// impl<W: Window> Evictor<i64, W> for DropOdd {
///     fn evict_before(&self, elements: &mut Elements<i64>, _: &W, _: &EvictorContext) {
///         elements.retain(|n, _| n % 2 == 0);
///     }
/// }
/// ```
pub trait Evictor<T, W: Window>: Clone + Send + Sync + 'static {
    /// Whether it ever evicts: otherwise windows need not keep their records.
    #[doc(hidden)]
    const EVICTS: bool = true;

    /// Before the function is called.
    fn evict_before(&self, elements: &mut Elements<T>, window: &W, cx: &EvictorContext) {
        let _ = (elements, window, cx);
    }

    /// After the function was called.
    fn evict_after(&self, elements: &mut Elements<T>, window: &W, cx: &EvictorContext) {
        let _ = (elements, window, cx);
    }
}

/// Evicts nothing: what windows have unless something else is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvictor;

impl<T, W: Window> Evictor<T, W> for NoEvictor {
    const EVICTS: bool = false;
}

/// Implements `Evictor` by `evict`, before the function or after it as `self.after` says.
macro_rules! before_or_after {
    ($name:ident $(<$parameter:ident>)?, $element:ident) => {
        impl<$element: 'static, W: Window> Evictor<$element, W> for $name $(<$parameter>)? {
            fn evict_before(&self, elements: &mut Elements<$element>, _: &W, _: &EvictorContext) {
                if !self.after {
                    self.evict(elements);
                }
            }
            fn evict_after(&self, elements: &mut Elements<$element>, _: &W, _: &EvictorContext) {
                if self.after {
                    self.evict(elements);
                }
            }
        }
    };
}

/// Keeps the last so many records.
///
/// ```
/// use flott_operators::window::CountEvictor;
///
/// let last_ten = CountEvictor::of(10);
/// # let _ = last_ten;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct CountEvictor {
    most: u64,
    after: bool,
}

impl CountEvictor {
    /// Keeps the last `most` records.
    pub fn of(most: u64) -> Self {
        Self { most, after: false }
    }

    /// Evicts after the function was called, not before.
    #[must_use]
    pub fn evict_after(self) -> Self {
        Self {
            after: true,
            ..self
        }
    }

    fn evict<T>(&self, elements: &mut Elements<T>) {
        let most = usize::try_from(self.most).unwrap_or(usize::MAX);
        elements.drop_first(elements.len().saturating_sub(most));
    }
}

before_or_after!(CountEvictor, T);

/// Keeps records that are less than a duration older than the newest of the window.
///
/// ```
/// use std::time::Duration;
/// use flott_operators::window::TimeEvictor;
///
/// let last_minute = TimeEvictor::of(Duration::from_secs(60));
/// # let _ = last_minute;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct TimeEvictor {
    keep: i64,
    after: bool,
}

impl TimeEvictor {
    /// Keeps records with an event time later than that of the newest record less `keep`. Where
    /// records have no event times, all are kept.
    pub fn of(keep: Duration) -> Self {
        Self {
            keep: i64::try_from(keep.as_millis()).unwrap_or(i64::MAX),
            after: false,
        }
    }

    /// Evicts after the function was called, not before.
    #[must_use]
    pub fn evict_after(self) -> Self {
        Self {
            after: true,
            ..self
        }
    }

    fn evict<T>(&self, elements: &mut Elements<T>) {
        let newest = elements.iter().map(|(_, at)| at).max();
        if let Some(newest) = newest.filter(|newest| *newest != NO_TIMESTAMP) {
            let cut = newest.saturating_sub(self.keep);
            elements.retain(|_, at| at > cut);
        }
    }
}

before_or_after!(TimeEvictor, T);

/// Keeps records that are close to the newest one.
///
/// ```
/// use flott_operators::window::DeltaEvictor;
///
/// let near = DeltaEvictor::of(5.0, |old: &f64, newest: &f64| (newest - old).abs());
/// # let _ = near;
/// ```
pub struct DeltaEvictor<T> {
    threshold: f64,
    delta: Arc<dyn Fn(&T, &T) -> f64 + Send + Sync>,
    after: bool,
}

impl<T> Clone for DeltaEvictor<T> {
    fn clone(&self) -> Self {
        Self {
            threshold: self.threshold,
            delta: Arc::clone(&self.delta),
            after: self.after,
        }
    }
}

impl<T> DeltaEvictor<T> {
    /// Drops records of which `delta(record, last)` is `threshold` or larger; `last` is the record
    /// that came last.
    pub fn of(threshold: f64, delta: impl Fn(&T, &T) -> f64 + Send + Sync + 'static) -> Self {
        Self {
            threshold,
            delta: Arc::new(delta),
            after: false,
        }
    }

    /// Evicts after the function was called, not before.
    #[must_use]
    pub fn evict_after(self) -> Self {
        Self {
            after: true,
            ..self
        }
    }

    fn evict(&self, elements: &mut Elements<T>) {
        let Some(last) = elements.rows().last() else {
            return;
        };
        let far = |row| (self.delta)(row, last) >= self.threshold;
        let keep: Vec<bool> = elements.rows().iter().map(|row| !far(row)).collect();
        let mut keep = keep.into_iter();
        elements.retain(|_, _| keep.next().unwrap_or(true));
    }
}

before_or_after!(DeltaEvictor<T>, T);
