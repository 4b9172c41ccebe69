//! The rules of the repository that no compiler knows. Each module holds one group and gives findings; this one collects.

mod architecture;
mod configuration;
mod layers;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{members, output, root};

/// Something that breaks a rule, or nearly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    severity: Severity,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Warning,
    Error,
}

impl Finding {
    fn error(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            text: text.into(),
        }
    }

    fn warning(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            text: text.into(),
        }
    }
}

pub(crate) fn tidy() -> Result<()> {
    let files = text_files()?;
    let mut findings = Vec::new();
    let machine = sources::machine_directories(root());
    for (path, text) in &files {
        findings.extend(sources::check(path, text, &machine));
    }
    let packages = members()?.packages;
    findings.extend(layers::check(&packages));
    findings.extend(configuration::check(root()));
    findings.extend(architecture::check(root(), &packages));
    report(&findings, files.len())
}

fn report(findings: &[Finding], files: usize) -> Result<()> {
    let mut errors = 0;
    for finding in findings {
        match finding.severity {
            Severity::Warning => println!("warning: {}", finding.text),
            Severity::Error => {
                errors += 1;
                println!("error: {}", finding.text);
            }
        }
    }
    if errors > 0 {
        bail!("tidy found {errors} errors");
    }
    println!("tidy: {files} files are in order");
    Ok(())
}

/// The files that git tracks or would track, if they are text. A file that was deleted but not committed is skipped.
fn text_files() -> Result<Vec<(PathBuf, String)>> {
    let listing = output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root()),
    )?;
    let mut files = Vec::new();
    for name in listing.split('\0').filter(|name| !name.is_empty()) {
        if let Ok(text) = std::fs::read_to_string(root().join(name)) {
            files.push((Path::new(name).to_owned(), text));
        }
    }
    Ok(files)
}
