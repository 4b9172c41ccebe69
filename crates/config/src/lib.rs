//! The option table, and the configuration resolved from defaults, files, job and command line.
//!
//! An option is one entry in [`options`]; its documentation page is generated from there. Keys and
//! defaults are Flink's where the table does not name a difference.

#![warn(missing_docs)]

pub mod options;

mod configuration;
mod duration;
mod error;
mod executor;
mod file;
mod loader;
mod memory_size;
mod nearest;
mod option;
mod port_range;
mod reference;
mod value;

pub use configuration::Configuration;
pub use duration::{format_duration, parse_duration};
pub use error::{ConfigError, InvalidValue, Result, Source, Warning};
pub use executor::{ExecutorMemory, executor_vcores};
pub use loader::{Loader, find_conf_dir};
pub use memory_size::MemorySize;
pub use option::{ConfigOption, OptionInfo, PrefixOption};
pub use port_range::PortRange;
pub use reference::reference_markdown;
pub use value::{
    BatchShuffleMode, CheckpointRetention, CheckpointStorage, CheckpointingMode, ClaimMode,
    ConfigValue, Factor, Fraction, HighAvailabilityType, RestartStrategyType, RuntimeExecutionMode,
    StateBackendType,
};
