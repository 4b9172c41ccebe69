//! The known key that a mistyped one probably meant.

/// Edits that turn one text into the other: insert, delete, replace a character.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The most similar candidate, if it shares most of its text with the key.
pub(crate) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Keys are short; a long one cannot be similar, and would only cost time.
    let lower: String = key.to_lowercase().chars().take(200).collect();
    let (edits, candidate) = known
        .map(|candidate| (distance(&lower, &candidate.to_lowercase()), candidate))
        .min()?;
    let limit = (candidate.len() / 4).max(2);
    (edits <= limit).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_similar_keys_are_suggested() {
        let known = ["parallelism.default", "yarn.tags"];
        let near = |key| nearest(key, known.iter().copied());
        assert_eq!(near("paralelism.default"), Some("parallelism.default"));
        assert_eq!(near("Parallelism.Default"), Some("parallelism.default"));
        assert_eq!(near("yarn.tag"), Some("yarn.tags"));
        assert_eq!(near("state.backend"), None);
        assert_eq!(nearest("x", [].into_iter()), None);
    }
}
