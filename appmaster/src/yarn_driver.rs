//! YARN as the ResourceManager's driver: hands everything to the loop that talks to YARN.

use flott_jobmanager::{DriverContext, ResourceDriver};
use flott_model::{ContainerId, ResourceProfile};
use tokio::sync::{mpsc, oneshot};

use crate::yarn_loop::YarnCommand;

/// Passes calls on. What is passed is bounded by the containers there are, so the channel has no
/// bound of its own, and calls return at once.
pub(crate) struct YarnDriver {
    commands: mpsc::UnboundedSender<YarnCommand>,
}

impl YarnDriver {
    pub(crate) fn new(commands: mpsc::UnboundedSender<YarnCommand>) -> Self {
        Self { commands }
    }

    fn tell(&self, command: YarnCommand) {
        // The loop ends with the application only; then nothing matters any more.
        let _ = self.commands.send(command);
    }
}

#[async_trait::async_trait]
impl ResourceDriver for YarnDriver {
    fn start(&mut self, context: DriverContext) {
        self.tell(YarnCommand::Start(context.events));
    }

    fn set_outstanding(&mut self, profile: Option<ResourceProfile>, count: u32) {
        self.tell(YarnCommand::SetOutstanding(profile, count));
    }

    fn allocation_taken(&mut self, _container: &ContainerId, profile: Option<ResourceProfile>) {
        self.tell(YarnCommand::AllocationTaken(profile));
    }

    fn launch(&mut self, container: &ContainerId) {
        self.tell(YarnCommand::Launch(container.clone()));
    }

    fn release(&mut self, container: &ContainerId) {
        self.tell(YarnCommand::Release(container.clone()));
    }

    fn hurry(&mut self) {
        self.tell(YarnCommand::Hurry);
    }

    async fn stop(&mut self) {
        let (done, stopped) = oneshot::channel();
        self.tell(YarnCommand::ReleaseAll(done));
        // A loop that ended has nothing left to give back.
        let _ = stopped.await;
    }
}
