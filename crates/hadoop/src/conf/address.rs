//! `host:port`.

use std::fmt;

/// Address of a daemon, by name, unresolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl HostPort {
    /// An address from its parts.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Reads `host:port`, `[v6]:port`, or `host` if there is a default port.
    pub fn parse(text: &str, default_port: Option<u16>) -> Option<Self> {
        let text = text.trim();
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']')?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return None,
            }
        } else {
            match text.rsplit_once(':') {
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                Some(_) => return None,
                None => (text, None),
            }
        };
        let port = match port {
            Some(port) => port.trim().parse().ok()?,
            None => default_port?,
        };
        let host = host.trim();
        let valid = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        valid.then(|| Self::new(host, port))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_names_addresses_and_defaults() {
        for (text, expected) in [
            ("rm.example:8032", Some("rm.example:8032")),
            (" 10.0.0.1:1 ", Some("10.0.0.1:1")),
            ("[::1]:8020", Some("[::1]:8020")),
            ("[::1]", Some("[::1]:99")),
            ("rm", Some("rm:99")),
            ("rm:port", None),
            ("rm:70000", None),
            (":8032", None),
            ("::1", None),
            ("a b:1", None),
            ("http://x:1", None),
            ("[::1", None),
        ] {
            let parsed = HostPort::parse(text, Some(99)).map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
        assert_eq!(HostPort::parse("rm", None), None);
    }
}
