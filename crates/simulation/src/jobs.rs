//! The shell of the jobs: performs their actions, as the real one does.

use flott_coordination::job::{JobAction, JobEvent, TaskDeployment, WorkerId};
use flott_coordination::resource::ResourceEvent;
use flott_model::{Failure, FailureClass, JobId, SlotId};

use crate::world::{Channel, Happening, ProcessId, World};

impl World {
    pub(crate) fn tell_job_from_worker(&mut self, process: ProcessId, event: JobEvent) {
        let severed = self.processes.get(&process).is_some_and(|it| it.severed);
        if !severed && !self.fenced.contains(&process) {
            self.tell_job(process.0, event);
        }
    }

    pub(crate) fn tell_job(&mut self, job: JobId, event: JobEvent) {
        let checks = &mut self.record.of(job).checks;
        checks.deaf &= !matches!(event, JobEvent::Started);
        if checks.deaf {
            return;
        }
        match &event {
            JobEvent::CheckpointAcknowledged { snapshot, .. } => self.note_heard(job, snapshot),
            JobEvent::CancelRequested => self.record.of(job).cancel_requested = true,
            JobEvent::SlotsGranted(offers) => {
                let heard = offers
                    .iter()
                    .map(|offer| (offer.slot.clone(), offer.profile));
                self.record.of(job).offered.extend(heard);
            }
            JobEvent::SlotsUnavailable(_) => self.record.of(job).given_up = true,
            JobEvent::ContainerLost { container, .. } => self.note_lost_container(job, container),
            JobEvent::TaskStateChanged { missing, .. } => self.note_missing(job, missing),
            _ => (),
        }
        let Some(core) = self.jobs.get_mut(&job) else {
            return;
        };
        let stored = match &event {
            JobEvent::MetadataStored { checkpoint, .. } => Some(*checkpoint),
            _ => None,
        };
        let actions = core.handle(self.now, event);
        if let Some(checkpoint) = stored {
            self.judge_stored(job, checkpoint);
        }
        self.judge_stages(job, &actions);
        for action in actions {
            self.perform_for_job(job, action);
        }
    }

    fn perform_for_job(&mut self, job: JobId, action: JobAction) {
        match action {
            JobAction::RequireSlots(slots) => {
                self.say_to_resources(job, ResourceEvent::Required { job, slots });
            }
            JobAction::ReleaseSlots(slots) => {
                self.say_to_resources(job, ResourceEvent::Released { job, slots });
            }
            JobAction::StartWorker { worker, .. } => self.ask_for_worker((job, worker)),
            JobAction::StopWorker(worker) => {
                let channel = Channel::JobToAgent(job, worker.container.clone());
                self.fenced.insert((job, worker.clone()));
                self.say(channel, Happening::AgentStopsWorker((job, worker)));
            }
            JobAction::Deploy { worker, tasks } => {
                for task in &tasks {
                    self.judge_restore(job, task);
                    let key = (task.attempt.vertex.0, task.attempt.subtask);
                    let before = self.record.of(job).deployed.insert(key, task.attempt);
                    assert!(
                        before < Some(task.attempt),
                        "{} was used before",
                        task.attempt
                    );
                    self.judge_slot(job, &worker, task);
                }
                let process = (job, worker);
                self.say_to_worker(&process, Happening::WorkerDeploys(process.clone(), tasks));
            }
            JobAction::CancelTasks { worker, attempts } => {
                let process = (job, worker);
                self.say_to_worker(
                    &process,
                    Happening::WorkerCancels(process.clone(), attempts),
                );
            }
            JobAction::Commit {
                worker,
                round,
                outputs,
                ..
            } => {
                let process = (job, worker);
                let commit = Happening::WorkerCommits(process.clone(), round, outputs);
                self.say_to_worker(&process, commit);
            }
            JobAction::ScheduleTimer(timer, due) => {
                let epoch = self.epoch_of(job);
                let fires = Happening::ShellAnswers(job, epoch, JobEvent::TimerFired(timer));
                self.at(due, fires);
            }
            JobAction::StatusChanged(status, failure) => {
                let now = self.now;
                self.record.of(job).statuses.push((now, status, failure));
            }
            JobAction::ReleasePartitions => {
                let channel = Channel::JobToResource(job);
                self.say(channel, Happening::PartitionsReleased(job));
            }
            JobAction::ExecutionChanged { .. } => (),
            other => self.perform_on_checkpoint(job, other),
        }
    }

    fn judge_slot(&mut self, job: JobId, worker: &WorkerId, task: &TaskDeployment) {
        let slot = SlotId {
            container: worker.container.clone(),
            index: task.slot,
        };
        let mut plans = self.plan.jobs.iter();
        let plan = plans.find(|plan| plan.settings.job == job);
        let needs = plan.map(|plan| plan.graph.resources_at(task.attempt.vertex));
        let offered = self.record.of(job).offered.get(&slot).copied();
        if offered != needs {
            let what = format!(
                "{} needs {needs:?} and runs in {slot:?}, which was offered for {offered:?}",
                task.attempt
            );
            self.record.wrong_size.get_or_insert(what);
        }
    }

    fn say_to_resources(&mut self, job: JobId, event: ResourceEvent) {
        self.say(Channel::JobToResource(job), Happening::Resource(event));
    }

    fn say_to_worker(&mut self, process: &ProcessId, happening: Happening) {
        self.say(Channel::JobToWorker(process.clone()), happening);
    }

    fn ask_for_worker(&mut self, process: ProcessId) {
        let container = &process.1.container;
        if self
            .containers
            .get(container)
            .is_some_and(|it| it.registered && !it.severed)
        {
            let channel = Channel::JobToAgent(process.0, container.clone());
            self.say(channel, Happening::AgentStartsWorker(process));
        } else {
            self.report_worker_lost(process, "no agent is connected", 100);
        }
    }

    /// The shell notices the end of a worker, or of its connection, within so many milliseconds.
    pub(crate) fn report_worker_lost(&mut self, process: ProcessId, why: &str, within: u64) {
        let (job, worker): (JobId, WorkerId) = process;
        let failure = Failure::new(FailureClass::Transient, why);
        let delay = self.random.millis(0..within);
        self.after(
            delay,
            Happening::Job(job, JobEvent::WorkerLost { worker, failure }),
        );
    }
}
