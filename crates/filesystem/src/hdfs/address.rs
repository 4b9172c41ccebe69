//! Which NameNodes a URI means, and whether any of them listens.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::remaining;
use crate::error::{ErrorKind, FileSystemError, Result};

/// The port of a NameNode where a URI names none.
const DEFAULT_PORT: u16 = 8020;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const PROBE_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What hdfs-native is given: a name service or `host:port`.
    pub(super) authority: String,
    /// `host:port` of every NameNode.
    pub(super) addresses: Vec<String>,
}

/// Hadoop trims values and list items; hdfs-native does neither.
pub(super) fn clean(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let trim = |(key, value): (&String, &String)| {
        let value = value.trim();
        let value = if key.starts_with("dfs.ha.namenodes.") {
            value
                .split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .collect::<Vec<_>>()
                .join(",")
        } else {
            value.to_owned()
        };
        (key.trim().to_owned(), value)
    };
    settings.iter().map(trim).collect()
}

/// `settings` must be clean.
pub(super) fn target(authority: &str, settings: &BTreeMap<String, String>) -> Result<Target> {
    let bad = |why: String| {
        FileSystemError::new(
            "resolve",
            format!("hdfs://{authority}"),
            ErrorKind::InvalidPath,
        )
        .with_detail(why)
    };
    if authority.is_empty() {
        return Err(bad("no host, and fs.defaultFS is no hdfs URI".to_owned()));
    }
    if let Some(ids) = settings.get(&format!("dfs.ha.namenodes.{authority}")) {
        let addresses = ids
            .split(',')
            .map(|id| {
                let key = format!("dfs.namenode.rpc-address.{authority}.{id}");
                let address = settings.get(&key).filter(|address| !address.is_empty());
                address
                    .cloned()
                    .ok_or_else(|| bad(format!("the settings have no {key}")))
            })
            .collect::<Result<Vec<_>>>()?;
        return Ok(Target {
            authority: authority.to_owned(),
            addresses,
        });
    }
    // A name service with a single NameNode has one address under the plain key.
    let single = settings.get(&format!("dfs.namenode.rpc-address.{authority}"));
    let host_port = with_port(single.map_or(authority, String::as_str)).map_err(bad)?;
    Ok(Target {
        authority: host_port.clone(),
        addresses: vec![host_port],
    })
}

fn with_port(authority: &str) -> Result<String, String> {
    let bare_ipv6 = authority.ends_with(']');
    match authority.rsplit_once(':').filter(|_| !bare_ipv6) {
        None => Ok(format!("{authority}:{DEFAULT_PORT}")),
        Some((host, port)) => match port.parse::<u16>() {
            Ok(1..) if !host.is_empty() => Ok(authority.to_owned()),
            _ => Err(format!("{authority} is not host:port")),
        },
    }
}

/// Waits until one address accepts a connection; else says what each of them did.
pub(super) async fn probe(addresses: &[String], limit: Duration) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        let mut reasons = Vec::new();
        for address in addresses {
            let patience = CONNECT_TIMEOUT.min(remaining(deadline));
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => reasons.push(format!("{address}: {error}")),
                Err(_) => reasons.push(format!("{address}: no answer")),
            }
        }
        if remaining(deadline) <= PROBE_PAUSE {
            return Err(format!("tried for {limit:?}: {}", reasons.join("; ")));
        }
        sleep(PROBE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        clean(
            &pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn name_services_are_resolved_through_trimmed_settings() {
        let map = settings(&[
            ("dfs.ha.namenodes.ns", " nn1 ,\n nn2 "),
            ("dfs.namenode.rpc-address.ns.nn1", " a:8020\n"),
            ("dfs.namenode.rpc-address.ns.nn2", "b:8020"),
            ("dfs.namenode.rpc-address.one", "c:9000"),
        ]);
        let of = |authority| target(authority, &map).map(|t| (t.authority, t.addresses.join(" ")));
        assert_eq!(
            of("ns").unwrap(),
            ("ns".to_owned(), "a:8020 b:8020".to_owned())
        );
        assert_eq!(
            of("one").unwrap(),
            ("c:9000".to_owned(), "c:9000".to_owned())
        );
        assert_eq!(of("h").unwrap().0, "h:8020");
        assert_eq!(of("[::1]").unwrap().0, "[::1]:8020");
        assert_eq!(of("h:9").unwrap().0, "h:9");
        assert!(of("").is_err() && of("h:x").is_err() && of(":9").is_err());
    }

    #[test]
    fn a_missing_address_is_named() {
        let map = settings(&[("dfs.ha.namenodes.ns", "nn1")]);
        let error = target("ns", &map).unwrap_err().to_string();
        assert!(error.contains("dfs.namenode.rpc-address.ns.nn1"), "{error}");
    }
}
