//! `cargo xtask dist`: builds the release binaries and lays out in target/dist what an administrator unpacks.

mod elf;
mod licences;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace::{self, Metadata, cargo, members, root, run};

/// Packages, the name of their program, and where it goes.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("flott-client", "flott", "bin/flott"),
    ("flott-appmaster", "flott-appmaster", "bin/flott-appmaster"),
    (
        "flott-taskexecutor",
        "flott-taskexecutor",
        "bin/flott-taskexecutor",
    ),
    ("wordcount", "wordcount", "examples/wordcount"),
];

/// Files and folders that are copied as they are.
const COPIED: [&str; 5] = [
    "conf",
    "examples/data",
    "LICENSE",
    "README.md",
    "CHANGELOG.md",
];

pub(crate) fn dist() -> Result<()> {
    build()?;
    let metadata = members()?;
    let dist = root().join("target/dist");
    // Beside the old one and then in its place, so that no half of a distribution is ever there.
    let fresh = root().join("target/dist.new");
    remove(&fresh)?;
    let programs = copy_programs(&metadata, &fresh)?;
    for name in COPIED {
        copy(&root().join(name), &fresh.join(name))?;
    }
    let packages = PROGRAMS.map(|(package, _, _)| package);
    let licences = licences::third_party(&workspace::everything()?, &packages)?;
    write(&fresh.join("LICENSES-3rd-party.txt"), &licences)?;
    let version = version(&metadata, &programs)?;
    write(&fresh.join("VERSION"), &version)?;
    remove(&dist)?;
    fs::rename(&fresh, &dist)
        .with_context(|| format!("putting {} into its place", dist.display()))?;
    print!("{version}");
    println!("the distribution is in {}", dist.display());
    Ok(())
}

fn build() -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--release", "--locked"]);
    for (package, _, _) in PROGRAMS {
        command.args(["--package", package]);
    }
    run(&mut command)
}

fn copy_programs(metadata: &Metadata, dist: &Path) -> Result<Vec<PathBuf>> {
    let built = metadata.target_directory.join("release");
    PROGRAMS
        .iter()
        .map(|(_, program, place)| {
            let target = dist.join(place);
            copy(&built.join(program), &target)?;
            Ok(target)
        })
        .collect()
}

/// What the distribution is, and the oldest system that it runs on.
fn version(metadata: &Metadata, programs: &[PathBuf]) -> Result<String> {
    let client = metadata
        .packages
        .iter()
        .find(|package| package.name == PROGRAMS[0].0);
    let version = &client.context("the workspace has no client")?.version;
    let mut text = format!("flott {version}\ntarget {}\n", workspace::host()?);
    let mut newest = elf::GlibcVersion::default();
    for program in programs {
        let bytes = fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        let needed = elf::needed_glibc(&bytes)
            .with_context(|| format!("reading what {} needs", program.display()))?;
        newest = newest.max(needed);
    }
    text += &format!("needs glibc {newest} or newer\n");
    Ok(text)
}

/// Copies a file with its permissions, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("copying {} to {}", from.display(), to.display());
    if from.is_dir() {
        for entry in fs::read_dir(from).with_context(doing)? {
            let entry = entry.with_context(doing)?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    ensure!(from.exists(), "{} is missing", from.display());
    let folder = to.parent().expect("a file is in a folder");
    fs::create_dir_all(folder).with_context(doing)?;
    fs::copy(from, to).with_context(doing)?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)
            .with_context(|| format!("removing {}", directory.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_copied_whole_and_what_is_missing_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/file"), "text").unwrap();
        let to = directory.path().join("to");
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "text");
        assert!(copy(&directory.path().join("gone"), &to.join("gone")).is_err());
    }
}
