//! The command line, with Flink's verbs and flags. Options end at the program: what follows is its
//! own. Says nothing about what the commands do.

mod cluster;
mod normalize;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use cluster::{
    CancelArgs, CheckpointArgs, ClusterArgs, Format, ListArgs, SavepointAction, SavepointArgs,
    SavepointCommand, SavepointInfoArgs, StopArgs,
};
pub(crate) use normalize::normalize;

/// Runs jobs on this machine or on a YARN cluster.
#[derive(Debug, Parser)]
#[command(name = "flott", disable_version_flag = true, max_term_width = 100)]
#[command(after_help = "`flott --version` prints the version.\n\
    Cluster configuration is read from FLOTT_CONF_DIR, else from conf/ beside bin/.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program: its main() on this machine, its jobs where the target says.
    Run(RunArgs),
    /// Run a program on a cluster of its own, its main() included.
    RunApplication(RunArgs),
    /// Print the plan of a program's first job, and run nothing.
    Info(InfoArgs),
    /// List the jobs of a running cluster.
    List(ListArgs),
    /// Stop a job with a savepoint.
    Stop(StopArgs),
    /// Cancel a job.
    Cancel(CancelArgs),
    /// Take a savepoint of a running job, or dispose of one, or show what is in one.
    Savepoint(SavepointCommand),
    /// Take a checkpoint of a running job, out of turn.
    Checkpoint(CheckpointArgs),
    /// Make a new project with a job to begin with.
    New(NewArgs),
}

/// Options of `run` and `run-application`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where to run: local, yarn-per-job, yarn-application (default: execution.target).
    #[arg(
        short = 't',
        long = "target",
        value_name = "TARGET",
        overrides_with = "target"
    )]
    pub(crate) target: Option<String>,
    /// Return as soon as the job is RUNNING.
    #[arg(short = 'd', long, overrides_with = "detached")]
    pub(crate) detached: bool,
    /// Stop the job when this command is interrupted. Also written -sae.
    #[arg(
        long = "shutdownOnAttachedExit",
        alias = "shutdown-on-attached-exit",
        overrides_with = "shutdown_on_attached_exit"
    )]
    pub(crate) shutdown_on_attached_exit: bool,
    #[command(flatten)]
    pub(crate) restore: Restore,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) program: Program,
}

/// What a job begins from.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Begin from a savepoint or a retained checkpoint (execution.state-recovery.path).
    #[arg(
        short = 's',
        long = "fromSavepoint",
        value_name = "PATH",
        overrides_with = "path"
    )]
    pub(crate) path: Option<String>,
    /// Leave state behind that no operator of the job wants
    /// (execution.state-recovery.ignore-unclaimed-state).
    #[arg(
        short = 'n',
        long = "allowNonRestoredState",
        overrides_with = "allow_non_restored"
    )]
    pub(crate) allow_non_restored: bool,
    /// Whose the savepoint is: no_claim (yours, the default) or claim (the job's, which deletes it).
    /// Also written -cm, -rm, --restoreMode.
    #[arg(
        long = "claimMode",
        alias = "restoreMode",
        value_name = "MODE",
        overrides_with = "claim_mode"
    )]
    pub(crate) claim_mode: Option<String>,
}

/// Options of `info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) program: Program,
}

/// Options of `new`.
#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The directory to make; its name is that of the project.
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// A checkout of Flott to build against (default: the one that flott is run from or in, else
    /// the registry's version).
    #[arg(long, value_name = "DIR")]
    pub(crate) sdk: Option<PathBuf>,
}

/// What every command that starts a program can set.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Parallelism of operators that do not set their own (parallelism.default).
    #[arg(short = 'p', long, value_name = "N", overrides_with = "parallelism",
        value_parser = clap::value_parser!(u32).range(1..=32768))]
    pub(crate) parallelism: Option<u32>,
    /// Set a configuration key for this run; may be repeated.
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) define: Vec<(String, String)>,
}

/// The program and what is passed on to it.
#[derive(Debug, Args)]
pub(crate) struct Program {
    // One list: clap then takes everything after the first value as it is, options included.
    /// The program (an executable linked with the Flott SDK) and its own arguments.
    #[arg(
        value_names = ["PROGRAM", "ARGS"],
        required = true,
        num_args = 1..,
        trailing_var_arg = true,
        allow_hyphen_values = false
    )]
    command: Vec<OsString>,
}

impl Program {
    /// The executable.
    pub(crate) fn path(&self) -> &OsStr {
        &self.command[0]
    }

    /// The program's arguments; they travel in messages as text.
    pub(crate) fn args(&self) -> anyhow::Result<Vec<String>> {
        let text = |arg: &OsString| {
            arg.to_str().map(str::to_owned).ok_or_else(|| {
                anyhow::anyhow!(
                    "the program's argument {arg:?} is not UTF-8, which a cluster needs"
                )
            })
        };
        self.command[1..].iter().map(text).collect()
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("KEY=VALUE expected, there is no '='")?;
    let key = key.trim();
    if key.is_empty() {
        return Err("KEY=VALUE expected, the key is empty".to_owned());
    }
    if key.contains(char::is_whitespace) {
        return Err(format!("the key '{key}' contains white space"));
    }
    Ok((key.to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        let args = std::iter::once("flott")
            .chain(line.split_whitespace())
            .map(OsString::from);
        Cli::try_parse_from(normalize(args)?).map_err(|error| error.to_string())
    }

    fn run(line: &str) -> RunArgs {
        match parse(line).unwrap().command {
            Command::Run(args) | Command::RunApplication(args) => args,
            other => panic!("{line} is no run: {other:?}"),
        }
    }

    #[test]
    fn options_end_at_the_program() {
        let args = run("run -t local -p 4 -Da.b=1 -D c=d=e prog -p 9 --input x -d -- -t y");
        assert_eq!(args.target.as_deref(), Some("local"));
        assert_eq!(args.settings.parallelism, Some(4));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(args.settings.define, [pair("a.b", "1"), pair("c", "d=e")]);
        assert!(!args.detached);
        assert_eq!(args.program.path(), "prog");
        assert_eq!(
            args.program.args().unwrap(),
            "-p 9 --input x -d -- -t y".split(' ').collect::<Vec<_>>()
        );
    }

    #[test]
    fn each_spelling_is_understood() {
        assert!(run("run -sae prog").shutdown_on_attached_exit);
        assert!(run("run --shutdownOnAttachedExit prog").shutdown_on_attached_exit);
        assert!(!run("run prog -sae").shutdown_on_attached_exit);
        assert!(run("run --detached prog").detached);
        assert_eq!(
            run("run --target=local prog").target.as_deref(),
            Some("local")
        );
        assert_eq!(
            run("run -t local -t mesos -d -d prog").target.as_deref(),
            Some("mesos")
        );
        assert_eq!(run("run -p4 prog").settings.parallelism, Some(4));
        assert_eq!(run("run -Dkey= prog").settings.define[0].1, "");
        assert_eq!(
            run("run-application -t yarn-application -d prog a")
                .program
                .args()
                .unwrap(),
            ["a"]
        );
        assert!(matches!(
            parse("info -p 2 prog x").unwrap().command,
            Command::Info(_)
        ));
    }

    #[test]
    fn runs_may_begin_from_a_savepoint() {
        let args = run("run -d -s hdfs:///sp -n -rm claim -cm no_claim prog -s x");
        let restore = &args.restore;
        assert_eq!(restore.path.as_deref(), Some("hdfs:///sp"));
        assert!(restore.allow_non_restored);
        assert_eq!(restore.claim_mode.as_deref(), Some("no_claim"));
        assert_eq!(args.program.args().unwrap(), ["-s", "x"]);
        let args = run("run --fromSavepoint sp --allowNonRestoredState --restoreMode=claim prog");
        assert_eq!(args.restore.claim_mode.as_deref(), Some("claim"));
        assert_eq!(run("run prog -s sp").restore.path, None);
    }

    #[test]
    fn each_mistake_is_named() {
        for (line, expected) in [
            ("run", "PROGRAM"),
            ("run -t", "--target"),
            ("run -p 0 prog", "0 is not in 1..=32768"),
            ("run -p x prog", "invalid value 'x'"),
            ("run -Dkey prog", "there is no '='"),
            ("run -x prog", "'-x'"),
            ("run --frob prog", "'--frob'"),
            ("frobnicate", "'frobnicate'"),
            ("run -m yarn-cluster prog", "-t yarn-per-job"),
            ("run -yjm 1g prog", "jobmanager.memory.process.size"),
            ("run -yDa=b prog", "-Dkey=value"),
            ("run -s", "--fromSavepoint"),
            ("savepoint -type avro 0f /sp", "avro"),
            ("savepoint -j prog.jar -d /sp", "no program is needed"),
            ("list -z ns", "ZooKeeper"),
        ] {
            let message = parse(line).map(|_| ()).unwrap_err();
            assert!(message.contains(expected), "{line}: {message}");
        }
    }
}
