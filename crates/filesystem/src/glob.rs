//! Wildcards over any file system, one directory listing per wildcard component.
//!
//! Hidden names match like all others: filtering is the caller's decision.

use std::collections::BTreeMap;

use crate::error::{ErrorKind, FileSystemError, Result};
use crate::file_system::{FileStatus, FileSystem};
use crate::uri::{file_name, join};

/// Braces multiply; beyond this a pattern is a mistake.
const MAX_ALTERNATIVES: usize = 4096;

pub(crate) async fn glob<F: FileSystem + ?Sized>(fs: &F, pattern: &str) -> Result<Vec<FileStatus>> {
    let bad = |why: String| {
        FileSystemError::new("match", pattern, ErrorKind::InvalidPath).with_detail(why)
    };
    if !pattern.starts_with('/') {
        return Err(bad("a pattern must be an absolute path".to_owned()));
    }
    let mut found = BTreeMap::new();
    for alternative in expand_braces(pattern).map_err(bad)? {
        for status in glob_one(fs, &alternative, &bad).await? {
            found.insert(status.path.clone(), status);
        }
    }
    Ok(found.into_values().collect())
}

/// Candidates carry their status once a listing has told it.
async fn glob_one<F: FileSystem + ?Sized>(
    fs: &F,
    pattern: &str,
    bad: &(impl Fn(String) -> FileSystemError + Sync),
) -> Result<Vec<FileStatus>> {
    let mut candidates = vec![("/".to_owned(), None)];
    for component in pattern.split('/').filter(|component| !component.is_empty()) {
        let tokens = tokenize(component).map_err(bad)?;
        let mut next = Vec::new();
        for (path, status) in candidates {
            if status
                .as_ref()
                .is_some_and(|status: &FileStatus| !status.is_dir)
            {
                continue;
            }
            if let Some(name) = literal(&tokens) {
                next.push((join(&path, &name), None));
                continue;
            }
            for entry in absent_as_none(fs.list(&path).await)?.unwrap_or_default() {
                // Listing a file yields the file itself, which is no entry of a directory.
                if entry.path != path && matches(&tokens, file_name(&entry.path)) {
                    next.push((entry.path.clone(), Some(entry)));
                }
            }
        }
        candidates = next;
    }
    let mut found = Vec::new();
    for (path, status) in candidates {
        match status {
            Some(status) => found.push(status),
            None => found.extend(absent_as_none(fs.status(&path).await)?),
        }
    }
    Ok(found)
}

fn absent_as_none<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyText,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn tokenize(component: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = component.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '\\' => Token::Char(chars.next().ok_or("nothing follows the last \\")?),
            '?' => Token::AnyChar,
            '*' => Token::AnyText,
            '[' => tokenize_set(&mut chars)?,
            c => Token::Char(c),
        });
    }
    Ok(tokens)
}

fn tokenize_set(chars: &mut std::str::Chars<'_>) -> Result<Token, String> {
    const UNCLOSED: &str = "a [ is not closed";
    let negated = chars.as_str().starts_with(['!', '^']);
    if negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next().ok_or(UNCLOSED)? {
            // A closing bracket in first place is a member of the set.
            ']' if !ranges.is_empty() => return Ok(Token::Set { negated, ranges }),
            '\\' => chars.next().ok_or(UNCLOSED)?,
            c => c,
        };
        let mut ahead = chars.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                *chars = ahead;
                if to == '\\' {
                    chars.next().ok_or(UNCLOSED)?
                } else {
                    to
                }
            }
            _ => from,
        };
        if to < from {
            return Err(format!("the range {from}-{to} is empty"));
        }
        ranges.push((from, to));
    }
}

fn literal(tokens: &[Token]) -> Option<String> {
    tokens
        .iter()
        .map(|token| {
            if let Token::Char(c) = token {
                Some(*c)
            } else {
                None
            }
        })
        .collect()
}

/// Greedy with one backtrack point: linear in pattern × name, whatever the stars.
fn matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::AnyText) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            Some(one) if matches_char(one, name[at]) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_token, star_at)) = star else {
            return false;
        };
        star = Some((star_token, star_at + 1));
        (token, at) = (star_token + 1, star_at + 1);
    }
    tokens[token..].iter().all(|token| *token == Token::AnyText)
}

fn matches_char(token: &Token, c: char) -> bool {
    match token {
        Token::Char(expected) => *expected == c,
        Token::AnyChar => true,
        Token::AnyText => false,
        Token::Set { negated, ranges } => {
            ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
        }
    }
}

/// `a{b,c{d,e}}` → `ab`, `acd`, `ace`. Alternatives may contain slashes.
fn expand_braces(pattern: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(text) = open.pop() {
        if done.len() + open.len() >= MAX_ALTERNATIVES {
            return Err(format!(
                "the braces stand for more than {MAX_ALTERNATIVES} paths"
            ));
        }
        match first_brace(&text)? {
            None => done.push(text),
            Some((before, alternatives, after)) => {
                open.extend(
                    alternatives
                        .iter()
                        .rev()
                        .map(|a| format!("{before}{a}{after}")),
                );
            }
        }
    }
    Ok(done)
}

/// Text before the first brace group, its alternatives, text after it.
fn first_brace(text: &str) -> Result<Option<(&str, Vec<&str>, &str)>, String> {
    let mut depth = 0_usize;
    let (mut start, mut from) = (0, 0);
    let mut alternatives = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '{' => {
                depth += 1;
                if depth == 1 {
                    (start, from) = (at, at + 1);
                }
            }
            ',' if depth == 1 => {
                alternatives.push(&text[from..at]);
                from = at + 1;
            }
            '}' if depth == 1 => {
                alternatives.push(&text[from..at]);
                return Ok(Some((&text[..start], alternatives, &text[at + 1..])));
            }
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 {
        Err("a { is not closed".to_owned())
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, name: &str) -> bool {
        matches(&tokenize(pattern).unwrap(), name)
    }

    #[test]
    fn components_match() {
        for (pattern, name) in [
            ("*", ""),
            ("*", ".hidden"),
            ("a*b*c", "aXbXbc"),
            ("?.txt", "ä.txt"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]", "]"),
            ("[a-]", "-"),
            (r"\*", "*"),
            (r"[\]]", "]"),
        ] {
            assert!(is_match(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a*b", "abc"),
            ("?", ""),
            ("?", "ab"),
            ("[a-c]", "d"),
            ("[^a]", "a"),
            (r"\*", "x"),
        ] {
            assert!(!is_match(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn braces_expand_in_order() {
        assert_eq!(
            expand_braces("/a{b,c{d,e}}f").unwrap(),
            ["/abf", "/acdf", "/acef"]
        );
        assert_eq!(expand_braces("/{x/y,}z").unwrap(), ["/x/yz", "/z"]);
        assert_eq!(expand_braces(r"/\{a,b\}").unwrap(), [r"/\{a,b\}"]);
        assert_eq!(expand_braces("/a}b").unwrap(), ["/a}b"]);
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            expand_braces("/{a,b")
                .unwrap_err()
                .contains("{ is not closed")
        );
        assert!(tokenize("[ab").unwrap_err().contains("[ is not closed"));
        assert!(tokenize("[b-a]").unwrap_err().contains("b-a"));
        assert!(tokenize("a\\").is_err());
        assert!(
            expand_braces(&format!("/{}", "{a,b}".repeat(20)))
                .unwrap_err()
                .contains("4096")
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(pattern in "[a\\-\\[\\]{},*?\\\\!^é]{0,16}", name in "[a\\-é]{0,6}") {
            for alternative in expand_braces(&pattern).unwrap_or_default() {
                if let Ok(tokens) = tokenize(&alternative) {
                    matches(&tokens, &name);
                }
            }
        }

        #[test]
        fn a_literal_matches_itself(name in "[a-z.]{0,8}") {
            proptest::prop_assert!(is_match(&name, &name));
        }
    }
}
