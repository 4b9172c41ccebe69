//! The entrance: takes jobs, runs a JobMaster for each, and shows where they stand.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flott_config::{Configuration, StateBackendType, options};
use flott_coordination::checkpoint::SnapshotResult;
use flott_coordination::job::JobCore;
use flott_metrics::accumulators::MergedAccumulator;
use flott_model::{
    Failure, FailureClass, GraphError, JobGraph, JobId, ROCKSDB, RuntimeMode, SnapshotKind,
};
use flott_protocol::message::{Inspection, JobBundle};
use flott_protocol::program::Collected;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::checkpoints::{self, Begin, CheckpointError, SnapshotWish};
use crate::collected::{self, CollectedRecords};
use crate::connections::Connections;
use crate::driver::{DriverContext, ResourceDriver};
use crate::inspect::{self, Remembered, Sampling, WorkerInspection};
use crate::job_master::{self, JobInput, JobMaster, ResourceOutput};
use crate::launch::{SlotCores, WorkerLaunch};
use crate::resource_manager::{self, ResourceInput};
use crate::settings::DispatcherSettings;
use crate::snapshot::{ExecutorSnapshot, JobSnapshot};
use crate::view::JobView;

/// Messages that may wait for a shell before their senders have to.
const INBOX_CAPACITY: usize = 1024;
/// How long the end of the JobManager waits for its tasks.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts JobManagers.
#[derive(Debug)]
pub struct Dispatcher;

/// A running JobManager.
#[derive(Debug, Clone)]
pub struct DispatcherHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Arc<DispatcherSettings>,
    connections: Connections,
    resource_manager: mpsc::Sender<ResourceInput>,
    // Held for look-ups and inserts, never across an await.
    jobs: Mutex<BTreeMap<JobId, JobEntry>>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct JobEntry {
    snapshot: watch::Receiver<JobSnapshot>,
    inbox: mpsc::Sender<JobInput>,
    fingerprint: u64,
    metrics: Arc<Remembered>,
    stacks: Arc<Remembered>,
    collected: Arc<CollectedRecords>,
}

/// A job that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Its graph cannot be run.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Its configuration cannot be used.
    #[error("the job's configuration is not usable: {0}")]
    Configuration(String),
    /// What it is to begin from cannot be used.
    #[error("the job cannot begin: {0}")]
    Begin(String),
    /// Its slot sharing groups say what their slots must offer, which the configuration forbids.
    #[error(
        "slot sharing group '{group}' says what its slots must offer, but {key} is false: set it to \
         true, or give the group no resources"
    )]
    Resources {
        /// One of them.
        group: String,
        /// The key that forbids it.
        key: &'static str,
    },
    /// The program lacks the state backend that is configured.
    #[error(
        "{key} is rocksdb, but the program was built without it: build it with the feature \
         `rocksdb` of the crate `flott` (`flott = {{ …, features = [\"rocksdb\"] }}`), or set {key} to \
         hashmap, which keeps all state in memory"
    )]
    Backend {
        /// The key that names the backend.
        key: &'static str,
    },
    /// Another job has the id.
    #[error(
        "execute() number {index} was submitted before with another job graph; what main() builds \
         must not change between its runs"
    )]
    OtherGraph {
        /// Which `execute()` of the program.
        index: u32,
    },
    /// No jobs are taken any more.
    #[error("the cluster is shutting down")]
    ShuttingDown,
}

impl SubmitError {
    /// Why a job with that configuration is not accepted, if it can be seen from its graph.
    pub fn of_graph(configuration: &Configuration, graph: &JobGraph) -> Option<Self> {
        Self::of_resources(configuration, graph).or_else(|| Self::of_backend(configuration, graph))
    }

    /// As [`of_graph`](Self::of_graph), if it is because of the state backend, which is a part of the
    /// program. BATCH jobs have no use for it.
    fn of_backend(configuration: &Configuration, graph: &JobGraph) -> Option<Self> {
        let option = &options::STATE_BACKEND_TYPE;
        let needed = configuration.get(option) == StateBackendType::RocksDb
            && graph.mode() == RuntimeMode::Streaming;
        let has = graph.capabilities.iter().any(|it| it == ROCKSDB);
        (needed && !has).then(|| Self::Backend { key: option.key() })
    }

    /// As [`of_graph`](Self::of_graph), if it is because of the resources that its slot sharing groups
    /// ask for.
    fn of_resources(configuration: &Configuration, graph: &JobGraph) -> Option<Self> {
        let option = &options::CLUSTER_FINE_GRAINED_RESOURCE_MANAGEMENT_ENABLED;
        let first = graph.group_resources.first()?;
        (!configuration.get(option)).then(|| Self::Resources {
            group: first.group.clone(),
            key: option.key(),
        })
    }
}

/// An error with its causes.
fn sentence(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Dispatcher {
    /// Starts a JobManager in the current tokio runtime.
    pub fn start(
        settings: DispatcherSettings,
        mut driver: Box<dyn ResourceDriver>,
    ) -> DispatcherHandle {
        let settings = Arc::new(settings);
        let (resource_manager, inbox) = mpsc::channel(INBOX_CAPACITY);
        let (events, driver_events) = mpsc::channel(INBOX_CAPACITY);
        let connections = Connections::new(resource_manager.clone());
        driver.start(DriverContext {
            events,
            connections: connections.clone(),
        });
        let tasks = TaskTracker::new();
        let shell = resource_manager::run(Arc::clone(&settings), driver, inbox, driver_events);
        tasks.spawn(shell);
        let jobs = Mutex::default();
        let shared = Shared {
            settings,
            connections,
            resource_manager,
            jobs,
            tasks,
        };
        DispatcherHandle {
            shared: Arc::new(shared),
        }
    }
}

impl DispatcherHandle {
    /// Submits a job. One that was submitted before (the same `execute()` of the same cluster,
    /// run again after a failure of its driver) is not run twice.
    pub async fn submit(&self, graph: JobGraph, bundle: JobBundle) -> Result<JobId, SubmitError> {
        graph.validate()?;
        let settings = &self.shared.settings;
        let id = JobId::derive(&settings.cluster_id, graph.execute_index);
        let fingerprint = graph.fingerprint();
        let configuration = settings.job_configuration(&graph);
        let configuration =
            configuration.map_err(|error| SubmitError::Configuration(error.to_string()))?;
        SubmitError::of_graph(&configuration, &graph).map_or(Ok(()), Err)?;
        let job_settings = settings.job_settings(id, &configuration);
        let begin = self.begin(id, &graph, &configuration).await?;
        let (graph, bundle) = (Arc::new(graph), Arc::new(bundle));
        let view = JobView::new(id, Arc::clone(&graph), Arc::clone(&bundle));
        let (inbox, inputs) = mpsc::channel(INBOX_CAPACITY);
        let collected = Arc::<CollectedRecords>::default();
        match self.jobs_map().entry(id) {
            Entry::Occupied(known) if known.get().fingerprint == fingerprint => return Ok(id),
            Entry::Occupied(_) => {
                return Err(SubmitError::OtherGraph {
                    index: graph.execute_index,
                });
            }
            Entry::Vacant(free) => {
                let snapshot = view.subscribe();
                free.insert(JobEntry {
                    snapshot,
                    inbox: inbox.clone(),
                    fingerprint,
                    metrics: Arc::default(),
                    stacks: Arc::default(),
                    collected: Arc::clone(&collected),
                });
            }
        }
        tracing::info!(job = %id, name = graph.name, "job submitted");
        let (outputs, resources) = mpsc::unbounded_channel();
        let added = ResourceInput::AddJob { job: id, outputs };
        let sent = self.shared.resource_manager.send(added).await;
        sent.map_err(|_| SubmitError::ShuttingDown)?;
        self.shared.connections.add_job(id, inbox);
        let master = JobMaster {
            id,
            core: JobCore::new(job_settings, &graph, begin.origin),
            storage: begin.storage,
            has_checkpoints: begin.has_checkpoints,
            view,
            launch: WorkerLaunch {
                job: id,
                cores: SlotCores::default(),
                settings: Arc::clone(settings),
                graph,
                bundle,
            },
            resource_manager: self.shared.resource_manager.clone(),
            collected,
        };
        self.spawn(master, inputs, resources);
        Ok(id)
    }

    /// Runs a job until it has ended, or its JobMaster panics.
    fn spawn(
        &self,
        master: JobMaster,
        inputs: mpsc::Receiver<JobInput>,
        resources: mpsc::UnboundedReceiver<ResourceOutput>,
    ) {
        let id = master.id;
        let (shared, obituary) = (Arc::clone(&self.shared), master.view.obituary());
        self.shared.tasks.spawn(async move {
            let run = job_master::run(master, inputs, resources);
            obituary.watch(run).await;
            shared.connections.remove_job(id);
            // At the end of the JobManager nobody listens any more.
            let _ = shared
                .resource_manager
                .send(ResourceInput::RemoveJob { job: id })
                .await;
        });
    }

    /// What is in storage for a job.
    async fn begin(
        &self,
        job: JobId,
        graph: &JobGraph,
        configuration: &Configuration,
    ) -> Result<Begin, SubmitError> {
        let settings = &self.shared.settings;
        let hadoop = (&settings.hadoop, settings.user.as_str());
        let again = settings.epoch.0 > 1;
        let begin = checkpoints::begin(job, graph.mode(), configuration, hadoop, again);
        begin
            .await
            .map_err(|error| SubmitError::Begin(sentence(&error)))
    }

    /// Takes a savepoint or checkpoint of a job, as `kind` says; `directory`: where savepoints go, else
    /// where the configuration says; `cancel`: the job is cancelled with it. Waits until it is complete.
    ///
    /// `None`: there is no such job.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn snapshot(
        &self,
        job: JobId,
        kind: SnapshotKind,
        directory: Option<String>,
        cancel: bool,
    ) -> Option<Result<SnapshotResult, Failure>> {
        let inbox = self.of(job, |entry| entry.inbox.clone())?;
        let (answer, result) = oneshot::channel();
        let wish = SnapshotWish {
            kind,
            directory,
            cancel,
            answer,
        };
        // A closed inbox is that of a job that has ended.
        let _ = inbox.send(JobInput::Snapshot(wish)).await;
        Some(result.await.unwrap_or_else(|_| {
            let message = "the job has ended before there was a savepoint";
            Err(Failure::new(FailureClass::Transient, message))
        }))
    }

    /// Deletes a savepoint, or a checkpoint that was kept; no job of it needs to be known.
    ///
    /// # Errors
    /// When there is none, or something of it could not be deleted.
    pub async fn dispose_savepoint(&self, path: &str) -> Result<(), CheckpointError> {
        let settings = &self.shared.settings;
        let files = checkpoints::file_systems(&settings.hadoop, &settings.user);
        let files = files.map_err(|source| CheckpointError::Delete {
            path: path.to_owned(),
            source,
        })?;
        checkpoints::dispose(&files, path).await
    }

    /// Asks a job to end; without effect on one that has ended. Whether there is such a job.
    pub async fn cancel(&self, job: JobId) -> bool {
        let inbox = self.of(job, |entry| entry.inbox.clone());
        let Some(inbox) = inbox else { return false };
        // A closed inbox is that of a job that has ended.
        let _ = inbox.send(JobInput::Cancel).await;
        true
    }

    /// Records that a job collects for its program, from that frame on; those before it were taken. Waits until there are
    /// some, until none will come, or for as long as `patience`. `None`: there is no such job.
    pub async fn collected(&self, job: JobId, from: u64, patience: Duration) -> Option<Collected> {
        let (records, inbox, snapshot) = self.of(job, |entry| {
            let snapshot = entry.snapshot.clone();
            (Arc::clone(&entry.collected), entry.inbox.clone(), snapshot)
        })?;
        if records.take_before(from) {
            // A job that has ended does not wait for that.
            let _ = inbox.send(JobInput::CollectedTaken).await;
        }
        Some(records.from(from, snapshot, patience).await)
    }

    /// What the subtasks of a job have added up so far: those that have ended have told it, those that run are asked.
    pub async fn accumulators(&self, job: JobId) -> Vec<MergedAccumulator> {
        let workers = self.task_metrics(job).await;
        self.job(job)
            .map(|snapshot| collected::accumulators_so_far(&snapshot, &workers))
            .unwrap_or_default()
    }

    /// What the tasks of a job are doing, asked of its workers; an answer serves all readers for as long as
    /// `metrics.fetcher.update-interval` says. Empty if no worker runs.
    pub async fn task_metrics(&self, job: JobId) -> Arc<Vec<WorkerInspection>> {
        let age = &options::METRICS_FETCHER_UPDATE_INTERVAL;
        let age = self.shared.settings.configuration.get(age);
        let Some(remembered) = self.of(job, |entry| Arc::clone(&entry.metrics)) else {
            return Arc::default();
        };
        let ask = self.inspect(job, Inspection::Metrics, Sampling::default());
        remembered.get(age, ask).await
    }

    /// The stacks of the tasks of a job, sampled unless an answer is younger than `age`.
    pub async fn task_stacks(
        &self,
        job: JobId,
        sampling: Sampling,
        age: Duration,
    ) -> Arc<Vec<WorkerInspection>> {
        let Some(remembered) = self.of(job, |entry| Arc::clone(&entry.stacks)) else {
            return Arc::default();
        };
        let ask = self.inspect(job, Inspection::Stacks, sampling);
        remembered.get(age, ask).await
    }

    /// Asks the workers of a job. Those that do not answer in time are left out.
    pub async fn inspect(
        &self,
        job: JobId,
        what: Inspection,
        sampling: Sampling,
    ) -> Vec<WorkerInspection> {
        let Some(inbox) = self.of(job, |entry| entry.inbox.clone()) else {
            return Vec::new();
        };
        let (question, answer) = inspect::question(what, sampling);
        match inbox.send(JobInput::Inspect(question)).await {
            Ok(()) => answer.collect().await,
            Err(_) => Vec::new(), // The job has ended.
        }
    }

    fn of<T>(&self, job: JobId, read: impl FnOnce(&JobEntry) -> T) -> Option<T> {
        self.jobs_map().get(&job).map(read)
    }

    /// A job as it is now.
    pub fn job(&self, job: JobId) -> Option<JobSnapshot> {
        self.jobs_map()
            .get(&job)
            .map(|entry| entry.snapshot.borrow().clone())
    }

    /// All jobs, also those that have ended, by id.
    pub fn jobs(&self) -> Vec<JobSnapshot> {
        self.jobs_map()
            .values()
            .map(|entry| entry.snapshot.borrow().clone())
            .collect()
    }

    /// Follows a job.
    pub fn watch(&self, job: JobId) -> Option<watch::Receiver<JobSnapshot>> {
        self.jobs_map()
            .get(&job)
            .map(|entry| entry.snapshot.clone())
    }

    /// Waits until a job has ended (or was suspended with its JobManager).
    pub async fn wait(&self, job: JobId) -> Option<JobSnapshot> {
        let mut snapshot = self.watch(job)?;
        // An error means that its JobMaster is gone: the last snapshot is all there will be.
        let _ = snapshot.wait_for(|job| job.status.is_terminal()).await;
        let last = snapshot.borrow().clone();
        Some(last)
    }

    /// The registered task executors.
    pub async fn executors(&self) -> Vec<ExecutorSnapshot> {
        let (answer, executors) = oneshot::channel();
        let asked = self
            .shared
            .resource_manager
            .send(ResourceInput::Executors(answer))
            .await;
        if asked.is_err() {
            return Vec::new(); // Shut down: there are none.
        }
        executors.await.unwrap_or_default()
    }

    /// Where connections of agents and workers are handed over.
    pub fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    /// What it was started with.
    pub fn settings(&self) -> &DispatcherSettings {
        &self.shared.settings
    }

    /// Ends the JobManager: jobs that run are suspended, executors stopped, containers given back.
    pub async fn shutdown(&self) {
        let inboxes: Vec<_> = self
            .jobs_map()
            .values()
            .map(|entry| entry.inbox.clone())
            .collect();
        for inbox in inboxes {
            // A closed inbox is that of a job that has ended.
            let _ = inbox.send(JobInput::Suspend).await;
        }
        let _ = self
            .shared
            .resource_manager
            .send(ResourceInput::ShutDown)
            .await;
        self.shared.tasks.close();
        let ended = tokio::time::timeout(SHUTDOWN_TIMEOUT, self.shared.tasks.wait()).await;
        if ended.is_err() {
            tracing::warn!("the JobManager's tasks did not end within {SHUTDOWN_TIMEOUT:?}");
        }
    }

    fn jobs_map(&self) -> MutexGuard<'_, BTreeMap<JobId, JobEntry>> {
        self.shared
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_the_program_lacks_is_refused() {
        let with = |value: &str| {
            let settings = [("state.backend.type".to_owned(), value.to_owned())];
            Configuration::from_map(settings.into()).unwrap()
        };
        let graph = |mode: RuntimeMode, capabilities: &[&str]| JobGraph {
            mode: mode.into(),
            capabilities: capabilities.iter().map(|it| (*it).to_owned()).collect(),
            ..JobGraph::default()
        };
        let streaming = graph(RuntimeMode::Streaming, &[]);
        let refused = SubmitError::of_graph(&with("rocksdb"), &streaming).unwrap();
        let message = refused.to_string();
        assert!(
            message.contains("state.backend.type") && message.contains("features = [\"rocksdb\"]"),
            "{message}"
        );
        let able = graph(RuntimeMode::Streaming, &[ROCKSDB]);
        let batch = graph(RuntimeMode::Batch, &[]);
        for (value, graph) in [
            ("rocksdb", able),
            ("rocksdb", batch),
            ("hashmap", streaming),
        ] {
            assert_eq!(SubmitError::of_graph(&with(value), &graph), None);
        }
    }
}
