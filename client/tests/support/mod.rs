//! The command `flott` as a process, against a scripted ResourceManager and JobManager on
//! loopback; the staging area is a directory of this machine.

mod cluster;
mod program;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use cluster::{APPLICATION, Cluster, JOB, Script};
pub(crate) use program::run_as_program;

pub(crate) const USER: &str = "alice";
/// Nothing here takes long; the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with an installation of Flott, a Hadoop configuration and a staging area.
pub(crate) struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let site = Self { directory };
        std::fs::create_dir(site.path("bin")).unwrap();
        let flott = Path::new(env!("CARGO_BIN_EXE_flott"));
        if std::fs::hard_link(flott, site.path("bin/flott")).is_err() {
            std::fs::copy(flott, site.path("bin/flott")).unwrap();
        }
        for name in ["flott-appmaster", "flott-taskexecutor"] {
            std::fs::write(site.path("bin").join(name), format!("content of {name}")).unwrap();
        }
        std::fs::create_dir(site.path("hadoop")).unwrap();
        std::fs::create_dir(site.path("conf")).unwrap();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a Hadoop configuration for a ResourceManager at this address.
    pub(crate) fn with_cluster(self, address: &str) -> Self {
        let property = |name: &str, value: &str| {
            format!(
                "<configuration><property><name>{name}</name><value>{value}</value></property></configuration>"
            )
        };
        let core = property("fs.defaultFS", "file:///");
        std::fs::write(self.path("hadoop/core-site.xml"), core).unwrap();
        let yarn = property("yarn.resourcemanager.webapp.address", address);
        std::fs::write(self.path("hadoop/yarn-site.xml"), yarn).unwrap();
        self
    }

    /// The command with these arguments, in an environment of its own.
    pub(crate) fn flott(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/flott"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HADOOP_USER_NAME", USER)
            .env("HADOOP_CONF_DIR", self.path("hadoop"))
            .env("FLOTT_CONF_DIR", self.path("conf"))
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `flott run -t <target> <options> <this test as a program>`, with the program's behaviour.
    pub(crate) fn run(&self, target: &str, options: &[&str], behaviour: &str) -> Command {
        let verb = if target == "yarn-application" {
            "run-application"
        } else {
            "run"
        };
        let staging = format!(
            "-Dyarn.staging-directory=file://{}",
            self.path("staging").display()
        );
        let program = std::env::current_exe().unwrap();
        let mut args = vec![verb, "-t", target, &staging];
        args.extend(options);
        args.push(program.to_str().unwrap());
        args.extend(["this_test_is_also_a_program", "--exact", "--nocapture"]);
        let mut command = self.flott(&args);
        command.env("FAKE_PROGRAM", behaviour);
        command
    }

    /// Paths of all files in the staging area, relative to it.
    pub(crate) fn staged(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.path("staging"), &mut found);
        let root = format!("{}/", self.path("staging").display());
        let mut names: Vec<String> = found
            .iter()
            .map(|path| path.display().to_string().replace(&root, ""))
            .collect();
        names.sort();
        names
    }
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// What a command did.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// Fails the test unless the command ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(
            all.contains(text),
            "no '{text}' in\nstdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ran {
    finish(command.spawn().unwrap())
}

/// Waits for a command that was started.
pub(crate) fn finish(mut child: Child) -> Ran {
    let deadline = Instant::now() + DEADLINE;
    // Its output is small enough for the pipes; only the end is waited for here.
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            let ran = Ran::from(child.wait_with_output().unwrap());
            panic!(
                "the command does not end; stdout: {}\nstderr: {}",
                ran.stdout, ran.stderr
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap().into()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
