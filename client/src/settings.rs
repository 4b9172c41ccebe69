//! The configuration of one command: cluster file, `-D`, flags, and the Hadoop configuration that
//! the environment points to.

use std::collections::BTreeMap;

use anyhow::Context as _;
use flott_config::options::{EXECUTION_ATTACHED, EXECUTION_TARGET};
use flott_config::{
    ConfigOption, ConfigValue, Configuration, Loader, PrefixOption, Source, find_conf_dir,
};
use flott_filesystem::FileSystems;
use flott_hadoop::conf::current_user;
use flott_hadoop::{ConfError, HadoopConf};
use flott_protocol::program::Hello;

use crate::cli;
use crate::console::Console;

/// Everything that was configured.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    configuration: Configuration,
    hadoop: Option<HadoopConf>,
    user: String,
}

impl Settings {
    /// Reads all sources; flags rank above `-D`. Warns of what is odd.
    pub(crate) fn load(
        given: &cli::Settings,
        flags: &[(&str, String)],
        console: &Console,
    ) -> anyhow::Result<Self> {
        let defined = given
            .define
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let parallelism = given
            .parallelism
            .map(|n| format!("parallelism.default={n}"));
        let flags = flags.iter().map(|(key, value)| format!("{key}={value}"));
        let (configuration, warnings) = Loader::new()
            .conf_dir(find_conf_dir())
            .command_line(defined.chain(parallelism).chain(flags))
            .load()?;
        for warning in warnings {
            console.note(&format!("warning: {warning}"));
        }
        let hadoop = match HadoopConf::load(None) {
            Ok(hadoop) => Some(hadoop),
            Err(ConfError::NoDirectory) => None,
            Err(error) => return Err(error).context("the Hadoop configuration cannot be used"),
        };
        Ok(Self {
            configuration,
            hadoop,
            user: current_user(),
        })
    }

    /// Where to run, if that is configured.
    pub(crate) fn target(&self) -> Option<String> {
        self.text(&EXECUTION_TARGET)
    }

    /// All settings.
    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The value of an option.
    pub(crate) fn get<T: ConfigValue>(&self, option: &ConfigOption<T>) -> T {
        self.configuration.get(option)
    }

    /// The value of an optional text, if it says anything.
    pub(crate) fn text(&self, option: &ConfigOption<Option<String>>) -> Option<String> {
        self.get(option).filter(|text| !text.trim().is_empty())
    }

    /// All settings with a common beginning, by the rest of their key.
    pub(crate) fn prefixed(&self, option: &PrefixOption) -> BTreeMap<String, String> {
        self.configuration.get_prefixed(option)
    }

    /// Whether to wait for the end of jobs: commands do, unless told otherwise.
    pub(crate) fn is_attached(&self) -> bool {
        self.configuration
            .get_optional(&EXECUTION_ATTACHED)
            .unwrap_or(true)
    }

    /// What other processes get.
    pub(crate) fn effective(&self) -> BTreeMap<String, String> {
        self.configuration.to_map()
    }

    /// The keys that were set on the command line.
    pub(crate) fn given(&self) -> Vec<String> {
        let given = |key: &String| self.configuration.source(key) == Some(&Source::CommandLine);
        self.effective().into_keys().filter(given).collect()
    }

    /// The user towards Hadoop.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// The Hadoop configuration, if the environment names one.
    pub(crate) fn hadoop(&self) -> Option<&HadoopConf> {
        self.hadoop.as_ref()
    }

    /// The file systems of this machine and of the cluster.
    pub(crate) fn file_systems(&self) -> anyhow::Result<FileSystems> {
        let hadoop = self.hadoop.as_ref().map(HadoopConf::to_map);
        let files = FileSystems::new(hadoop.unwrap_or_default(), Some(self.user.clone()), None);
        files.context("the file systems cannot be set up")
    }

    /// What a program is told first.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            configuration: self.effective(),
            hadoop: self
                .hadoop
                .as_ref()
                .map(HadoopConf::to_map)
                .unwrap_or_default(),
            user: self.user.clone(),
            attempt: 1,
            given: self.given(),
        }
    }
}
