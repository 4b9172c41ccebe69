//! What a node can run: its architecture and its glibc, before an executable is started there.

mod elf;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use elf::Program;
pub use elf::{ElfError, GlibcVersion};

/// The node.
#[derive(Debug, Clone)]
pub struct Node {
    host: String,
    glibc: Option<GlibcVersion>,
}

impl Node {
    /// Looks at the libraries this process runs with.
    pub fn detect(host: &str) -> Self {
        let glibc = loaded_libc().and_then(|path| glibc_of(&path).ok().flatten());
        Self {
            host: host.to_owned(),
            glibc,
        }
    }

    /// Its name, as others reach it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// For example `2.36`; empty if it is not known.
    pub fn glibc(&self) -> String {
        self.glibc
            .map(|version| version.to_string())
            .unwrap_or_default()
    }

    /// Whether an executable can run here.
    pub fn check(&self, path: &Path) -> Result<(), ElfError> {
        let program = Program::read(path)?;
        program.check_architecture(std::env::consts::ARCH)?;
        match (program.glibc, self.glibc) {
            (Some(needed), Some(found)) if needed > found => Err(ElfError::Glibc { needed, found }),
            _ => Ok(()),
        }
    }
}

/// The glibc this process is linked with; none if it is linked statically or with another libc.
fn loaded_libc() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let mut libc = paths.filter(|path| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        name == "libc.so.6" || (name.starts_with("libc-2.") && name.ends_with(".so"))
    });
    libc.next().map(Path::to_owned)
}

/// The newest symbol version a glibc defines.
fn glibc_of(path: &Path) -> io::Result<Option<GlibcVersion>> {
    const MARK: &[u8] = b"GLIBC_2.";
    const VERSION_BYTES: usize = 16;
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let versions = bytes
        .windows(VERSION_BYTES)
        .filter(|window| window.starts_with(MARK));
    let versions = versions.filter_map(|window| {
        let end = window
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(window.len());
        GlibcVersion::parse(std::str::from_utf8(&window[..end]).ok()?)
    });
    Ok(versions.max())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_node_runs_this_test() {
        let node = Node::detect("here");
        assert!(node.glibc().starts_with("2."), "{node:?}");
        node.check(&std::env::current_exe().unwrap()).unwrap();
    }

    #[test]
    fn an_older_node_refuses_and_says_what_is_wanted_and_found() {
        let old = GlibcVersion::parse("GLIBC_2.5");
        let node = Node {
            host: "old".to_owned(),
            glibc: old,
        };
        let message = node
            .check(&std::env::current_exe().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("2.5") && message.contains("glibc"),
            "{message}"
        );
    }
}
