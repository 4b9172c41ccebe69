//! Starts task executors in containers.

use std::collections::BTreeMap;

use flott_hadoop::Credentials;
use flott_hadoop::yarn::{
    Container, LaunchContext, LocalResource, LocalResourceKind, NodeManagerClient, ShellCommand,
    Visibility,
};
use flott_protocol::application::{StagedFile, TASKEXECUTOR_FILE};
use flott_protocol::executor::{EXECUTOR, ExecutorSpec};

use crate::resources::Resources;
use crate::sizes::ContainerSize;

const OUTPUT_FILE: &str = "taskmanager.out";
const ERROR_FILE: &str = "taskmanager.err";

/// Everything that is the same for all task executors.
pub(crate) struct ContainerLaunch {
    pub(crate) node_managers: NodeManagerClient,
    pub(crate) resources: Resources,
    /// But for the size of their containers.
    pub(crate) spec: ExecutorSpec,
    /// Without the token that makes the appmaster the master.
    pub(crate) credentials: Credentials,
    pub(crate) environment: BTreeMap<String, String>,
}

impl ContainerLaunch {
    /// Starts one in a container of that size.
    pub(crate) async fn start(
        &self,
        container: &Container,
        size: ContainerSize,
    ) -> anyhow::Result<()> {
        let files = self.resources.usable().await?;
        self.node_managers
            .start(container, &self.context(&files, size))
            .await?;
        tracing::info!(container = %container.id, node = %container.node, "container started");
        Ok(())
    }

    fn context(&self, files: &[StagedFile], size: ContainerSize) -> LaunchContext {
        let spec = ExecutorSpec {
            slots: size.slots,
            memory_bytes: size.memory_bytes,
            ..self.spec.clone()
        };
        let command = ShellCommand::new(&format!("./{TASKEXECUTOR_FILE}"))
            .stdout(OUTPUT_FILE)
            .stderr(ERROR_FILE);
        let mut context = LaunchContext::new(command).credentials(self.credentials.clone());
        for (name, value) in &self.environment {
            context = context.env(name, value);
        }
        context = context.env(EXECUTOR, &spec.to_variable());
        for file in files {
            context = context.local_resource(&file.name, local_resource(file));
        }
        context
    }
}

fn local_resource(file: &StagedFile) -> LocalResource {
    LocalResource {
        url: file.url.clone(),
        size: file.size,
        modification_time: i64::try_from(file.modification_time_ms).unwrap_or(i64::MAX),
        kind: LocalResourceKind::File,
        visibility: if file.public {
            Visibility::Public
        } else {
            Visibility::Private
        },
    }
}
