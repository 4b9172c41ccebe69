//! Environment variables by which a launcher tells a process its role. Never secrets.

/// Which role a user's executable plays; unset: embedded.
pub const ROLE: &str = "FLOTT_ROLE";
/// Unix socket on which the launcher of a `plan`, `submit` or `driver` (or of a local run) waits.
pub const SOCKET: &str = "FLOTT_SOCKET";
/// File with the [`crate::message::WorkerSpec`] of a worker; readable by its owner only.
pub const WORKER_SPEC: &str = "FLOTT_WORKER_SPEC";

/// What a run of a user's executable is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Run the job in this process.
    Embedded,
    /// Hand over the first job graph and exit.
    Plan,
    /// Hand over job graphs to the client that started it.
    Submit,
    /// Hand over job graphs to the appmaster that started it.
    Driver,
    /// Execute tasks of one job.
    Worker,
}

impl Role {
    /// The role named by the value of [`ROLE`]; `None` for an unknown name.
    pub fn parse(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("") => Some(Self::Embedded),
            Some("plan") => Some(Self::Plan),
            Some("submit") => Some(Self::Submit),
            Some("driver") => Some(Self::Driver),
            Some("worker") => Some(Self::Worker),
            Some(_) => None,
        }
    }

    /// The value of [`ROLE`] for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "",
            Self::Plan => "plan",
            Self::Submit => "submit",
            Self::Driver => "driver",
            Self::Worker => "worker",
        }
    }
}
