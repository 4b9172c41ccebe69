//! Amounts of memory as Flink writes them: a whole number and a binary unit.

use std::fmt;
use std::str::FromStr;

/// Units with their spellings, largest first; the first spelling is the one that is printed.
const UNITS: [(u32, &[&str]); 5] = [
    (40, &["tb", "t", "tebibytes"]),
    (30, &["gb", "g", "gibibytes"]),
    (20, &["mb", "m", "mebibytes"]),
    (10, &["kb", "k", "kibibytes"]),
    (0, &["bytes", "b", ""]),
];

/// A number of bytes; at most `i64::MAX`, which Flink uses for "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MemorySize(u64);

impl MemorySize {
    /// The largest size, meaning no limit.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// A size in bytes; more than [`MemorySize::MAX`] becomes that.
    pub const fn from_bytes(bytes: u64) -> Self {
        if bytes > Self::MAX.0 {
            Self::MAX
        } else {
            Self(bytes)
        }
    }

    /// A size in units of 1024 × 1024 bytes.
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self::from_bytes(mebibytes.saturating_mul(1 << 20))
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Whole mebibytes, rounded down.
    pub const fn mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = text.split_at(
            text.find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len()),
        );
        if number.is_empty() {
            return Err("it does not start with a whole number".to_owned());
        }
        let unit = unit.trim().to_ascii_lowercase();
        let (shift, _) = UNITS
            .iter()
            .find(|(_, names)| names.contains(&unit.as_str()))
            .ok_or_else(|| format!("{unit} is not a unit of memory"))?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .filter(|bytes| *bytes <= Self::MAX.0)
            .map(Self)
            .ok_or_else(|| "it is too large".to_owned())
    }
}

impl fmt::Display for MemorySize {
    /// The largest unit that needs no fraction, so that parsing gives the same size again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, names) in UNITS {
            let unit = 1_u64 << shift;
            if self.0 >= unit && self.0.is_multiple_of(unit) {
                return write!(f, "{} {}", self.0 >> shift, names[0]);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_flink_reads_them() {
        for (text, bytes) in [
            ("1024", 1024),
            ("1024m", 1 << 30),
            ("1 gb", 1 << 30),
            (" 2 KibiBytes ", 2048),
            ("7b", 7),
            ("3t", 3 << 40),
            ("0", 0),
            ("9223372036854775807 bytes", i64::MAX as u64),
        ] {
            assert_eq!(text.parse::<MemorySize>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "mb",
            "-1m",
            "1.5g",
            "1 x",
            "9223372036854775808",
            "9999999t",
            "1 m b",
        ] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_largest_whole_unit_is_printed() {
        assert_eq!(MemorySize::from_mebibytes(64).to_string(), "64 mb");
        assert_eq!(MemorySize::from_bytes(1 << 30).to_string(), "1 gb");
        assert_eq!(MemorySize::from_bytes(1025).to_string(), "1025 bytes");
        assert_eq!(MemorySize::from_bytes(u64::MAX), MemorySize::MAX);
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<MemorySize>();
        }

        #[test]
        fn survives_printing(number in 0_u64..1 << 13, shift in 0_u32..50) {
            let size = MemorySize::from_bytes(number << shift);
            proptest::prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
