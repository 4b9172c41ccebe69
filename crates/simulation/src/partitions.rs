//! Finished partitions, which agents keep: written, read, lost, deleted; and what the job was told.

use flott_coordination::job::{JobAction, TaskDeployment};
use flott_model::{ContainerId, ExecutionAttemptId, ExecutionState, JobId};

use crate::driver::Container;
use crate::invariants::stages;
use crate::world::{Channel, Happening, ProcessId, World};

impl World {
    /// A task that finishes leaves its partition, if it writes one.
    pub(crate) fn write_partition(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) {
        let task = self.processes.get(process);
        let task = task.and_then(|worker| worker.tasks.get(&attempt));
        let writes = task.is_some_and(|task| {
            let mut outputs = task.deployment.outputs.iter();
            outputs.any(|output| output.partition.is_some())
        });
        if writes {
            let container = process.1.container.clone();
            let record = self.record.of(process.0);
            record.written.insert(attempt, container.clone());
            self.partitions.insert((process.0, attempt), container);
        }
    }

    /// What a running task cannot read, while it reads.
    pub(crate) fn missing_partitions(
        &self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
    ) -> Vec<ExecutionAttemptId> {
        let worker = self.processes.get(process);
        let Some(task) = worker.and_then(|worker| worker.tasks.get(&attempt)) else {
            return Vec::new();
        };
        if task.state != ExecutionState::Running || task.drained {
            return Vec::new();
        }
        let readable = |producer: &ExecutionAttemptId| {
            let place = self.partitions.get(&(process.0, *producer));
            place.is_some_and(|container| {
                let agent = self.containers.get(container);
                *container == process.1.container || agent.is_some_and(|agent| !agent.severed)
            })
        };
        let inputs = task.deployment.inputs.iter();
        inputs
            .flat_map(|input| &input.partitions)
            .map(|(producer, _)| *producer)
            .filter(|producer| !readable(producer))
            .collect()
    }

    /// A disk loses something.
    pub(crate) fn damage_partition(&mut self) {
        let all: Vec<(JobId, ExecutionAttemptId)> = self.partitions.keys().copied().collect();
        if let Some(partition) = self.random.pick(&all) {
            self.partitions.remove(partition);
        }
    }

    /// A container ends, with all that is on its disk.
    pub(crate) fn lose_partitions(&mut self, id: &ContainerId, container: &Container) {
        let healthy = !self.faulty() && !container.severed;
        let ended = |job: &JobId| self.jobs[job].status().is_terminal();
        let left = self
            .partitions
            .iter()
            .find(|((job, _), place)| *place == id && ended(job));
        if let Some(((job, attempt), _)) = left
            && healthy
        {
            let what = format!("{attempt} of job {job}, which has ended, was left in {id}");
            self.record.wrong_partition.get_or_insert(what);
        }
        self.partitions.retain(|_, place| place != id);
    }

    /// A container is given back.
    pub(crate) fn check_not_needed(&mut self, id: &ContainerId, reason: &str) {
        let needed = self
            .partitions
            .iter()
            .find(|((job, _), place)| *place == id && !self.jobs[job].status().is_terminal());
        if let Some(((job, attempt), _)) = needed
            && reason.starts_with("idle")
        {
            let what = format!("{id} was idle, with {attempt} of job {job} in it");
            self.record.wrong_partition.get_or_insert(what);
        }
    }

    pub(crate) fn release_partitions(&mut self, job: JobId) {
        let containers: Vec<ContainerId> = self.containers.keys().cloned().collect();
        for container in containers {
            let channel = Channel::JobToAgent(job, container.clone());
            self.say(channel, Happening::AgentReleases(container, job));
        }
    }

    pub(crate) fn agent_releases(&mut self, id: &ContainerId, job: JobId) {
        if let Some(container) = self.containers.get_mut(id) {
            container.released.insert(job);
            self.delete_released(id, job);
        }
    }

    /// Deletes what is released when the last worker of the job has ended.
    pub(crate) fn delete_released(&mut self, id: &ContainerId, job: JobId) {
        let agent = self.containers.get(id);
        let released = agent.is_some_and(|agent| agent.released.contains(&job));
        let mut workers = self.processes.keys();
        if released && !workers.any(|(owner, worker)| *owner == job && worker.container == *id) {
            self.partitions
                .retain(|(owner, _), place| *owner != job || place != id);
        }
    }

    // --- what the invariants need to know ---

    pub(crate) fn note_lost_container(&mut self, job: JobId, container: &ContainerId) {
        let now = self.now;
        let record = self.record.of(job);
        let heard = &record.heard;
        let there = record
            .written
            .iter()
            .filter(|(attempt, place)| *place == container && heard.contains_key(attempt));
        let there: Vec<ExecutionAttemptId> = there.map(|(attempt, _)| *attempt).collect();
        for attempt in there {
            record.lost.entry(attempt).or_insert(now);
        }
    }

    pub(crate) fn note_missing(&mut self, job: JobId, missing: &[ExecutionAttemptId]) {
        let now = self.now;
        let record = self.record.of(job);
        for producer in missing {
            record.lost.entry(*producer).or_insert(now);
        }
    }

    /// Judges what a job deploys in one step, before it counts as deployed.
    pub(crate) fn judge_stages(&mut self, job: JobId, actions: &[JobAction]) {
        let plan = self.plan.jobs.iter().find(|plan| plan.settings.job == job);
        let Some(plan) = plan else { return };
        let record = self.record.jobs.entry(job).or_default();
        for action in actions {
            if let JobAction::ExecutionChanged {
                attempt,
                state: ExecutionState::Finished,
                ..
            } = action
            {
                record.heard.insert(*attempt, self.now);
            }
        }
        let tasks = actions.iter().flat_map(|action| match action {
            JobAction::Deploy { tasks, .. } => tasks.as_slice(),
            _ => &[],
        });
        let tasks: Vec<&TaskDeployment> = tasks.collect();
        for task in &tasks {
            stages::note_peers(record, task);
        }
        for task in tasks {
            let result = stages::check_inputs(&plan.graph, record, task)
                .and_then(|()| stages::check_reason(&plan.graph, record, task.attempt));
            match result {
                Ok(rewritten) => self.record.rewritten += u32::from(rewritten),
                Err(what) => {
                    record.wrong_stage.get_or_insert(what);
                }
            }
        }
    }
}
