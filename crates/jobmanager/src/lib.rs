//! The shell around `coordination`: a Dispatcher that takes jobs, a JobMaster per job, a
//! ResourceManager over a driver, and the connections of agents and workers.
//!
//! No decisions here: shells turn what happens into events and do what the cores say.

mod checkpoints;
mod collected;
mod connections;
mod coordination;
mod deployment;
mod dispatcher;
mod driver;
mod embedded;
mod inspect;
mod job_master;
mod launch;
mod obituary;
mod program_launcher;
mod resource_manager;
mod server;
mod settings;
mod snapshot;
mod timers;
mod view;

pub use checkpoints::{CheckpointError, dispose as dispose_savepoint, load as load_checkpoint};
pub use connections::Connections;
pub use dispatcher::{Dispatcher, DispatcherHandle, SubmitError};
pub use driver::{DefaultContainer, DriverContext, DriverEvent, ResourceDriver};
pub use embedded::{EmbeddedDriver, WorkerFactory};
pub use inspect::{Sampling, WorkerInspection};
pub use program_launcher::{ProgramEnd, ProgramLauncher, ProgramSettings};
pub use server::serve;
pub use settings::{DispatcherSettings, checkpoint_settings};
pub use snapshot::{
    AllocatedSlot, ExecutorSnapshot, FailureSnapshot, JobSnapshot, SubtaskSnapshot, UnixMillis,
    VertexSnapshot,
};
