//! The resolved configuration: one checked text per key, with the place it came from.

use std::collections::BTreeMap;

use crate::error::{ConfigError, InvalidValue, Result, Source, Warning, shown};
use crate::nearest::nearest;
use crate::option::{ConfigOption, OptionInfo, PrefixOption};
use crate::options;
use crate::value::{CheckpointStorage, ConfigValue, StateBackendType};

/// Settings of a cluster or a job. Values of known options are checked when they are set, so that
/// reading them cannot fail; unknown keys are kept as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    settings: BTreeMap<String, Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    text: String,
    from: Source,
}

/// A setting as it was found, before it is checked.
pub(crate) type Raw = (String, String, Source);

impl Configuration {
    /// Where checkpoints are stored, if that is said: the old names of the state backend say it too.
    pub fn checkpoint_storage(&self) -> Option<CheckpointStorage> {
        let said = self.get(&crate::options::EXECUTION_CHECKPOINTING_STORAGE);
        said.or_else(|| match self.get(&crate::options::STATE_BACKEND_TYPE) {
            StateBackendType::JobManager => Some(CheckpointStorage::JobManager),
            StateBackendType::FileSystem => Some(CheckpointStorage::FileSystem),
            StateBackendType::HashMap | StateBackendType::RocksDb => None,
        })
    }

    /// Nothing set: every option has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of an option: what was set, else what its fallback keys say, else its default.
    pub fn get<T: ConfigValue>(&self, option: &ConfigOption<T>) -> T {
        let default = || option.info().default.map(parse_checked);
        self.get_optional(option)
            .or_else(default)
            .or_else(T::absent)
            .expect("an option without default has an optional type: a test walks the table")
    }

    /// The value of an option if it, or one of its fallback keys, was set.
    pub fn get_optional<T: ConfigValue>(&self, option: &ConfigOption<T>) -> Option<T> {
        let keys = std::iter::once(&option.info().key).chain(option.info().fallback);
        keys.filter_map(|key| self.settings.get(*key))
            .map(|setting| parse_checked(&setting.text))
            .next()
    }

    /// Sets an option in the name of the job. `None` removes it.
    pub fn set<T: ConfigValue>(&mut self, option: &ConfigOption<T>, value: T) -> Result<()> {
        match value.print() {
            None => {
                self.settings.remove(option.key());
                Ok(())
            }
            Some(text) => self.insert(option.key().to_owned(), text, Source::Job),
        }
    }

    /// Sets any key from text.
    pub fn set_text(&mut self, key: &str, value: &str, from: Source) -> Result<Vec<Warning>> {
        self.apply(vec![(key.to_owned(), value.to_owned(), from)])
    }

    /// The text set for a key, known or not.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(|setting| setting.text.as_str())
    }

    /// Where a key was set; `None` if it was not.
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.settings.get(key).map(|setting| &setting.from)
    }

    /// All settings with this beginning, by the rest of their key.
    pub fn get_prefixed(&self, option: &PrefixOption) -> BTreeMap<String, String> {
        let rest = |(key, setting): (&String, &Setting)| {
            let rest = key
                .strip_prefix(option.prefix)
                .filter(|rest| !rest.is_empty())?;
            Some((rest.to_owned(), setting.text.clone()))
        };
        self.settings.iter().filter_map(rest).collect()
    }

    /// Everything that was set, for another process.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.settings
            .iter()
            .map(|(key, setting)| (key.clone(), setting.text.clone()))
            .collect()
    }

    /// The configuration that another process put into a map.
    pub fn from_map(map: BTreeMap<String, String>) -> Result<Self> {
        let mut configuration = Self::new();
        let raw = map
            .into_iter()
            .map(|(key, value)| (key, value, Source::Shipped))
            .collect();
        // The sender has told its user about unknown keys.
        configuration.apply(raw)?;
        Ok(configuration)
    }

    /// Lays settings of one origin over what is there. Inside the layer a newer name wins against
    /// a deprecated one; towards lower layers both win.
    pub(crate) fn apply(&mut self, layer: Vec<Raw>) -> Result<Vec<Warning>> {
        let mut warnings = Vec::new();
        let (mut named, mut renamed) = (Vec::new(), Vec::new());
        for (key, value, from) in layer {
            let replaced: Vec<_> = replacements(&key).collect();
            if let Some(replacement) = replaced.first().map(|info| info.key) {
                let (key, from) = (key, from.clone());
                warnings.push(Warning::DeprecatedKey {
                    key,
                    from,
                    replacement,
                });
            } else if let Some(warning) = unknown(&key, &from) {
                warnings.push(warning);
                named.push((key, value, from));
                continue;
            } else {
                named.push((key, value, from));
                continue;
            }
            for info in replaced {
                renamed.push((info.key.to_owned(), value.clone(), from.clone()));
            }
        }
        // Deprecated ones first, so that the newer names overwrite them.
        for (key, value, from) in renamed.into_iter().chain(named) {
            self.insert(key, value, from)?;
        }
        Ok(warnings)
    }

    fn insert(&mut self, key: String, text: String, from: Source) -> Result<()> {
        if let Some(info) = find(&key)
            && let Err(reason) = info.check(&text)
        {
            let (expected, value) = (info.expected, shown(&key, &text));
            let invalid = InvalidValue {
                key,
                value,
                expected,
                reason,
                from,
            };
            return Err(ConfigError::Value(Box::new(invalid)));
        }
        self.settings.insert(key, Setting { text, from });
        Ok(())
    }
}

fn parse_checked<T: ConfigValue>(text: &str) -> T {
    // Fallback keys have compatible types and defaults are valid: a test walks the table.
    T::parse(text).unwrap_or_else(|reason| panic!("a checked value became invalid: {reason}"))
}

fn find(key: &str) -> Option<&'static OptionInfo> {
    options::all().find(|info| info.key == key)
}

fn replacements(key: &str) -> impl Iterator<Item = &'static OptionInfo> {
    options::all().filter(move |info| info.deprecated.contains(&key))
}

fn unknown(key: &str, from: &Source) -> Option<Warning> {
    let prefixed = options::PREFIXES
        .iter()
        .any(|option| key.starts_with(option.prefix));
    if prefixed || find(key).is_some() {
        return None;
    }
    let nearest = nearest(key, options::all().map(|info| info.key));
    Some(Warning::UnknownKey {
        key: key.to_owned(),
        from: from.clone(),
        nearest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_size::MemorySize;
    use crate::options::*;

    fn with(pairs: &[(&str, &str)]) -> (Configuration, Vec<Warning>) {
        let mut configuration = Configuration::new();
        let layer = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned(), Source::Job));
        let warnings = configuration.apply(layer.collect()).unwrap();
        (configuration, warnings)
    }

    #[test]
    fn defaults_fallbacks_and_set_values() {
        let mut configuration = Configuration::new();
        assert_eq!(configuration.get(&PARALLELISM_DEFAULT), 1);
        assert_eq!(configuration.get_optional(&PARALLELISM_DEFAULT), None);
        assert_eq!(configuration.get(&YARN_APPLICATION_QUEUE), None);
        configuration.set(&PARALLELISM_DEFAULT, 4).unwrap();
        assert_eq!(configuration.get(&PARALLELISM_DEFAULT), 4);
        assert_eq!(
            configuration.source("parallelism.default"),
            Some(&Source::Job)
        );

        assert_eq!(configuration.get(&REST_BIND_PORT).to_string(), "8081");
        configuration.set(&REST_PORT, 9000).unwrap();
        assert_eq!(configuration.get(&REST_BIND_PORT).to_string(), "9000");

        configuration
            .set(&YARN_APPLICATION_QUEUE, Some("q".to_owned()))
            .unwrap();
        assert_eq!(
            configuration.get(&YARN_APPLICATION_QUEUE).as_deref(),
            Some("q")
        );
        configuration.set(&YARN_APPLICATION_QUEUE, None).unwrap();
        assert_eq!(configuration.text("yarn.application.queue"), None);
    }

    #[test]
    fn a_wrong_value_is_a_sentence() {
        let mut configuration = Configuration::new();
        let error = configuration
            .set_text(
                "taskmanager.memory.process.size",
                "1 pound",
                Source::CommandLine,
            )
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "taskmanager.memory.process.size: \"1 pound\" in the command line is not an amount of \
             memory such as 512m, 1 gb or a number of bytes: pound is not a unit of memory"
        );
        let error = configuration
            .set(&PARALLELISM_DEFAULT, 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("the least is 1"), "{error}");
        assert_eq!(configuration, Configuration::new());
    }

    #[test]
    fn deprecated_names_count_but_lose_against_the_new_one() {
        let (configuration, warnings) = with(&[("restart-strategy", "fixed-delay")]);
        let strategy = configuration.get(&RESTART_STRATEGY_TYPE);
        assert_eq!(strategy, Some(crate::RestartStrategyType::FixedDelay));
        assert_eq!(
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["the option restart-strategy in the job is now called restart-strategy.type"]
        );
        let (both, _) = with(&[
            ("restart-strategy.type", "none"),
            ("restart-strategy", "fixed-delay"),
        ]);
        assert_eq!(
            both.get(&RESTART_STRATEGY_TYPE),
            Some(crate::RestartStrategyType::None)
        );
        let mut later = both;
        later
            .set_text("restart-strategy", "fixed-delay", Source::CommandLine)
            .unwrap();
        assert_eq!(
            later.get(&RESTART_STRATEGY_TYPE),
            Some(crate::RestartStrategyType::FixedDelay)
        );
    }

    #[test]
    fn unknown_keys_are_kept_and_named() {
        let (configuration, warnings) = with(&[
            ("paralelism.default", "3"),
            ("my.own", "x"),
            ("containerized.master.env.A", "1"),
        ]);
        assert_eq!(
            warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "unknown option paralelism.default in the job; did you mean parallelism.default?",
                "unknown option my.own in the job",
            ]
        );
        assert_eq!(configuration.text("my.own"), Some("x"));
        let environment = configuration.get_prefixed(&CONTAINERIZED_MASTER_ENV);
        assert_eq!(
            environment,
            BTreeMap::from([("A".to_owned(), "1".to_owned())])
        );
    }

    #[test]
    fn a_map_carries_everything() {
        let (configuration, _) = with(&[("my.own", "x"), ("parallelism.default", " 3 ")]);
        let arrived = Configuration::from_map(configuration.to_map()).unwrap();
        assert_eq!(arrived.to_map(), configuration.to_map());
        assert_eq!(arrived.get(&PARALLELISM_DEFAULT), 3);
        let broken = BTreeMap::from([("heartbeat.timeout".to_owned(), "soon".to_owned())]);
        let error = Configuration::from_map(broken).unwrap_err().to_string();
        assert!(error.contains("heartbeat.timeout: \"soon\""), "{error}");
    }

    #[test]
    fn typed_values_keep_their_meaning() {
        let (configuration, _) = with(&[("taskmanager.memory.network.max", "64m")]);
        let most = configuration.get(&TASKMANAGER_MEMORY_NETWORK_MAX);
        assert_eq!(most, MemorySize::from_mebibytes(64));
    }
}
