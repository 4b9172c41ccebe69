//! The files of a sink, and their names.

use flott_filesystem::join;
use flott_operators::TaskError;
use serde::{Deserialize, Serialize};

/// End of the names of hidden files.
pub(super) const IN_PROGRESS: &str = ".inprogress";

/// A file of a sink, hidden until it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFile {
    /// Its directory below that of the sink; empty: that of the sink.
    pub bucket: String,
    /// Its name once it is committed.
    pub name: String,
}

impl PartFile {
    /// Where it is once it is committed.
    pub(super) fn committed(&self, directory: &str) -> String {
        join(&self.directory(directory), &self.name)
    }

    /// Where it is before.
    pub(super) fn pending(&self, directory: &str) -> String {
        join(&self.directory(directory), &pending_name(&self.name))
    }

    fn directory(&self, directory: &str) -> String {
        match self.bucket.as_str() {
            "" => directory.to_owned(),
            bucket => join(directory, bucket),
        }
    }
}

/// The name of a file that is not committed.
fn pending_name(name: &str) -> String {
    format!(".{name}{IN_PROGRESS}")
}

/// Beginning and end of the names of a sink's files:
/// `prefix-operator-subtask-uuid-number` and then the suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartNames {
    pub(super) prefix: String,
    pub(super) suffix: String,
}

impl Default for PartNames {
    fn default() -> Self {
        Self {
            prefix: "part".to_owned(),
            suffix: String::new(),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl PartNames {
    /// Whether they can be told from names of other sinks, and are seen by readers.
    pub(super) fn check(&self) -> Result<(), TaskError> {
        let ends_in_number = self.prefix.rsplit('-').next().is_some_and(is_number);
        let why = if self.prefix.is_empty() {
            "it must not be empty"
        } else if self.prefix.starts_with(['.', '_']) {
            "readers skip files whose names begin with '.' or '_'"
        } else if ends_in_number {
            "it must not end with a number: names of other sinks could look the same"
        } else if self.prefix.contains(['/', '\0']) || self.suffix.contains(['/', '\0']) {
            "neither it nor the suffix may contain '/' or NUL"
        } else if self.suffix.ends_with(IN_PROGRESS) {
            "the suffix must not be that of hidden files"
        } else {
            return Ok(());
        };
        Err(TaskError::user(format!(
            "part files '{}…{}' of a file sink cannot be named so: {why}",
            self.prefix, self.suffix
        )))
    }

    /// The n-th file of a subtask's attempt, which has an id that no other attempt has.
    pub(super) fn committed(&self, operator: u32, subtask: u32, id: &str, number: u64) -> String {
        let Self { prefix, suffix } = self;
        format!("{prefix}-{operator}-{subtask}-{id}-{number}{suffix}")
    }

    /// Whether a file with that name belongs to the sink at that position of the program, and if so,
    /// whether it is hidden.
    pub(super) fn recognize(&self, operator: u32, name: &str) -> Option<Visibility> {
        let shown = name
            .strip_prefix('.')
            .and_then(|name| name.strip_suffix(IN_PROGRESS));
        let (name, visibility) = match shown {
            Some(name) => (name, Visibility::Hidden),
            None => (name, Visibility::Visible),
        };
        let rest = name.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        let rest = rest.strip_suffix(self.suffix.as_str())?;
        let (of, rest) = rest.split_once('-')?;
        let (subtask, rest) = rest.split_once('-')?;
        let (id, number) = rest.rsplit_once('-')?;
        let own = of.parse() == Ok(operator)
            && is_number(subtask)
            && is_number(number)
            && id.len() == 36
            && uuid::Uuid::parse_str(id).is_ok();
        own.then_some(visibility)
    }
}

/// Whether readers see a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    Hidden,
    Visible,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    fn names(prefix: &str, suffix: &str) -> PartNames {
        PartNames {
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }
    }

    #[test]
    fn a_sink_knows_its_own_files_only() {
        for names in [
            names("part", ""),
            names("a-b", ".csv"),
            names("part-x", "-1"),
        ] {
            names.check().unwrap();
            let name = names.committed(3, 12, ID, 7);
            assert_eq!(
                names.recognize(3, &name),
                Some(Visibility::Visible),
                "{name}"
            );
            let hidden = pending_name(&name);
            assert_eq!(names.recognize(3, &hidden), Some(Visibility::Hidden));
            for operator in [1, 12, 30, 33] {
                assert_eq!(names.recognize(operator, &name), None, "{name}");
            }
        }
        let part = PartNames::default();
        for stranger in [
            "part-3-0-notes.txt".to_owned(),
            format!("part-3-{ID}-0"),
            format!("part-3-x-{ID}-0"),
            format!("part-3-0-{ID}-0.csv"),
            format!("party-3-0-{ID}-0"),
            names("part-x", "").committed(3, 0, ID, 0),
            String::new(),
        ] {
            assert_eq!(part.recognize(3, &stranger), None, "{stranger}");
        }
    }

    #[test]
    fn names_that_cannot_be_told_apart_or_seen_are_refused() {
        for (prefix, suffix) in [
            ("", ""),
            (".part", ""),
            ("_part", ""),
            ("part-1", ""),
            ("7", ""),
            ("a/b", ""),
            ("part", "/x"),
            ("part", ".inprogress"),
        ] {
            let error = names(prefix, suffix).check().unwrap_err();
            assert!(error.message.contains("cannot be named so"), "{error}");
        }
    }

    #[test]
    fn a_file_is_in_its_bucket() {
        let file = |bucket: &str| PartFile {
            bucket: bucket.to_owned(),
            name: "x".to_owned(),
        };
        assert_eq!(file("").committed("file:///out"), "file:///out/x");
        assert_eq!(
            file("a/b").pending("file:///out"),
            "file:///out/a/b/.x.inprogress"
        );
    }
}
