//! Resources, nodes, containers, and what exit statuses mean.

use std::fmt;

use super::proto;
use crate::token::Token;

pub use super::ids::{ApplicationAttemptId, ApplicationId, ContainerId, ParseIdError};

/// Address of a NodeManager; also its key everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Host name as the NodeManager reports it.
    pub host: String,
    /// Port of its container protocol.
    pub port: u16,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Memory and cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resource {
    /// MiB.
    pub memory_mb: i64,
    /// Virtual cores.
    pub vcores: i32,
}

impl Resource {
    /// Whether this is within `limit` in both dimensions.
    pub fn fits_in(&self, limit: &Self) -> bool {
        self.memory_mb <= limit.memory_mb && self.vcores <= limit.vcores
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB, {} vcores", self.memory_mb, self.vcores)
    }
}

/// An allocated container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// Where it is.
    pub node: NodeId,
    /// `host:port` of the NodeManager's web pages.
    pub node_http_address: String,
    /// What it really has: asks are rounded up.
    pub resource: Resource,
    /// Priority of the ask.
    pub priority: i32,
    /// The ask it belongs to; -1 if the ask had none.
    pub allocation_request_id: i64,
    /// Grows with every change of its resources.
    pub version: i32,
    /// Needed to start it; expires ten minutes after the allocation by default.
    pub token: Option<Token>,
}

/// State of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Not running yet.
    New,
    /// Running, or being localized.
    Running,
    /// Ended.
    Complete,
}

/// A report about a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Which one.
    pub id: ContainerId,
    /// Its state.
    pub state: ContainerState,
    /// See [`explain_exit`].
    pub exit_status: i32,
    /// Text of the NodeManager or scheduler.
    pub diagnostics: String,
}

impl ContainerStatus {
    /// Whether the end was none of the application's doing: released, disks failed, preempted, killed by YARN.
    pub fn is_platform_fault(&self) -> bool {
        matches!(self.exit_status, -100 | -101 | -102 | -106 | -107)
    }

    /// A sentence for people.
    pub fn explanation(&self) -> String {
        explain_exit(self.exit_status)
    }
}

/// What an exit status means.
pub fn explain_exit(status: i32) -> String {
    let text = match status {
        0 => "exited normally",
        137 => "killed by SIGKILL, often for using too much memory (exit status 137)",
        143 => "ended by SIGTERM (exit status 143)",
        -1000 => "not finished, or its files could not be localized",
        -100 => "released, expired before it was started, or its node was lost",
        -101 => "the disks of its node failed",
        -102 => "preempted by the scheduler",
        -103 => "killed by the NodeManager: more virtual memory than allowed",
        -104 => "killed by the NodeManager: more physical memory than the container has",
        -105 => "stopped by the ApplicationMaster",
        -106 => "killed by the ResourceManager",
        -107 => "killed because the application has ended",
        -108 => "killed by the NodeManager to make room for guaranteed containers",
        -109 => "killed by the NodeManager: too much log output",
        129..=192 => return format!("ended by signal {} (exit status {status})", status - 128),
        _ => return format!("exit status {status}"),
    };
    text.to_owned()
}

/// A YARN message that lacks what it must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("YARN sent a message without {0}")]
pub struct Incomplete(pub &'static str);

impl TryFrom<&proto::NodeId> for NodeId {
    type Error = Incomplete;

    fn try_from(id: &proto::NodeId) -> Result<Self, Incomplete> {
        let host = id
            .host
            .clone()
            .filter(|host| !host.is_empty())
            .ok_or(Incomplete("a node's host"))?;
        let port = u16::try_from(id.port()).map_err(|_| Incomplete("a valid node port"))?;
        Ok(Self { host, port })
    }
}

impl From<Resource> for proto::Resource {
    fn from(resource: Resource) -> Self {
        Self {
            memory: Some(resource.memory_mb),
            virtual_cores: Some(resource.vcores),
            resource_value_map: Vec::new(),
        }
    }
}

impl From<&proto::Resource> for Resource {
    fn from(resource: &proto::Resource) -> Self {
        Self {
            memory_mb: resource.memory(),
            vcores: resource.virtual_cores(),
        }
    }
}

impl TryFrom<proto::Container> for Container {
    type Error = Incomplete;

    fn try_from(container: proto::Container) -> Result<Self, Incomplete> {
        Ok(Self {
            id: container
                .id
                .as_ref()
                .ok_or(Incomplete("a container id"))?
                .try_into()?,
            node: container
                .node_id
                .as_ref()
                .ok_or(Incomplete("a container's node"))?
                .try_into()?,
            resource: container
                .resource
                .as_ref()
                .map(Resource::from)
                .unwrap_or_default(),
            priority: container
                .priority
                .as_ref()
                .map_or(0, proto::Priority::priority),
            allocation_request_id: container.allocation_request_id(),
            version: container.version(),
            node_http_address: container.node_http_address.unwrap_or_default(),
            token: container.container_token.map(Token::from),
        })
    }
}

impl TryFrom<proto::ContainerStatus> for ContainerStatus {
    type Error = Incomplete;

    fn try_from(status: proto::ContainerStatus) -> Result<Self, Incomplete> {
        Ok(Self {
            id: status
                .container_id
                .as_ref()
                .ok_or(Incomplete("a container id"))?
                .try_into()?,
            state: match status.state() {
                proto::ContainerState::New => ContainerState::New,
                proto::ContainerState::Running => ContainerState::Running,
                proto::ContainerState::Complete => ContainerState::Complete,
            },
            exit_status: status.exit_status(),
            diagnostics: status.diagnostics.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_absent_fields_are_yarns() {
        let status = proto::ContainerStatus {
            container_id: Some(
                "container_1_0001_01_000002"
                    .parse::<ContainerId>()
                    .unwrap()
                    .into(),
            ),
            ..Default::default()
        };
        assert_eq!(
            ContainerStatus::try_from(status).unwrap().exit_status,
            -1000
        );
        assert_eq!(proto::Container::default().allocation_request_id(), -1);
        assert!(proto::ResourceRequest::default().relax_locality());
    }

    #[test]
    fn every_status_of_yarn_has_a_sentence() {
        for status in (-109..=-100).chain([0, 137, 143, -1000]) {
            assert_ne!(explain_exit(status), format!("exit status {status}"));
        }
        assert_eq!(explain_exit(7), "exit status 7");
        assert_eq!(explain_exit(139), "ended by signal 11 (exit status 139)");
    }
}
