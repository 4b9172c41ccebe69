//! What an executable needs, read from its ELF header and its dynamic section: architecture, and
//! the newest glibc symbol version.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const DYNAMIC_ENTRY_BYTES: usize = 16;
/// Of a version need and of each version in it.
const VERSION_BYTES: usize = 16;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_STRTAB: u64 = 5;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// No real file has more of anything; a broken one must not keep the agent busy.
const MAXIMUM_ENTRIES: u64 = 4096;

/// Why a file cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Opening or reading it failed.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is not a Linux executable")]
    NotElf,
    /// Its parts do not fit together, and how.
    #[error("it is a broken executable: {0}")]
    Broken(&'static str),
    /// For other machines.
    #[error("it is built for {found}, the node's architecture is {wanted}")]
    Architecture {
        /// What it is built for.
        found: String,
        /// The node's.
        wanted: &'static str,
    },
    /// For newer systems.
    #[error(
        "it needs glibc {needed}, the node has glibc {found}: build it on a system as old as the \
         oldest node"
    )]
    Glibc {
        /// What it is linked with.
        needed: GlibcVersion,
        /// What the node has.
        found: GlibcVersion,
    },
}

/// A version of glibc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GlibcVersion {
    major: u32,
    minor: u32,
}

impl GlibcVersion {
    /// From `GLIBC_2.34` (or `GLIBC_2.2.5`).
    pub(super) fn parse(symbol: &str) -> Option<Self> {
        let mut numbers = symbol.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        Some(Self {
            major: numbers.next()?.ok()?,
            minor: numbers.next()?.ok()?,
        })
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What an executable needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    machine: u16,
    is_64_bit_little_endian: bool,
    /// The newest glibc version it names; none if it is static, or not for glibc.
    pub(super) glibc: Option<GlibcVersion>,
}

impl Program {
    pub(super) fn read(path: &Path) -> Result<Self, ElfError> {
        let file = File::open(path)?;
        let mut header = [0; HEADER_BYTES];
        let read = file.read_exact_at(&mut header, 0);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ElfError::NotElf,
            _ => ElfError::Io(error),
        })?;
        if !header.starts_with(b"\x7fELF") {
            return Err(ElfError::NotElf);
        }
        let is_64_bit_little_endian = header[4] == 2 && header[5] == 1;
        let machine = match header[5] {
            2 => u16::from_be_bytes([header[18], header[19]]),
            _ => u16::from_le_bytes([header[18], header[19]]),
        };
        // Others do not run where this runs: their inside does not matter.
        let glibc = if is_64_bit_little_endian {
            needed_glibc(&file, &header)?
        } else {
            None
        };
        Ok(Self {
            machine,
            is_64_bit_little_endian,
            glibc,
        })
    }

    pub(super) fn check_architecture(&self, wanted: &'static str) -> Result<(), ElfError> {
        let name = match (self.machine, self.is_64_bit_little_endian) {
            (62, true) => "x86_64",
            (183, true) => "aarch64",
            (243, true) => "riscv64",
            (21, true) => "powerpc64",
            (258, true) => "loongarch64",
            (3, _) => "x86",
            (40, _) => "arm",
            (22, _) => "s390x",
            _ => "",
        };
        let found = match name {
            name if name == wanted => return Ok(()),
            "" => format!("another architecture (ELF machine {})", self.machine),
            name => name.to_owned(),
        };
        Err(ElfError::Architecture { found, wanted })
    }
}

/// A loaded part of the file.
struct Segment {
    address: u64,
    offset: u64,
    length: u64,
}

struct Image<'a> {
    file: &'a File,
    segments: Vec<Segment>,
}

impl Image<'_> {
    fn read<const N: usize>(&self, offset: u64) -> Result<[u8; N], ElfError> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// Where in the file that address is.
    fn offset(&self, address: u64) -> Result<u64, ElfError> {
        let mut segments = self.segments.iter();
        let found = segments.find_map(|segment| {
            let distance = address.checked_sub(segment.address)?;
            (distance < segment.length).then(|| segment.offset.checked_add(distance))?
        });
        found.ok_or(ElfError::Broken("an address is in no segment"))
    }

    fn text(&self, offset: u64) -> Result<String, ElfError> {
        let mut bytes = [0; 64];
        let length = self.file.read_at(&mut bytes, offset)?;
        let text = bytes[..length]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn add(left: u64, right: u64) -> Result<u64, ElfError> {
    left.checked_add(right)
        .ok_or(ElfError::Broken("an offset is too large"))
}

fn needed_glibc(file: &File, header: &[u8]) -> Result<Option<GlibcVersion>, ElfError> {
    let (table, entry_bytes, entries) = (long(header, 32), half(header, 54), half(header, 56));
    let mut image = Image {
        file,
        segments: Vec::new(),
    };
    let mut dynamic = None;
    for index in 0..u64::from(entries) {
        let offset = add(table, index * u64::from(entry_bytes))?;
        let entry: [u8; PROGRAM_HEADER_BYTES] = image.read(offset)?;
        let offset = long(&entry, 8);
        match word(&entry, 0) {
            PT_LOAD => image.segments.push(Segment {
                address: long(&entry, 16),
                offset,
                length: long(&entry, 32),
            }),
            PT_DYNAMIC => dynamic = Some((offset, long(&entry, 32))),
            _ => (),
        }
    }
    let Some((offset, length)) = dynamic else {
        return Ok(None);
    };
    let (mut strings, mut needs, mut count) = (None, None, 0);
    let entries = (length / DYNAMIC_ENTRY_BYTES as u64).min(MAXIMUM_ENTRIES);
    for index in 0..entries {
        let entry: [u8; DYNAMIC_ENTRY_BYTES] =
            image.read(add(offset, index * DYNAMIC_ENTRY_BYTES as u64)?)?;
        match long(&entry, 0) {
            DT_STRTAB => strings = Some(long(&entry, 8)),
            DT_VERNEED => needs = Some(long(&entry, 8)),
            DT_VERNEEDNUM => count = long(&entry, 8).min(MAXIMUM_ENTRIES),
            _ => (),
        }
    }
    let (Some(strings), Some(needs)) = (strings, needs) else {
        return Ok(None);
    };
    newest(&image, image.offset(strings)?, image.offset(needs)?, count)
}

/// The newest glibc version among the needed versions.
fn newest(
    image: &Image<'_>,
    strings: u64,
    needs: u64,
    count: u64,
) -> Result<Option<GlibcVersion>, ElfError> {
    let mut newest = None;
    let mut need_at = needs;
    for _ in 0..count {
        let need: [u8; VERSION_BYTES] = image.read(need_at)?;
        let mut version_at = add(need_at, u64::from(word(&need, 8)))?;
        for _ in 0..half(&need, 2) {
            let version: [u8; VERSION_BYTES] = image.read(version_at)?;
            let name = image.text(add(strings, u64::from(word(&version, 8)))?)?;
            newest = newest.max(GlibcVersion::parse(&name));
            version_at = add(version_at, u64::from(word(&version, 12)))?;
        }
        need_at = add(need_at, u64::from(word(&need, 12)))?;
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_names_its_glibc() {
        let program = Program::read(&std::env::current_exe().unwrap()).unwrap();
        program.check_architecture(std::env::consts::ARCH).unwrap();
        let glibc = program.glibc.unwrap();
        assert!(glibc >= GlibcVersion { major: 2, minor: 2 }, "{glibc}");
    }

    #[test]
    fn broken_and_foreign_files_are_refused_not_panicked_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        std::fs::write(&path, b"#!/bin/sh\nexit 0\n").unwrap();
        assert!(matches!(Program::read(&path), Err(ElfError::NotElf)));
        std::fs::write(&path, &whole[..HEADER_BYTES]).unwrap();
        assert!(Program::read(&path).is_err(), "cut off after the header");
        // Every byte of the headers changed, one at a time: an answer, whatever it is.
        for at in 4..512 {
            let mut bytes = whole[..64 << 10].to_vec();
            bytes[at] ^= 0xff;
            std::fs::write(&path, bytes).unwrap();
            let _ = Program::read(&path);
        }
        let foreign = Program {
            machine: 183,
            is_64_bit_little_endian: true,
            glibc: None,
        };
        let message = foreign
            .check_architecture("x86_64")
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "it is built for aarch64, the node's architecture is x86_64"
        );
    }

    #[test]
    fn versions_are_compared_by_number() {
        let version = |text| GlibcVersion::parse(text).unwrap();
        assert!(version("GLIBC_2.9") < version("GLIBC_2.34"));
        assert_eq!(version("GLIBC_2.2.5").to_string(), "2.2");
        assert_eq!(GlibcVersion::parse("GLIBC_PRIVATE"), None);
        assert_eq!(GlibcVersion::parse("GLIBCXX_3.4"), None);
    }
}
