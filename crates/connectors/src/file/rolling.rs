//! When a file is finished and the next one begun.

use std::time::Duration;

/// What is known of a file that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartInfo {
    /// Bytes, those that are not yet on their way included.
    pub size: u64,
    /// Records in it.
    pub records: u64,
    /// Processing time of its beginning, in milliseconds since the epoch.
    pub created_at: i64,
    /// Processing time of its last record, in milliseconds since the epoch.
    pub updated_at: i64,
}

/// Decides when a file is finished. Whatever it decides, files are finished at the end of the job.
///
/// ```
/// use flott_connectors::file::{PartInfo, RollingPolicy};
///
/// /// A thousand records to a file, and a new file for each marker.
/// #[derive(Clone)]
/// struct Chapters;
///
/// impl RollingPolicy<String> for Chapters {
///     fn should_roll_on_event(&self, part: &PartInfo, next: &String) -> bool {
///         part.records == 1_000 || next.starts_with("# ")
///     }
/// }
/// # let part = PartInfo { size: 0, records: 3, created_at: 0, updated_at: 0 };
/// # assert!(Chapters.should_roll_on_event(&part, &"# Two".to_owned()));
/// ```
pub trait RollingPolicy<In>: Clone + Send + Sync + 'static {
    /// Whether `record` is to begin a new file instead of going into this one.
    fn should_roll_on_event(&self, part: &PartInfo, record: &In) -> bool;

    /// The processing time (milliseconds since the epoch) at which the file is to be finished unless
    /// there are more records before that; `None`: never, for its age. Asked when the file is begun,
    /// and again at every such time.
    fn rolls_at(&self, _part: &PartInfo) -> Option<i64> {
        None
    }
}

/// By size, by age, and by inactivity.
///
/// ```
/// use std::time::Duration;
/// use flott_connectors::file::DefaultRollingPolicy;
///
/// let hourly = DefaultRollingPolicy {
///     rollover_interval: Some(Duration::from_secs(3_600)),
///     ..DefaultRollingPolicy::never()
/// };
/// assert_eq!(hourly.max_part_size, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRollingPolicy {
    /// A file that has so many bytes gets no more records; `None`: no limit. Default: 128 MiB.
    pub max_part_size: Option<u64>,
    /// A file is finished so long after it was begun; `None`: whatever its age. Default: 60 s.
    pub rollover_interval: Option<Duration>,
    /// A file is finished so long after its last record; `None`: however long that is ago. Default:
    /// 60 s.
    pub inactivity_interval: Option<Duration>,
}

impl Default for DefaultRollingPolicy {
    fn default() -> Self {
        Self {
            max_part_size: Some(128 << 20),
            rollover_interval: Some(Duration::from_secs(60)),
            inactivity_interval: Some(Duration::from_secs(60)),
        }
    }
}

impl DefaultRollingPolicy {
    /// One file for each subtask and bucket.
    pub fn never() -> Self {
        Self {
            max_part_size: None,
            rollover_interval: None,
            inactivity_interval: None,
        }
    }

    /// Files of about that many bytes, however long that takes.
    pub fn by_size(bytes: u64) -> Self {
        Self {
            max_part_size: Some(bytes),
            ..Self::never()
        }
    }
}

fn after(time: i64, interval: Duration) -> i64 {
    let millis = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    // Less than a millisecond would ask for a time that is now.
    time.saturating_add(millis.max(1))
}

impl<In> RollingPolicy<In> for DefaultRollingPolicy {
    #[inline]
    fn should_roll_on_event(&self, part: &PartInfo, _: &In) -> bool {
        self.max_part_size.is_some_and(|limit| part.size >= limit)
    }

    fn rolls_at(&self, part: &PartInfo) -> Option<i64> {
        let old = self.rollover_interval;
        let old = old.map(|interval| after(part.created_at, interval));
        let silent = self.inactivity_interval;
        let silent = silent.map(|interval| after(part.updated_at, interval));
        old.into_iter().chain(silent).min()
    }
}
