//! The version of glibc that a program needs, from the version table of its dynamic symbols (`.gnu.version_r`).
//! Reads 64-bit little-endian ELF only, which is what we build.

use std::fmt;

use anyhow::{Context, Result, ensure};

const VERNEED_SECTION: u32 = 0x6fff_fffe;

/// A version such as 2.34. The default is that of a program that needs none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GlibcVersion {
    major: u32,
    minor: u32,
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// The newest glibc of which the program needs a symbol.
pub(super) fn needed_glibc(program: &[u8]) -> Result<GlibcVersion> {
    ensure!(
        program.starts_with(b"\x7fELF\x02\x01"),
        "it is not a 64-bit little-endian ELF file"
    );
    let sections = sections(program).context("its section table is damaged")?;
    let mut newest = GlibcVersion::default();
    for section in sections
        .iter()
        .filter(|section| section.kind == VERNEED_SECTION)
    {
        let names = sections
            .get(section.link)
            .and_then(|strings| program.get(strings.offset..))
            .context("its version table has no names")?;
        let needed = needed_versions(program, section.offset, names)
            .context("its version table is damaged")?;
        newest = needed.into_iter().fold(newest, GlibcVersion::max);
    }
    Ok(newest)
}

struct Section {
    kind: u32,
    offset: usize,
    link: usize,
}

fn sections(program: &[u8]) -> Option<Vec<Section>> {
    let table = usize::try_from(u64_at(program, 0x28)?).ok()?;
    let size = usize::from(u16_at(program, 0x3a)?);
    let count = usize::from(u16_at(program, 0x3c)?);
    (0..count)
        .map(|index| {
            let at = table.checked_add(index.checked_mul(size)?)?;
            Some(Section {
                kind: u32_at(program, at.checked_add(4)?)?,
                offset: usize::try_from(u64_at(program, at.checked_add(24)?)?).ok()?,
                link: u32_at(program, at.checked_add(40)?)? as usize,
            })
        })
        .collect()
}

/// Walks the libraries of the table, and the versions of each.
fn needed_versions(program: &[u8], start: usize, names: &[u8]) -> Option<Vec<GlibcVersion>> {
    let mut found = Vec::new();
    let mut library = start;
    loop {
        let mut version = library.checked_add(u32_at(program, library.checked_add(8)?)? as usize)?;
        for _ in 0..u16_at(program, library.checked_add(2)?)? {
            let name = u32_at(program, version.checked_add(8)?)? as usize;
            found.extend(glibc_version(names.get(name..)?));
            version = version.checked_add(u32_at(program, version.checked_add(12)?)? as usize)?;
        }
        match u32_at(program, library.checked_add(12)?)? as usize {
            0 => return Some(found),
            next => library = library.checked_add(next)?,
        }
    }
}

/// `GLIBC_2.34` or `GLIBC_2.2.5`, ended by a zero byte. Other names, such as `GCC_3.0`, give nothing.
fn glibc_version(name: &[u8]) -> Option<GlibcVersion> {
    let end = name.iter().position(|byte| *byte == 0)?;
    let numbers = std::str::from_utf8(&name[..end])
        .ok()?
        .strip_prefix("GLIBC_")?;
    let mut numbers = numbers.split('.').map(str::parse);
    Some(GlibcVersion {
        major: numbers.next()?.ok()?,
        minor: numbers.next()?.ok()?,
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u16::from_le_bytes(*chunk))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_a_glibc_that_can_be() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = needed_glibc(&program).unwrap();
        assert_eq!(needed.major, 2);
        assert!(needed.minor >= 14, "{needed}");
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 5, 6, 0x28, 0x3b, 0x40, 1000, program.len() / 2] {
            assert!(needed_glibc(&program[..length]).is_err(), "cut at {length}");
        }
        let mut damaged = program[..4096].to_vec();
        damaged[0x28..0x30].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(needed_glibc(&damaged).is_err());
    }

    #[test]
    fn versions_compare_as_numbers() {
        let version = |name: &str| glibc_version(format!("{name}\0").as_bytes());
        assert!(version("GLIBC_2.9") < version("GLIBC_2.34"));
        assert_eq!(version("GLIBC_2.2.5").unwrap().to_string(), "2.2");
        assert_eq!(version("GCC_3.0"), None);
        assert_eq!(version("GLIBC_PRIVATE"), None);
    }
}
