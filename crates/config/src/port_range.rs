//! Ports to try in order: `0`, `8081`, `50100-50200`, or several of these with commas.

use std::fmt;
use std::str::FromStr;

/// Ports that a server may listen on; 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(Vec<(u16, u16)>);

impl PortRange {
    /// The ports in the order in which they are tried.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|(from, to)| *from..=*to)
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| {
            let text = text.trim();
            let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>()
                .ok()
                .filter(|_| all_digits)
                .ok_or_else(|| format!("{text:?} is not a port between 0 and 65535"))
        };
        let range = |text: &str| {
            let (from, to) = match text.split_once('-') {
                Some((from, to)) => (port(from)?, port(to)?),
                None => (port(text)?, port(text)?),
            };
            if to < from {
                Err(format!("{from}-{to} is empty"))
            } else {
                Ok((from, to))
            }
        };
        text.split(',')
            .map(range)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if from == to {
                write!(f, "{comma}{from}")?;
            } else {
                write!(f, "{comma}{from}-{to}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_lists() {
        let ports = |text: &str| {
            text.parse::<PortRange>()
                .map(|r| r.ports().collect::<Vec<_>>())
        };
        assert_eq!(ports("0"), Ok(vec![0]));
        assert_eq!(ports("5-7, 9"), Ok(vec![5, 6, 7, 9]));
        assert_eq!(ports("65535"), Ok(vec![65535]));
        for bad in ["", "x", "7-5", "65536", "1-2-3", "-1", "+1", "1,,2"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn survives_printing(pairs in proptest::collection::vec((0_u16..300, 0_u16..300), 1..4)) {
            let range = PortRange(pairs.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect());
            proptest::prop_assert_eq!(range.to_string().parse(), Ok(range));
        }

        #[test]
        fn never_panics(text in "[0-9,\\- ]*") {
            let _ = text.parse::<PortRange>();
        }
    }
}
