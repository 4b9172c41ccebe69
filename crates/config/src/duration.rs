//! Spans of time as Flink writes them (`10 s`, `100ms`, bare milliseconds) or as ISO 8601.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Units in nanoseconds with their spellings, largest first; the first spelling is printed.
const UNITS: [(u128, &[&str]); 7] = [
    (86_400 * NANOS_PER_SECOND, &["d", "day", "days"]),
    (3_600 * NANOS_PER_SECOND, &["h", "hour", "hours"]),
    (60 * NANOS_PER_SECOND, &["min", "m", "minute", "minutes"]),
    (NANOS_PER_SECOND, &["s", "sec", "secs", "second", "seconds"]),
    (
        1_000_000,
        &["ms", "milli", "millis", "millisecond", "milliseconds", ""],
    ),
    (
        1_000,
        &["µs", "us", "micro", "micros", "microsecond", "microseconds"],
    ),
    (1, &["ns", "nano", "nanos", "nanosecond", "nanoseconds"]),
];

/// Reads `10 s`, `100ms`, `1500` (milliseconds) or `PT1M30.5S`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with(['P', 'p']) {
        return parse_iso(text);
    }
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    if number.is_empty() {
        return Err("it does not start with a whole number".to_owned());
    }
    let unit = unit.trim().to_lowercase();
    let (nanos, _) = UNITS
        .iter()
        .find(|(_, names)| names.contains(&unit.as_str()))
        .ok_or_else(|| format!("{unit} is not a unit of time"))?;
    let number: u128 = number.parse().map_err(|_| too_long())?;
    from_nanos(number.checked_mul(*nanos).ok_or_else(too_long)?)
}

/// `PnDTnHnMn.nS`, each part optional but not all of them, without signs.
fn parse_iso(text: &str) -> Result<Duration, String> {
    let malformed = || "it is not of the ISO 8601 form PnDTnHnMnS".to_owned();
    let upper = text.to_ascii_uppercase();
    let body = upper.strip_prefix('P').ok_or_else(malformed)?;
    let (date, time) = match body.split_once('T') {
        Some((_, "")) => return Err(malformed()),
        Some((date, time)) => (date, time),
        None => (body, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(malformed());
    }
    let mut total = iso_parts(date, &[('D', 86_400)])?;
    total = total
        .checked_add(iso_parts(time, &[('H', 3_600), ('M', 60), ('S', 1)])?)
        .ok_or_else(too_long)?;
    from_nanos(total)
}

/// Numbers with their unit letters, in the given order; only seconds may have a fraction.
fn iso_parts(mut text: &str, units: &[(char, u128)]) -> Result<u128, String> {
    let mut total = 0_u128;
    let mut units = units.iter();
    while !text.is_empty() {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("{text} has no unit"))?;
        let letter = text[end..].chars().next().unwrap_or_default();
        let (_, seconds) = units
            .find(|(unit, _)| *unit == letter)
            .ok_or_else(|| format!("{letter} is not expected there"))?;
        let number = &text[..end];
        let nanos = if letter == 'S' {
            seconds_to_nanos(number)?
        } else {
            let number: u128 = number
                .parse()
                .map_err(|_| format!("{number} is no number"))?;
            number
                .checked_mul(seconds * NANOS_PER_SECOND)
                .ok_or_else(too_long)?
        };
        total = total.checked_add(nanos).ok_or_else(too_long)?;
        text = &text[end + letter.len_utf8()..];
    }
    Ok(total)
}

fn seconds_to_nanos(number: &str) -> Result<u128, String> {
    let bad = || format!("{number} is no number of seconds");
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(bad());
    }
    let whole: u128 = whole.parse().map_err(|_| bad())?;
    let fraction: u128 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    whole
        .checked_mul(NANOS_PER_SECOND)
        .and_then(|nanos| nanos.checked_add(fraction))
        .ok_or_else(too_long)
}

fn too_long() -> String {
    "it is too long".to_owned()
}

/// Milliseconds must fit Java's `long`, as on every interface that shows durations.
fn from_nanos(nanos: u128) -> Result<Duration, String> {
    if nanos / 1_000_000 > i64::MAX as u128 {
        return Err(too_long());
    }
    let seconds = u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| too_long())?;
    Ok(Duration::new(seconds, (nanos % NANOS_PER_SECOND) as u32))
}

/// The largest unit that needs no fraction, so that parsing gives the same duration again.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let fits = |unit: &u128| nanos >= *unit && nanos.is_multiple_of(*unit);
    match UNITS.iter().find(|(unit, _)| fits(unit)) {
        Some((unit, names)) => format!("{} {}", nanos / unit, names[0]),
        None => "0 ms".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_flink_reads_them() {
        for (text, nanos) in [
            ("10 s", 10_000_000_000_u128),
            ("100ms", 100_000_000),
            ("1500", 1_500_000_000),
            (" 5 Min ", 300_000_000_000),
            ("2d", 172_800_000_000_000),
            ("1 h", 3_600_000_000_000),
            ("3 µs", 3_000),
            ("4ns", 4),
            ("PT10S", 10_000_000_000),
            ("pt0.1s", 100_000_000),
            ("P1DT2H3M4.000000005S", 93_784_000_000_005),
            ("P2D", 172_800_000_000_000),
        ] {
            assert_eq!(
                parse_duration(text).map(|d| d.as_nanos()),
                Ok(nanos),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "-1 s",
            "1.5 s",
            "1 parsec",
            "P",
            "PT",
            "P1DT",
            "PT-1S",
            "PT1S2M",
            "PT1.5M",
            "PT1.S",
            "PT.5S",
            "PTß",
            "99999999999999999999 d",
            "PT99999999999999999999S",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_largest_whole_unit_is_printed() {
        assert_eq!(format_duration(Duration::from_millis(100)), "100 ms");
        assert_eq!(format_duration(Duration::from_secs(300)), "5 min");
        assert_eq!(format_duration(Duration::from_secs(90)), "90 s");
        assert_eq!(format_duration(Duration::ZERO), "0 ms");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*", iso in "P[0-9DTHMS.µ]*") {
            let _ = (parse_duration(&text), parse_duration(&iso));
        }

        #[test]
        fn survives_printing(seconds in 0_u64..1 << 40, nanos in 0_u32..1_000_000_000, kind in 0..3) {
            let duration = match kind {
                0 => Duration::new(seconds, nanos),
                1 => Duration::from_millis(seconds),
                _ => Duration::from_secs(seconds),
            };
            proptest::prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
