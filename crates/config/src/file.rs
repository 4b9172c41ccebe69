//! The two file formats: flat `key: value` lines, and nested YAML.

use std::path::Path;

use serde_yaml_ng::Value;

use crate::configuration::Raw;
use crate::error::{ConfigError, Result, Source};

/// Lines `key: value`, `#` for comments; quotes as in YAML. An empty value leaves the key unset.
pub(crate) fn parse_flat(path: &Path, text: &str) -> Result<Vec<Raw>> {
    let mut settings = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let from = Source::File {
            path: path.to_owned(),
            line: Some(index + 1),
        };
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" {
            continue;
        }
        match parse_line(line) {
            Ok((key, value)) if !value.is_empty() => settings.push((key, value, from)),
            Ok(_) => {}
            Err(reason) => {
                return Err(ConfigError::Syntax {
                    from,
                    reason: reason.to_owned(),
                });
            }
        }
    }
    Ok(settings)
}

fn parse_line(line: &str) -> Result<(String, String), &'static str> {
    if line.starts_with([' ', '\t']) {
        return Err("the line is indented; nested keys belong into config.yaml");
    }
    let colon = line.char_indices().find(|(at, c)| {
        *c == ':'
            && line[at + 1..]
                .chars()
                .next()
                .is_none_or(char::is_whitespace)
    });
    let (key, value) = match colon {
        Some((at, _)) => (line[..at].trim(), line[at + 1..].trim()),
        None => return Err("expected key: value, with a space after the colon"),
    };
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err("the key before the colon is empty or has spaces");
    }
    let value = if value.starts_with(['"', '\'']) {
        serde_yaml_ng::from_str(value).map_err(|_| "the quotes of the value do not match")?
    } else {
        without_comment(value).to_owned()
    };
    Ok((key.to_owned(), value))
}

/// A comment starts with `#` at the beginning or after a space.
fn without_comment(value: &str) -> &str {
    let comment = value.char_indices().find(|(at, c)| {
        *c == '#'
            && value[..*at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
    });
    comment.map_or(value, |(at, _)| value[..at].trim_end())
}

/// Nested YAML: `a: {b: 1}` means `a.b`. Lists become items between semicolons.
pub(crate) fn parse_nested(path: &Path, text: &str) -> Result<Vec<Raw>> {
    let from = || Source::File {
        path: path.to_owned(),
        line: None,
    };
    let value: Value = serde_yaml_ng::from_str(text).map_err(|error| ConfigError::Syntax {
        from: Source::File {
            path: path.to_owned(),
            line: error.location().map(|at| at.line()),
        },
        reason: error.to_string(),
    })?;
    let mut flat = Vec::new();
    match value {
        Value::Null => {}
        value @ Value::Mapping(_) => {
            flatten(String::new(), value, &mut flat).map_err(|reason| ConfigError::Syntax {
                from: from(),
                reason,
            })?
        }
        _ => {
            let reason = "expected keys and values at the top".to_owned();
            return Err(ConfigError::Syntax {
                from: from(),
                reason,
            });
        }
    }
    Ok(flat
        .into_iter()
        .map(|(key, value)| (key, value, from()))
        .collect())
}

fn flatten(key: String, value: Value, into: &mut Vec<(String, String)>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Mapping(mapping) => {
            for (name, value) in mapping {
                let name =
                    scalar(&name).ok_or_else(|| format!("a key below {key:?} is no text"))?;
                let key = if key.is_empty() {
                    name
                } else {
                    format!("{key}.{name}")
                };
                flatten(key, value, into)?;
            }
        }
        Value::Sequence(items) => {
            let items: Option<Vec<_>> = items.iter().map(scalar).collect();
            let items =
                items.ok_or_else(|| format!("the list {key} has items that are no text"))?;
            into.push((key, items.join(";")));
        }
        value => {
            let text = scalar(&value).ok_or_else(|| format!("the value of {key} has a tag"))?;
            into.push((key, text));
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(settings: Result<Vec<Raw>>) -> Result<Vec<(String, String)>, String> {
        let settings = settings.map_err(|error| error.to_string())?;
        Ok(settings
            .into_iter()
            .map(|(key, value, _)| (key, value))
            .collect())
    }

    fn flat(text: &str) -> Result<Vec<(String, String)>, String> {
        pairs(parse_flat(Path::new("f.yaml"), text))
    }

    fn nested(text: &str) -> Result<Vec<(String, String)>, String> {
        pairs(parse_nested(Path::new("c.yaml"), text))
    }

    fn expect(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
        Ok(pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect())
    }

    #[test]
    fn flat_lines() {
        let text = "\u{feff}# comment\n---\na.b: 1 # why\nc: 'x: #y' # z\nd:\ne: hdfs://h:1/p#q\r\n\
                    f: \"a\\tb\"\n";
        let expected = [
            ("a.b", "1"),
            ("c", "x: #y"),
            ("e", "hdfs://h:1/p#q"),
            ("f", "a\tb"),
        ];
        assert_eq!(flat(text), expect(&expected));
    }

    #[test]
    fn mistakes_in_flat_lines_are_located() {
        assert!(
            flat("a: 1\nb\n")
                .unwrap_err()
                .starts_with("cannot read f.yaml:2: expected key")
        );
        assert!(
            flat("a:\n  b: 1\n")
                .unwrap_err()
                .contains("f.yaml:2: the line is indented")
        );
        assert!(flat("a b: 1").unwrap_err().contains("has spaces"));
        assert!(flat("a: 'x").unwrap_err().contains("quotes"));
    }

    #[test]
    fn nested_yaml() {
        let text = "parallelism:\n  default: 4\nyarn:\n  tags: [a, b]\n  application.queue: q\n\
                    x: ~\nflag: true\nshare: 0.25\nsize: 10s\n";
        let expected = [
            ("parallelism.default", "4"),
            ("yarn.tags", "a;b"),
            ("yarn.application.queue", "q"),
            ("flag", "true"),
            ("share", "0.25"),
            ("size", "10s"),
        ];
        assert_eq!(nested(text), expect(&expected));
        assert_eq!(nested(""), expect(&[]));
    }

    #[test]
    fn mistakes_in_yaml_are_located() {
        assert!(
            nested("a: [1\n")
                .unwrap_err()
                .starts_with("cannot read c.yaml")
        );
        assert!(nested("- a").unwrap_err().contains("keys and values"));
        assert!(nested("a: [[1]]").unwrap_err().contains("the list a"));
        assert!(nested("a: !t 1").unwrap_err().contains("tag"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a-c:#'\"\\[\\]{}&*!\\- \\n\\té]{0,40}") {
            let _ = (flat(&text), nested(&text));
        }
    }
}
