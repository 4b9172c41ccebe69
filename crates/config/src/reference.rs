//! The reference page, generated from the option table.

use std::fmt::Write;

use crate::option::OptionInfo;
use crate::options::{PREFIXES, SECTIONS};

const INTRODUCTION: &str = "\
# Configuration reference

<!-- Generated from crates/config/src/options.rs: UPDATE=1 cargo test -p flott-config -->

Values come from, weakest first: the defaults below, `flott-conf.yaml` (flat keys) or `config.yaml`
(nested) of the cluster, the job's program, and `-Dkey=value` on the command line. The directory of
the files is `FLOTT_CONF_DIR`, else `../conf` beside the executable. Unknown keys are kept and
warned about.

Durations are written `10 s`, `100ms`, `5 min` or `PT10S`; without a unit they are milliseconds.
Memory is written `512m`, `1 gb`, or as a number of bytes; the units are powers of 1024. Keys and
defaults are those of Flink 1.20 except where **Differs** says otherwise.
";

/// The text of `docs/reference/configuration.md`.
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (title, options) in SECTIONS {
        let _ = write!(
            page,
            "\n## {title}\n\n| Key | Type | Default | Meaning |\n|---|---|---|---|\n"
        );
        for info in *options {
            let _ = writeln!(page, "{}", row(info));
        }
    }
    page.push_str("\n## Families of keys\n\n| Keys | Meaning |\n|---|---|\n");
    for option in PREFIXES {
        let _ = writeln!(page, "| `{}<name>` | {} |", option.prefix, cell(option.doc));
    }
    page
}

fn row(info: &OptionInfo) -> String {
    let default = info
        .default
        .map_or("–".to_owned(), |text| format!("`{text}`"));
    let mut meaning = cell(info.doc);
    let mut add = |label: &str, keys: &[&str]| {
        if !keys.is_empty() {
            let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
            let _ = write!(meaning, " {label} {}.", keys.join(", "));
        }
    };
    add("If not set, it is taken from", info.fallback);
    add("Older name:", info.deprecated);
    if let Some(deviation) = info.deviation {
        let _ = write!(meaning, " **Differs:** {}", cell(deviation));
    }
    format!(
        "| `{}` | {} | {} | {} |",
        info.key,
        info.type_name,
        cell(&default),
        meaning
    )
}

/// A pipe would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_current() {
        let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap())
            .join("../../docs/reference/configuration.md");
        let expected = reference_markdown();
        if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "stale page: run UPDATE=1 cargo test -p flott-config"
        );
    }
}
