//! The direction of dependencies: who may know whom. The table is ARCHITECTURE.md's; a change here is a change there.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::workspace::Package;

/// Layers from the bottom up. A crate may depend on crates of lower layers only, never on one beside it.
const LAYERS: [&[&str]; 8] = [
    &[
        "flott-model",
        "flott-record",
        "flott-config",
        "flott-metrics",
        "flott-logging",
    ],
    &[
        "flott-protocol",
        "flott-filesystem",
        "flott-hadoop",
        "flott-coordination",
    ],
    &["flott-state", "flott-network"],
    &["flott-operators"],
    &[
        "flott-runtime",
        "flott-connectors",
        "flott-jobmanager",
        "flott-taskexecutor",
    ],
    &["flott", "flott-rest"],
    &["flott-sql", "flott-simulation"],
    &["flott-client", "flott-appmaster", "flott-history-server"],
];

/// Crates that must know less than their layer allows: they may depend on these only.
const ONLY: [(&str, &[&str]); 4] = [
    ("flott-coordination", &["flott-model"]),
    ("flott-client", CLIENT),
    ("flott-appmaster", CONTROL_PLANE),
    ("flott-taskexecutor", AGENT),
];

/// What our own processes are made of. User code, and what runs it, is not among it.
const CONTROL_PLANE: &[&str] = &[
    "flott-model",
    "flott-config",
    "flott-metrics",
    "flott-logging",
    "flott-protocol",
    "flott-filesystem",
    "flott-hadoop",
    "flott-coordination",
    "flott-rest",
    "flott-jobmanager",
];

/// The client tells what is in a savepoint, and for that reads the indexes of its states. What writes and reads rows comes with
/// the crate, and is not linked.
const CLIENT: &[&str] = &[
    "flott-model",
    "flott-config",
    "flott-metrics",
    "flott-logging",
    "flott-protocol",
    "flott-filesystem",
    "flott-hadoop",
    "flott-coordination",
    "flott-rest",
    "flott-jobmanager",
    "flott-state",
];

/// The agent keeps and serves the partitions of blocking exchanges besides.
const AGENT: &[&str] = &[
    "flott-model",
    "flott-config",
    "flott-metrics",
    "flott-logging",
    "flott-protocol",
    "flott-filesystem",
    "flott-hadoop",
    "flott-network",
    "flott-jobmanager",
];

/// Crates that must not know certain crates of lower layers.
const NEVER: [(&str, &[&str]); 1] = [("flott-jobmanager", &["flott-operators"])];

/// Packages beside the layers. Examples see what a user sees; the integration tests see the outside of our programs, and
/// the libraries that talk to Hadoop, which they try on the real daemons. The benchmarks measure jobs, and the scheduler
/// by itself; those of state have a cluster of their own, whose workers they kill.
const BESIDE: [(&str, &[&str]); 5] = [
    (
        "flott-integration-tests",
        &["flott-hadoop", "flott-filesystem"],
    ),
    ("flott-test-jobs", &["flott"]),
    (
        "flott-benchmarks",
        &["flott", "flott-network", "flott-operators", "flott-runtime"],
    ),
    (
        "flott-benchmarks-state",
        &[
            "flott",
            "flott-config",
            "flott-coordination",
            "flott-jobmanager",
            "flott-model",
            "flott-protocol",
            "flott-record",
            "flott-state",
            "flott-taskexecutor",
        ],
    ),
    ("xtask", &[]),
];
const EXAMPLE: &[&str] = &["flott"];

pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    packages
        .iter()
        .flat_map(|package| check_package(package, &ours))
        .collect()
}

fn check_package(package: &Package, ours: &BTreeSet<&str>) -> Vec<Finding> {
    let name = package.name.as_str();
    let Some(allowed) = allowed(package) else {
        return vec![Finding::error(format!(
            "{name} is in no layer: give it a place in ARCHITECTURE.md and in xtask/src/tidy/layers.rs"
        ))];
    };
    package
        .dependencies
        .iter()
        // A test may reach up; what is built may not.
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .filter(|dependency| ours.contains(dependency.name.as_str()))
        .filter(|dependency| !allowed.contains(dependency.name.as_str()))
        .map(|dependency| Finding::error(format!("{name} must not depend on {}", dependency.name)))
        .collect()
}

fn allowed(package: &Package) -> Option<BTreeSet<&'static str>> {
    let name = package.name.as_str();
    if let Some((_, allowed)) = BESIDE.iter().find(|(beside, _)| *beside == name) {
        return Some(allowed.iter().copied().collect());
    }
    if is_example(package) {
        return Some(EXAMPLE.iter().copied().collect());
    }
    let layer = *layer_of().get(name)?;
    let mut allowed: BTreeSet<_> = LAYERS[..layer]
        .iter()
        .flat_map(|crates| crates.iter().copied())
        .collect();
    if let Some((_, only)) = ONLY.iter().find(|(restricted, _)| *restricted == name) {
        allowed.retain(|lower| only.contains(lower));
    }
    if let Some((_, never)) = NEVER.iter().find(|(restricted, _)| *restricted == name) {
        allowed.retain(|lower| !never.contains(lower));
    }
    Some(allowed)
}

fn is_example(package: &Package) -> bool {
    package
        .manifest_path
        .components()
        .rev()
        .nth(2)
        .is_some_and(|folder| {
            let folder = folder.as_os_str();
            folder == "examples" || folder == "benchmarks"
        })
}

fn layer_of() -> BTreeMap<&'static str, usize> {
    LAYERS
        .iter()
        .zip(0..)
        .flat_map(|(crates, layer)| crates.iter().map(move |name| (*name, layer)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, path: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            id: name.to_owned(),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            repository: None,
            manifest_path: path.into(),
            source: None,
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency {
                    name: (*name).to_owned(),
                    kind: kind.map(str::to_owned),
                })
                .collect(),
        }
    }

    /// The findings on one crate that has these normal dependencies.
    fn check_one(name: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|dependency| (*dependency, None))
            .collect();
        let ours: BTreeSet<_> = layer_of().into_keys().chain(["wordcount"]).collect();
        let package = package(name, "r/crates/x/Cargo.toml", &dependencies);
        check_package(&package, &ours)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn down_is_allowed_up_and_sideways_are_not() {
        assert_eq!(
            check_one("flott-runtime", &["flott-network", "flott-model", "serde"]),
            [""; 0]
        );
        assert_eq!(
            check_one("flott-model", &["flott-network"]),
            ["flott-model must not depend on flott-network"]
        );
        assert_eq!(
            check_one("flott-record", &["flott-model"]),
            ["flott-record must not depend on flott-model"]
        );
    }

    #[test]
    fn some_know_less_than_their_layer() {
        assert_eq!(check_one("flott-coordination", &["flott-config"]).len(), 1);
        assert_eq!(
            check_one(
                "flott-jobmanager",
                &["flott-coordination", "flott-operators"]
            )
            .len(),
            1
        );
        assert_eq!(
            check_one("flott-client", &["flott-hadoop", "flott"]).len(),
            1
        );
        assert_eq!(
            check_one("flott-appmaster", &["flott-taskexecutor"]).len(),
            1
        );
        assert_eq!(check_one("flott-client", &["flott-state"]), [""; 0]);
        assert_eq!(check_one("flott-appmaster", &["flott-state"]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_layer_is_a_finding() {
        assert_eq!(check_one("flott-utils", &[]).len(), 1);
    }

    #[test]
    fn examples_see_the_sdk_only_and_tests_may_reach_up() {
        let ours = layer_of().into_keys().collect();
        let example = |dependency| {
            package(
                "wordcount",
                "r/examples/wordcount/Cargo.toml",
                &[(dependency, None)],
            )
        };
        assert_eq!(check_package(&example("flott"), &ours), []);
        assert_eq!(check_package(&example("flott-runtime"), &ours).len(), 1);
        let tested = package(
            "flott-model",
            "r/crates/model/Cargo.toml",
            &[("flott-runtime", Some("dev"))],
        );
        assert_eq!(check_package(&tested, &ours), []);
    }
}
