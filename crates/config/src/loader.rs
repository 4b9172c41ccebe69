//! Finds and stacks the sources of configuration.
//!
//! Precedence, weakest first: defaults of the table < cluster file < job < command line.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::configuration::{Configuration, Raw};
use crate::error::{ConfigError, Result, Source, Warning};
use crate::file::{parse_flat, parse_nested};

const FLAT_FILE: &str = "flott-conf.yaml";
const NESTED_FILE: &str = "config.yaml";

/// `FLOTT_CONF_DIR`, else `../conf` beside the executable if that exists.
pub fn find_conf_dir() -> Option<PathBuf> {
    if let Some(directory) = std::env::var_os("FLOTT_CONF_DIR").filter(|value| !value.is_empty()) {
        return Some(directory.into());
    }
    let executable = std::env::current_exe().ok()?;
    let directory = executable.parent()?.parent()?.join("conf");
    directory.is_dir().then_some(directory)
}

/// Collects the layers, then resolves them.
#[derive(Debug, Clone, Default)]
pub struct Loader {
    directory: Option<PathBuf>,
    job: BTreeMap<String, String>,
    command_line: Vec<String>,
}

impl Loader {
    /// Defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// The directory of the cluster's file, usually from [`find_conf_dir`].
    #[must_use]
    pub fn conf_dir(mut self, directory: Option<PathBuf>) -> Self {
        self.directory = directory;
        self
    }

    /// Settings made by the job's program.
    #[must_use]
    pub fn job(mut self, settings: BTreeMap<String, String>) -> Self {
        self.job = settings;
        self
    }

    /// `key=value` texts from `-D`; of equal keys the last one counts.
    #[must_use]
    pub fn command_line<S: Into<String>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.command_line
            .extend(options.into_iter().map(Into::into));
        self
    }

    /// Reads and checks everything. The warnings are for the user's eyes.
    pub fn load(self) -> Result<(Configuration, Vec<Warning>)> {
        let mut configuration = Configuration::new();
        let mut warnings = Vec::new();
        if let Some(directory) = &self.directory {
            let settings = read_directory(directory, &mut warnings)?;
            warnings.extend(configuration.apply(settings)?);
        }
        let job = self
            .job
            .into_iter()
            .map(|(key, value)| (key, value, Source::Job))
            .collect();
        warnings.extend(configuration.apply(job)?);
        let options = self.command_line.iter().map(|text| parse_argument(text));
        warnings.extend(configuration.apply(options.collect::<Result<_>>()?)?);
        Ok((configuration, warnings))
    }
}

fn parse_argument(text: &str) -> Result<Raw> {
    let malformed = || ConfigError::Argument {
        text: text.to_owned(),
    };
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(malformed());
    }
    Ok((key.to_owned(), value.trim().to_owned(), Source::CommandLine))
}

fn read_directory(directory: &Path, warnings: &mut Vec<Warning>) -> Result<Vec<Raw>> {
    let unreadable = |path: &Path, source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    // A directory that was named but is missing is a mistake; one without files is not.
    std::fs::read_dir(directory).map_err(|source| unreadable(directory, source))?;
    let read = |name: &str| {
        let path = directory.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(unreadable(&path, source)),
        }
    };
    let settings = match (read(FLAT_FILE)?, read(NESTED_FILE)?) {
        (None, None) => Vec::new(),
        (None, Some((path, text))) => parse_nested(&path, &text)?,
        (Some((path, text)), second) => {
            let settings = parse_flat(&path, &text)?;
            let ignored = second.map(|(ignored, _)| ignored);
            warnings.extend(ignored.map(|ignored| Warning::SecondFile {
                read: path,
                ignored,
            }));
            settings
        }
    };
    let mut seen = BTreeSet::new();
    for (key, _, from) in &settings {
        if !seen.insert(key) {
            warnings.push(Warning::DuplicateKey {
                key: key.clone(),
                from: from.clone(),
            });
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn later_layers_win() {
        let files = directory(&[(
            FLAT_FILE,
            "parallelism.default: 2\npipeline.name: file\nheartbeat.interval: 1 s\n",
        )]);
        let job = BTreeMap::from([
            ("parallelism.default".to_owned(), "3".to_owned()),
            ("pipeline.name".to_owned(), "job".to_owned()),
        ]);
        let (configuration, warnings) = Loader::new()
            .conf_dir(Some(files.path().to_owned()))
            .job(job)
            .command_line(["parallelism.default=4", "parallelism.default = 5"])
            .load()
            .unwrap();
        assert_eq!(configuration.get(&PARALLELISM_DEFAULT), 5);
        assert_eq!(configuration.get(&PIPELINE_NAME).as_deref(), Some("job"));
        assert_eq!(configuration.get(&HEARTBEAT_INTERVAL).as_secs(), 1);
        assert_eq!(configuration.get(&SLOT_REQUEST_TIMEOUT).as_secs(), 300);
        assert_eq!(warnings, []);
        assert_eq!(
            configuration.source("parallelism.default"),
            Some(&Source::CommandLine)
        );
    }

    #[test]
    fn oddities_of_files_are_told() {
        let flat = "pipeline.name: a\npipeline.name: b\n";
        let files = directory(&[(FLAT_FILE, flat), (NESTED_FILE, "pipeline: {name: c}")]);
        let load = || {
            Loader::new()
                .conf_dir(Some(files.path().to_owned()))
                .load()
                .unwrap()
        };
        let (configuration, warnings) = load();
        assert_eq!(configuration.get(&PIPELINE_NAME).as_deref(), Some("b"));
        let told: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert!(told[0].contains("config.yaml is not read"), "{told:?}");
        assert!(
            told[1].contains("flott-conf.yaml:2 sets pipeline.name again"),
            "{told:?}"
        );

        std::fs::remove_file(files.path().join(FLAT_FILE)).unwrap();
        let (configuration, warnings) = load();
        assert_eq!(configuration.get(&PIPELINE_NAME).as_deref(), Some("c"));
        assert_eq!(warnings, []);
    }

    #[test]
    fn mistakes_name_their_place() {
        let files = directory(&[(FLAT_FILE, "# x\nheartbeat.timeout: soon\n")]);
        let error = Loader::new()
            .conf_dir(Some(files.path().to_owned()))
            .load()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("heartbeat.timeout: \"soon\"") && text.contains(":2"),
            "{text}"
        );

        let absent = files.path().join("absent");
        assert!(Loader::new().conf_dir(Some(absent)).load().is_err());
        for text in ["x", "=1", " =1", "a b=1"] {
            let error = Loader::new()
                .command_line([text])
                .load()
                .unwrap_err()
                .to_string();
            assert!(error.contains("expected key=value"), "{error}");
        }
    }

    #[test]
    fn an_empty_directory_is_fine() {
        let files = directory(&[]);
        let (configuration, _) = Loader::new()
            .conf_dir(Some(files.path().to_owned()))
            .load()
            .unwrap();
        assert_eq!(configuration, Configuration::new());
    }
}
