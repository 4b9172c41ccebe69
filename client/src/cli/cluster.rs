//! Options of commands for clusters that run already.

use clap::{Args, Subcommand, ValueEnum};

use crate::jobs::CANONICAL;

/// Which cluster is meant.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// The application on YARN (yarn.application.id). Also written -yid.
    #[arg(
        long = "yarnapplicationId",
        value_name = "APPLICATION",
        overrides_with = "application"
    )]
    pub(crate) application: Option<String>,
    /// The address of its REST interface, instead of the application.
    #[arg(
        short = 'm',
        long = "jobmanager",
        value_name = "HOST:PORT",
        overrides_with = "job_manager"
    )]
    pub(crate) job_manager: Option<String>,
    /// Its kind: yarn-per-job or yarn-application; together with -Dyarn.application.id=….
    #[arg(
        short = 't',
        long = "target",
        value_name = "TARGET",
        overrides_with = "target"
    )]
    pub(crate) target: Option<String>,
    /// Set a configuration key for this command; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) define: Vec<(String, String)>,
}

/// The format of a savepoint, as Flink tells formats apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Any state backend can read it.
    #[default]
    Canonical,
    /// Here the same as canonical.
    Native,
}

impl Format {
    /// Flink's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Canonical => CANONICAL,
            Self::Native => "NATIVE",
        }
    }
}

/// Options of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// All jobs, also those that have ended.
    #[arg(short = 'a', long)]
    pub(crate) all: bool,
    /// Only jobs that run or restart.
    #[arg(short = 'r', long)]
    pub(crate) running: bool,
    /// Only jobs that have not begun.
    #[arg(short = 's', long)]
    pub(crate) scheduled: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Options of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// With a savepoint, in this directory or that of the configuration. Deprecated: use stop.
    #[arg(
        short = 's',
        long = "withSavepoint",
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = ""
    )]
    pub(crate) with_savepoint: Option<String>,
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Options of `stop`.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Where the savepoint goes, if not where the configuration says
    /// (execution.checkpointing.savepoint-dir).
    #[arg(
        short = 'p',
        long = "savepointPath",
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = ""
    )]
    pub(crate) directory: Option<String>,
    /// Let the job come to its end: all windows and timers fire before the savepoint. It cannot go on
    /// from there.
    #[arg(short = 'd', long)]
    pub(crate) drain: bool,
    /// Do not wait for the savepoint. Also written -detached.
    #[arg(long)]
    pub(crate) detached: bool,
    /// Its format. Also written -type.
    #[arg(long = "type", value_name = "FORMAT", value_enum, ignore_case = true)]
    pub(crate) format: Option<Format>,
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// `savepoint`, and what can be done with one that exists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SavepointCommand {
    #[command(subcommand)]
    pub(crate) action: Option<SavepointAction>,
    #[command(flatten)]
    pub(crate) args: SavepointArgs,
}

/// What can be done with a savepoint that exists.
#[derive(Debug, Subcommand)]
pub(crate) enum SavepointAction {
    /// Show what is in a savepoint or retained checkpoint.
    Info(SavepointInfoArgs),
}

/// Options of `savepoint info`.
#[derive(Debug, Args)]
pub(crate) struct SavepointInfoArgs {
    /// Its directory, or its _metadata.
    #[arg(value_name = "PATH")]
    pub(crate) path: String,
    /// Set a configuration key for this command; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) define: Vec<(String, String)>,
}

/// Options of `savepoint`.
#[derive(Debug, Args)]
pub(crate) struct SavepointArgs {
    /// Delete this savepoint instead of taking one; without a cluster, this command does it itself.
    #[arg(short = 'd', long, value_name = "PATH")]
    pub(crate) dispose: Option<String>,
    /// Do not wait for the savepoint. Also written -detached.
    #[arg(long)]
    pub(crate) detached: bool,
    /// Its format. Also written -type.
    #[arg(long = "type", value_name = "FORMAT", value_enum, ignore_case = true)]
    pub(crate) format: Option<Format>,
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    /// Where the savepoint goes, if not where the configuration says
    /// (execution.checkpointing.savepoint-dir).
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Options of `checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    /// All state is written, whatever earlier checkpoints have. Also written -full.
    #[arg(long)]
    pub(crate) full: bool,
    /// The job's id.
    #[arg(value_name = "JOB")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::Parser as _;

    use super::super::{Cli, Command, normalize};
    use super::*;

    fn parse(line: &str) -> Command {
        let words = std::iter::once("flott").chain(line.split_whitespace());
        let args = normalize(words.map(OsString::from)).unwrap();
        Cli::try_parse_from(args).unwrap().command
    }

    fn savepoint(line: &str) -> SavepointArgs {
        match parse(line) {
            Command::Savepoint(SavepointCommand { action: None, args }) => args,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_may_stand_anywhere() {
        let args = savepoint("savepoint -type native 0f file:///sp -yid app -detached");
        assert_eq!(args.format, Some(Format::Native));
        assert_eq!(args.job.as_deref(), Some("0f"));
        assert_eq!(args.directory.as_deref(), Some("file:///sp"));
        assert_eq!(args.cluster.application.as_deref(), Some("app"));
        assert!(args.detached);
        let args = savepoint("savepoint -d /sp -m node:8081");
        assert_eq!(args.dispose.as_deref(), Some("/sp"));
        assert_eq!(args.cluster.job_manager.as_deref(), Some("node:8081"));
        let args = savepoint("savepoint 0f --type CANONICAL -t yarn-application -Dk=v");
        assert_eq!(args.format, Some(Format::Canonical));
        assert_eq!(args.cluster.define, [("k".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn a_savepoint_can_be_looked_at() {
        let Command::Savepoint(SavepointCommand {
            action: Some(SavepointAction::Info(args)),
            ..
        }) = parse("savepoint info hdfs:///sp")
        else {
            panic!("no info");
        };
        assert_eq!(args.path, "hdfs:///sp");
    }

    #[test]
    fn stopping_has_a_directory_and_draining() {
        let Command::Stop(args) = parse("stop -yid=app -p /sp -d 0f") else {
            panic!("no stop");
        };
        assert_eq!(args.directory.as_deref(), Some("/sp"));
        assert!(args.drain && !args.detached);
        assert_eq!(args.cluster.application.as_deref(), Some("app"));
        assert_eq!(args.job.as_deref(), Some("0f"));
        let Command::Cancel(args) = parse("cancel 0f -s") else {
            panic!("no cancel");
        };
        assert_eq!(args.with_savepoint.as_deref(), Some(""));
        let Command::Checkpoint(args) = parse("checkpoint -full 0f") else {
            panic!("no checkpoint");
        };
        assert!(args.full);
        let Command::List(args) = parse("list -a -r") else {
            panic!("no list");
        };
        assert!(args.all && args.running && !args.scheduled);
    }
}
