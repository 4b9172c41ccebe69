//! Runs a user's program as driver: its `main()` in a child process, each `execute()` of it
//! submitted here. The program never outlives its launcher.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flott_model::{Failure, FailureClass, JobGraph, JobId, JobStatus, SnapshotKind};
use flott_protocol::environment::{ROLE, Role, SOCKET};
use flott_protocol::message::JobBundle;
use flott_protocol::process::{describe_exit, tail};
use flott_protocol::program::{
    self, Answer, Ask, ExecuteHandler, Hello, JobEnded, JobStarted, Snapshot, What,
};
use tokio::net::UnixListener;
use tokio::process::Command;

use crate::{DispatcherHandle, JobSnapshot};

const SOCKET_FILE: &str = "socket";
const OUTPUT_FILE: &str = "driver.out";
const ERROR_FILE: &str = "driver.err";
/// How long a question for collected records waits for some.
const COLLECTED_PATIENCE: Duration = Duration::from_secs(10);

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct ProgramSettings {
    /// The executable.
    pub executable: PathBuf,
    /// Arguments of `main()`.
    pub args: Vec<String>,
    /// Its working directory, which holds the shipped files.
    pub directory: PathBuf,
    /// Where its output goes (`driver.out`, `driver.err`).
    pub log_directory: PathBuf,
    /// What it is told first.
    pub hello: Hello,
    /// Environment variables it must not see.
    pub hidden_environment: Vec<String>,
    /// Additional environment.
    pub environment: BTreeMap<String, String>,
    /// The executable and shipped files, for the workers of its jobs.
    pub bundle: JobBundle,
}

/// Runs programs as drivers.
#[derive(Debug)]
pub struct ProgramLauncher;

/// How a program went.
#[derive(Debug, Clone)]
pub struct ProgramEnd {
    /// Its jobs, in the order of their submission; all have ended.
    pub jobs: Vec<JobSnapshot>,
    /// Why the program failed, other than by a failure of one of its jobs.
    pub failure: Option<Failure>,
    /// Those it cancelled itself: that they are CANCELED is no failure.
    pub unwanted: BTreeSet<JobId>,
}

impl ProgramLauncher {
    /// Runs the program to its end. Dropping the future kills it.
    pub async fn run(
        dispatcher: DispatcherHandle,
        settings: ProgramSettings,
    ) -> io::Result<ProgramEnd> {
        let private = PrivateDirectory::create()?;
        let socket = private.0.join(SOCKET_FILE);
        let listener = UnixListener::bind(&socket)?;
        let jobs = Arc::new(SubmittedJobs {
            dispatcher: dispatcher.clone(),
            bundle: settings.bundle.clone(),
            jobs: Mutex::default(),
            unwanted: Mutex::default(),
            refused: Mutex::default(),
        });
        let handler: Arc<dyn ExecuteHandler> = Arc::<SubmittedJobs>::clone(&jobs);
        let serving = program::serve(listener, settings.hello.clone(), handler);
        let mut child = command(&settings, &socket)?.spawn()?;
        tracing::info!(
            program = %settings.executable.display(),
            pid = child.id(),
            "the program's main() runs as driver"
        );
        let status = tokio::select! {
            status = child.wait() => status?,
            served = serving => {
                served?;
                child.wait().await?
            }
        };
        tracing::info!(how = describe_exit(status), "the program ended");
        let submitted = jobs.submitted();
        // Before anything is cancelled because the program has gone.
        let unwanted = lock(&jobs.unwanted).clone();
        let wanted = submitted.iter().filter(|job| !unwanted.contains(job));
        let mut known = wanted.filter_map(|job| dispatcher.job(*job));
        let told = known.any(|job| job.status.is_terminal() && job.status != JobStatus::Finished);
        let mut ended = Vec::new();
        for job in submitted {
            if !status.success() {
                // Nobody waits for its result any more.
                dispatcher.cancel(job).await;
            }
            ended.extend(dispatcher.wait(job).await);
        }
        let stderr = settings.log_directory.join(ERROR_FILE);
        let failure = if told && jobs.refusal().is_none() {
            // execute() returned that error, and main() did with it what it should.
            None
        } else {
            program_failure(status, &ended, jobs.refusal(), &stderr)
        };
        Ok(ProgramEnd {
            jobs: ended,
            failure,
            unwanted,
        })
    }
}

/// What went wrong in the program itself.
fn program_failure(
    status: ExitStatus,
    jobs: &[JobSnapshot],
    refusal: Option<String>,
    stderr: &Path,
) -> Option<Failure> {
    let user = |message: String| Some(Failure::new(FailureClass::UserCode, message));
    if let Some(reason) = refusal {
        return user(format!("the job was refused: {reason}"));
    }
    if status.success() {
        let message =
            "the program's main() ended without calling execute(): there is no job to run";
        return jobs.is_empty().then(|| user(message.to_owned()))?;
    }
    let mut message = format!("the program's main() failed: {}", describe_exit(status));
    let tail = tail(stderr).unwrap_or_default();
    if !tail.is_empty() {
        message.push_str("; the end of its stderr:\n");
        message.push_str(&tail);
    }
    user(message)
}

fn command(settings: &ProgramSettings, socket: &Path) -> io::Result<Command> {
    let log = |name: &str| File::create(settings.log_directory.join(name));
    let mut command = Command::new(&settings.executable);
    command.args(&settings.args).envs(&settings.environment);
    for name in &settings.hidden_environment {
        command.env_remove(name);
    }
    command
        .env(ROLE, Role::Driver.as_str())
        .env(SOCKET, socket)
        .current_dir(&settings.directory)
        .stdin(Stdio::null())
        .stdout(log(OUTPUT_FILE)?)
        .stderr(log(ERROR_FILE)?)
        .kill_on_drop(true);
    Ok(command)
}

/// A directory only this user can enter, removed when dropped. In the system's temporary
/// directory, because the path of a socket may have 107 bytes only.
struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    fn create() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        let pid = std::process::id();
        for number in 0_u32.. {
            let path = parent.join(format!("flott-{pid}-{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, directory = %self.0.display(), "a directory is left");
        }
    }
}

struct SubmittedJobs {
    dispatcher: DispatcherHandle,
    bundle: JobBundle,
    // All are held for a moment only, never across an await.
    jobs: Mutex<Vec<JobId>>,
    unwanted: Mutex<BTreeSet<JobId>>,
    refused: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SubmittedJobs {
    fn submitted(&self) -> Vec<JobId> {
        lock(&self.jobs).clone()
    }

    fn refusal(&self) -> Option<String> {
        lock(&self.refused).clone()
    }
}

#[async_trait::async_trait]
impl ExecuteHandler for SubmittedJobs {
    async fn execute(&self, graph: JobGraph) -> Result<JobStarted, String> {
        match self.dispatcher.submit(graph, self.bundle.clone()).await {
            Ok(job) => {
                lock(&self.refused).take();
                lock(&self.jobs).push(job);
                Ok(JobStarted {
                    job: job.to_string(),
                    detached: false,
                })
            }
            Err(error) => {
                lock(&self.refused).replace(error.to_string());
                Err(error.to_string())
            }
        }
    }

    async fn wait(&self, started: &JobStarted) -> JobEnded {
        let job = started.job.parse::<JobId>().ok();
        let snapshot = match job {
            Some(job) => self.dispatcher.wait(job).await,
            None => None,
        };
        snapshot
            .expect("the job was just submitted, and jobs are never forgotten")
            .to_ended()
    }

    async fn ask(&self, ask: Ask) -> Answer {
        let job = ask.job.parse::<JobId>().ok();
        match job.filter(|job| lock(&self.jobs).contains(job)) {
            Some(job) => self.answer(job, ask).await,
            None => Answer::failed(ask.id, format!("{} is no job of this program", ask.job)),
        }
    }
}

impl SubmittedJobs {
    async fn answer(&self, job: JobId, ask: Ask) -> Answer {
        let mut answer = Answer {
            id: ask.id,
            ..Answer::default()
        };
        match What::try_from(ask.what) {
            Ok(What::Status) => {
                let status = self.dispatcher.job(job).map(|job| job.status.number());
                answer.status = status.unwrap_or_default();
            }
            Ok(What::Cancel) => {
                lock(&self.unwanted).insert(job);
                self.dispatcher.cancel(job).await;
            }
            Ok(What::Accumulators) => {
                let all = self.dispatcher.accumulators(job).await;
                answer.accumulators = all.into_iter().map(Into::into).collect();
            }
            Ok(What::Collected) => {
                let found = self.dispatcher.collected(job, ask.from, COLLECTED_PATIENCE);
                answer.collected = found.await;
            }
            Ok(What::Snapshot) => match self.snapshot(job, ask.snapshot).await {
                Ok(path) => answer.path = path,
                Err(why) => answer.failure = why,
            },
            Err(_) => answer.failure = "this version does not know the question".to_owned(),
        }
        answer
    }

    async fn snapshot(&self, job: JobId, wish: Option<Snapshot>) -> Result<String, String> {
        let Snapshot {
            kind,
            directory,
            cancel,
        } = wish.unwrap_or_default();
        let kind = SnapshotKind::from_number(kind).ok_or("this version does not know the wish")?;
        let directory = Some(directory).filter(|directory| !directory.is_empty());
        let taken = self.dispatcher.snapshot(job, kind, directory, cancel).await;
        match taken {
            Some(Ok(taken)) => {
                if cancel {
                    lock(&self.unwanted).insert(job);
                }
                Ok(taken.path)
            }
            Some(Err(failure)) => Err(failure.message),
            None => Err(format!("there is no job {job}")),
        }
    }
}
