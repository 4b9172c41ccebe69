//! ARCHITECTURE.md stays true: short enough to be read, every path in it exists, every crate is in it.

use std::path::Path;

use super::Finding;
use crate::workspace::Package;

const NAME: &str = "ARCHITECTURE.md";
const MOST_LINES: usize = 350;

pub(super) fn check(root: &Path, packages: &[Package]) -> Vec<Finding> {
    let Ok(text) = std::fs::read_to_string(root.join(NAME)) else {
        return vec![Finding::error(format!("{NAME} is missing"))];
    };
    let mut findings = Vec::new();
    if text.lines().count() > MOST_LINES {
        findings.push(Finding::error(format!(
            "{NAME} has more than {MOST_LINES} lines"
        )));
    }
    findings.extend(
        missing_paths(root, &text)
            .into_iter()
            .map(|path| Finding::error(format!("{NAME} names `{path}`, which does not exist"))),
    );
    findings.extend(
        unnamed_crates(root, packages, &text)
            .into_iter()
            .map(|path| Finding::error(format!("{NAME} does not name `{path}`"))),
    );
    findings
}

/// Backticked paths of this repository that are not there.
fn missing_paths(root: &Path, text: &str) -> Vec<String> {
    let mut missing: Vec<_> = backticked(text)
        .filter(|quoted| is_path(root, quoted))
        .filter(|path| !root.join(path).exists())
        .map(str::to_owned)
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

fn unnamed_crates(root: &Path, packages: &[Package], text: &str) -> Vec<String> {
    packages
        .iter()
        .filter_map(|package| {
            package
                .manifest_path
                .parent()?
                .strip_prefix(root)
                .ok()?
                .to_str()
        })
        .filter(|folder| {
            !backticked(text).any(|quoted| quoted.trim_end_matches('/').starts_with(folder))
        })
        .map(str::to_owned)
        .collect()
}

/// What stands between single backticks on one line; blocks of code are left out.
fn backticked(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines()
        .filter(move |line| {
            let fence = line.trim_start().starts_with("```");
            in_block ^= fence;
            !in_block && !fence
        })
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Whether it claims to be a path of this repository: path characters only, and either its first part is a folder here
/// or it ends like one of our files.
fn is_path(root: &Path, quoted: &str) -> bool {
    let plain = quoted
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || "/._-".contains(character));
    let Some((first, _)) = quoted.split_once('/') else {
        return false;
    };
    let ours = [".rs", ".sh", ".md", ".toml"]
        .iter()
        .any(|ending| quoted.ends_with(ending));
    plain && !first.is_empty() && (root.join(first).is_dir() || ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_do_not_exist_are_found() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("crates/model")).unwrap();
        let text = "See `crates/model`, `crates/model/`, `crates/gone`, `a/b`, `hdfs://x/y`, `x/gone.rs`, `/tmp/x`.\n\
                    ```\n`crates/in-a-block`\n```\nand `crates/gone` again, `crates/<name>`.\n";
        assert_eq!(
            missing_paths(root.path(), text),
            ["crates/gone", "x/gone.rs"]
        );
    }

    #[test]
    fn crates_that_are_not_named_are_found() {
        let package = |folder: &str| Package {
            id: String::new(),
            name: folder.to_owned(),
            version: String::new(),
            license: None,
            repository: None,
            manifest_path: Path::new("/r").join(folder).join("Cargo.toml"),
            source: None,
            dependencies: Vec::new(),
        };
        let packages = [
            package("crates/model"),
            package("crates/state"),
            package("client"),
        ];
        let text = "`crates/model/src/id.rs` and `client/`";
        assert_eq!(
            unnamed_crates(Path::new("/r"), &packages, text),
            ["crates/state"]
        );
    }
}
