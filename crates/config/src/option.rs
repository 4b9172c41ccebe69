//! One option: its key, type, default and documentation.

use std::marker::PhantomData;

use crate::value::ConfigValue;

/// An option with values of type `T`; all of them stand in [`crate::options`].
///
/// Options without a default have an `Option` as their type.
#[derive(Debug)]
pub struct ConfigOption<T> {
    info: OptionInfo,
    value: PhantomData<fn() -> T>,
}

/// What is known about an option, whatever its type.
#[derive(Debug, Clone, Copy)]
pub struct OptionInfo {
    /// The key.
    pub key: &'static str,
    /// The name of its type.
    pub type_name: &'static str,
    /// The text of the default value.
    pub default: Option<&'static str>,
    /// One or more sentences.
    pub doc: &'static str,
    /// Older names of the same option.
    pub deprecated: &'static [&'static str],
    /// Options whose value counts if this one is not set.
    pub fallback: &'static [&'static str],
    /// Flink's default and why ours is another, if it is.
    pub deviation: Option<&'static str>,
    pub(crate) expected: &'static str,
    pub(crate) minimum: Option<i64>,
    /// Whether it can be without a value; such an option has no default.
    pub optional: bool,
    pub(crate) parse: fn(&str) -> Result<(), String>,
}

impl OptionInfo {
    /// Checks a value; the error is the reason.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        (self.parse)(text)?;
        match (self.minimum, text.trim().parse::<i64>()) {
            (Some(minimum), Ok(number)) if number < minimum => {
                Err(format!("the least is {minimum}"))
            }
            _ => Ok(()),
        }
    }
}

fn parse_only<T: ConfigValue>(text: &str) -> Result<(), String> {
    T::parse(text).map(|_| ())
}

impl<T: ConfigValue> ConfigOption<T> {
    pub(crate) const fn new(key: &'static str, doc: &'static str) -> Self {
        Self {
            info: OptionInfo {
                key,
                type_name: T::TYPE,
                default: None,
                doc,
                deprecated: &[],
                fallback: &[],
                deviation: None,
                expected: T::EXPECTED,
                minimum: None,
                optional: T::OPTIONAL,
                parse: parse_only::<T>,
            },
            value: PhantomData,
        }
    }

    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.info.default = Some(default);
        self
    }

    pub(crate) const fn deprecated(mut self, keys: &'static [&'static str]) -> Self {
        self.info.deprecated = keys;
        self
    }

    pub(crate) const fn fallback(mut self, keys: &'static [&'static str]) -> Self {
        self.info.fallback = keys;
        self
    }

    pub(crate) const fn deviation(mut self, text: &'static str) -> Self {
        self.info.deviation = Some(text);
        self
    }

    pub(crate) const fn at_least(mut self, minimum: i64) -> Self {
        self.info.minimum = Some(minimum);
        self
    }

    /// The description of this option.
    pub const fn info(&self) -> &OptionInfo {
        &self.info
    }

    /// The key.
    pub const fn key(&self) -> &'static str {
        self.info.key
    }
}

/// A family of keys with a common beginning, such as environment variables.
#[derive(Debug, Clone, Copy)]
pub struct PrefixOption {
    /// The beginning, with its last dot.
    pub prefix: &'static str,
    /// One or more sentences.
    pub doc: &'static str,
}
