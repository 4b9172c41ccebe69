//! The configuration file that is shipped names options that exist, with the defaults they have, by the generated page.

use std::collections::BTreeMap;
use std::path::Path;

use super::Finding;

const FILE: &str = "conf/flott-conf.yaml";
const REFERENCE: &str = "docs/reference/configuration.md";

pub(super) fn check(root: &Path) -> Vec<Finding> {
    let read = |name: &str| {
        std::fs::read_to_string(root.join(name))
            .map_err(|error| vec![Finding::error(format!("{name} cannot be read: {error}"))])
    };
    match (read(FILE), read(REFERENCE)) {
        (Ok(file), Ok(reference)) => wrong_entries(&file, &reference)
            .into_iter()
            .map(|wrong| Finding::error(format!("{FILE}: {wrong}")))
            .collect(),
        (Err(finding), _) | (_, Err(finding)) => finding,
    }
}

fn wrong_entries(file: &str, reference: &str) -> Vec<String> {
    let defaults = defaults(reference);
    entries(file)
        .filter_map(|(key, value)| match defaults.get(key) {
            None => Some(format!("{key} is not in {REFERENCE}")),
            Some(Some(default)) if *default != value => {
                Some(format!("the default of {key} is {default}, not {value}"))
            }
            Some(_) => None,
        })
        .collect()
}

/// Keys and values, in comments or not: `key: value`, `#key: value`. Prose has a blank after the `#`.
fn entries(file: &str) -> impl Iterator<Item = (&str, &str)> {
    file.lines()
        .map(|line| line.strip_prefix('#').unwrap_or(line))
        .filter(|line| !line.starts_with([' ', '#']))
        .filter_map(|line| line.split_once(": "))
}

/// The rows of the reference's tables: key and default, if the option has one.
fn defaults(reference: &str) -> BTreeMap<&str, Option<&str>> {
    reference
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let key = cells.next()?.strip_suffix('`')?;
            let default = cells.nth(1)?;
            Some((
                key,
                default
                    .strip_prefix('`')
                    .and_then(|text| text.strip_suffix('`')),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_and_other_defaults_are_found() {
        let reference = "# Keys\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n\
            | `a.b` | integer | `1` | One. |\n| `c` | text | – | Two. |\n";
        let file = "# prose: not a key\n#a.b: 2\nc: anything\n#d: 1\n";
        assert_eq!(
            wrong_entries(file, reference),
            [
                "the default of a.b is 1, not 2",
                "d is not in docs/reference/configuration.md"
            ]
        );
        assert_eq!(wrong_entries("a.b: 1\n", reference), [""; 0]);
    }
}
