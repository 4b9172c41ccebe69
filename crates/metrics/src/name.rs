//! Names as Flink's REST API shows them.

/// A part of a name, with the characters that separate parts elsewhere replaced: `Source: bids` is shown as `Source__bids`.
pub fn filter_name(part: &str) -> String {
    part.chars()
        .map(|letter| match letter {
            ' ' | '.' | ':' | ',' => '_',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn separators_become_underscores() {
        for (name, shown) in [
            ("Source: bids", "Source__bids"),
            ("discard: Writer", "discard__Writer"),
            ("window-count", "window-count"),
            ("a.b,c", "a_b_c"),
        ] {
            assert_eq!(super::filter_name(name), shown);
        }
    }
}
