//! Worker processes and the tasks in them.

use std::collections::{BTreeMap, BTreeSet};

use flott_coordination::job::{JobEvent, TaskDeployment, WorkerId};
use flott_model::{
    CheckpointId, ExecutionAttemptId, ExecutionState, Failure, FailureClass, StoredCommittable,
};

use crate::flows::Flow;
use crate::plan::Jobs;
use crate::record::output_of;
use crate::world::{Channel, Happening, ProcessId, World};

/// A worker process that lives.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// Its connection is broken.
    pub(crate) severed: bool,
    pub(crate) tasks: BTreeMap<ExecutionAttemptId, Task>,
    /// Every attempt it was ever sent: a deployment that comes twice is not run twice.
    seen: BTreeSet<ExecutionAttemptId>,
    /// Commits that it has begun and not ended.
    pub(crate) committing: u32,
    /// Where the checkpoints go that it was told of, and whether they are full.
    pub(crate) triggers: BTreeMap<CheckpointId, (String, bool)>,
    /// Checkpoints that were given up.
    pub(crate) aborted: BTreeSet<CheckpointId>,
}

/// A task of a worker.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) deployment: TaskDeployment,
    pub(crate) state: ExecutionState,
    /// It has processed everything, except what its sources still send.
    pub(crate) drained: bool,
    /// What it does, if its job takes checkpoints. Elsewhere while it has its turn.
    pub(crate) flow: Option<Flow>,
}

impl World {
    pub(crate) fn start_worker(&mut self, process: ProcessId) {
        let (job, worker) = &process;
        let Some(container) = self.containers.get_mut(&worker.container) else {
            return;
        };
        if container.severed || container.newest.get(job) >= Some(&worker.incarnation) {
            return;
        }
        let mut plans = self.plan.jobs.iter();
        let term = plans.find(|plan| plan.settings.job == *job);
        let term = term.map_or(0, |plan| u64::from(plan.settings.epoch.0));
        if worker.incarnation.0 >> 32 < term {
            return; // Said by a JobManager that is deposed.
        }
        container.newest.insert(*job, worker.incarnation);
        let superseded: Vec<ProcessId> = self
            .processes
            .keys()
            .filter(|(owner, other)| owner == job && other.container == worker.container)
            .cloned()
            .collect();
        for old in superseded {
            self.kill_worker(&old, "superseded");
        }
        if self.trouble() {
            self.report_worker_lost(process, "could not be executed", 1_000);
            return;
        }
        self.processes.insert(process.clone(), Process::default());
        if self.trouble() {
            return; // It hangs before it dials.
        }
        let slow = self.trouble();
        let delay = self
            .random
            .millis(if slow { 0..40_000 } else { 100..1_000 });
        self.after(delay, Happening::WorkerRegisters(process));
    }

    pub(crate) fn register_worker(&mut self, process: &ProcessId) {
        if self.processes.contains_key(process) {
            let worker = process.1.clone();
            let data_address = format!("{}:{}", worker.container, worker.incarnation.0);
            self.answer(
                process,
                JobEvent::WorkerRegistered {
                    worker,
                    data_address,
                },
            );
        }
    }

    pub(crate) fn answer(&mut self, process: &ProcessId, event: JobEvent) {
        let channel = Channel::WorkerToJob(process.clone());
        self.say(channel, Happening::FromWorker(process.clone(), event));
    }

    pub(crate) fn stop_worker(&mut self, process: &ProcessId) {
        let reachable = self
            .containers
            .get(&process.1.container)
            .is_some_and(|agent| !agent.severed);
        if reachable && self.processes.contains_key(process) {
            let delay = self.random.millis(0..3_000);
            self.after(
                delay,
                Happening::WorkerDies(process.clone(), "stopped".to_owned()),
            );
        }
    }

    /// A process ends. Its last words may arrive or not, and its peers may notice first.
    pub(crate) fn kill_worker(&mut self, process: &ProcessId, why: &str) {
        let Some(dead) = self.processes.remove(process) else {
            return;
        };
        self.report_worker_lost(process.clone(), why, 1_500);
        self.delete_released(&process.1.container, process.0);
        self.record.of(process.0).interrupted_commits += dead.committing;
        let peers: Vec<(ProcessId, ExecutionAttemptId)> = self
            .processes
            .iter()
            .filter(|((job, _), _)| *job == process.0)
            .flat_map(|(peer, it)| it.tasks.iter().map(move |task| (peer, task)))
            .filter(|(_, (_, task))| task.talks_to(&process.1))
            .map(|(peer, (attempt, _))| (peer.clone(), *attempt))
            .collect();
        for (peer, attempt) in peers {
            let delay = self.random.millis(0..1_000);
            let reset = "connection reset by peer".to_owned();
            let fails = Happening::TaskFails(peer, attempt, FailureClass::Transient, reset);
            self.after(delay, fails);
        }
    }

    /// A worker cannot be reached any more. It stops when it notices.
    pub(crate) fn sever_worker(&mut self, process: &ProcessId) {
        let Some(it) = self.processes.get_mut(process) else {
            return;
        };
        it.severed = true;
        let delay = self.random.millis(0..10_000);
        self.after(
            delay,
            Happening::WorkerDies(process.clone(), "lost its leader".to_owned()),
        );
        self.report_worker_lost(process.clone(), "heartbeat timeout", 10_000);
    }

    fn reachable(&mut self, process: &ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(process).filter(|it| !it.severed)
    }

    pub(crate) fn deploy(&mut self, process: &ProcessId, tasks: Vec<TaskDeployment>) {
        for deployment in tasks {
            let attempt = deployment.attempt;
            let Some(worker) = self.reachable(process) else {
                return;
            };
            if !worker.seen.insert(attempt) {
                continue;
            }
            let state = ExecutionState::Deploying;
            let flow = self.new_flow(process.0, &deployment);
            let Some(worker) = self.reachable(process) else {
                return;
            };
            worker.tasks.insert(
                attempt,
                Task {
                    deployment,
                    state,
                    drained: false,
                    flow,
                },
            );
            let delay = self.random.millis(10..300);
            self.after(delay, Happening::TaskSteps(process.clone(), attempt));
        }
    }

    pub(crate) fn step_task(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) {
        let missing = self.missing_partitions(process, attempt);
        if !missing.is_empty() {
            self.fail_reader(process, attempt, missing);
            return;
        }
        if self.step_flow(process, attempt) {
            return;
        }
        let finished = &self.record.jobs[&process.0].finished;
        let Some(worker) = self.processes.get_mut(process) else {
            return;
        };
        let Some(task) = worker.tasks.get_mut(&attempt) else {
            return;
        };
        match task.state {
            ExecutionState::Deploying => {
                task.state = ExecutionState::Initializing;
                self.report_task(process, attempt, ExecutionState::Initializing, None);
                let delay = self.random.millis(10..500);
                self.after(delay, Happening::TaskSteps(process.clone(), attempt));
            }
            ExecutionState::Initializing => {
                task.state = ExecutionState::Running;
                let longest = if task.flow.is_some() { 500 } else { 40_000 };
                self.report_task(process, attempt, ExecutionState::Running, None);
                let delay = self.random.millis(100..longest);
                self.after(delay, Happening::TaskSteps(process.clone(), attempt));
            }
            ExecutionState::Running => {
                task.drained = true;
                let mut sources = task
                    .deployment
                    .inputs
                    .iter()
                    .flat_map(|input| &input.sources);
                if sources.all(|source| finished.contains(source)) {
                    self.finish_task(process, attempt);
                }
            }
            _ => (),
        }
    }

    fn finish_task(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) {
        self.record.of(process.0).finished.insert(attempt);
        self.write_partition(process, attempt);
        let Some(task) = self.end_task(process, attempt) else {
            return;
        };
        let sink = self.sinks[&process.0].contains(&attempt.vertex);
        let output = if sink {
            vec![output_of(attempt)]
        } else {
            Vec::new()
        };
        let state = ExecutionState::Finished;
        let event = JobEvent::TaskStateChanged {
            attempt,
            state,
            failure: None,
            output,
            missing: Vec::new(),
        };
        self.answer(process, event);
        for output in &task.deployment.outputs {
            for (target, (worker, _)) in output.targets.iter().zip(&output.locations) {
                let peer = (process.0, worker.clone());
                let tasks = self.processes.get(&peer).map(|it| &it.tasks);
                if tasks
                    .and_then(|tasks| tasks.get(target))
                    .is_some_and(|task| task.drained)
                {
                    self.after(Default::default(), Happening::TaskSteps(peer, *target));
                }
            }
        }
    }

    fn end_task(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) -> Option<Task> {
        self.processes.get_mut(process)?.tasks.remove(&attempt)
    }

    pub(crate) fn cancel_tasks(&mut self, process: &ProcessId, attempts: &[ExecutionAttemptId]) {
        for attempt in attempts {
            if self.reachable(process).is_none() || self.trouble() {
                continue; // A task that does not listen.
            }
            let delay = self.random.millis(0..2_000);
            self.after(delay, Happening::TaskStops(process.clone(), *attempt));
        }
    }

    pub(crate) fn stop_task(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) {
        if self.end_task(process, attempt).is_some() {
            self.report_task(process, attempt, ExecutionState::Canceled, None);
        }
    }

    pub(crate) fn fail_task(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        class: FailureClass,
        why: &str,
    ) {
        if self.end_task(process, attempt).is_some() {
            let failure = Some(Failure::new(class, why));
            self.report_task(process, attempt, ExecutionState::Failed, failure);
        }
    }

    /// A task cannot read what it needs.
    fn fail_reader(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        missing: Vec<ExecutionAttemptId>,
    ) {
        if self.end_task(process, attempt).is_some() {
            let class = FailureClass::Transient;
            let event = JobEvent::TaskStateChanged {
                attempt,
                state: ExecutionState::Failed,
                failure: Some(Failure::new(class, "partitions cannot be read")),
                output: Vec::new(),
                missing,
            };
            self.answer(process, event);
        }
    }

    fn report_task(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<Failure>,
    ) {
        let output = Vec::new();
        let event = JobEvent::TaskStateChanged {
            attempt,
            state,
            failure,
            output,
            missing: Vec::new(),
        };
        self.answer(process, event);
    }

    pub(crate) fn begin_commit(
        &mut self,
        process: ProcessId,
        round: u64,
        outputs: Vec<StoredCommittable>,
    ) {
        let Some(worker) = self.reachable(&process) else {
            return;
        };
        worker.committing += 1;
        let longest = if self.plan.sluggish { 15_000 } else { 3_000 };
        let delay = self.random.millis(10..longest);
        self.after(delay, Happening::CommitEnds(process, round, outputs));
    }

    pub(crate) fn end_commit(
        &mut self,
        process: &ProcessId,
        round: u64,
        outputs: Vec<StoredCommittable>,
    ) {
        let Some(worker) = self.processes.get_mut(process) else {
            return;
        };
        worker.committing -= 1;
        let mut failure = None;
        if self.trouble() {
            self.record.of(process.0).refused_commits += 1;
            failure = Some(Failure::new(FailureClass::Transient, "no space left"));
            if self.plan.kind == Jobs::Checkpointed {
                self.apply_commits(process.0, &outputs[..outputs.len() / 2]);
            }
        } else if self.plan.kind == Jobs::Checkpointed {
            self.apply_commits(process.0, &outputs);
        } else {
            self.record.of(process.0).commits.push(outputs);
        }
        self.answer(process, JobEvent::Committed { round, failure });
    }
}

impl Task {
    fn talks_to(&self, worker: &WorkerId) -> bool {
        let sources = self
            .deployment
            .inputs
            .iter()
            .flat_map(|input| &input.locations);
        let targets = self
            .deployment
            .outputs
            .iter()
            .flat_map(|output| &output.locations);
        sources.chain(targets).any(|(peer, _)| peer == worker)
    }
}
