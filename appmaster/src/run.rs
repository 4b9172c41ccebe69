//! The life of an attempt: listen, register, run what is to be run, tell YARN, leave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use flott_config::options;
use flott_filesystem::FileSystems;
use flott_hadoop::rpc::RpcOptions;
use flott_hadoop::token::TOKEN_FILE_VARIABLE;
use flott_hadoop::yarn::{AmClient, AmError, NodeManagerClient};
use flott_jobmanager::{
    Dispatcher, DispatcherHandle, DispatcherSettings, ProgramLauncher, ProgramSettings,
};
use flott_protocol::application::{DeploymentMode, PROGRAM_FILE};
use flott_protocol::executor::ExecutorSpec;
use flott_protocol::node::Node;
use flott_protocol::program::Hello;
use flott_rest::RestState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::application::Application;
use crate::container_launch::ContainerLaunch;
use crate::listeners::Listeners;
use crate::outcome::Outcome;
use crate::resources::Resources;
use crate::yarn_driver::YarnDriver;
use crate::yarn_loop::{self, YarnCommand, YarnLoop};

/// An attached client asks again within a second; a result that nobody fetched by then is in YARN's
/// diagnostics.
const RESULT_KEPT_FOR: Duration = Duration::from_secs(5);

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// YARN knows how it went.
    Unregistered,
    /// Told to go by a signal: the application was killed, or the node is shutting down.
    Terminated,
}

/// A running attempt.
struct Attempt {
    dispatcher: DispatcherHandle,
    rest: RestState,
    launch: Arc<ContainerLaunch>,
    yarn: mpsc::UnboundedSender<YarnCommand>,
}

type LoopHandle = JoinHandle<Result<(), AmError>>;

pub(crate) async fn run(application: Application) -> anyhow::Result<End> {
    tracing::info!(
        application = application.id(),
        attempt = application.epoch().0,
        host = application.host,
        "appmaster started"
    );
    let mut terminate = signal(SignalKind::terminate()).context("watching SIGTERM failed")?;
    let attempt = start(&application);
    let (attempt, mut yarn_loop) = tokio::select! {
        attempt = attempt => attempt?,
        _ = terminate.recv() => return Ok(End::Terminated),
    };
    let outcome = tokio::select! {
        outcome = work(&application, &attempt) => outcome?,
        ended = &mut yarn_loop => return Err(lost_yarn(ended)),
        _ = terminate.recv() => {
            tracing::warn!("told to end by SIGTERM");
            return Ok(End::Terminated);
        }
    };
    tracing::info!(status = ?outcome.status, diagnostics = outcome.diagnostics, "the end");
    tokio::select! {
        // First: it hears how the unregistration went before the loop ends.
        biased;
        finished = finish(&application, &attempt, outcome) => finished?,
        ended = &mut yarn_loop => return Err(lost_yarn(ended)),
        _ = terminate.recv() => return Ok(End::Terminated),
    }
    Ok(End::Unregistered)
}

fn lost_yarn(ended: Result<Result<(), AmError>, tokio::task::JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("the loop to YARN ended before the application"),
        Ok(Err(error)) => {
            anyhow::Error::new(error).context("YARN does not go on with this attempt")
        }
        Err(error) => anyhow::Error::new(error).context("the loop to YARN failed"),
    }
}

async fn start(application: &Application) -> anyhow::Result<(Attempt, LoopHandle)> {
    let configuration = &application.configuration;
    let listeners = Listeners::bind(configuration).await?;
    let rpc_port = listeners.rpc.local_addr()?.port();
    let rest_port = listeners.rest.local_addr()?.port();
    let (host, hadoop) = (&application.host, &application.hadoop);
    let tracking_url = format!("http://{host}:{rest_port}");
    let mut client = AmClient::new(hadoop, &application.credentials)?;
    let registration = client
        .register(host, i32::from(rest_port), &tracking_url)
        .await;
    let registration = registration.context("registering with YARN failed")?;
    tracing::info!(
        tracking_url,
        queue = registration.queue,
        "registered with YARN"
    );

    let job_manager = format!("{host}:{rpc_port}");
    let launch = Arc::new(ContainerLaunch {
        node_managers: NodeManagerClient::new(client.nm_tokens(), RpcOptions::from_conf(hadoop)?),
        resources: resources(application)?,
        spec: executor_spec(application, job_manager.clone()),
        credentials: application.credentials.for_workers(),
        environment: executor_environment(application),
    });
    let (yarn, commands) = mpsc::unbounded_channel();
    let seconds = configuration.get(&options::YARN_HEARTBEAT_INTERVAL);
    let parts = YarnLoop {
        client,
        launch: Arc::clone(&launch),
        configuration: configuration.clone(),
        max_capability: registration.max_capability,
        idle_interval: Duration::from_secs(u64::from(seconds)),
        request_interval: configuration.get(&options::YARN_HEARTBEAT_CONTAINER_REQUEST_INTERVAL),
        tracking_url,
        cluster_nodes: 1,
        strays: registration.previous_containers,
    };
    let yarn_loop = tokio::spawn(yarn_loop::run(parts, commands));
    let driver = Box::new(YarnDriver::new(yarn.clone()));
    let dispatcher = Dispatcher::start(dispatcher_settings(application, job_manager), driver);
    let rest = RestState::new(dispatcher.clone());
    serve(listeners, &dispatcher, &rest);
    let attempt = Attempt {
        dispatcher,
        rest,
        launch,
        yarn,
    };
    Ok((attempt, yarn_loop))
}

fn serve(listeners: Listeners, dispatcher: &DispatcherHandle, rest: &RestState) {
    // Both serve as long as the process lives.
    let agents = flott_jobmanager::serve(listeners.rpc, dispatcher.clone(), std::future::pending());
    tokio::spawn(async move {
        if let Err(error) = agents.await {
            tracing::error!(%error, "agents and workers are not served any more");
        }
    });
    let clients = flott_rest::serve(listeners.rest, rest.clone(), std::future::pending());
    tokio::spawn(async move {
        if let Err(error) = clients.await {
            tracing::error!(%error, "REST is not served any more");
        }
    });
}

fn dispatcher_settings(application: &Application, job_master: String) -> DispatcherSettings {
    let configuration = application.configuration.clone();
    let bundle = application
        .spec
        .executor_resources
        .iter()
        .filter(|file| file.bundle);
    let blobs: BTreeMap<Vec<u8>, PathBuf> = bundle
        .map(|file| (file.sha256.clone(), application.local_copy(file)))
        .collect();
    DispatcherSettings {
        epoch: application.epoch(),
        job_master,
        hadoop: application.spec.hadoop.clone(),
        user: application.spec.user.clone(),
        blobs,
        ..DispatcherSettings::new(application.id(), application.secret.clone(), configuration)
    }
}

fn resources(application: &Application) -> anyhow::Result<Resources> {
    let spec = &application.spec;
    let user = Some(spec.user.clone()).filter(|user| !user.is_empty());
    let file_systems = FileSystems::new(spec.hadoop.clone(), user, None)?;
    Ok(Resources::new(
        file_systems,
        spec.staging_directory.clone(),
        application.directory.clone(),
        spec.executor_resources.clone(),
    ))
}

fn executor_spec(application: &Application, job_manager: String) -> ExecutorSpec {
    let configuration = &application.configuration;
    let lost = configuration.get(&options::FLOTT_JOBMANAGER_LOST_TIMEOUT);
    ExecutorSpec {
        job_manager,
        job_manager_lost_timeout_ms: u64::try_from(lost.as_millis()).unwrap_or(u64::MAX),
        ..ExecutorSpec::default()
    }
}

fn executor_environment(application: &Application) -> BTreeMap<String, String> {
    let mut environment = application
        .configuration
        .get_prefixed(&options::CONTAINERIZED_TASKMANAGER_ENV);
    if !application.spec.user.is_empty() {
        environment.insert("HADOOP_USER_NAME".to_owned(), application.spec.user.clone());
    }
    if let Some(levels) = application.log_levels() {
        environment.insert(flott_logging::LEVEL_VARIABLE.to_owned(), levels);
    }
    environment
}

/// Runs what the application is for.
async fn work(application: &Application, attempt: &Attempt) -> anyhow::Result<Outcome> {
    let spec = &application.spec;
    let outcome = match spec.mode() {
        DeploymentMode::PerJob => {
            let graph = spec
                .graph
                .clone()
                .context("the application's description has no job")?;
            match attempt
                .dispatcher
                .submit(graph, application.bundle()?)
                .await
            {
                Ok(job) => {
                    let ended = attempt.dispatcher.wait(job).await;
                    Outcome::of_job(&ended.context("the job was just submitted")?)
                }
                Err(error) => Outcome::failed(error.to_string()),
            }
        }
        DeploymentMode::Application => {
            let settings = program_settings(application)?;
            if let Err(reason) = Node::detect(&application.host).check(&settings.executable) {
                let host = &application.host;
                let why = format!("the program cannot run on node {host}: {reason}");
                return Ok(Outcome::failed(why));
            }
            let end = ProgramLauncher::run(attempt.dispatcher.clone(), settings).await;
            match end {
                Ok(end) => Outcome::of_program(&end),
                Err(error) => Outcome::failed(format!("running the program failed: {error}")),
            }
        }
        // Ends by being killed.
        DeploymentMode::Session => std::future::pending().await,
    };
    Ok(outcome)
}

fn program_settings(application: &Application) -> anyhow::Result<ProgramSettings> {
    let spec = &application.spec;
    Ok(ProgramSettings {
        executable: application.directory.join(PROGRAM_FILE),
        args: spec.args.clone(),
        directory: application.directory.clone(),
        log_directory: application.log_directory.clone(),
        hello: Hello {
            configuration: spec.configuration.clone(),
            hadoop: spec.hadoop.clone(),
            user: spec.user.clone(),
            attempt: application.epoch().0,
            given: spec.given.clone(),
        },
        // The application's secret is in that file.
        hidden_environment: vec![TOKEN_FILE_VARIABLE.to_owned()],
        environment: BTreeMap::new(),
        bundle: application.bundle()?,
    })
}

async fn finish(
    application: &Application,
    attempt: &Attempt,
    outcome: Outcome,
) -> anyhow::Result<()> {
    let jobs = u64::try_from(attempt.dispatcher.jobs().len()).unwrap_or(u64::MAX);
    if application.spec.attached && jobs > 0 {
        let mut fetched = attempt.rest.results_fetched();
        let all = fetched.wait_for(|fetched| *fetched >= jobs);
        if tokio::time::timeout(RESULT_KEPT_FOR, all).await.is_err() {
            tracing::info!("nobody fetched the result");
        }
    }
    // Who stopped the job with a savepoint wants to know where that is.
    let fetched = attempt.rest.operations_fetched();
    if tokio::time::timeout(RESULT_KEPT_FOR, fetched)
        .await
        .is_err()
    {
        tracing::info!("nobody fetched what came of a savepoint");
    }
    attempt.dispatcher.shutdown().await;
    if let Err(error) = attempt.launch.resources.remove_staging_directory().await {
        tracing::warn!("the staging directory is left: {error:#}");
    }
    let Outcome {
        status,
        diagnostics,
    } = outcome;
    let (done, finished) = oneshot::channel();
    let sent = attempt.yarn.send(YarnCommand::Finish {
        status,
        diagnostics,
        done,
    });
    sent.map_err(|_| anyhow!("the loop to YARN ended before the application"))?;
    finished
        .await
        .context("the loop to YARN ended")?
        .context("unregistering from YARN failed")?;
    tracing::info!("unregistered from YARN");
    Ok(())
}
