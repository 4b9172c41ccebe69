//! The shell of slots and containers: takes events, lets the core decide, and does what it says.

mod agents;

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_coordination::SlotRequirement;
use flott_coordination::resource::{ResourceAction, ResourceCore, ResourceEvent, ResourceTimer};
use flott_model::{
    ContainerId, Failure, FailureClass, Incarnation, JobId, PROTOCOL_VERSION, ResourceProfile,
    SlotId,
};
use flott_protocol::message::{
    AgentCommand, AgentRegistered, RegisterAgent, StartWorker, StopWorker, WorkerExited,
    agent_command, agent_message,
};
use tokio::sync::{mpsc, oneshot};

use crate::connections::ConnectionId;
use crate::driver::{DriverEvent, ResourceDriver};
use crate::job_master::ResourceOutput;
use crate::resource_manager::agents::{Agent, Agents};
use crate::settings::{AGENT_RECONNECT_GRACE, DispatcherSettings};
use crate::snapshot::ExecutorSnapshot;
use crate::timers::Timers;

/// What JobMasters, agents and views have to say to the ResourceManager.
#[derive(Debug)]
pub(crate) enum ResourceInput {
    /// A job begins. What it is told is bounded by the slots it asks for and their losses, so this
    /// one channel needs no bound; and with one the two shells could wait for each other.
    AddJob {
        job: JobId,
        outputs: mpsc::UnboundedSender<ResourceOutput>,
    },
    RemoveJob {
        job: JobId,
    },
    Require {
        job: JobId,
        slots: SlotRequirement,
    },
    Release {
        job: JobId,
        slots: Vec<SlotId>,
    },
    /// Every agent deletes the partitions of a job that has ended; with the job all go at the latest.
    ReleasePartitions {
        job: JobId,
    },
    StartWorker {
        container: ContainerId,
        start: Box<StartWorker>,
    },
    StopWorker {
        container: ContainerId,
        stop: StopWorker,
    },
    AgentConnected {
        connection: ConnectionId,
        agent: RegisterAgent,
        commands: mpsc::Sender<AgentCommand>,
    },
    Agent {
        connection: ConnectionId,
        container: ContainerId,
        message: agent_message::Kind,
    },
    AgentClosed {
        connection: ConnectionId,
        container: ContainerId,
    },
    Executors(oneshot::Sender<Vec<ExecutorSnapshot>>),
    ShutDown,
}

#[derive(Debug)]
enum ShellTimer {
    Core(ResourceTimer),
    /// The connection was not replaced.
    Reconnect(ContainerId, ConnectionId),
    /// Look for silent agents.
    Liveness,
}

/// Runs until told to shut down.
pub(crate) async fn run(
    settings: Arc<DispatcherSettings>,
    driver: Box<dyn ResourceDriver>,
    mut inbox: mpsc::Receiver<ResourceInput>,
    mut driver_events: mpsc::Receiver<DriverEvent>,
) {
    let mut shell = Shell {
        core: ResourceCore::new(settings.resource_settings(driver.default_container())),
        settings,
        driver,
        agents: Agents::default(),
        jobs: BTreeMap::new(),
        timers: Timers::new(),
    };
    shell.watch_liveness();
    loop {
        tokio::select! {
            Some(event) = driver_events.recv() => shell.on_driver(event),
            input = inbox.recv() => match input {
                None | Some(ResourceInput::ShutDown) => break,
                Some(input) => shell.on_input(input),
            },
            timer = shell.timers.next() => shell.on_timer(timer),
        }
    }
    shell.agents.stop_all("the application ends");
    // Agents that register just now find nobody: they end, too.
    drop(inbox);
    shell.driver.stop().await;
}

struct Shell {
    settings: Arc<DispatcherSettings>,
    core: ResourceCore,
    driver: Box<dyn ResourceDriver>,
    agents: Agents,
    jobs: BTreeMap<JobId, mpsc::UnboundedSender<ResourceOutput>>,
    timers: Timers<ShellTimer>,
}

impl Shell {
    fn handle(&mut self, event: ResourceEvent) {
        tracing::debug!(?event, "event");
        for action in self.core.handle(self.timers.now(), event) {
            self.perform(action);
        }
    }

    // --- what comes in ---

    fn on_driver(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Allocated {
                container,
                host,
                profile,
            } => {
                tracing::info!(%container, host, size = size(profile), "container allocated");
                self.driver.allocation_taken(&container, profile);
                self.handle(ResourceEvent::ContainerAllocated {
                    container,
                    host,
                    profile,
                });
            }
            DriverEvent::Refused { profile, failure } => {
                tracing::error!(size = size(profile), %failure, "such containers cannot be had");
                self.handle(ResourceEvent::ContainersRefused { profile, failure });
            }
            DriverEvent::Completed {
                container,
                loss,
                failure,
            } => {
                tracing::info!(%container, %failure, "container completed");
                self.agents.remove(&container);
                self.handle(ResourceEvent::ContainerCompleted {
                    container,
                    loss,
                    failure,
                });
            }
            DriverEvent::LaunchFailed { container, failure } => {
                tracing::warn!(%container, %failure, "container launch failed");
                self.handle(ResourceEvent::LaunchFailed { container, failure });
            }
            DriverEvent::Failed(failure) => {
                tracing::error!(%failure, "no further containers can be had");
                self.handle(ResourceEvent::DriverFailed(failure));
            }
        }
    }

    fn on_input(&mut self, input: ResourceInput) {
        match input {
            ResourceInput::AddJob { job, outputs } => {
                self.jobs.insert(job, outputs);
            }
            ResourceInput::RemoveJob { job } => {
                self.jobs.remove(&job);
                // Whatever agents keep of it: partitions, copies of state.
                self.agents.release_partitions(job);
                // Also for a job that ended without saying so.
                let slots = SlotRequirement::none();
                self.handle(ResourceEvent::Required { job, slots });
            }
            ResourceInput::Require { job, slots } => {
                self.handle(ResourceEvent::Required { job, slots });
            }
            ResourceInput::Release { job, slots } => {
                self.handle(ResourceEvent::Released { job, slots });
            }
            ResourceInput::ReleasePartitions { job } => self.agents.release_partitions(job),
            ResourceInput::StartWorker { container, start } => {
                self.start_worker(&container, *start);
            }
            ResourceInput::StopWorker { container, stop } => {
                // Without its agent the container ends, and the worker with it.
                let kind = agent_command::Kind::StopWorker(stop);
                let _ = self.agents.tell(&container, kind);
            }
            ResourceInput::AgentConnected {
                connection,
                agent,
                commands,
            } => {
                self.agent_connected(connection, agent, commands);
            }
            ResourceInput::Agent {
                connection,
                container,
                message,
            } => {
                self.on_agent(connection, container, message);
            }
            ResourceInput::AgentClosed {
                connection,
                container,
            } => {
                if self.agents.disconnect(&container, connection) {
                    self.driver.hurry();
                    let due = self.timers.now() + AGENT_RECONNECT_GRACE;
                    self.timers
                        .schedule(ShellTimer::Reconnect(container, connection), due);
                }
            }
            ResourceInput::Executors(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.agents.snapshot(&self.core, self.timers.now()));
            }
            ResourceInput::ShutDown => (), // Ends the loop above.
        }
    }

    fn agent_connected(
        &mut self,
        connection: ConnectionId,
        agent: RegisterAgent,
        commands: mpsc::Sender<AgentCommand>,
    ) {
        let container = ContainerId(agent.container.clone());
        let (host, slots, version) = (agent.host.clone(), agent.slots, agent.protocol_version);
        tracing::info!(%container, host, slots, pid = agent.pid, "task executor connected");
        let now = self.timers.now();
        let is_new = self
            .agents
            .insert(&container, Agent::new(connection, agent, commands, now));
        if version != PROTOCOL_VERSION {
            let reason = format!(
                "the task executor speaks protocol version {version}, this JobManager \
                 {PROTOCOL_VERSION}"
            );
            self.agents.stop(&container, &reason);
            return;
        }
        let interval = self.settings.heartbeat_interval().as_millis();
        let registered = AgentRegistered {
            epoch: self.settings.epoch.0,
            heartbeat_interval_ms: u64::try_from(interval).unwrap_or(u64::MAX),
        };
        // A fresh connection has room for its first command.
        let _ = self
            .agents
            .tell(&container, agent_command::Kind::Registered(registered));
        self.agents.tell_releases(&container);
        if is_new {
            self.handle(ResourceEvent::AgentRegistered {
                container,
                host,
                slots,
            });
        }
    }

    fn on_agent(
        &mut self,
        connection: ConnectionId,
        container: ContainerId,
        message: agent_message::Kind,
    ) {
        if !self.agents.heard(&container, connection, self.timers.now()) {
            return; // A connection that was given up.
        }
        match message {
            // The first message of a connection only.
            agent_message::Kind::Register(_) => (),
            agent_message::Kind::Heartbeat(memory) => {
                self.agents.set_memory(&container, memory);
                self.agents.tell_releases(&container);
            }
            agent_message::Kind::WorkerExited(exited) => self.worker_exited(container, exited),
        }
    }

    fn worker_exited(&mut self, container: ContainerId, exited: WorkerExited) {
        tracing::info!(%container, job = exited.job, failure = %exited.failure, "worker exited");
        let Ok(job) = exited.job.parse::<JobId>() else {
            return;
        };
        let (incarnation, failure) = (Incarnation(exited.incarnation), exited.failure);
        self.output(
            job,
            ResourceOutput::WorkerExited {
                container,
                incarnation,
                failure,
            },
        );
    }

    fn start_worker(&mut self, container: &ContainerId, start: StartWorker) {
        let (job, incarnation) = (start.job.clone(), start.incarnation);
        if let Err(why) = self
            .agents
            .tell(container, agent_command::Kind::StartWorker(start))
        {
            let message = format!("the worker could not be started: its task executor {why}");
            let failure = Failure::new(FailureClass::Transient, message);
            let exited = WorkerExited {
                job,
                incarnation,
                failure,
                expected: false,
            };
            self.worker_exited(container.clone(), exited);
        }
    }

    fn on_timer(&mut self, timer: ShellTimer) {
        match timer {
            ShellTimer::Core(timer) => self.handle(ResourceEvent::TimerFired(timer)),
            ShellTimer::Reconnect(container, connection) => {
                if self.agents.is_disconnected(&container, connection) {
                    self.lose_agent(container, "the task executor's connection was lost");
                }
            }
            ShellTimer::Liveness => {
                let timeout = self.settings.heartbeat_timeout();
                let message =
                    format!("the task executor was silent for {timeout:?} (heartbeat.timeout)");
                for container in self.agents.silent(self.timers.now(), timeout) {
                    self.lose_agent(container, &message);
                }
                self.watch_liveness();
            }
        }
    }

    fn watch_liveness(&mut self) {
        let due = self.timers.now() + self.settings.heartbeat_timeout() / 4;
        self.timers.schedule(ShellTimer::Liveness, due);
    }

    fn lose_agent(&mut self, container: ContainerId, message: &str) {
        tracing::warn!(%container, message, "task executor lost");
        self.agents.remove(&container);
        let failure = Failure::new(FailureClass::Transient, message);
        self.handle(ResourceEvent::AgentLost { container, failure });
    }

    // --- what goes out ---

    fn perform(&mut self, action: ResourceAction) {
        match action {
            ResourceAction::SetOutstanding {
                profile,
                containers,
            } => self.driver.set_outstanding(profile, containers),
            ResourceAction::Launch(container) => self.driver.launch(&container),
            ResourceAction::ReleaseContainer { container, reason } => {
                tracing::info!(%container, reason, "container released");
                self.agents.stop(&container, &reason);
                self.driver.release(&container);
            }
            ResourceAction::Grant { job, slots } => {
                let containers = slots.iter().map(|offer| &offer.slot.container);
                let partition_addresses = self.agents.partition_addresses(containers);
                let granted = ResourceOutput::Granted {
                    offers: slots,
                    partition_addresses,
                };
                self.output(job, granted);
            }
            ResourceAction::NotifyLost {
                job,
                container,
                failure,
            } => {
                self.output(job, ResourceOutput::ContainerLost { container, failure });
            }
            ResourceAction::GiveUp { job, failure } => {
                self.output(job, ResourceOutput::Unavailable(failure));
            }
            ResourceAction::ScheduleTimer(timer, due) => {
                self.timers.schedule(ShellTimer::Core(timer), due);
            }
        }
    }

    fn output(&self, job: JobId, output: ResourceOutput) {
        if let Some(outputs) = self.jobs.get(&job) {
            // A job that just ended misses nothing; RemoveJob is on its way.
            let _ = outputs.send(output);
        }
    }
}

/// For the log.
fn size(profile: Option<ResourceProfile>) -> String {
    profile.map_or("default".to_owned(), |profile| profile.to_string())
}
