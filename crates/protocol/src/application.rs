//! What a client leaves for the appmaster of a YARN application: one file among its resources.

use std::collections::BTreeMap;

use flott_model::JobGraph;

/// Name of the [`ApplicationSpec`] file in the appmaster's working directory.
pub const SPEC_FILE: &str = "application.pb";
/// Name of the appmaster's executable in its working directory.
pub const APPMASTER_FILE: &str = "flott-appmaster";
/// Name of the task executor's executable in a container's working directory.
pub const TASKEXECUTOR_FILE: &str = "flott-taskexecutor";
/// Name of the user's executable in a container's working directory.
pub const PROGRAM_FILE: &str = "program";
/// Key of the application secret (32 random bytes) in the container's token file.
pub const SECRET_KEY: &str = "flott.application.secret";

/// How a YARN application is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum DeploymentMode {
    /// One job, whose graph is in the spec; the application ends with it.
    PerJob = 0,
    /// The appmaster runs the program's `main()` as driver; the application ends with it.
    Application = 1,
    /// Jobs come and go.
    Session = 2,
}

/// Everything an appmaster must know that is not a secret.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationSpec {
    /// How the application is used.
    #[prost(enumeration = "DeploymentMode", tag = "1")]
    pub mode: i32,
    /// Effective configuration.
    #[prost(btree_map = "string, string", tag = "2")]
    pub configuration: BTreeMap<String, String>,
    /// Hadoop settings (core, hdfs, yarn): NodeManagers need not have any in their environment.
    #[prost(btree_map = "string, string", tag = "3")]
    pub hadoop: BTreeMap<String, String>,
    /// Who submitted; also the HDFS user on a cluster with simple authentication.
    #[prost(string, tag = "4")]
    pub user: String,
    /// Per-job: the job.
    #[prost(message, optional, tag = "5")]
    pub graph: Option<JobGraph>,
    /// Application: arguments of `main()`.
    #[prost(string, repeated, tag = "6")]
    pub args: Vec<String>,
    /// Files every task executor's container needs (task executor, program, shipped files).
    #[prost(message, repeated, tag = "7")]
    pub executor_resources: Vec<StagedFile>,
    /// Directory of this application in the staging area; removed at its end.
    #[prost(string, tag = "8")]
    pub staging_directory: String,
    /// A client waits for the result: keep it until it was fetched, for a few seconds at most.
    #[prost(bool, tag = "9")]
    pub attached: bool,
    /// Application: keys of the configuration that the user gave on the command line.
    #[prost(string, repeated, tag = "10")]
    pub given: Vec<String>,
}

/// A file in the staging area, as YARN localizes it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StagedFile {
    /// Name in the container's working directory.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Full URL, e.g. `hdfs://ns/user/u/.flott/cache/<sha256>/program`.
    #[prost(string, tag = "2")]
    pub url: String,
    /// Size in bytes, as HDFS says.
    #[prost(uint64, tag = "3")]
    pub size: u64,
    /// Modification time in milliseconds, as HDFS says: the NodeManager compares it exactly.
    #[prost(uint64, tag = "4")]
    pub modification_time_ms: u64,
    /// Readable by all along the whole path: may be PUBLIC; else PRIVATE.
    #[prost(bool, tag = "5")]
    pub public: bool,
    /// SHA-256 of the content.
    #[prost(bytes = "vec", tag = "6")]
    pub sha256: Vec<u8>,
    /// Whether it is the user's executable or a file shipped with it (part of the job's bundle).
    #[prost(bool, tag = "7")]
    pub bundle: bool,
}
