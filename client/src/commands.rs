//! One file for each command.

mod info;
mod new;
mod run;

pub(crate) use info::info;
pub(crate) use new::new;
pub(crate) use run::{run, run_application};
