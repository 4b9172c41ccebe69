//! One file for each command.

mod info;
mod run;

pub(crate) use info::info;
pub(crate) use run::{run, run_application};
