//! Is a file an executable of this machine's architecture? Reads the header of the file, not more.
//! (Which glibc it needs is the agent's business: it knows the node.)

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Size of the header of a 64-bit ELF file, of which the first part is the same for 32 bits.
const HEADER_BYTES: u64 = 64;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;

/// Fails with a sentence for the user unless `path` is an executable that can run here.
pub(crate) fn check_executable(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no program {shown}")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read program {shown}")),
    };
    if !metadata.is_file() {
        bail!("{shown} is not a file: the program must be an executable linked with the Flott SDK");
    }
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut header))
        .with_context(|| format!("cannot read program {shown}"))?;
    if let Err(defect) = check_header(&header, std::env::consts::ARCH) {
        bail!("{shown} {defect}");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        bail!("{shown} may not be executed: chmod +x it");
    }
    Ok(())
}

/// Continues a sentence that starts with the file's name.
fn check_header(header: &[u8], architecture: &str) -> Result<(), String> {
    const NEEDED: &str = "the program must be a Linux executable linked with the Flott SDK";
    if header.starts_with(b"#!") {
        return Err(format!("is a script: {NEEDED}"));
    }
    if header.starts_with(b"PK") {
        return Err(format!("is a JAR or ZIP archive: {NEEDED}"));
    }
    if header.len() < 20 || !header.starts_with(b"\x7fELF") {
        return Err(format!("is not an executable: {NEEDED}"));
    }
    let little_endian = header[5] == 1;
    let half = |at: usize| {
        let bytes = [header[at], header[at + 1]];
        if little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        }
    };
    let (kind, machine) = (half(16), half(18));
    if kind != ET_EXEC && kind != ET_DYN {
        return Err(format!("is an object file, not an executable: {NEEDED}"));
    }
    match machine_name(machine) {
        Some(name) if name == architecture => Ok(()),
        Some(name) => Err(format!(
            "is built for {name}, this machine and its cluster are {architecture}: build it for \
             {architecture}"
        )),
        None => Err(format!(
            "is built for an unknown architecture (ELF machine {machine}), {architecture} is needed"
        )),
    }
}

/// Rust's name of an ELF machine number.
fn machine_name(machine: u16) -> Option<&'static str> {
    Some(match machine {
        3 => "x86",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u16, machine: u16) -> Vec<u8> {
        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.resize(16, 0);
        header.extend(kind.to_le_bytes());
        header.extend(machine.to_le_bytes());
        header.resize(64, 0);
        header
    }

    #[test]
    fn this_test_is_an_executable() {
        check_executable(&std::env::current_exe().unwrap()).unwrap();
    }

    #[test]
    fn each_defect_is_a_sentence() {
        for (header, expected) in [
            (b"#!/bin/sh\n".to_vec(), "is a script"),
            (b"PK\x03\x04".to_vec(), "is a JAR"),
            (Vec::new(), "is not an executable"),
            (b"\x7fELF".to_vec(), "is not an executable"),
            (header(1, 62), "is an object file"),
            (
                header(ET_DYN, 183),
                "is built for aarch64, this machine and its cluster are x86_64",
            ),
            (
                header(ET_DYN, 4711),
                "unknown architecture (ELF machine 4711)",
            ),
        ] {
            let defect = check_header(&header, "x86_64").unwrap_err();
            assert!(defect.contains(expected), "{defect}");
        }
        check_header(&header(ET_DYN, 62), "x86_64").unwrap();
        check_header(&header(ET_EXEC, 62), "x86_64").unwrap();
    }

    #[test]
    fn what_is_no_file_or_not_executable_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let message = |path: &Path| check_executable(path).unwrap_err().to_string();
        assert!(message(directory.path()).contains("is not a file"));
        assert!(message(&directory.path().join("absent")).contains("there is no program"));
        let plain = directory.path().join("plain");
        std::fs::write(&plain, header(ET_DYN, 62)).unwrap();
        if std::env::consts::ARCH == "x86_64" {
            assert!(message(&plain).contains("chmod +x"));
        }
    }
}
