//! Text of paths and URIs. Hadoop's rules: no percent-encoding, `/` separates, wildcards are text.

use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{ErrorKind, FileSystemError, Result};

/// A URI taken apart; `scheme` is absent for plain paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) scheme: Option<String>,
    /// `host`, `host:port`, a name service, or empty.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.contains('\0') {
            return Err(
                FileSystemError::new("resolve", text, ErrorKind::InvalidPath)
                    .with_detail("a path must have at least one character, and no NUL"),
            );
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            let path = text.to_owned();
            return Ok(Self {
                scheme: None,
                authority: String::new(),
                path,
            });
        };
        let (authority, path) = match rest.strip_prefix("//") {
            None => ("", rest),
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        };
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(
                FileSystemError::new("resolve", text, ErrorKind::InvalidPath)
                    .with_detail("after a scheme the path must start with /"),
            );
        }
        Ok(Self {
            scheme: Some(scheme.to_ascii_lowercase()),
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// A scheme is a letter, then letters, digits, `+-.`, then a colon before any slash.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut chars = scheme.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    // `a:b` is a relative file name with a colon, as shells make them.
    (valid && rest.starts_with('/')).then_some((scheme, rest))
}

/// Collapses `//`, `.` and `..` of an absolute path; never ends with `/` except the root.
pub(crate) fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `directory/name` with exactly one slash between.
pub fn join(directory: &str, name: &str) -> String {
    format!(
        "{}/{}",
        directory.trim_end_matches('/'),
        name.trim_start_matches('/')
    )
}

/// The last component; empty for the root.
pub fn file_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The directory a path is in; the root is its own parent.
pub fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((directory, _)) => directory,
    }
}

/// Names starting with `.` or `_` are not data by Hadoop's convention: `_SUCCESS`, `.part.tmp`.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

/// Text that no other file of any process gets, for temporary names.
pub(crate) fn unique_suffix() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // RandomState is seeded by the operating system for every process.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(COUNTER.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Option<String>, String, String) {
        let location = Location::parse(text).unwrap();
        (location.scheme, location.authority, location.path)
    }

    #[test]
    fn uris_are_taken_apart() {
        let case = |text, scheme: Option<&str>, authority: &str, path: &str| {
            let expected = (
                scheme.map(str::to_owned),
                authority.to_owned(),
                path.to_owned(),
            );
            assert_eq!(parse(text), expected, "{text}");
        };
        case("/x", None, "", "/x");
        case("x/y", None, "", "x/y");
        case("a:b", None, "", "a:b");
        case("file:///x", Some("file"), "", "/x");
        case("file:/x", Some("file"), "", "/x");
        case("HDFS://ns/x y", Some("hdfs"), "ns", "/x y");
        case("hdfs://h:9000", Some("hdfs"), "h:9000", "/");
        case("/a/hdfs://h", None, "", "/a/hdfs://h");
        case("hdfs://h/{a,b}/*.txt", Some("hdfs"), "h", "/{a,b}/*.txt");
    }

    #[test]
    fn empty_and_nul_are_refused() {
        assert!(Location::parse("").is_err());
        assert!(Location::parse("/a\0b").is_err());
    }

    #[test]
    fn paths_are_normalized() {
        assert_eq!(normalize("//a/./b//../c/"), "/a/c");
        assert_eq!(normalize("/../.."), "/");
        assert_eq!(normalize(""), "/");
    }

    #[test]
    fn names_and_parents() {
        assert_eq!((file_name("/a/b"), parent("/a/b")), ("b", "/a"));
        assert_eq!((file_name("/a"), parent("/a")), ("a", "/"));
        assert_eq!((file_name("/"), parent("/")), ("", "/"));
        assert_eq!(join("/", "a"), "/a");
        assert!(is_hidden("_SUCCESS") && is_hidden(".x") && !is_hidden("part-0"));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            if let Ok(location) = Location::parse(&text) {
                let path = normalize(&location.path);
                proptest::prop_assert_eq!(normalize(&path), path);
            }
        }
    }
}
