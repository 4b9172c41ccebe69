//! Values Hadoop assumes for the keys used here. Not the whole of `core-default.xml` and its kin.

/// Default of a key, before expansion of `${…}`.
pub(super) fn default_of(key: &str) -> Option<&'static str> {
    DEFAULTS
        .binary_search_by(|(name, _)| (*name).cmp(key))
        .ok()
        .map(|index| DEFAULTS[index].1)
}

/// Sorted by key (a test holds this).
const DEFAULTS: &[(&str, &str)] = &[
    ("fs.defaultFS", "file:///"),
    ("hadoop.rpc.protection", "authentication"),
    ("hadoop.security.authentication", "simple"),
    ("hadoop.tmp.dir", "/tmp/hadoop-${user.name}"),
    ("ipc.client.connect.timeout", "20000"),
    ("ipc.client.rpc-timeout.ms", "120000"),
    ("ipc.maximum.data.length", "134217728"),
    ("ipc.maximum.response.length", "134217728"),
    ("yarn.am.liveness-monitor.expiry-interval-ms", "900000"),
    (
        "yarn.app.mapreduce.am.staging-dir",
        "/tmp/hadoop-yarn/staging",
    ),
    ("yarn.http.policy", "HTTP_ONLY"),
    ("yarn.nm.liveness-monitor.expiry-interval-ms", "600000"),
    (
        "yarn.resourcemanager.address",
        "${yarn.resourcemanager.hostname}:8032",
    ),
    ("yarn.resourcemanager.am.max-attempts", "2"),
    ("yarn.resourcemanager.connect.max-wait.ms", "900000"),
    ("yarn.resourcemanager.connect.retry-interval.ms", "30000"),
    ("yarn.resourcemanager.ha.enabled", "false"),
    ("yarn.resourcemanager.hostname", "0.0.0.0"),
    (
        "yarn.resourcemanager.scheduler.address",
        "${yarn.resourcemanager.hostname}:8030",
    ),
    (
        "yarn.resourcemanager.webapp.address",
        "${yarn.resourcemanager.hostname}:8088",
    ),
    (
        "yarn.resourcemanager.webapp.https.address",
        "${yarn.resourcemanager.hostname}:8090",
    ),
    ("yarn.scheduler.maximum-allocation-mb", "8192"),
    ("yarn.scheduler.maximum-allocation-vcores", "4"),
    ("yarn.scheduler.minimum-allocation-mb", "1024"),
    ("yarn.scheduler.minimum-allocation-vcores", "1"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_so_that_the_search_finds_every_key() {
        assert!(DEFAULTS.is_sorted_by_key(|(key, _)| *key));
        for (key, value) in DEFAULTS {
            assert_eq!(default_of(key), Some(*value));
        }
        assert_eq!(default_of("no.such.key"), None);
    }
}
