//! Helpers for text.

use flott_record::Str;

/// The words of a line as in Flink's WordCount: lower-cased, separated by whatever is not an ASCII
/// letter, digit or underscore (`\W+`).
///
/// ```
/// let words: Vec<_> = flott::text::words("To be, or not to_be!".to_owned()).collect();
/// assert_eq!(words, ["to", "be", "or", "not", "to_be"]);
/// ```
pub fn words(line: String) -> Words {
    let mut line = line;
    line.make_ascii_lowercase();
    Words { line, at: 0 }
}

/// Iterator of [`words`].
#[derive(Debug, Clone)]
pub struct Words {
    line: String,
    at: usize,
}

const fn word_table() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
}

static IN_WORD: [bool; 256] = word_table();

impl Iterator for Words {
    type Item = Str;

    #[inline]
    fn next(&mut self) -> Option<Str> {
        let bytes = self.line.as_bytes();
        let start = self.at
            + bytes[self.at..]
                .iter()
                .position(|byte| IN_WORD[*byte as usize])?;
        let length = bytes[start..]
            .iter()
            .position(|byte| !IN_WORD[*byte as usize]);
        let end = length.map_or(bytes.len(), |length| start + length);
        self.at = end;
        // Word bytes are ASCII, so both ends are character boundaries.
        Some(Str::from(&self.line[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_those_of_the_regular_expression() {
        for (line, expected) in [
            ("", &[][..]),
            ("...", &[]),
            ("Hello", &["hello"]),
            ("  a--b_c9 ", &["a", "b_c9"]),
            ("naïve Ärger", &["na", "ve", "rger"]),
        ] {
            assert_eq!(
                words(line.to_owned()).collect::<Vec<_>>(),
                expected,
                "{line:?}"
            );
        }
    }
}
