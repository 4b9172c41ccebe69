//! NodeManagers: start, stop and inspect containers. One short connection per operation, since thousands of open
//! ones would serve nobody and a first start may take seconds.

use std::time::Duration;

use prost::Message;

use super::launch::{LaunchContext, LaunchError};
use super::nm_tokens::NmTokens;
use super::proto;
use super::types::{Container, ContainerId, ContainerStatus, Incomplete, NodeId};
use crate::conf::HostPort;
use crate::rpc::{Auth, RemoteException, RemoteKind, RpcConnection, RpcError, RpcOptions};

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ContainerManagementProtocolPB";
/// Tries of an operation when the connection breaks or the node is not ready.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(250);

/// Why an operation on a node failed.
#[derive(Debug, thiserror::Error)]
pub enum NmError {
    /// The ResourceManager never gave permission for this node.
    #[error("no NM token for node {node}")]
    NoToken {
        /// The node.
        node: NodeId,
    },
    /// The launch context cannot work.
    #[error("preparing the launch of {container}")]
    Launch {
        /// The container.
        container: ContainerId,
        /// The cause.
        #[source]
        source: LaunchError,
    },
    /// The container came without the token that allows to start it.
    #[error("container {container} has no container token")]
    NoContainerToken {
        /// The container.
        container: ContainerId,
    },
    /// The node cannot be reached or refused the whole call.
    #[error("{doing} on node {node}")]
    Rpc {
        /// The node.
        node: NodeId,
        /// What was being done.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<RpcError>,
    },
    /// The node refused this container.
    #[error("node {node} refused {doing} of {container}: {exception}")]
    Refused {
        /// The node.
        node: NodeId,
        /// What was being done.
        doing: &'static str,
        /// The container.
        container: ContainerId,
        /// What it said.
        exception: Box<RemoteException>,
    },
    /// An answer lacks what it must have.
    #[error("reading the answer of node {node}")]
    Incomplete {
        /// The node.
        node: NodeId,
        /// The cause.
        #[source]
        source: Incomplete,
    },
}

impl NmError {
    /// Whether the node, rather than the container, is the problem.
    pub fn is_node_failure(&self) -> bool {
        match self {
            Self::NoToken { .. } | Self::Rpc { .. } | Self::Incomplete { .. } => true,
            Self::Launch { .. } | Self::NoContainerToken { .. } | Self::Refused { .. } => false,
        }
    }
}

/// Signal for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, and nothing after it.
    Terminate,
    /// SIGKILL.
    Kill,
}

/// Client of all NodeManagers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeManagerClient {
    tokens: NmTokens,
    options: RpcOptions,
}

impl NodeManagerClient {
    /// A client with the permissions an [`super::AmClient`] collects.
    pub fn new(tokens: NmTokens, options: RpcOptions) -> Self {
        Self { tokens, options }
    }

    /// Starts a container. If the connection breaks midway the node is asked whether the container runs, as it must
    /// be started exactly once. Success means accepted: localization may still fail.
    pub async fn start(
        &self,
        container: &Container,
        launch: &LaunchContext,
    ) -> Result<(), NmError> {
        let id = container.id;
        let token = container
            .token
            .as_ref()
            .ok_or(NmError::NoContainerToken { container: id })?;
        let launch = launch.to_proto().map_err(|source| NmError::Launch {
            container: id,
            source,
        })?;
        let request = proto::StartContainersRequest {
            start_container_request: vec![proto::StartContainerRequest {
                container_launch_context: Some(launch),
                container_token: Some(token.into()),
            }],
        };
        let node = &container.node;
        for attempt in 1.. {
            let answer = self
                .call_once::<_, proto::StartContainersResponse>(node, START, &request)
                .await;
            match answer {
                Ok(response) => return failure_of(&response.failed_requests, node, START, id),
                Err(NmError::Rpc { source, .. }) if attempt < TRIES && source.is_transient() => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    if source.is_connection_failure() && self.status(node, id).await?.is_some() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Stops a container: SIGTERM, then SIGKILL 250 ms later by default. Unknown containers count as stopped.
    pub async fn stop(&self, node: &NodeId, id: ContainerId) -> Result<(), NmError> {
        let request = proto::StopContainersRequest {
            container_id: vec![id.into()],
        };
        let response: proto::StopContainersResponse = self.call(node, STOP, &request).await?;
        match failure_of(&response.failed_requests, node, STOP, id) {
            Err(NmError::Refused { exception, .. }) if is_unknown(&exception) => Ok(()),
            result => result,
        }
    }

    /// Asks for the state of a container; `None` if the node does not know it.
    pub async fn status(
        &self,
        node: &NodeId,
        id: ContainerId,
    ) -> Result<Option<ContainerStatus>, NmError> {
        let request = proto::GetContainerStatusesRequest {
            container_id: vec![id.into()],
        };
        let response: proto::GetContainerStatusesResponse =
            self.call(node, STATUS, &request).await?;
        match failure_of(&response.failed_requests, node, STATUS, id) {
            Err(NmError::Refused { exception, .. }) if is_unknown(&exception) => return Ok(None),
            result => result?,
        }
        let status = response
            .status
            .into_iter()
            .next()
            .map(ContainerStatus::try_from)
            .transpose();
        status.map_err(|source| NmError::Incomplete {
            node: node.clone(),
            source,
        })
    }

    /// Sends a signal.
    pub async fn signal(
        &self,
        node: &NodeId,
        id: ContainerId,
        signal: Signal,
    ) -> Result<(), NmError> {
        let command = match signal {
            Signal::Terminate => proto::SignalContainerCommand::GracefulShutdown,
            Signal::Kill => proto::SignalContainerCommand::ForcefulShutdown,
        };
        let request = proto::SignalContainerRequest {
            container_id: id.into(),
            command: command as i32,
        };
        self.call::<_, proto::SignalContainerResponse>(node, "signalToContainer", &request)
            .await?;
        Ok(())
    }

    /// Calls an operation that may be repeated.
    async fn call<Q: Message, A: Message + Default>(
        &self,
        node: &NodeId,
        method: &'static str,
        request: &Q,
    ) -> Result<A, NmError> {
        for attempt in 1.. {
            match self.call_once(node, method, request).await {
                Err(NmError::Rpc { source, .. }) if attempt < TRIES && source.is_transient() => {
                    tracing::debug!(%node, method, error = %source, "trying again");
                    tokio::time::sleep(PAUSE * attempt).await;
                }
                result => return result,
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn call_once<Q: Message, A: Message + Default>(
        &self,
        node: &NodeId,
        method: &'static str,
        request: &Q,
    ) -> Result<A, NmError> {
        let server = HostPort::new(node.host.clone(), node.port);
        loop {
            let token = self
                .tokens
                .get(node)
                .ok_or_else(|| NmError::NoToken { node: node.clone() })?;
            let auth = Auth::Token(token.clone());
            let result = match RpcConnection::connect(&server, PROTOCOL, &auth, &self.options).await
            {
                Ok(connection) => connection.call(method, request).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(answer) => return Ok(answer),
                // A newer token may have arrived meanwhile; the same one will not get better.
                Err(error)
                    if error.remote_kind() == Some(RemoteKind::InvalidToken)
                        && self.tokens.get(node).as_ref() != Some(&token) =>
                {
                    tracing::debug!(%node, "the NM token was replaced meanwhile");
                }
                Err(source) => {
                    return Err(NmError::Rpc {
                        node: node.clone(),
                        doing: method,
                        source: source.into(),
                    });
                }
            }
        }
    }
}

const START: &str = "startContainers";
const STOP: &str = "stopContainers";
const STATUS: &str = "getContainerStatuses";

fn is_unknown(exception: &RemoteException) -> bool {
    exception
        .message
        .contains("is not handled by this NodeManager")
}

/// The call succeeds as a whole even if a container does not.
fn failure_of(
    failures: &[proto::ContainerExceptionMap],
    node: &NodeId,
    doing: &'static str,
    container: ContainerId,
) -> Result<(), NmError> {
    let Some(failure) = failures.first() else {
        return Ok(());
    };
    let exception = failure.exception.as_ref();
    let class = exception.map_or("", |exception| exception.class_name());
    let message = exception.map_or("no reason given", |exception| exception.message());
    Err(NmError::Refused {
        node: node.clone(),
        doing,
        container,
        exception: RemoteException::new(class, message, false).into(),
    })
}

#[cfg(test)]
mod tests;
