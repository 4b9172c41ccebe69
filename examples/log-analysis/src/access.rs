//! A line of a log in the common log format.

use flott::Str;
use serde::{Deserialize, Serialize};

/// What is told of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    /// Day and hour as the log says it: `22/Nov/2026:21`.
    pub(crate) hour: Str,
    pub(crate) path: Str,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
}

impl Access {
    /// `host identity user [day/month/year:hour:minute:second zone] "METHOD path VERSION" status bytes`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once('[')?;
        let (time, rest) = rest.split_once("] \"")?;
        let (request, rest) = rest.split_once("\" ")?;
        let (status, bytes) = rest.split_once(' ')?;
        let path = request.split(' ').nth(1)?;
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        let end_of_hour = time.match_indices(':').nth(1)?.0;
        Some(Self {
            hour: Str::from(&time[..end_of_hour]),
            path: Str::from(path),
            status: status.parse().ok()?,
            bytes: match bytes {
                "-" => 0,
                bytes => bytes.parse().ok()?,
            },
        })
    }
}

/// A line of a log that is the same each time. A few are cut off.
pub(crate) fn generate(index: u64) -> String {
    const PATHS: [&str; 4] = ["/", "/index.html", "/search?q=flott", "/missing"];
    let pick = |salt: u64, among: u64| random(index * 4 + salt) % among;
    let (hour, minute) = (index / 100 % 24, index / 2 % 60);
    let path = PATHS[pick(0, 4) as usize];
    let status = if path == "/missing" { 404 } else { 200 };
    let bytes = 100 + pick(1, 5_000);
    let mut line = format!(
        "10.0.0.{} - - [22/Nov/2026:{hour:02}:{minute:02}:00 +0000] \"GET {path} HTTP/1.1\" {status} {bytes}",
        pick(2, 250)
    );
    if pick(3, 200) == 0 {
        line.truncate(30);
    }
    line
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood() {
        let line = r#"::1 - ada [22/Nov/2026:21:07:05 +0100] "GET /a?b=1 HTTP/1.1" 304 -"#;
        let access = Access {
            hour: "22/Nov/2026:21".into(),
            path: "/a".into(),
            status: 304,
            bytes: 0,
        };
        assert_eq!(Access::parse(line), Some(access));
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            "",
            "hello",
            "h - - [22/Nov/2026:21:07:05 +0000]",
            r#"h - - [22/Nov/2026] "GET / HTTP/1.1" 200 1"#,
            r#"h - - [22/Nov/2026:21:07:05 +0000] "GET" 200 1"#,
            r#"h - - [22/Nov/2026:21:07:05 +0000] "GET / HTTP/1.1" ok 1"#,
            r#"h - - [22/Nov/2026:21:07:05 +0000] "GET / HTTP/1.1" 200 many"#,
        ] {
            assert_eq!(Access::parse(line), None, "{line}");
        }
    }
}
