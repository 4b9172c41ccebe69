//! Which directory a record goes to.

use std::fmt::Write;
use std::sync::Arc;

/// What is known of a record besides itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketContext {
    /// Its event time, in milliseconds since the epoch, if it has one.
    pub timestamp: Option<i64>,
    /// Processing time, in milliseconds since the epoch.
    pub processing_time: i64,
}

/// How long the time is that a directory holds. Names are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateTimeBuckets {
    /// `2026-11-22`
    Daily,
    /// `2026-11-22--20`
    Hourly,
    /// `2026-11-22--20-11`
    Minutely,
}

impl DateTimeBuckets {
    fn write(self, millis: i64, out: &mut String) {
        let minutes = millis.div_euclid(60_000);
        let (year, month, day) = civil(minutes.div_euclid(1_440));
        let (hour, minute) = (minutes.rem_euclid(1_440) / 60, minutes.rem_euclid(60));
        // Writing to a string does not fail.
        let _ = write!(out, "{year:04}-{month:02}-{day:02}");
        let _ = match self {
            Self::Daily => Ok(()),
            Self::Hourly => write!(out, "--{hour:02}"),
            Self::Minutely => write!(out, "--{hour:02}-{minute:02}"),
        };
    }
}

/// Year, month and day of a day since 1970-01-01, by the Gregorian calendar: eras of 400 years
/// repeat, and a year that begins in March ends with the leap day.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let in_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, in_month)
}

type Choose<In> = dyn Fn(&In, &BucketContext) -> String + Send + Sync;

/// How records are spread over directories.
pub(super) enum Buckets<In> {
    /// All in the directory of the sink.
    One,
    ByProcessingTime(DateTimeBuckets),
    ByEventTime(DateTimeBuckets),
    Custom(Arc<Choose<In>>),
}

impl<In> Clone for Buckets<In> {
    fn clone(&self) -> Self {
        match self {
            Self::One => Self::One,
            Self::ByProcessingTime(buckets) => Self::ByProcessingTime(*buckets),
            Self::ByEventTime(buckets) => Self::ByEventTime(*buckets),
            Self::Custom(choose) => Self::Custom(Arc::clone(choose)),
        }
    }
}

impl<In> Buckets<In> {
    /// Writes the name of the record's directory, relative to that of the sink.
    pub(super) fn choose(
        &self,
        row: &In,
        context: &BucketContext,
        out: &mut String,
    ) -> Result<(), String> {
        out.clear();
        match self {
            Self::One => (),
            Self::ByProcessingTime(buckets) => buckets.write(context.processing_time, out),
            Self::ByEventTime(buckets) => match context.timestamp {
                Some(timestamp) => buckets.write(timestamp, out),
                None => {
                    return Err(
                        "a record without event time has no bucket: assign timestamps before \
                                the sink, or use buckets by processing time"
                            .to_owned(),
                    );
                }
            },
            Self::Custom(choose) => {
                *out = choose(row, context);
                check(out)?;
            }
        }
        Ok(())
    }
}

/// A bucket is a directory below that of the sink which readers do not skip.
fn check(bucket: &str) -> Result<(), String> {
    let bad = |part: &str| part.is_empty() || part.starts_with(['.', '_']);
    if !bucket.is_empty() && bucket.split('/').any(bad) {
        return Err(format!(
            "'{bucket}' cannot be a bucket: it must be a relative path, and no part of it may be \
             empty or begin with '.' or '_'"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(buckets: DateTimeBuckets, millis: i64) -> String {
        let mut out = String::new();
        buckets.write(millis, &mut out);
        out
    }

    #[test]
    fn times_have_their_directories() {
        assert_eq!(name(DateTimeBuckets::Minutely, 0), "1970-01-01--00-00");
        assert_eq!(name(DateTimeBuckets::Minutely, -1), "1969-12-31--23-59");
        assert_eq!(
            name(DateTimeBuckets::Hourly, 951_827_696_000),
            "2000-02-29--12"
        );
        assert_eq!(
            name(DateTimeBuckets::Daily, 1_795_381_184_763),
            "2026-11-22"
        );
        assert_eq!(
            name(DateTimeBuckets::Daily, 4_107_542_399_999),
            "2100-02-28"
        );
        assert_eq!(
            name(DateTimeBuckets::Daily, 4_107_542_400_000),
            "2100-03-01"
        );
    }

    #[test]
    fn every_day_follows_the_one_before_it() {
        let mut last = civil(-800_000);
        for day in -799_999..800_000 {
            let next = civil(day);
            let leap = last.0 % 4 == 0 && (last.0 % 100 != 0 || last.0 % 400 == 0);
            let length = match last.1 {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let expected = match last {
                (year, 12, 31) => (year + 1, 1, 1),
                (year, month, day) if day == length => (year, month + 1, 1),
                (year, month, day) => (year, month, day + 1),
            };
            assert_eq!(next, expected);
            last = next;
        }
        assert_eq!(civil(0), (1970, 1, 1));
    }

    #[test]
    fn a_bucket_stays_below_its_sink_and_in_sight() {
        for good in ["", "a", "a/b=1", "2026-11-22--20"] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["/a", "a/", "../a", "a//b", "_a", "a/.b", "."] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
