//! Rules for single files: their size and header, unfinished work, and paths of somebody's machine.

use std::path::{Path, PathBuf};

use super::Finding;

const MOST_LINES: usize = 1000;
const MANY_LINES: usize = 500;

/// Words of unfinished work; put together here so that this file does not contain them.
const UNFINISHED: [&str; 5] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("#[ig", "nore"),
];

pub(super) fn check(path: &Path, text: &str, machine: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.extension().is_some_and(|extension| extension == "rs") {
        findings.extend(check_size(path, text));
        if !text.starts_with("//!") {
            findings.push(Finding::error(format!(
                "{}: it does not open with a `//!` header that says what it is",
                path.display()
            )));
        }
        findings.extend(check_lines(path, text, |line| {
            let word = UNFINISHED.iter().find(|word| line.contains(**word))?;
            Some(format!("unfinished: {word}"))
        }));
    }
    findings.extend(check_lines(path, text, |line| {
        let directory = machine
            .iter()
            .find(|directory| names_directory(line, directory))?;
        Some(format!("a path of this machine: {directory}"))
    }));
    findings
}

/// Directories that exist only on the machine that runs this, and have no place in a committed file.
pub(super) fn machine_directories(root: &Path) -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let around = root.parent().map(Path::to_owned);
    home.into_iter()
        .chain(around)
        .filter(|directory| directory.parent().is_some())
        .map(|directory| format!("{}/", directory.display()))
        .collect()
}

fn check_size(path: &Path, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let say = format!("{}: {lines} lines, more than", path.display());
    if lines > MOST_LINES {
        Some(Finding::error(format!(
            "{say} {MOST_LINES}; split it by concern"
        )))
    } else if lines > MANY_LINES {
        Some(Finding::warning(format!("{say} {MANY_LINES}")))
    } else {
        None
    }
}

fn check_lines(path: &Path, text: &str, problem: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    text.lines()
        .zip(1..)
        .filter_map(|(line, number)| {
            let problem = problem(line)?;
            Some(Finding::error(format!(
                "{}:{number}: {problem}",
                path.display()
            )))
        })
        .collect()
}

/// Whether the line has the directory as the beginning of a path, not as the middle of a longer one (`hdfs:///work/…`).
fn names_directory(line: &str, directory: &str) -> bool {
    line.match_indices(directory).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "/._-$}".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let machine = ["/somewhere/".to_owned()];
        check(Path::new(name), text, &machine)
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(findings("a.rs", "//! It is good.\nfn main() {}\n"), [""; 0]);
        assert_eq!(findings("a.md", "no header needed here\n"), [""; 0]);
    }

    #[test]
    fn a_header_is_required() {
        assert_eq!(findings("a.rs", "fn main() {}\n").len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_with_its_line() {
        for word in UNFINISHED {
            assert_eq!(
                findings("a.rs", &format!("//! x\n\n  {word}\n")),
                [format!("a.rs:3: unfinished: {word}")]
            );
        }
    }

    #[test]
    fn size_warns_then_fails() {
        let file = |lines: usize| format!("//! x\n{}", "\n".repeat(lines - 1));
        let severity =
            |lines| check_size(Path::new("a.rs"), &file(lines)).map(|finding| finding.severity);
        assert_eq!(severity(500), None);
        assert_eq!(severity(501), Some(super::super::Severity::Warning));
        assert_eq!(severity(1001), Some(super::super::Severity::Error));
    }

    #[test]
    fn paths_of_the_machine_are_found_in_any_text() {
        for line in ["/somewhere/x", "see `/somewhere/x`", "a=/somewhere/x"] {
            assert_eq!(
                findings("a.md", line),
                ["a.md:1: a path of this machine: /somewhere/"]
            );
        }
        for line in [
            "hdfs:///somewhere/x",
            "host/somewhere/x",
            "$HOME/somewhere/x",
            "/somewhere",
        ] {
            assert_eq!(findings("a.md", line), [""; 0], "{line}");
        }
    }
}
