//! The clock, the queue of everything that will happen, and the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flott_coordination::Timestamp;
use flott_coordination::checkpoint::Origin;
use flott_coordination::job::{JobCore, JobEvent, TaskDeployment, WorkerId};
use flott_coordination::resource::{ResourceCore, ResourceEvent};
use flott_model::{
    CheckpointId, ContainerId, Epoch, ExecutionAttemptId, FailureClass, JobId, JobStatus,
    StoredCommittable, VertexId,
};

use crate::driver::{Container, Driver};
use crate::flows::{Checks, Flows, ReaderCall, ShellCall, StorageCall, Upload, Wish};
use crate::invariants;
use crate::plan::{HEALED, Jobs, Plan};
use crate::random::Random;
use crate::record::Record;
use crate::workers::Process;

/// More happenings than any run needs: the mark of a livelock.
const MAXIMUM_HAPPENINGS: u64 = 300_000;

/// A worker process of a job.
pub(crate) type ProcessId = (JobId, WorkerId);

/// Something that happens at its time.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    /// A job hears something that needs no connection.
    Job(JobId, JobEvent),
    /// A job hears a worker, if their connection still is.
    FromWorker(ProcessId, JobEvent),
    /// The ResourceManager hears something that needs no connection.
    Resource(ResourceEvent),
    /// The ResourceManager hears an agent, if their connection still is.
    FromAgent(ContainerId, ResourceEvent),
    /// The driver talks to its cluster.
    Heartbeat,
    /// The driver starts a task executor in a container.
    ContainerLaunches(ContainerId),
    AgentStarts(ContainerId),
    /// A container ends; whether the application is to blame.
    ContainerDies(ContainerId, bool),
    /// An agent hears a job.
    AgentStartsWorker(ProcessId),
    AgentStopsWorker(ProcessId),
    WorkerRegisters(ProcessId),
    WorkerDies(ProcessId, String),
    /// A worker hears its job.
    WorkerDeploys(ProcessId, Vec<TaskDeployment>),
    WorkerCancels(ProcessId, Vec<ExecutionAttemptId>),
    WorkerCommits(ProcessId, u64, Vec<StoredCommittable>),
    /// A worker is done with a commit.
    CommitEnds(ProcessId, u64, Vec<StoredCommittable>),
    /// A task goes on.
    TaskSteps(ProcessId, ExecutionAttemptId),
    /// A task stops because it was cancelled.
    TaskStops(ProcessId, ExecutionAttemptId),
    /// Something is done in storage for a JobMaster of that epoch.
    StorageDoes(JobId, Epoch, CheckpointId, StorageCall),
    /// A JobMaster of that epoch hears its own shell.
    ShellAnswers(JobId, Epoch, JobEvent),
    /// Enumerators are asked for their states.
    EnumeratorsAsked(JobId, Epoch, CheckpointId),
    /// A worker hears about a checkpoint.
    WorkerHears(ProcessId, ShellCall),
    /// A worker has stored a snapshot.
    SnapshotStored(ProcessId, ExecutionAttemptId, CheckpointId, Upload),
    /// An enumerator hears a reader.
    ReaderCalls(ProcessId, ExecutionAttemptId, ReaderCall),
    /// A reader is given a split, or told that there is none.
    SplitArrives(ProcessId, ExecutionAttemptId, u32, Option<u32>),
    /// A user asks for something.
    UserWishes(JobId, Wish),
    /// A task fails.
    TaskFails(ProcessId, ExecutionAttemptId, FailureClass, String),
    /// The ResourceManager hears that a job's partitions can go.
    PartitionsReleased(JobId),
    /// An agent hears it.
    AgentReleases(ContainerId, JobId),
    /// Something breaks.
    Blow,
}

/// Whatever is said on one keeps its order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Channel {
    JobToResource(JobId),
    ResourceToJob(JobId),
    ResourceToDriver,
    DriverToResource,
    AgentToResource(ContainerId),
    JobToAgent(JobId, ContainerId),
    JobToWorker(ProcessId),
    WorkerToJob(ProcessId),
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) random: Random,
    pub(crate) plan: Plan,
    pub(crate) record: Record,
    pub(crate) jobs: BTreeMap<JobId, JobCore>,
    pub(crate) resources: ResourceCore,
    pub(crate) driver: Driver,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    pub(crate) processes: BTreeMap<ProcessId, Process>,
    /// Workers that their job has given up: nothing from them counts.
    pub(crate) fenced: BTreeSet<ProcessId>,
    /// Finished partitions that can still be read, and where they are.
    pub(crate) partitions: BTreeMap<(JobId, ExecutionAttemptId), ContainerId>,
    pub(crate) flows: Flows,
    /// Sinks of each job.
    pub(crate) sinks: BTreeMap<JobId, BTreeSet<VertexId>>,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    next: u64,
    latest: BTreeMap<Channel, Timestamp>,
    trace: Option<u64>,
}

/// Whether a run keeps a hash of everything that happened, which costs time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// No.
    Off,
    /// Yes.
    Hash,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How much happened.
    pub happenings: u64,
    /// Where each job ended.
    pub statuses: Vec<JobStatus>,
    /// Restarts of all jobs.
    pub restarts: u32,
    /// Tasks that ran again because what they had written was lost.
    pub rewritten: u32,
    /// Checkpoints that were complete.
    pub completed: u32,
    /// Tasks that began from one.
    pub restored: u32,
    /// Savepoints that jobs were stopped with.
    pub stopped: u32,
    /// JobManagers that were replaced.
    pub takeovers: u32,
    /// Hash of everything that happened, if asked for.
    pub trace: Option<u64>,
}

/// Runs one seed to its end; panics where an invariant does not hold.
pub fn simulate(seed: u64, jobs: Jobs, trace: Trace) -> Report {
    let mut world = World::new(seed, jobs, trace);
    let mut happenings = 0;
    while let Some(((when, _), happening)) = world.queue.pop_first() {
        world.now = when;
        world.note(&happening);
        let deciding = matches!(
            happening,
            Happening::Job(..)
                | Happening::ShellAnswers(..)
                | Happening::FromWorker(..)
                | Happening::Resource(_)
                | Happening::FromAgent(..)
        );
        world.happen(happening);
        if deciding {
            invariants::check_step(&world, seed);
        }
        happenings += 1;
        assert!(
            happenings < MAXIMUM_HAPPENINGS,
            "no end in sight, seed {seed}"
        );
    }
    invariants::check_end(&world, seed);
    Report {
        happenings,
        statuses: world.jobs.values().map(JobCore::status).collect(),
        restarts: world.jobs.values().map(JobCore::restarts).sum(),
        rewritten: world.record.rewritten,
        completed: world.record.sum(|checks| checks.completions.len() as u32),
        restored: world.record.sum(|checks| checks.restores),
        stopped: world.record.sum(Checks::stopped),
        takeovers: world.record.sum(|checks| checks.takeovers),
        trace: world.trace,
    }
}

impl World {
    fn new(seed: u64, jobs: Jobs, trace: Trace) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random, jobs);
        let mut world = Self {
            now: Duration::ZERO,
            record: Record::default(),
            jobs: BTreeMap::new(),
            resources: ResourceCore::new(plan.resources.clone()),
            driver: Driver::default(),
            containers: BTreeMap::new(),
            processes: BTreeMap::new(),
            fenced: BTreeSet::new(),
            partitions: BTreeMap::new(),
            flows: Flows::default(),
            sinks: BTreeMap::new(),
            queue: BTreeMap::new(),
            next: 0,
            latest: BTreeMap::new(),
            trace: (trace == Trace::Hash).then_some(0xcbf2_9ce4_8422_2325),
            random,
            plan,
        };
        world.submit_jobs();
        world.at(Duration::ZERO, Happening::Blow);
        world
    }

    fn submit_jobs(&mut self) {
        for job in std::mem::take(&mut self.plan.jobs) {
            self.submit(job, Origin::default());
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Job(job, event) => self.tell_job(job, event),
            Happening::FromWorker(worker, event) => self.tell_job_from_worker(worker, event),
            Happening::Resource(event) => self.tell_resources(event),
            Happening::FromAgent(container, event) => {
                if self.containers.get(&container).is_none_or(|it| !it.severed) {
                    self.tell_resources(event);
                }
            }
            Happening::Heartbeat => self.heartbeat(),
            Happening::ContainerLaunches(container) => self.launch(&container),
            Happening::AgentStarts(container) => self.start_agent(&container),
            Happening::ContainerDies(container, blame) => self.kill_container(&container, blame),
            Happening::AgentStartsWorker(worker) => self.start_worker(worker),
            Happening::AgentStopsWorker(worker) => self.stop_worker(&worker),
            Happening::WorkerRegisters(worker) => self.register_worker(&worker),
            Happening::WorkerDies(worker, why) => self.kill_worker(&worker, &why),
            Happening::WorkerDeploys(worker, tasks) => self.deploy(&worker, tasks),
            Happening::WorkerCancels(worker, attempts) => self.cancel_tasks(&worker, &attempts),
            Happening::WorkerCommits(worker, round, outputs) => {
                self.begin_commit(worker, round, outputs);
            }
            Happening::CommitEnds(worker, round, outputs) => {
                self.end_commit(&worker, round, outputs);
            }
            Happening::TaskSteps(worker, attempt) => self.step_task(&worker, attempt),
            Happening::TaskStops(worker, attempt) => self.stop_task(&worker, attempt),
            Happening::TaskFails(worker, attempt, class, why) => {
                self.fail_task(&worker, attempt, class, &why);
            }
            Happening::StorageDoes(job, epoch, checkpoint, call) => {
                self.storage_does(job, epoch, checkpoint, call);
            }
            Happening::ShellAnswers(job, epoch, event) => self.shell_answers(job, epoch, event),
            Happening::EnumeratorsAsked(job, epoch, checkpoint) => {
                if epoch == self.epoch_of(job) {
                    self.snapshot_enumerators(job, checkpoint);
                }
            }
            Happening::WorkerHears(worker, call) => self.worker_hears(&worker, call),
            Happening::SnapshotStored(worker, attempt, checkpoint, upload) => {
                self.snapshot_stored(&worker, attempt, checkpoint, upload);
            }
            Happening::ReaderCalls(worker, attempt, call) => {
                self.reader_calls(&worker, attempt, &call);
            }
            Happening::SplitArrives(worker, attempt, number, split) => {
                self.split_arrives(&worker, attempt, number, split);
            }
            Happening::UserWishes(job, wish) => self.user_wishes(job, wish),
            Happening::PartitionsReleased(job) => self.release_partitions(job),
            Happening::AgentReleases(container, job) => self.agent_releases(&container, job),
            Happening::Blow => self.blow(),
        }
    }

    pub(crate) fn faulty(&self) -> bool {
        self.now < HEALED
    }

    /// Whether this opportunity for a fault is taken.
    pub(crate) fn trouble(&mut self) -> bool {
        let chance = self.plan.roughness;
        self.faulty() && self.random.percent(chance)
    }

    pub(crate) fn at(&mut self, when: Timestamp, happening: Happening) {
        self.next += 1;
        self.queue
            .insert((when.max(self.now), self.next), happening);
    }

    pub(crate) fn after(&mut self, delay: Duration, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    /// Says something on a channel: in order, late at times, doubled at times.
    pub(crate) fn say(&mut self, channel: Channel, happening: Happening) {
        let slow = self.trouble();
        let latency = self.random.millis(if slow { 0..4_000 } else { 0..40 });
        let earliest = self.latest.get(&channel).copied().unwrap_or_default();
        let arrival = (self.now + latency).max(earliest);
        if self.trouble() {
            // Within our process nothing overtakes; a wire may repeat what is long past.
            let local = matches!(
                channel,
                Channel::JobToResource(_) | Channel::ResourceToJob(_)
            );
            let lag = if local {
                Duration::ZERO
            } else {
                self.random.millis(0..10_000)
            };
            self.at(arrival, happening.clone());
            self.at(arrival + lag, happening);
        } else {
            self.at(arrival, happening);
        }
        self.latest.insert(channel, arrival);
    }

    fn note(&mut self, happening: &Happening) {
        if let Some(hash) = &mut self.trace {
            for byte in format!("{:?} {happening:?}", self.now).bytes() {
                *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    }
}
