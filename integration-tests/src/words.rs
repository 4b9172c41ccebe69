//! The independent word count that results are compared with, and the reading of WordCount's output.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

/// Words as in Flink's example: lower-cased, split at everything that is not an ASCII letter, digit or underscore.
pub fn count_words(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut word = String::new();
    for byte in text.bytes().chain([b' ']) {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            word.push(byte.to_ascii_lowercase() as char);
        } else if !word.is_empty() {
            *counts.entry(std::mem::take(&mut word)).or_insert(0) += 1;
        }
    }
    counts
}

/// The result in STREAMING, where every update is a line `word count`: a word's largest count.
pub fn largest_counts(lines: &str) -> Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        let (word, count) = line
            .rsplit_once(' ')
            .with_context(|| format!("the output line {line:?} is not `word count`"))?;
        let count: u64 = count
            .parse()
            .with_context(|| format!("the output line {line:?} does not end in a number"))?;
        let largest = counts.entry(word.to_owned()).or_insert(0);
        *largest = count.max(*largest);
    }
    Ok(counts)
}

/// The text of all finished files below a local output directory; names that start with `.` or `_` are not finished.
pub fn read_output(directory: &Path) -> Result<String> {
    let mut text = String::new();
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("listing the output directory {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(['.', '_']));
        if hidden {
            continue;
        }
        if path.is_dir() {
            text += &read_output(&path)?;
        } else {
            text += &std::fs::read_to_string(&path)
                .with_context(|| format!("reading {}", path.display()))?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_everything_but_ascii_word_characters() {
        let counts = count_words("It's it; IT_2 café\n£10");
        let expected = [("10", 1), ("caf", 1), ("it", 2), ("it_2", 1), ("s", 1)];
        assert_eq!(
            counts,
            expected.map(|(word, n)| (word.to_owned(), n)).into()
        );
    }

    #[test]
    fn the_largest_update_of_a_word_counts() {
        let counts = largest_counts("a 1\nb 1\na 3\na 2\n").unwrap();
        assert_eq!(counts, [("a".to_owned(), 3), ("b".to_owned(), 1)].into());
        assert!(largest_counts("a\n").is_err());
        assert!(largest_counts("a b\n").is_err());
    }

    #[test]
    fn reads_finished_files_of_all_directories() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("2026")).unwrap();
        std::fs::write(directory.path().join("part-0"), "a 1\n").unwrap();
        std::fs::write(directory.path().join("2026/part-1"), "b 1\n").unwrap();
        std::fs::write(directory.path().join(".part-2.inprogress"), "c 1\n").unwrap();
        let mut lines: Vec<_> = read_output(directory.path())
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort();
        assert_eq!(lines, ["a 1", "b 1"]);
    }
}
