//! The types an option can have: how each is read, written, and described in messages.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::duration::{format_duration, parse_duration};
use crate::memory_size::MemorySize;
use crate::port_range::PortRange;

/// A type of option values.
pub trait ConfigValue: Sized {
    /// The name of the type in the reference.
    const TYPE: &'static str;

    /// What a value must look like, after "expected".
    const EXPECTED: &'static str;

    /// Whether an option of this type can be without a value; else it needs a default.
    const OPTIONAL: bool = false;

    /// Reads a value; the error is a reason for people, without the value itself.
    fn parse(text: &str) -> Result<Self, String>;

    /// Text that [`parse`](ConfigValue::parse) reads as the same value; `None` for "not set".
    fn print(&self) -> Option<String>;

    /// The value of an option that is without one; `None` unless [`OPTIONAL`](Self::OPTIONAL).
    fn absent() -> Option<Self> {
        None
    }
}

/// Optional values are for options without a default.
impl<T: ConfigValue> ConfigValue for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const EXPECTED: &'static str = T::EXPECTED;
    const OPTIONAL: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn print(&self) -> Option<String> {
        self.as_ref().and_then(T::print)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

macro_rules! from_str_values {
    ($($type:ty, $name:literal, $expected:literal;)*) => {$(
        impl ConfigValue for $type {
            const TYPE: &'static str = $name;
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|error| format!("{error}"))
            }

            fn print(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

from_str_values! {
    u16, "Port", "a port between 0 and 65535";
    u32, "Integer", "a whole number that is not negative";
    i32, "Integer", "a whole number";
    u64, "Integer", "a whole number that is not negative";
    MemorySize, "MemorySize", "an amount of memory such as 512m, 1 gb or a number of bytes";
    PortRange, "Ports", "a port, a range such as 50100-50200, or a list of these";
    Fraction, "Fraction", "a number from 0 to 1";
    Factor, "Double", "a number of at least 1";
    RuntimeExecutionMode, "Enum", "STREAMING, BATCH or AUTOMATIC";
    BatchShuffleMode, "Enum", "ALL_EXCHANGES_BLOCKING or ALL_EXCHANGES_PIPELINED";
    CheckpointingMode, "Enum", "EXACTLY_ONCE or AT_LEAST_ONCE";
    CheckpointRetention, "Enum", "NO_EXTERNALIZED_CHECKPOINTS, DELETE_ON_CANCELLATION or RETAIN_ON_CANCELLATION";
    CheckpointStorage, "Enum", "jobmanager or filesystem";
    StateBackendType, "Enum", "hashmap or rocksdb (or the old names jobmanager and filesystem)";
    ClaimMode, "Enum", "NO_CLAIM or CLAIM (the mode LEGACY does not exist here)";
    RestartStrategyType, "Enum", "none, fixed-delay, failure-rate or exponential-delay";
    HighAvailabilityType, "Enum", "NONE, the only one there is so far";
}

impl ConfigValue for bool {
    const TYPE: &'static str = "Boolean";
    const EXPECTED: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("it is neither".to_owned()),
        }
    }

    fn print(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl ConfigValue for String {
    const TYPE: &'static str = "String";
    const EXPECTED: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn print(&self) -> Option<String> {
        Some(self.clone())
    }
}

/// Items between semicolons, as in Flink; an item cannot contain one.
impl ConfigValue for Vec<String> {
    const TYPE: &'static str = "List";
    const EXPECTED: &'static str = "items separated by semicolons";

    fn parse(text: &str) -> Result<Self, String> {
        let items = text
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        Ok(items.map(str::to_owned).collect())
    }

    fn print(&self) -> Option<String> {
        Some(self.join(";"))
    }
}

impl ConfigValue for Duration {
    const TYPE: &'static str = "Duration";
    const EXPECTED: &'static str = "a duration such as 10 s, 100ms, 5 min or PT10S";

    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }

    fn print(&self) -> Option<String> {
        Some(format_duration(*self))
    }
}

/// A share of something, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    /// The share as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Fraction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
        if (0.0..=1.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err("it is outside of that".to_owned())
        }
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What something is multiplied by, at least 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Factor(f64);

impl Factor {
    /// The factor as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Factor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|error| format!("{error}"))?;
        if number >= 1.0 && number.is_finite() {
            Ok(Self(number))
        } else {
            Err("it is outside of that".to_owned())
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! enum_values {
    ($(
        $(#[$doc:meta])* $name:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $printed:literal $(| $other:literal)*,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let text = text.trim();
                $(
                    if [$printed $(, $other)*].iter().any(|name| name.eq_ignore_ascii_case(text)) {
                        return Ok(Self::$variant);
                    }
                )*
                Err("there is no such value".to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $printed,)* })
            }
        }
    )*};
}

enum_values! {
    /// Whether a job runs continuously or in stages over bounded input.
    RuntimeExecutionMode {
        /// All tasks at the same time; every update is emitted.
        Streaming = "STREAMING",
        /// Stage after stage; final results only.
        Batch = "BATCH",
        /// Batch if all sources are bounded.
        Automatic = "AUTOMATIC",
    }

    /// How records are exchanged between tasks in BATCH.
    BatchShuffleMode {
        /// Through files, stage after stage.
        Blocking = "ALL_EXCHANGES_BLOCKING",
        /// At once, as in STREAMING.
        Pipelined = "ALL_EXCHANGES_PIPELINED",
    }

    /// What happens after a failure of a task.
    RestartStrategyType {
        /// The job fails.
        None = "none" | "off" | "disable",
        /// A number of restarts with a pause before each.
        FixedDelay = "fixed-delay" | "fixeddelay",
        /// Restarts as long as failures are rare.
        FailureRate = "failure-rate" | "failurerate",
        /// Restarts with ever longer pauses.
        ExponentialDelay = "exponential-delay" | "exponentialdelay",
    }

    /// What a restart guarantees.
    CheckpointingMode {
        /// Each record counts once.
        ExactlyOnce = "EXACTLY_ONCE" | "exactly-once",
        /// Records may count twice.
        AtLeastOnce = "AT_LEAST_ONCE" | "at-least-once",
    }

    /// Which checkpoints stay when the job ends.
    CheckpointRetention {
        /// None.
        None = "NO_EXTERNALIZED_CHECKPOINTS",
        /// They stay if it fails.
        DeleteOnCancellation = "DELETE_ON_CANCELLATION",
        /// They stay if it fails or is cancelled.
        RetainOnCancellation = "RETAIN_ON_CANCELLATION",
    }

    /// Where checkpoints are stored.
    CheckpointStorage {
        /// In the JobManager's memory.
        JobManager = "jobmanager",
        /// In a directory.
        FileSystem = "filesystem",
    }

    /// Where the state of running tasks is.
    StateBackendType {
        /// In memory.
        HashMap = "hashmap",
        /// What does not fit into memory in RocksDB, on disk.
        RocksDb = "rocksdb",
        /// An old name of `hashmap`, with checkpoints in the memory of the JobManager.
        JobManager = "jobmanager",
        /// An old name of `hashmap`, with checkpoints in a directory.
        FileSystem = "filesystem",
    }

    /// Whose a savepoint is that a job begins from.
    ClaimMode {
        /// The user's.
        NoClaim = "NO_CLAIM",
        /// The job's.
        Claim = "CLAIM",
    }

    /// How a master's successor finds the running jobs.
    HighAvailabilityType {
        /// It does not: jobs start again.
        None = "NONE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_printing() {
        fn check<T: ConfigValue + PartialEq + fmt::Debug>(text: &str) {
            let value = T::parse(text).unwrap();
            assert_eq!(T::parse(&value.print().unwrap()).unwrap(), value, "{text}");
        }
        check::<bool>(" True ");
        check::<i32>("-1");
        check::<Fraction>("0.4");
        check::<Vec<String>>("a; b;;c");
        check::<Duration>("90 s");
        check::<Option<u32>>("7");
        check::<RuntimeExecutionMode>("batch");
        check::<RestartStrategyType>("FixedDelay");
        check::<Factor>("1.5");
        check::<CheckpointingMode>("at_least_once");
        check::<HighAvailabilityType>("none");
    }

    #[test]
    fn wrong_values_are_refused() {
        assert!(bool::parse("yes").is_err());
        assert!(u32::parse("-1").is_err());
        assert!(u16::parse("65536").is_err());
        for text in ["1.1", "-0.1", "NaN", "x", ""] {
            assert!(Fraction::parse(text).is_err(), "{text}");
        }
        for text in ["0.9", "NaN", "inf", "x", ""] {
            assert!(Factor::parse(text).is_err(), "{text}");
        }
        assert!(RestartStrategyType::parse("sometimes").is_err());
        assert!(HighAvailabilityType::parse("zookeeper").is_err());
    }
}
