//! The tasks of a worker: deployed, reported, cancelled, ended.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_config::{CheckpointingMode, Configuration, options};
use flott_filesystem::FileSystems;
use flott_metrics::MetricRegistry;
use flott_metrics::accumulators::Accumulators;
use flott_model::{ExecutionAttemptId, ExecutionState, Failure, OperatorUid, RuntimeMode};
use flott_network::{Network, Waker};
use flott_operators::checkpoint::{CheckpointRequest, CheckpointSettings};
use flott_operators::source::Coordination;
use flott_operators::{
    Checkpoints, OperatorIdentity, ResultPort, SubtaskContext, TaskClock, TaskCounters, TaskError,
};
use flott_protocol::message::{
    AttemptId, CollectedTaken, Coordinate, TaskAccumulator, TaskDescriptor, TaskMetrics,
    TaskReport, WorkerSpec, worker_message,
};
use tokio::sync::mpsc::UnboundedSender;

use super::channels::Wiring;
use super::checkpoints::{Checkpoints as WorkerCheckpoints, Place, RestoreFrom, Restored, Taken};
use super::collected::Collects;
use super::coordination::Ports;
use super::partitions::Partitions;
use super::state::LocalState;
use super::{failure_at, report};
use crate::plan::{Plan, TaskChannels};
use crate::scheduler::{Scheduler, TaskExit, TaskHandle, Tasklet};
use crate::stacks::StackTag;

/// A task to be deployed, and what was read for it.
pub(super) type Fetched = (TaskDescriptor, Result<Restored, TaskError>);

/// A task ended, as its scheduler thread says.
pub(super) struct Ended {
    pub(super) attempt: ExecutionAttemptId,
    pub(super) exit: TaskExit,
}

struct Running {
    handle: TaskHandle,
    coordination: Coordination,
    results: ResultPort,
    waker: Waker,
    name: String,
    checkpoint: Checkpoints,
    counters: Arc<TaskCounters>,
    metrics: MetricRegistry,
    accumulators: Accumulators,
    tag: StackTag,
    /// It ends behind a savepoint.
    stops: bool,
}

/// A running task, for who looks at it.
pub(super) struct Observed {
    pub(super) attempt: ExecutionAttemptId,
    pub(super) name: String,
    pub(super) counters: Arc<TaskCounters>,
    pub(super) metrics: MetricRegistry,
    pub(super) accumulators: Accumulators,
    pub(super) tag: StackTag,
}

pub(super) struct Tasks {
    running: BTreeMap<ExecutionAttemptId, Running>,
    /// Every attempt that was ever deployed here.
    seen: BTreeSet<ExecutionAttemptId>,
    spec: WorkerSpec,
    plan: Arc<Plan>,
    // Before the network: tasks end before their connections.
    scheduler: Scheduler,
    network: Network,
    partitions: Partitions,
    files: Arc<FileSystems>,
    // Bounded by the number of tasks: each sends once.
    ended: UnboundedSender<Ended>,
    ports: Ports,
    collects: Collects,
    /// Ids of the sources, by vertex.
    sources: Arc<[String]>,
    latency_interval: Option<Duration>,
    /// What meters count their time from.
    started: Instant,
    /// Where snapshots of tasks go.
    snapshots: UnboundedSender<Taken>,
    /// Attempts that wait for the state they begin from.
    fetching: BTreeSet<ExecutionAttemptId>,
    at_least_once: bool,
    // Behind the scheduler: tasks end before what they keep on disk goes.
    local_state: Option<LocalState>,
}

type Reports = Vec<worker_message::Kind>;

impl Tasks {
    pub(super) fn new(
        spec: WorkerSpec,
        plan: Arc<Plan>,
        network: Network,
        scheduler: Scheduler,
        (files, local_state): (Arc<FileSystems>, Option<LocalState>),
        (ended, snapshots): (UnboundedSender<Ended>, UnboundedSender<Taken>),
        (ports, collects): (Ports, Collects),
    ) -> Self {
        let vertices = plan.graph.vertices.iter();
        let sources = vertices.map(|vertex| vertex.operator_uid().to_string());
        Self {
            sources: sources.collect(),
            latency_interval: latency_interval(&plan),
            started: Instant::now(),
            snapshots,
            fetching: BTreeSet::new(),
            at_least_once: at_least_once(&plan),
            local_state,
            running: BTreeMap::new(),
            seen: BTreeSet::new(),
            partitions: Partitions::new(&spec),
            spec,
            plan,
            scheduler,
            network,
            files,
            ended,
            ports,
            collects,
        }
    }

    pub(super) fn files(&self) -> Arc<FileSystems> {
        Arc::clone(&self.files)
    }

    /// Where the state is that tasks begin from.
    pub(super) fn restore_from(&self) -> RestoreFrom {
        RestoreFrom {
            files: self.files(),
            spool: self.local_state.as_ref().map(LocalState::directory),
        }
    }

    /// Takes tasks that are to be deployed. Attempts that were deployed before are ignored: a message
    /// may come twice.
    pub(super) fn take(
        &mut self,
        mut tasks: Vec<TaskDescriptor>,
    ) -> (Vec<TaskDescriptor>, Reports) {
        tasks.retain(|task| self.seen.insert(task.attempt.into()));
        let attempts = tasks
            .iter()
            .map(|task| ExecutionAttemptId::from(task.attempt));
        self.fetching.extend(attempts);
        let reports = tasks
            .iter()
            .map(|task| report(task.attempt, ExecutionState::Initializing, None));
        let reports = reports.collect();
        (tasks, reports)
    }

    /// Where a task is among the subtasks of its vertex.
    pub(super) fn place(&self, attempt: ExecutionAttemptId) -> Place {
        let vertex = self.plan.graph.vertices.get(attempt.vertex.0 as usize);
        Place {
            attempt,
            parallelism: vertex.map_or(1, |vertex| vertex.parallelism),
            max_parallelism: vertex.map_or(1, |vertex| vertex.max_parallelism),
        }
    }

    /// Builds and starts tasks that were taken, with what was read for them; none starts before all
    /// are built, because they share rings.
    pub(super) fn deploy(&mut self, tasks: Vec<Fetched>) -> Reports {
        let mut reports = Reports::new();
        let (mut restored, mut ready) = (BTreeMap::new(), Vec::with_capacity(tasks.len()));
        for (task, fetched) in tasks {
            if !self.fetching.remove(&task.attempt.into()) {
                continue; // Cancelled meanwhile, and reported.
            }
            match fetched {
                Ok(from) => {
                    restored.insert(ExecutionAttemptId::from(task.attempt), from);
                    ready.push(task);
                }
                Err(error) => {
                    let attempt = ExecutionAttemptId::from(task.attempt);
                    let name = self.plan.graph.task_name(attempt.vertex, attempt.subtask);
                    let failure = failure_at(error.to_failure(), &name, &self.spec);
                    reports.push(report(task.attempt, ExecutionState::Failed, Some(failure)));
                }
            }
        }
        let tasks = ready;
        let wakers: BTreeMap<ExecutionAttemptId, Waker> = tasks
            .iter()
            .map(|task| (task.attempt.into(), Waker::default()))
            .collect();
        let plan = Arc::clone(&self.plan);
        let (network, partitions) = (&self.network, &self.partitions);
        let incarnation = self.spec.incarnation;
        let mut wiring = Wiring::new(&plan, network, partitions, incarnation, &wakers);
        let mut built = Vec::with_capacity(tasks.len());
        for task in &tasks {
            let from = restored.remove(&task.attempt.into()).unwrap_or_default();
            let context = self.context(task, from, &wakers);
            report::report_task(
                context.metrics.registry(),
                &context.counters,
                &context.clock,
            );
            match wiring
                .channels(task)
                .and_then(|channels| build(&plan, &context, channels))
            {
                Ok(tasklet) => built.push((context, tasklet)),
                Err(error) => {
                    let failure = failure_at(error.to_failure(), &context.task_name, &self.spec);
                    reports.push(report(task.attempt, ExecutionState::Failed, Some(failure)));
                }
            }
        }
        drop(wiring);
        for (context, tasklet) in built {
            reports.push(report(
                context.attempt.into(),
                ExecutionState::Running,
                None,
            ));
            self.spawn(context, tasklet);
        }
        reports
    }

    fn context(
        &self,
        task: &TaskDescriptor,
        from: Restored,
        wakers: &BTreeMap<ExecutionAttemptId, Waker>,
    ) -> SubtaskContext {
        let attempt: ExecutionAttemptId = task.attempt.into();
        let place = self.place(attempt);
        let snapshots = self.snapshots.clone();
        let settings = CheckpointSettings {
            restored: from.operators,
            finished: from.finished,
            at_least_once: self.at_least_once,
        };
        let checkpoint = Checkpoints::new(settings, move |snapshot| {
            // Nobody wants it when the worker ends.
            let _ = snapshots.send((attempt, snapshot));
        });
        SubtaskContext {
            attempt,
            task_name: self.plan.graph.task_name(attempt.vertex, attempt.subtask),
            subtask: attempt.subtask,
            parallelism: place.parallelism,
            max_parallelism: place.max_parallelism,
            waker: wakers.get(&attempt).cloned().unwrap_or_default(),
            io: tokio::runtime::Handle::current(),
            files: Arc::clone(&self.files),
            cold: self.local_state.as_ref().map(|state| state.backend.clone()),
            checkpoint,
            counters: Arc::new(TaskCounters::new(Arc::clone(&self.sources))),
            metrics: report::registry(&self.spec, &self.plan, attempt).task(),
            accumulators: Accumulators::default(),
            coordination: self.ports.of_task(attempt),
            results: self.collects.of_task(attempt),
            // Given by the plan, for each node.
            flow: Arc::default(),
            run: Arc::default(),
            latency_interval: self.latency_interval,
            clock: TaskClock::system(),
            batch_mode: self.plan.graph.mode() == RuntimeMode::Batch,
            // Named by the plan, for each node.
            operator: OperatorIdentity {
                name: String::new(),
                uid: OperatorUid(0),
                node: 0,
            },
            names: Arc::default(),
        }
    }

    fn spawn(&mut self, context: SubtaskContext, tasklet: Box<dyn Tasklet>) {
        let attempt = context.attempt;
        let ended = self.ended.clone();
        let on_exit = Box::new(move |exit| {
            // The worker may be gone; then nobody wants to know.
            let _ = ended.send(Ended { attempt, exit });
        });
        let tag = StackTag::next();
        let tasklet = tag.mark(tasklet);
        let handle = self.scheduler.spawn(tasklet, &context.waker, on_exit);
        let SubtaskContext {
            task_name: name,
            waker,
            coordination,
            results,
            checkpoint,
            counters,
            metrics,
            accumulators,
            ..
        } = context;
        self.running.insert(
            attempt,
            Running {
                handle,
                coordination,
                results,
                waker,
                name,
                checkpoint,
                counters,
                metrics: metrics.registry().clone(),
                accumulators,
                tag,
                stops: false,
            },
        );
    }

    /// Tells a collecting sink what the program has taken. It may have ended.
    pub(super) fn taken(&self, message: CollectedTaken) {
        if let Some(task) = self.running.get(&message.attempt.into()) {
            task.results.confirm(message.taken);
            task.waker.wake();
        }
    }

    /// Gives a source's subtask what the coordinator says. It may have ended.
    pub(super) fn deliver(&self, message: Coordinate) {
        if let Some(task) = self.running.get(&message.attempt.into()) {
            task.coordination.deliver(message.payload);
            task.waker.wake();
        }
    }

    /// Asks tasks to stop; those that do not run are reported at once.
    pub(super) fn cancel(&mut self, attempts: &[AttemptId]) -> Reports {
        let mut reports = Reports::new();
        for attempt in attempts {
            match self.running.get(&ExecutionAttemptId::from(*attempt)) {
                Some(task) => task.handle.cancel(),
                None => {
                    self.fetching.remove(&(*attempt).into());
                    reports.push(report(*attempt, ExecutionState::Canceled, None));
                }
            }
        }
        reports
    }

    /// Tells a task something about a checkpoint. It may have ended.
    pub(super) fn tell(&self, attempt: ExecutionAttemptId, request: CheckpointRequest) {
        if let Some(task) = self.running.get(&attempt) {
            task.checkpoint.tell(request);
            task.waker.wake();
        }
    }

    /// The attempts that run.
    pub(super) fn attempts(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        self.running.keys().copied()
    }

    /// All tasks end: the job stops behind a savepoint, and they have nothing more to do.
    pub(super) fn finish_all(&mut self) {
        for task in self.running.values_mut() {
            task.stops = true;
            task.handle.cancel();
        }
    }

    /// The report of a task that ended.
    pub(super) fn ended(
        &mut self,
        ended: Ended,
        checkpoints: &mut WorkerCheckpoints,
    ) -> Option<worker_message::Kind> {
        let Ended { attempt, exit } = ended;
        let missing = self.partitions.take_missing(attempt);
        let task = self.running.remove(&attempt)?;
        let last = task.checkpoint.take_committables();
        let committables = checkpoints.task_ended(attempt, last);
        let (state, failure) = match exit {
            TaskExit::Finished => (ExecutionState::Finished, None),
            TaskExit::Canceled if task.stops => (ExecutionState::Finished, None),
            TaskExit::Canceled => (ExecutionState::Canceled, None),
            TaskExit::Failed(error) => {
                tracing::warn!(task = task.name, "task failed: {error}");
                let failure = failure_at(error.to_failure(), &task.name, &self.spec);
                (ExecutionState::Failed, Some(failure))
            }
        };
        Some(worker_message::Kind::Task(TaskReport {
            attempt: attempt.into(),
            state: state.number(),
            failure,
            missing_partitions: missing.into_iter().map(AttemptId::from).collect(),
            committables,
            metrics: Some(report::counted(attempt, &task.counters)),
            accumulators: accumulated(&task.accumulators),
        }))
    }

    /// Lets time pass for the meters of the running tasks.
    pub(super) fn update_meters(&self) {
        let now = i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX);
        for task in self.running.values() {
            task.metrics.update(now);
        }
    }

    /// The running tasks, for who looks at them.
    pub(super) fn observed(&self) -> Vec<Observed> {
        let running = self.running.iter();
        running
            .map(|(attempt, task)| Observed {
                attempt: *attempt,
                name: task.name.clone(),
                counters: Arc::clone(&task.counters),
                metrics: task.metrics.clone(),
                accumulators: task.accumulators.clone(),
                tag: task.tag,
            })
            .collect()
    }

    /// The counters of the running tasks.
    pub(super) fn metrics(&self) -> Vec<TaskMetrics> {
        self.running
            .iter()
            .map(|(attempt, task)| report::counted(*attempt, &task.counters))
            .collect()
    }
}

fn build(
    plan: &Plan,
    context: &SubtaskContext,
    channels: TaskChannels,
) -> Result<Box<dyn Tasklet>, TaskError> {
    catch_unwind(AssertUnwindSafe(|| plan.build(context, channels)))
        .unwrap_or_else(|panic| Err(TaskError::user(crate::scheduler::describe_panic(&*panic))))
}

fn report(
    attempt: AttemptId,
    state: ExecutionState,
    failure: Option<Failure>,
) -> worker_message::Kind {
    worker_message::Kind::Task(TaskReport {
        attempt,
        state: state.number(),
        failure,
        ..TaskReport::default()
    })
}

fn accumulated(accumulators: &Accumulators) -> Vec<TaskAccumulator> {
    let all = accumulators.snapshot().into_iter();
    all.map(Into::into).collect()
}

/// `execution.checkpointing.mode`; what cannot be read was refused when the worker started.
fn at_least_once(plan: &Plan) -> bool {
    let configuration = Configuration::from_map(plan.graph.configuration.clone());
    configuration.is_ok_and(|configuration| {
        let mode = configuration.get(&options::EXECUTION_CHECKPOINTING_MODE);
        mode == CheckpointingMode::AtLeastOnce
    })
}

/// `metrics.latency.interval`; what cannot be read was refused when the worker started.
fn latency_interval(plan: &Plan) -> Option<Duration> {
    let configuration = Configuration::from_map(plan.graph.configuration.clone()).ok()?;
    let interval = configuration.get(&options::METRICS_LATENCY_INTERVAL);
    Some(interval).filter(|interval| !interval.is_zero())
}
