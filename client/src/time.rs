//! Times for people.

use chrono::{DateTime, Local};

/// Milliseconds since the epoch, in the time zone of this machine, as Flink writes them.
pub(crate) fn local(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).map_or_else(
        || "?".to_owned(),
        |utc| {
            let local = utc.with_timezone(&Local);
            local.format("%d.%m.%Y %H:%M:%S").to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_a_clock() {
        let shown = local(1_795_357_423_000);
        let bytes = shown.as_bytes();
        assert_eq!(bytes.len(), "22.11.2026 14:23:43".len());
        let separators = [bytes[2], bytes[5], bytes[10], bytes[13], bytes[16]];
        assert_eq!(&separators, b".. ::");
        assert_eq!(local(i64::MAX), "?");
    }
}
