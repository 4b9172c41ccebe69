//! `flott new`: a project to begin with. Everything it writes is in this executable, but the path of
//! the SDK and the versions it is tested with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::cli::NewArgs;
use crate::console::Console;

/// Paths in the project, and what is in them.
const FILES: [(&str, &str); 4] = [
    (
        "Cargo.toml",
        include_str!("../../templates/job/Cargo.toml.in"),
    ),
    (
        "src/main.rs",
        include_str!("../../templates/job/src/main.rs.in"),
    ),
    (
        "README.md",
        include_str!("../../templates/job/README.md.in"),
    ),
    (".gitignore", "/target\n"),
];

/// Taken over from the checkout that the SDK is part of: what it is tested with.
const PINNED: [&str; 2] = ["Cargo.lock", "rust-toolchain.toml"];

/// Makes the project; nothing that exists is changed.
pub(crate) fn new(args: &NewArgs, console: &Console) -> anyhow::Result<ExitCode> {
    let name = project_name(&args.path)?;
    if fs::read_dir(&args.path).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} exists and is not empty: choose another name",
            args.path.display()
        );
    }
    let sdk = match &args.sdk {
        Some(given) => Some(sdk_at(given).with_context(|| {
            format!(
                "there is no SDK of Flott in {}: give a checkout of Flott, or its crates/sdk",
                given.display()
            )
        })?),
        None => sdk_nearby(),
    };
    let dependency = dependency(sdk.as_deref())?;
    for (path, content) in FILES {
        let content = content
            .replace("@NAME@", name)
            .replace("@SDK@", &dependency);
        write(&args.path.join(path), content.as_bytes())?;
    }
    let checkout = sdk.as_deref().and_then(Path::parent).and_then(Path::parent);
    for pinned in PINNED {
        if let Some(content) = checkout.and_then(|root| fs::read(root.join(pinned)).ok()) {
            write(&args.path.join(pinned), &content)?;
        }
    }
    if sdk.is_none() {
        console.note(&format!(
            "No checkout of Flott is near: Cargo.toml asks the registry for version {}. \
             With --sdk <checkout> it names a path instead.",
            env!("CARGO_PKG_VERSION")
        ));
    }
    console.line(&format!(
        "Created the job '{name}' in {}",
        args.path.display()
    ));
    console.line(&format!("Run it: cd {} && cargo run", args.path.display()));
    Ok(ExitCode::SUCCESS)
}

/// The last part of the path, if cargo takes it as the name of a package.
fn project_name(path: &Path) -> anyhow::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} does not end in a name", path.display()))?;
    let fits = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    ensure!(
        fits,
        "'{name}' cannot be the name of a package: begin with a letter, go on with letters, digits, - and _"
    );
    // Cargo refuses these, or the dependency would be the package itself.
    ensure!(
        ![
            "test",
            "core",
            "std",
            "alloc",
            "proc_macro",
            "flott",
            "anyhow",
            "clap"
        ]
        .contains(&name),
        "'{name}' is the name of something that the project needs: choose another one"
    );
    Ok(name)
}

/// The SDK in a checkout, or the directory itself if it is the SDK.
fn sdk_at(directory: &Path) -> Option<PathBuf> {
    let is_sdk = |candidate: &PathBuf| {
        fs::read_to_string(candidate.join("Cargo.toml"))
            .is_ok_and(|manifest| manifest.lines().any(|line| line == r#"name = "flott""#))
    };
    [directory.join("crates/sdk"), directory.to_owned()]
        .into_iter()
        .find(is_sdk)
        .and_then(|sdk| sdk.canonicalize().ok())
}

/// The SDK of the checkout that this executable, or the current directory, is in.
fn sdk_nearby() -> Option<PathBuf> {
    let places = [std::env::current_exe(), std::env::current_dir()];
    let places = places.iter().flatten();
    places.flat_map(|place| place.ancestors()).find_map(sdk_at)
}

fn dependency(sdk: Option<&Path>) -> anyhow::Result<String> {
    let Some(sdk) = sdk else {
        return Ok(format!("\"={}\"", env!("CARGO_PKG_VERSION")));
    };
    let path = sdk
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", sdk.display()))?;
    // A basic string of TOML: JSON's escapes are among its own.
    Ok(format!("{{ path = {} }}", serde_json::to_string(path)?))
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("creating {}", directory.display()))?;
    }
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        for (path, name) in [("job", "job"), ("a/b/my-job_2", "my-job_2"), ("x/", "x")] {
            assert_eq!(project_name(path.as_ref()).unwrap(), name);
        }
        for (path, told) in [
            ("/", "does not end in a name"),
            ("..", "does not end in a name"),
            ("2jobs", "begin with a letter"),
            ("my job", "begin with a letter"),
            ("flott", "choose another"),
        ] {
            let error = project_name(path.as_ref()).unwrap_err().to_string();
            assert!(error.contains(told), "{path}: {error}");
        }
    }

    #[test]
    fn paths_are_written_as_toml_reads_them() {
        let dependency = dependency(Some(Path::new("/a \"b\"/c"))).unwrap();
        assert_eq!(dependency, r#"{ path = "/a \"b\"/c" }"#);
    }
}
