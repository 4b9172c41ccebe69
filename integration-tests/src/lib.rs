//! The harness of the black-box tests: a real Hadoop, our built binaries, and what it takes to judge them from outside.
//!
//! Everything blocks and is meant for ordinary `#[test]` functions. It links nothing of ours: what it knows of Flott
//! is its command line.

mod call;
mod command;
mod hadoop;
mod http;
mod job_manager;
mod processes;
mod resource_manager;
mod wait;
mod web_hdfs;
mod window_counts;
mod words;

pub use call::{Mode, check_left_nothing, expected_sums, kills, test_job};
pub use command::{FlottCommand, Output, Running, dist_directory, repository_root};
pub use hadoop::{Exclusive, KilledDaemon, SafeMode, Shared, TestHadoop};
pub use job_manager::JobManager;
pub use processes::{ContainerProcess, container_processes};
pub use resource_manager::{Allocated, Application, Container, Node, ResourceManager};
pub use wait::{wait_for, wait_until};
pub use web_hdfs::{FileStatus, WebHdfs};
pub use window_counts::{WindowCounts, WindowJob};
pub use words::{count_words, largest_counts, read_output};
