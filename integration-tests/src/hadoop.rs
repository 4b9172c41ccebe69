//! The cluster under the tests: the one whose directory FLOTT_TEST_HADOOP names, or one that this test process starts
//! and that is removed when the process ends, however it ends.

use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Context, Result, ensure};

use crate::command::repository_root;
use crate::resource_manager::ResourceManager;
use crate::web_hdfs::WebHdfs;

/// A running development Hadoop.
#[derive(Debug)]
pub struct TestHadoop {
    directory: PathBuf,
    user: String,
    hdfs: WebHdfs,
    yarn: ResourceManager,
    /// Ends this cluster when our end of its pipe closes; absent for a cluster that is not ours.
    keeper: Option<Child>,
}

static CLUSTER: OnceLock<TestHadoop> = OnceLock::new();
static DISTURBANCE: RwLock<()> = RwLock::new(());

/// The cluster, while no test of this process disturbs it.
#[derive(Debug)]
pub struct Shared {
    hadoop: &'static TestHadoop,
    _undisturbed: RwLockReadGuard<'static, ()>,
}

/// The cluster for one test of this process alone, which may kill daemons.
#[derive(Debug)]
pub struct Exclusive {
    hadoop: &'static TestHadoop,
    _disturbing: RwLockWriteGuard<'static, ()>,
}

impl Deref for Shared {
    type Target = TestHadoop;
    fn deref(&self) -> &TestHadoop {
        self.hadoop
    }
}

impl Deref for Exclusive {
    type Target = TestHadoop;
    fn deref(&self) -> &TestHadoop {
        self.hadoop
    }
}

impl Exclusive {
    /// Kills a daemon (`nn dn rm nm1 nm2 … zk kafka`) as a crash would. It is restarted when the guard goes.
    pub fn kill(&self, daemon: &str) -> Result<KilledDaemon<'_>> {
        run_script(&["kill", daemon], &self.hadoop.directory)?;
        Ok(KilledDaemon {
            cluster: self,
            daemon: daemon.to_owned(),
            down: true,
        })
    }
}

/// The NameNode in safe mode, until this goes.
#[derive(Debug)]
pub struct SafeMode<'a>(&'a TestHadoop);

impl Exclusive {
    /// Lets the NameNode refuse every change, as an administrator or its start does.
    pub fn enter_safe_mode(&self) -> Result<SafeMode<'_>> {
        self.hadoop.administer(&["-safemode", "enter"])?;
        Ok(SafeMode(self.hadoop))
    }
}

impl SafeMode<'_> {
    /// The end of it.
    pub fn leave(self) -> Result<()> {
        self.0.administer(&["-safemode", "leave"])
    }
}

impl Drop for SafeMode<'_> {
    fn drop(&mut self) {
        // The test failed before it left, and says so itself; twice is harmless.
        let _ = self.0.administer(&["-safemode", "leave"]);
    }
}

/// A daemon that was killed, and is started again at the latest when this goes.
#[derive(Debug)]
pub struct KilledDaemon<'a> {
    cluster: &'a Exclusive,
    daemon: String,
    down: bool,
}

impl KilledDaemon<'_> {
    /// Starts it again and waits until it is healthy.
    pub fn restart(mut self) -> Result<()> {
        self.down = false;
        run_script(&["restart", &self.daemon], &self.cluster.hadoop.directory)
    }
}

impl Drop for KilledDaemon<'_> {
    fn drop(&mut self) {
        // The test failed before it restarted the daemon, and says so itself; this is for the tests after it.
        if self.down {
            let _ = run_script(&["restart", &self.daemon], &self.cluster.hadoop.directory);
        }
    }
}

impl Drop for TestHadoop {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            // The end of its input is its order to clean up; a failure would leave a directory in /tmp behind, no more.
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }
}

impl TestHadoop {
    /// For tests that leave the cluster as it is; they run side by side.
    pub fn shared() -> Result<Shared> {
        let undisturbed = DISTURBANCE.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Shared {
            hadoop: cluster()?,
            _undisturbed: undisturbed,
        })
    }

    /// For tests that kill daemons; waits until the other tests of this process are done.
    pub fn exclusive() -> Result<Exclusive> {
        let disturbing = DISTURBANCE.write().unwrap_or_else(PoisonError::into_inner);
        Ok(Exclusive {
            hadoop: cluster()?,
            _disturbing: disturbing,
        })
    }

    /// A cluster for one test, started with options of dev-hadoop.sh, for instance `--conf` and `key=value`. It is removed
    /// when the value goes or the process ends.
    pub fn start_own(options: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("flott-test-hadoop-")
            .tempdir()
            .context("making a directory for the cluster")?
            .keep();
        // Before the start, so that a start which is interrupted is cleaned up too.
        let keeper = spawnkeeper(&directory)?;
        let mut arguments = vec!["start"];
        arguments.extend(options);
        run_script(&arguments, &directory)?;
        Self::attach(directory, Some(keeper))
    }

    /// What HADOOP_CONF_DIR is set to for a client of this cluster.
    pub fn conf_directory(&self) -> PathBuf {
        self.directory.join("conf")
    }

    /// The name that this process has towards Hadoop.
    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn hdfs(&self) -> &WebHdfs {
        &self.hdfs
    }

    /// The file system as another user, for instance `alice`.
    pub fn hdfs_as(&self, user: &str) -> Result<WebHdfs> {
        WebHdfs::new(
            &self.property("hdfs-site.xml", "dfs.namenode.http-address")?,
            user,
        )
    }

    pub fn yarn(&self) -> &ResourceManager {
        &self.yarn
    }

    /// What `yarn logs` prints for an application that has ended; `None` while nothing is aggregated.
    pub fn logs(&self, application: &str) -> Result<Option<String>> {
        let output = script_command(&["logs", application], &self.directory).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.success() && !text.is_empty()).then_some(text))
    }

    /// `hdfs dfsadmin`, with the class path of the NameNode that runs.
    fn administer(&self, arguments: &[&str]) -> Result<()> {
        let mark = format!("-Dflott.dev-hadoop={}:nn", self.directory.display());
        let class_path = class_path_of(&mark).context("no NameNode of this cluster runs")?;
        let output = Command::new("java")
            .args(["-Xmx96m", "-cp", &class_path])
            .arg("org.apache.hadoop.hdfs.tools.DFSAdmin")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("running java")?;
        ensure!(
            output.status.success(),
            "dfsadmin {} failed:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// A property of the client's configuration files.
    pub fn property(&self, file: &str, name: &str) -> Result<String> {
        property(&self.directory, file, name)
    }

    fn attach(directory: PathBuf, keeper: Option<Child>) -> Result<Self> {
        let user = nix::unistd::User::from_uid(nix::unistd::getuid())?
            .context("this process runs as a user without a name")?
            .name;
        let namenode = property(&directory, "hdfs-site.xml", "dfs.namenode.http-address")?;
        let resource_manager = property(
            &directory,
            "yarn-site.xml",
            "yarn.resourcemanager.webapp.address",
        )?;
        Ok(Self {
            hdfs: WebHdfs::new(&namenode, &user)?,
            yarn: ResourceManager::new(&resource_manager, &user)?,
            directory,
            user,
            keeper,
        })
    }
}

/// What follows `-cp` in the command line of the process that was started with this argument.
fn class_path_of(argument: &str) -> Option<String> {
    std::fs::read_dir("/proc").ok()?.find_map(|entry| {
        // A process may end while it is being looked at.
        let bytes = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8(bytes).ok()?;
        let arguments: Vec<&str> = line.split('\0').collect();
        arguments.contains(&argument).then_some(())?;
        let at = arguments.iter().position(|argument| *argument == "-cp")?;
        arguments.get(at + 1).map(|path| (*path).to_owned())
    })
}

fn cluster() -> Result<&'static TestHadoop> {
    // Two tests may come here at once; the second waits for the cluster of the first.
    static STARTING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = CLUSTER.get() {
        return Ok(cluster);
    }
    let started = match std::env::var_os("FLOTT_TEST_HADOOP") {
        Some(directory) => TestHadoop::attach(directory.into(), None),
        None => TestHadoop::start_own(&[]),
    };
    Ok(CLUSTER.get_or_init(|| started.expect("the development Hadoop is needed by every test")))
}

/// A process that waits for our end, which closes its standard input, and then removes the cluster.
fn spawnkeeper(directory: &Path) -> Result<Child> {
    Command::new("sh")
        .args(["-c", "read -r _ || exec \"$0\" clean --dir \"$1\""])
        .arg(script())
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A Ctrl-C at the terminal reaches the tests, not the one that cleans up after them.
        .process_group(0)
        .spawn()
        .context("starting the process that removes the cluster at the end")
}

fn script() -> PathBuf {
    repository_root().join("scripts/dev-hadoop.sh")
}

fn script_command(arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(script());
    command
        .args(arguments)
        .arg("--dir")
        .arg(directory)
        .stdin(Stdio::null());
    command
}

fn run_script(arguments: &[&str], directory: &Path) -> Result<()> {
    let output = script_command(arguments, directory)
        .output()
        .context("running scripts/dev-hadoop.sh")?;
    ensure!(
        output.status.success(),
        "scripts/dev-hadoop.sh {} --dir {} failed:\n{}",
        arguments.join(" "),
        directory.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Reads a property from one of the files that dev-hadoop.sh writes: one property a line.
fn property(directory: &Path, file: &str, name: &str) -> Result<String> {
    let path = directory.join("conf").join(file);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {} of the development Hadoop", path.display()))?;
    let start = format!("<name>{name}</name><value>");
    text.lines()
        .find_map(|line| line.split_once(&start)?.1.split_once("</value>"))
        .map(|(value, _)| value.to_owned())
        .with_context(|| format!("{} has no {name}", path.display()))
}
