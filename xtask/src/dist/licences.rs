//! LICENSES-3rd-party.txt: every package of others that is linked into our programs, its licence, and the licences' texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::workspace::{Metadata, Package, Resolve};

/// How the names of files with licences begin, in lower case.
const LICENCE_FILES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

pub(super) fn third_party(metadata: &Metadata, programs: &[&str]) -> Result<String> {
    let packages = linked(metadata, programs)?;
    let mut text = String::from(
        "Packages of others that are linked into the programs of this distribution.\n\n",
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let label = format!("{} {}", package.name, package.version);
        let found = licence_texts(package)?;
        let Some(licence) = package
            .license
            .as_deref()
            .or((!found.is_empty()).then_some("see below"))
        else {
            bail!("{label} has neither a licence expression nor a licence file");
        };
        let repository = package.repository.as_deref().unwrap_or_default();
        writeln!(text, "{label:<40} {licence:<44} {repository}").context("writing to memory")?;
        for licence_text in found {
            texts.entry(licence_text).or_default().push(label.clone());
        }
    }
    for (licence_text, labels) in texts {
        let rule = "-".repeat(100);
        write!(
            text,
            "\n{rule}\n{}:\n\n{}\n",
            labels.join(", "),
            licence_text.trim_end()
        )
        .context("writing to memory")?;
    }
    Ok(text)
}

/// The packages of others that the programs reach by normal dependencies, by name and version.
fn linked<'a>(metadata: &'a Metadata, programs: &[&str]) -> Result<Vec<&'a Package>> {
    let resolve = metadata
        .resolve
        .as_ref()
        .context("cargo metadata resolved nothing")?;
    let start = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_none() && programs.contains(&package.name.as_str()))
        .map(|package| package.id.as_str());
    let reached = reachable(resolve, start.collect());
    let mut packages: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some() && reached.contains(package.id.as_str()))
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

fn reachable<'a>(resolve: &'a Resolve, start: Vec<&'a str>) -> BTreeSet<&'a str> {
    let nodes: BTreeMap<&str, _> = resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let mut reached: BTreeSet<&str> = start.iter().copied().collect();
    let mut open = start;
    while let Some(id) = open.pop() {
        let edges = nodes
            .get(id)
            .map(|node| node.deps.as_slice())
            .unwrap_or_default();
        for edge in edges {
            let normal = edge.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if normal && reached.insert(&edge.pkg) {
                open.push(&edge.pkg);
            }
        }
    }
    reached
}

fn licence_texts(package: &Package) -> Result<Vec<String>> {
    let folder = package
        .manifest_path
        .parent()
        .expect("a manifest is in a folder");
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() && is_licence(&path) {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            texts.push(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}

fn is_licence(path: &Path) -> bool {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    LICENCE_FILES.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{Edge, EdgeKind, Node};

    #[test]
    fn only_what_is_linked_counts() {
        let edge = |to: &str, kind: Option<&str>| Edge {
            pkg: to.to_owned(),
            dep_kinds: vec![EdgeKind {
                kind: kind.map(str::to_owned),
            }],
        };
        let node = |id: &str, deps| Node {
            id: id.to_owned(),
            deps,
        };
        let resolve = Resolve {
            nodes: vec![
                node(
                    "program",
                    vec![
                        edge("library", None),
                        edge("for-tests", Some("dev")),
                        edge("builder", Some("build")),
                    ],
                ),
                node("library", vec![edge("deep", None), edge("program", None)]),
                node("builder", vec![edge("of-builder", None)]),
                node("deep", vec![]),
            ],
        };
        assert_eq!(
            reachable(&resolve, vec!["program"]),
            ["deep", "library", "program"].into()
        );
    }

    #[test]
    fn licence_files_are_known_by_their_names() {
        for name in [
            "LICENSE",
            "LICENSE-MIT",
            "COPYING",
            "license.txt",
            "NOTICE",
            "UNLICENSE",
        ] {
            assert!(is_licence(Path::new(name)), "{name}");
        }
        assert!(!is_licence(Path::new("lib.rs")));
    }

    #[test]
    fn this_programs_licences_are_found() {
        let text = third_party(&crate::workspace::everything().unwrap(), &["xtask"]).unwrap();
        for expected in [
            "anyhow 1",
            "MIT OR Apache-2.0",
            "Permission is hereby granted",
        ] {
            assert!(text.contains(expected), "no {expected}");
        }
        assert!(
            !text.contains("tempfile "),
            "what only tests use is not linked"
        );
        assert!(!text.contains("xtask "), "we are not a third party");
    }
}
