//! Where a program is to run, and how it is called.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;

/// Where jobs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// In the program's own process.
    Local,
    /// Each job in a YARN application of its own; `main()` runs here.
    YarnPerJob,
    /// `main()` and its jobs in one YARN application.
    YarnApplication,
}

/// An executable and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct ProgramCall {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text {
            "local" => Ok(Self::Local),
            "yarn-per-job" => Ok(Self::YarnPerJob),
            "yarn-application" => Ok(Self::YarnApplication),
            "yarn-session" | "remote" => bail!(
                "target {text} is not supported yet: use -t local, -t yarn-per-job or -t \
                 yarn-application"
            ),
            _ => bail!(
                "there is no target '{text}': use -t local, -t yarn-per-job or -t yarn-application"
            ),
        }
    }
}

impl Target {
    /// The target given on the command line or in the configuration.
    pub(crate) fn choose(configured: Option<&str>) -> anyhow::Result<Self> {
        match configured.map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => text.parse(),
            None => bail!(
                "where to run is not said: give -t local (in this process), -t yarn-per-job or -t \
                 yarn-application (on the cluster of HADOOP_CONF_DIR), or set execution.target in \
                 the configuration"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_what_is_none() {
        assert_eq!(Target::choose(Some("local")).unwrap(), Target::Local);
        assert_eq!(
            Target::choose(Some(" yarn-per-job")).unwrap(),
            Target::YarnPerJob
        );
        for (text, expected) in [
            (None, "give -t local"),
            (Some(""), "give -t local"),
            (Some("remote"), "not supported yet"),
            (Some("mesos"), "no target 'mesos'"),
        ] {
            let message = Target::choose(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
