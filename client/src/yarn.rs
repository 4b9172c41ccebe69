//! Running on a YARN cluster.

mod created;
mod deployer;
mod per_job;
mod resource_manager;
mod resources;
mod run;
mod staging;
mod submission;
mod watch;

pub(crate) use run::run;
