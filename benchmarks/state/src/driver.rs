//! Containers of this machine: each is an agent, as it runs in YARN's containers, with a directory of its own. What it
//! starts are processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flott_coordination::resource::{ContainerLoss, SlotSize};
use flott_jobmanager::{DefaultContainer, DriverContext, DriverEvent, ResourceDriver};
use flott_model::{ContainerId, Failure, FailureClass, ResourceProfile};
use flott_protocol::application::PROGRAM_FILE;
use flott_protocol::rpc::Secret;
use flott_taskexecutor::{Agent, AgentSettings};
use tokio::sync::oneshot;

const HOST: &str = "127.0.0.1";
/// Memory of a container, which nobody enforces here.
const MEMORY: u64 = 4 << 30;
const LOST_TIMEOUT: Duration = Duration::from_secs(30);

/// Provides them.
pub(crate) struct ProcessDriver {
    pub(crate) slots: u32,
    /// What workers run: this program.
    pub(crate) executable: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) job_manager: String,
    pub(crate) secret: Secret,
    pub(crate) context: Option<DriverContext>,
    pub(crate) created: u64,
    pub(crate) untaken: u32,
    pub(crate) agents: BTreeMap<ContainerId, oneshot::Sender<()>>,
}

impl ProcessDriver {
    fn report(&self, event: DriverEvent) {
        let Some(context) = &self.context else { return };
        let events = context.events.clone();
        // The ResourceManager cannot take the event while it is calling.
        tokio::spawn(async move {
            // Without a ResourceManager nobody needs to know.
            let _ = events.send(event).await;
        });
    }

    fn settings(&self, container: &ContainerId) -> std::io::Result<AgentSettings> {
        let directory = self.directory.join(&container.0);
        let (log_directory, disk) = (directory.join("logs"), directory.join("disk"));
        std::fs::create_dir_all(&log_directory)?;
        std::fs::create_dir_all(&disk)?;
        std::os::unix::fs::symlink(&self.executable, directory.join(PROGRAM_FILE))?;
        Ok(AgentSettings {
            container: container.0.clone(),
            host: HOST.to_owned(),
            job_manager: self.job_manager.clone(),
            secret: self.secret.clone(),
            slots: self.slots,
            memory_bytes: MEMORY,
            job_manager_lost_timeout: LOST_TIMEOUT,
            partition_directory: disk.join("partitions"),
            local_state_directory: disk.join("local-state"),
            directory,
            log_directory,
        })
    }
}

#[async_trait::async_trait]
impl ResourceDriver for ProcessDriver {
    fn default_container(&self) -> Option<DefaultContainer> {
        let slot = SlotSize::UNLIMITED;
        let slots = self.slots;
        Some(DefaultContainer { slots, slot })
    }

    fn start(&mut self, context: DriverContext) {
        self.context = Some(context);
    }

    fn set_outstanding(&mut self, profile: Option<ResourceProfile>, count: u32) {
        let new = count.saturating_sub(self.untaken);
        self.untaken += new;
        for _ in 0..new {
            self.created += 1;
            let container = ContainerId(format!("container-{}", self.created));
            let host = HOST.to_owned();
            self.report(DriverEvent::Allocated {
                container,
                host,
                profile,
            });
        }
    }

    fn allocation_taken(&mut self, _container: &ContainerId, _profile: Option<ResourceProfile>) {
        self.untaken = self.untaken.saturating_sub(1);
    }

    fn launch(&mut self, container: &ContainerId) {
        let settings = match self.settings(container) {
            Ok(settings) => settings,
            Err(error) => {
                let message = format!("the directory of a container cannot be made: {error}");
                self.report(DriverEvent::LaunchFailed {
                    container: container.clone(),
                    failure: Failure::new(FailureClass::Fatal, message),
                });
                return;
            }
        };
        let (stop, stopped) = oneshot::channel();
        self.agents.insert(container.clone(), stop);
        // As in a container: a thread that waits.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let ended = runtime.map(|runtime| {
                runtime.block_on(Agent::new(settings).run(async {
                    // Dropped: the driver has ended.
                    let _ = stopped.await;
                    "released"
                }))
            });
            if let Err(error) = ended {
                eprintln!("an agent could not be started: {error}");
            }
        });
    }

    fn release(&mut self, container: &ContainerId) {
        self.agents.remove(container);
        let message = "the container was released";
        self.report(DriverEvent::Completed {
            container: container.clone(),
            loss: ContainerLoss::Surroundings,
            failure: Failure::new(FailureClass::Transient, message),
        });
    }

    async fn stop(&mut self) {
        self.agents.clear();
    }
}
