//! One file for each command.

mod cancel;
mod checkpoint;
mod info;
mod list;
mod new;
mod run;
mod savepoint;
mod stop;

pub(crate) use cancel::cancel;
pub(crate) use checkpoint::checkpoint;
pub(crate) use info::info;
pub(crate) use list::list;
pub(crate) use new::new;
pub(crate) use run::{run, run_application};
pub(crate) use savepoint::savepoint;
pub(crate) use stop::stop;
