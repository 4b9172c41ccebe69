//! Which directory a record goes to.

use std::fmt::Write;

use flott_operators::sink::SinkRecordContext;

/// Names the directory of each record, relative to that of the sink: its bucket.
///
/// ```
/// use flott_connectors::file::BucketAssigner;
/// use flott_operators::sink::SinkRecordContext;
///
/// /// Odd and even numbers, without a new string for each of them.
/// #[derive(Clone)]
/// struct ByParity;
///
/// impl BucketAssigner<u64> for ByParity {
///     fn assign(&mut self, n: &u64, _: &SinkRecordContext, bucket: &mut String) -> Result<(), String> {
///         bucket.push_str(if n % 2 == 0 { "even" } else { "odd" });
///         Ok(())
///     }
/// }
/// # let mut bucket = String::new();
/// # ByParity.assign(&7, &SinkRecordContext::new(0, 0, 0), &mut bucket).unwrap();
/// # assert_eq!(bucket, "odd");
/// ```
pub trait BucketAssigner<In>: Clone + Send + Sync + 'static {
    /// Appends the name to `bucket`, which is empty; what is left empty is the directory of the sink.
    /// A name is a relative path, and no part of it may begin with `.` or `_`. An error fails the job
    /// with the record's position.
    fn assign(
        &mut self,
        record: &In,
        context: &SinkRecordContext,
        bucket: &mut String,
    ) -> Result<(), String>;

    /// Looks at the settings when the job is submitted.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// All records go to the directory of the sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BasePathBucketAssigner;

impl<In> BucketAssigner<In> for BasePathBucketAssigner {
    #[inline]
    fn assign(&mut self, _: &In, _: &SinkRecordContext, _: &mut String) -> Result<(), String> {
        Ok(())
    }
}

/// The directory that a function returns.
#[derive(Debug, Clone, Copy)]
pub struct FunctionBucketAssigner<F>(pub(super) F);

impl<In, F> BucketAssigner<In> for FunctionBucketAssigner<F>
where
    F: Fn(&In, &SinkRecordContext) -> String + Clone + Send + Sync + 'static,
{
    fn assign(
        &mut self,
        record: &In,
        context: &SinkRecordContext,
        bucket: &mut String,
    ) -> Result<(), String> {
        *bucket = (self.0)(record, context);
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    EventTime,
    ProcessingTime,
}

/// A directory for each hour, day, … in which records come or happened: a time in UTC, formatted.
///
/// Formats consist of `yyyy`, `MM`, `dd`, `HH`, `mm` and `ss`; text between single quotes and whatever
/// is not a letter stays as it is (`''` is a quote). With `/` directories are nested.
///
/// ```
/// use flott_connectors::file::DateTimeBucketAssigner;
///
/// let hours = DateTimeBucketAssigner::default(); // 2026-11-22--20, by processing time
/// let days = DateTimeBucketAssigner::by_event_time("'year='yyyy/'day='MM-dd");
/// # let _ = (hours, days);
/// ```
#[derive(Debug, Clone)]
pub struct DateTimeBucketAssigner {
    format: String,
    pieces: Result<Vec<Piece>, String>,
    clock: Clock,
    /// Times with the same quotient have the same name.
    step: i64,
    /// The last name, and of which times.
    name: String,
    named: Option<i64>,
}

impl Default for DateTimeBucketAssigner {
    /// `yyyy-MM-dd--HH` by processing time.
    fn default() -> Self {
        Self::by_processing_time("yyyy-MM-dd--HH")
    }
}

impl DateTimeBucketAssigner {
    /// By the time at which records come.
    pub fn by_processing_time(format: &str) -> Self {
        Self::new(format, Clock::ProcessingTime)
    }

    /// By the event time of records. A record without one fails the job.
    pub fn by_event_time(format: &str) -> Self {
        Self::new(format, Clock::EventTime)
    }

    fn new(format: &str, clock: Clock) -> Self {
        let pieces = parse(format);
        let has = |piece| pieces.iter().flatten().any(|one| *one == piece);
        let step = if has(Piece::Second) {
            1_000
        } else if has(Piece::Minute) {
            60_000
        } else if has(Piece::Hour) {
            3_600_000
        } else {
            86_400_000
        };
        Self {
            format: format.to_owned(),
            pieces,
            clock,
            step,
            name: String::new(),
            named: None,
        }
    }

    fn rename(&mut self, period: i64) {
        let seconds = (period * self.step).div_euclid(1_000);
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let second = seconds.rem_euclid(86_400);
        self.name.clear();
        for piece in self.pieces.iter().flatten() {
            // Writing to a string does not fail.
            let _ = match piece {
                Piece::Text(text) => self.name.write_str(text),
                Piece::Year => write!(self.name, "{year:04}"),
                Piece::Month => write!(self.name, "{month:02}"),
                Piece::Day => write!(self.name, "{day:02}"),
                Piece::Hour => write!(self.name, "{:02}", second / 3_600),
                Piece::Minute => write!(self.name, "{:02}", second / 60 % 60),
                Piece::Second => write!(self.name, "{:02}", second % 60),
            };
        }
        self.named = Some(period);
    }
}

impl<In> BucketAssigner<In> for DateTimeBucketAssigner {
    #[inline]
    fn assign(
        &mut self,
        _: &In,
        context: &SinkRecordContext,
        bucket: &mut String,
    ) -> Result<(), String> {
        let time = match self.clock {
            Clock::ProcessingTime => context.current_processing_time(),
            Clock::EventTime => context.timestamp().ok_or_else(|| {
                "a record without event time has no bucket: assign timestamps before the sink, or \
                 use buckets by processing time"
                    .to_owned()
            })?,
        };
        let period = time.div_euclid(self.step);
        if self.named != Some(period) {
            self.rename(period);
        }
        bucket.push_str(&self.name);
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        match &self.pieces {
            Ok(pieces) if pieces.is_empty() => Err("a bucket format must not be empty".to_owned()),
            Ok(_) => Ok(()),
            Err(why) => Err(format!("the bucket format \"{}\": {why}", self.format)),
        }
    }
}

fn parse(format: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        let length = if first == '\'' {
            let text = &rest[1..];
            let end = text.find('\'').ok_or("a quote is not closed")?;
            let text = if end == 0 { "'" } else { &text[..end] };
            pieces.push(Piece::Text(text.to_owned()));
            end + 2
        } else if first.is_ascii_alphabetic() {
            let run = rest.find(|c| c != first).unwrap_or(rest.len());
            pieces.push(match &rest[..run] {
                "yyyy" => Piece::Year,
                "MM" => Piece::Month,
                "dd" => Piece::Day,
                "HH" => Piece::Hour,
                "mm" => Piece::Minute,
                "ss" => Piece::Second,
                other => {
                    return Err(format!(
                        "'{other}' is unknown: there are yyyy, MM, dd, HH, mm and ss; put other \
                         letters in single quotes"
                    ));
                }
            });
            run
        } else {
            pieces.push(Piece::Text(first.to_string()));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    Ok(pieces)
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

/// A bucket is a directory below that of the sink which readers do not skip.
pub(super) fn check_bucket(bucket: &str) -> Result<(), String> {
    let bad = |part: &str| part.is_empty() || part.starts_with(['.', '_']) || part.contains('\0');
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
    use flott_network::NO_TIMESTAMP;

    use super::*;

    fn assign(assigner: &mut DateTimeBucketAssigner, time: i64) -> String {
        let mut bucket = String::new();
        let context = SinkRecordContext::new(time, 0, 0);
        assigner.assign(&(), &context, &mut bucket).unwrap();
        bucket
    }

    fn name(format: &str, time: i64) -> String {
        assign(&mut DateTimeBucketAssigner::by_event_time(format), time)
    }

    #[test]
    fn times_have_their_directories() {
        let (minutes, hours, days) = ("yyyy-MM-dd--HH-mm", "yyyy-MM-dd--HH", "yyyy-MM-dd");
        assert_eq!(name(minutes, 0), "1970-01-01--00-00");
        assert_eq!(name(minutes, -1), "1969-12-31--23-59");
        assert_eq!(name(hours, 951_827_696_000), "2000-02-29--12");
        assert_eq!(name(days, 1_795_381_184_763), "2026-11-22");
        assert_eq!(name(days, 4_107_542_399_999), "2100-02-28");
        assert_eq!(name(days, 4_107_542_400_000), "2100-03-01");
        let odd = "'year='yyyy/MM''dd'T'HH.mm.ss";
        assert_eq!(name(odd, 951_827_696_789), "year=2000/02'29T12.34.56");
    }

    #[test]
    fn a_name_that_is_kept_is_that_of_its_times_only() {
        for format in ["yyyy", "MM-dd", "HH", "HH:mm", "ss"] {
            let mut keeps = DateTimeBucketAssigner::by_event_time(format);
            let mut time = -200_000_000;
            while time < 200_000_000 {
                assert_eq!(
                    assign(&mut keeps, time),
                    name(format, time),
                    "{format} {time}"
                );
                time += 499_999;
            }
        }
    }

    #[test]
    fn processing_time_needs_no_event_time() {
        let context = SinkRecordContext::new(NO_TIMESTAMP, 0, 951_827_696_000);
        let mut bucket = String::new();
        let mut assigner = DateTimeBucketAssigner::default();
        assigner.assign(&(), &context, &mut bucket).unwrap();
        assert_eq!(bucket, "2000-02-29--12");
        let mut assigner = DateTimeBucketAssigner::by_event_time("dd");
        let error = assigner.assign(&(), &context, &mut bucket).unwrap_err();
        assert!(error.contains("without event time"), "{error}");
    }

    #[test]
    fn formats_that_mean_nothing_are_refused() {
        let check = |format: &str| {
            let assigner = DateTimeBucketAssigner::by_event_time(format);
            BucketAssigner::<()>::check(&assigner)
        };
        assert_eq!(check("yyyy-MM-dd--HH"), Ok(()));
        for (format, why) in [
            ("yyyy-DD", "'DD' is unknown"),
            ("yy", "'yy' is unknown"),
            ("yyyy'T", "not closed"),
            ("", "empty"),
        ] {
            let error = check(format).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
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
            assert_eq!(check_bucket(good), Ok(()));
        }
        for bad in ["/a", "a/", "../a", "a//b", "_a", "a/.b", "."] {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
    }
}
