//! Where connections of agents and workers arrive, over the network or from within this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flott_model::JobId;
use flott_protocol::message::{
    AgentCommand, AgentMessage, WorkerCommand, WorkerMessage, agent_message, worker_message,
};
use tokio::sync::mpsc;

use crate::job_master::JobInput;
use crate::resource_manager::ResourceInput;

/// Who connects must say who it is within that.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells the connections of one peer apart, so that the end of an old one is not taken for the
/// end of its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

/// Hands connections to the ResourceManager and the JobMasters.
#[derive(Debug, Clone)]
pub struct Connections {
    resource_manager: mpsc::Sender<ResourceInput>,
    // Held for a look-up only, never across an await.
    jobs: Arc<Mutex<BTreeMap<JobId, mpsc::Sender<JobInput>>>>,
    next: Arc<AtomicU64>,
}

impl Connections {
    pub(crate) fn new(resource_manager: mpsc::Sender<ResourceInput>) -> Self {
        Self {
            resource_manager,
            jobs: Arc::default(),
            next: Arc::default(),
        }
    }

    pub(crate) fn add_job(&self, job: JobId, inbox: mpsc::Sender<JobInput>) {
        self.jobs().insert(job, inbox);
    }

    pub(crate) fn remove_job(&self, job: JobId) {
        self.jobs().remove(&job);
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, mpsc::Sender<JobInput>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes over an agent's connection; its first message must be Register.
    pub fn agent_connected(
        &self,
        messages: mpsc::Receiver<AgentMessage>,
        commands: mpsc::Sender<AgentCommand>,
    ) {
        let inbox = self.resource_manager.clone();
        tokio::spawn(pump_agent(inbox, self.connection_id(), messages, commands));
    }

    /// Takes over the connection of a worker of `job`; its first message must be Register.
    pub fn worker_connected(
        &self,
        job: JobId,
        messages: mpsc::Receiver<WorkerMessage>,
        commands: mpsc::Sender<WorkerCommand>,
    ) {
        // A worker of a job that ended: its connection is closed at once, and its agent ends it.
        let inbox = self.jobs().get(&job).cloned();
        match inbox {
            Some(inbox) => {
                tokio::spawn(pump_worker(inbox, self.connection_id(), messages, commands));
            }
            None => tracing::info!(%job, "a worker connected for a job that is not running"),
        }
    }
}

async fn pump_agent(
    inbox: mpsc::Sender<ResourceInput>,
    connection: ConnectionId,
    mut messages: mpsc::Receiver<AgentMessage>,
    commands: mpsc::Sender<AgentCommand>,
) {
    let first = tokio::time::timeout(INTRODUCTION_TIMEOUT, messages.recv()).await;
    let Ok(Some(AgentMessage {
        kind: Some(agent_message::Kind::Register(agent)),
    })) = first
    else {
        tracing::warn!("an agent connected and did not register");
        return;
    };
    let container = flott_model::ContainerId(agent.container.clone());
    let connected = ResourceInput::AgentConnected {
        connection,
        agent,
        commands,
    };
    if inbox.send(connected).await.is_err() {
        return;
    }
    while let Some(message) = messages.recv().await {
        let Some(message) = message.kind else {
            continue;
        };
        let container = container.clone();
        if inbox
            .send(ResourceInput::Agent {
                connection,
                container,
                message,
            })
            .await
            .is_err()
        {
            return;
        }
    }
    // Whether the inbox still exists makes no difference to who is gone.
    let _ = inbox
        .send(ResourceInput::AgentClosed {
            connection,
            container,
        })
        .await;
}

async fn pump_worker(
    inbox: mpsc::Sender<JobInput>,
    connection: ConnectionId,
    mut messages: mpsc::Receiver<WorkerMessage>,
    commands: mpsc::Sender<WorkerCommand>,
) {
    let first = tokio::time::timeout(INTRODUCTION_TIMEOUT, messages.recv()).await;
    let Ok(Some(WorkerMessage {
        kind: Some(worker_message::Kind::Register(worker)),
    })) = first
    else {
        tracing::warn!("a worker connected and did not register");
        return;
    };
    let id = flott_coordination::job::WorkerId {
        container: flott_model::ContainerId(worker.container),
        incarnation: flott_model::Incarnation(worker.incarnation),
    };
    let connected = JobInput::WorkerConnected {
        connection,
        worker: id.clone(),
        data_address: worker.data_address,
        commands,
    };
    if inbox.send(connected).await.is_err() {
        return;
    }
    while let Some(message) = messages.recv().await {
        let Some(message) = message.kind else {
            continue;
        };
        let worker = id.clone();
        let message = Box::new(message);
        if inbox
            .send(JobInput::Worker {
                connection,
                worker,
                message,
            })
            .await
            .is_err()
        {
            return;
        }
    }
    let _ = inbox
        .send(JobInput::WorkerClosed {
            connection,
            worker: id,
        })
        .await;
}
