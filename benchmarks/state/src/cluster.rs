//! A cluster of this machine: a JobManager in this process, agents beside it, workers and programs as processes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flott_config::{Configuration, Source};
use flott_jobmanager::{
    Dispatcher, DispatcherHandle, DispatcherSettings, ProgramLauncher, ProgramSettings,
};
use flott_model::{JobId, JobStatus};
use flott_protocol::message::{JobBundle, ShippedFile};
use flott_protocol::program::Hello;
use flott_protocol::rpc::Secret;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::driver::ProcessDriver;
use crate::job::JobSpec;

/// A running cluster.
pub(crate) struct Cluster {
    pub(crate) dispatcher: DispatcherHandle,
    directory: PathBuf,
    executable: PathBuf,
    configuration: Configuration,
    bundle: JobBundle,
    serving: JoinHandle<()>,
}

/// A program that runs on it.
pub(crate) struct Program {
    pub(crate) job: JobId,
    ended: JoinHandle<()>,
}

impl Cluster {
    /// Starts one whose containers have so many slots each.
    pub(crate) async fn start(
        directory: &Path,
        slots: u32,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let executable = std::env::current_exe().context("finding this program")?;
        let bundle = bundle(&executable)?;
        let mut configuration = Configuration::new();
        for (key, value) in settings {
            let warnings = configuration.set_text(key, value, Source::Job)?;
            ensure!(warnings.is_empty(), "{key} is no option");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let job_manager = listener.local_addr()?.to_string();
        let secret = Secret::new(b"a benchmark has no secrets");
        let driver = ProcessDriver {
            slots,
            executable: executable.clone(),
            directory: directory.join("containers"),
            job_manager: job_manager.clone(),
            secret: secret.clone(),
            context: None,
            created: 0,
            untaken: 0,
            agents: BTreeMap::new(),
        };
        let dispatcher_settings = DispatcherSettings {
            job_master: job_manager,
            blobs: BTreeMap::from([(bundle.executable.sha256.clone(), executable.clone())]),
            ..DispatcherSettings::new(
                format!("bench-{}", std::process::id()),
                secret,
                configuration.clone(),
            )
        };
        let dispatcher = Dispatcher::start(dispatcher_settings, Box::new(driver));
        let served = flott_jobmanager::serve(listener, dispatcher.clone(), std::future::pending());
        let serving = tokio::spawn(async move {
            if let Err(error) = served.await {
                eprintln!("workers are not served any more: {error}");
            }
        });
        Ok(Self {
            dispatcher,
            directory: directory.to_owned(),
            executable,
            configuration,
            bundle,
            serving,
        })
    }

    /// Runs a job of this program.
    pub(crate) async fn run(&self, spec: &JobSpec) -> Result<Program> {
        let settings = ProgramSettings {
            executable: self.executable.clone(),
            args: vec!["--job".to_owned(), serde_json::to_string(spec)?],
            directory: self.directory.clone(),
            log_directory: self.directory.clone(),
            hello: Hello {
                configuration: self.configuration.to_map(),
                attempt: 1,
                ..Hello::default()
            },
            hidden_environment: Vec::new(),
            environment: BTreeMap::new(),
            bundle: self.bundle.clone(),
        };
        let dispatcher = self.dispatcher.clone();
        let ended = tokio::spawn(async move {
            match ProgramLauncher::run(dispatcher, settings).await {
                Ok(end) => {
                    if let Some(failure) = end.failure {
                        eprintln!("the program failed: {failure}");
                    }
                }
                Err(error) => eprintln!("the program could not be run: {error}"),
            }
        });
        let submitted = async {
            loop {
                if let Some(job) = self.dispatcher.jobs().first() {
                    return job.id;
                }
                tokio::time::sleep(crate::running::LOOK).await;
            }
        };
        let job = tokio::time::timeout(crate::running::PATIENCE, submitted).await;
        let job = job.context("the program did not submit a job; its output is driver.err")?;
        Ok(Program { job, ended })
    }

    /// Ends the job, if it has not ended, and the cluster with it.
    pub(crate) async fn end(self, program: Program) -> Result<()> {
        self.dispatcher.cancel(program.job).await;
        let ended = self.dispatcher.wait(program.job).await;
        let ended = ended.context("the job was just submitted")?;
        program.ended.await?;
        self.dispatcher.shutdown().await;
        self.serving.abort();
        ensure!(
            matches!(ended.status, JobStatus::Canceled | JobStatus::Finished),
            "the job is {}: {:?}",
            ended.status,
            ended.failures.first()
        );
        Ok(())
    }
}

fn bundle(executable: &Path) -> Result<JobBundle> {
    let mut file = std::fs::File::open(executable).context("reading this program")?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => {
                hash.update(&buffer[..length]);
                size += length as u64;
            }
        }
    }
    Ok(JobBundle {
        executable: ShippedFile {
            name: "bench-state".to_owned(),
            sha256: hash.finalize().to_vec(),
            size,
        },
        files: Vec::new(),
    })
}
