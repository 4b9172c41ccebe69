//! Where the log of a Flott process goes: one file in the container's log directory (or stderr),
//! one line per event. Panics are logged too, so that the file tells why a process ended.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Overrides what is logged, e.g. `debug` or `info,flott_hadoop=trace`.
pub const LEVEL_VARIABLE: &str = "FLOTT_LOG";

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The file cannot be written.
    #[error("opening the log file {path} failed")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A level or target is misspelled.
    #[error("'{text}' does not say what to log; examples: info; warn,flott_hadoop=debug")]
    Level {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Done before in this process.
    #[error("the log of this process is set up already")]
    Twice(#[from] TryInitError),
}

/// Sends the log of this process to a file (appended to), or to stderr if there is none.
///
/// `levels` is what [`LEVEL_VARIABLE`] holds, if it is set.
pub fn init(file: Option<&Path>, levels: Option<&str>) -> Result<(), LoggingError> {
    let targets = targets(levels)?;
    let output = Output::open(file)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(true)
        .with_writer(output);
    tracing_subscriber::registry()
        .with(lines)
        .with(targets)
        .try_init()?;
    if file.is_some() {
        // On stderr a panic speaks for itself.
        log_panics();
    }
    Ok(())
}

fn targets(levels: Option<&str>) -> Result<Targets, LoggingError> {
    match levels.filter(|levels| !levels.is_empty()) {
        // What other crates say below a warning is about their inside.
        None => Ok(Targets::new()
            .with_default(LevelFilter::WARN)
            .with_target("flott", LevelFilter::INFO)),
        Some(text) => text.parse().map_err(|source| LoggingError::Level {
            text: text.to_owned(),
            source,
        }),
    }
}

fn log_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!("{panic}");
        before(panic);
    }));
}

#[derive(Clone)]
enum Output {
    // A write under the lock is one line to the page cache: nobody waits long.
    File(Arc<Mutex<File>>),
    Stderr,
}

impl Output {
    fn open(file: Option<&Path>) -> Result<Self, LoggingError> {
        let Some(path) = file else {
            return Ok(Self::Stderr);
        };
        let opened = OpenOptions::new().create(true).append(true).open(path);
        let file = opened.map_err(|source| LoggingError::Open {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::File(Arc::new(Mutex::new(file))))
    }
}

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(line),
            Self::Stderr => io::stderr().write(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_panics_reach_the_file_once_it_is_set_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("jobmanager.log");
        init(Some(&path), None).unwrap();
        tracing::info!(target: "flott_test", answer = 42, "said");
        tracing::info!(target: "h2", "not said");
        std::thread::spawn(|| panic!("for the log"))
            .join()
            .unwrap_err();
        let log = std::fs::read_to_string(&path).unwrap();
        assert!(log.contains("INFO flott_test: said answer=42"), "{log}");
        assert!(!log.contains("not said"), "{log}");
        assert!(
            log.contains("ERROR") && log.contains("for the log"),
            "{log}"
        );
        assert!(matches!(init(None, None), Err(LoggingError::Twice(_))));
    }

    #[test]
    fn bad_levels_and_paths_are_errors() {
        let level = init(None, Some("flott=loud")).unwrap_err();
        assert!(level.to_string().contains("flott=loud"), "{level}");
        let missing = Path::new("/nonexistent-directory/x.log");
        assert!(matches!(
            init(Some(missing), None),
            Err(LoggingError::Open { .. })
        ));
    }
}
