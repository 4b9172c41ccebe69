//! Ids in their text forms, resources, containers, and what exit statuses mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::proto;
use crate::token::Token;

/// Lower bits of a container id; above them is the epoch.
const SEQUENCE_BITS: u32 = 40;
const SEQUENCE_MASK: i64 = (1 << SEQUENCE_BITS) - 1;

/// A text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct ParseIdError {
    text: String,
    expected: &'static str,
}

/// `application_<timestamp>_<number>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId {
    /// Start of the ResourceManager in milliseconds.
    pub cluster_timestamp: i64,
    /// Number since that start.
    pub id: i32,
}

/// `appattempt_<timestamp>_<number>_<attempt>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationAttemptId {
    /// The application.
    pub application: ApplicationId,
    /// Attempt, from 1.
    pub attempt: i32,
}

/// `container_[e<epoch>_]<timestamp>_<number>_<attempt>_<container>`. The same number exists once per epoch, which
/// grows at every restart of the ResourceManager, so only the whole id identifies a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The attempt it was allocated to.
    pub attempt: ApplicationAttemptId,
    /// Epoch and number.
    pub id: i64,
}

impl ContainerId {
    /// Restarts of the ResourceManager before this container.
    pub fn epoch(&self) -> i64 {
        self.id >> SEQUENCE_BITS
    }

    /// Number within attempt and epoch.
    pub fn sequence(&self) -> i64 {
        self.id & SEQUENCE_MASK
    }
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application_{}_{:04}", self.cluster_timestamp, self.id)
    }
}

impl fmt::Display for ApplicationAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId {
            cluster_timestamp,
            id,
        } = self.application;
        write!(
            f,
            "appattempt_{cluster_timestamp}_{id:04}_{:06}",
            self.attempt
        )
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("container_")?;
        if self.epoch() > 0 {
            write!(f, "e{:02}_", self.epoch())?;
        }
        let ApplicationId {
            cluster_timestamp,
            id,
        } = self.attempt.application;
        write!(
            f,
            "{cluster_timestamp}_{id:04}_{:02}_{:06}",
            self.attempt.attempt,
            self.sequence()
        )
    }
}

/// Digits only: `parse` alone would take signs.
fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn application_of(timestamp: &str, id: &str) -> Option<ApplicationId> {
    Some(ApplicationId {
        cluster_timestamp: number(timestamp)?,
        id: number(id)?,
    })
}

impl FromStr for ApplicationId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parsed = match parts[..] {
            ["application", timestamp, id] => application_of(timestamp, id),
            _ => None,
        };
        let expected = "an application id such as application_1700000000000_0001";
        parsed.ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

impl FromStr for ApplicationAttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parse = || match parts[..] {
            ["appattempt", timestamp, id, attempt] => Some(Self {
                application: application_of(timestamp, id)?,
                attempt: number(attempt)?,
            }),
            _ => None,
        };
        let expected = "an attempt id such as appattempt_1700000000000_0001_000001";
        parse().ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

impl FromStr for ContainerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let parts: Vec<&str> = text.split('_').collect();
        let parse = || {
            let (epoch, rest) = match parts[..] {
                ["container", timestamp, app, attempt, n] => (0i64, [timestamp, app, attempt, n]),
                ["container", epoch, timestamp, app, attempt, n] => (
                    number(epoch.strip_prefix('e')?)?,
                    [timestamp, app, attempt, n],
                ),
                _ => return None,
            };
            let [timestamp, app, attempt, sequence] = rest;
            let sequence: i64 = number(sequence)?;
            let fits = sequence <= SEQUENCE_MASK && epoch < 1 << (63 - SEQUENCE_BITS);
            let attempt = ApplicationAttemptId {
                application: application_of(timestamp, app)?,
                attempt: number(attempt)?,
            };
            fits.then_some(Self {
                attempt,
                id: (epoch << SEQUENCE_BITS) | sequence,
            })
        };
        let expected = "a container id such as container_e01_1700000000000_0001_01_000001";
        parse().ok_or_else(|| ParseIdError {
            text: text.to_owned(),
            expected,
        })
    }
}

macro_rules! serde_as_text {
    ($($id:ty),*) => {$(
        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ApplicationId, ApplicationAttemptId, ContainerId);

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

impl From<ApplicationId> for proto::ApplicationId {
    fn from(id: ApplicationId) -> Self {
        Self {
            id: Some(id.id),
            cluster_timestamp: Some(id.cluster_timestamp),
        }
    }
}

impl From<ApplicationAttemptId> for proto::ApplicationAttemptId {
    fn from(id: ApplicationAttemptId) -> Self {
        Self {
            application_id: Some(id.application.into()),
            attempt_id: Some(id.attempt),
        }
    }
}

impl From<ContainerId> for proto::ContainerId {
    fn from(id: ContainerId) -> Self {
        Self {
            app_id: None,
            app_attempt_id: Some(id.attempt.into()),
            id: Some(id.id),
        }
    }
}

impl TryFrom<&proto::ApplicationId> for ApplicationId {
    type Error = Incomplete;

    fn try_from(id: &proto::ApplicationId) -> Result<Self, Incomplete> {
        Ok(Self {
            cluster_timestamp: id.cluster_timestamp(),
            id: id.id(),
        })
    }
}

impl TryFrom<&proto::ApplicationAttemptId> for ApplicationAttemptId {
    type Error = Incomplete;

    fn try_from(id: &proto::ApplicationAttemptId) -> Result<Self, Incomplete> {
        let application = id
            .application_id
            .as_ref()
            .ok_or(Incomplete("an application id"))?;
        Ok(Self {
            application: application.try_into()?,
            attempt: id.attempt_id(),
        })
    }
}

impl TryFrom<&proto::ContainerId> for ContainerId {
    type Error = Incomplete;

    fn try_from(id: &proto::ContainerId) -> Result<Self, Incomplete> {
        let attempt = id
            .app_attempt_id
            .as_ref()
            .ok_or(Incomplete("an attempt id"))?;
        Ok(Self {
            attempt: attempt.try_into()?,
            id: id.id(),
        })
    }
}

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
    fn container_ids_with_and_without_epoch() {
        for (text, epoch, sequence) in [
            ("container_1700000000000_0007_01_000002", 0, 2),
            ("container_e02_1700000000000_0007_01_000002", 2, 2),
            (
                "container_e117_1700000000000_12345_11_1234567",
                117,
                1_234_567,
            ),
        ] {
            let id: ContainerId = text.parse().unwrap();
            assert_eq!((id.epoch(), id.sequence()), (epoch, sequence));
            assert_eq!(id.to_string(), text);
            assert_eq!(ContainerId::try_from(&proto::ContainerId::from(id)), Ok(id));
        }
        let plain: ContainerId = "container_1_0001_01_000002".parse().unwrap();
        let later: ContainerId = "container_e01_1_0001_01_000002".parse().unwrap();
        assert_ne!(plain, later);
    }

    #[test]
    fn application_and_attempt_ids() {
        let attempt: ApplicationAttemptId = "appattempt_1700000000000_0042_000003".parse().unwrap();
        assert_eq!(
            attempt.application.to_string(),
            "application_1700000000000_0042"
        );
        assert_eq!(attempt.to_string(), "appattempt_1700000000000_0042_000003");
        let json = serde_json::to_string(&attempt.application).unwrap();
        assert_eq!(json, "\"application_1700000000000_0042\"");
        assert_eq!(
            serde_json::from_str::<ApplicationId>(&json).unwrap(),
            attempt.application
        );
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "application_1",
            "application_1_x",
            "application_-1_0001",
            "application_1_99999999999",
        ] {
            assert!(text.parse::<ApplicationId>().is_err(), "{text}");
        }
        for text in [
            "container_1_1_1",
            "container_x01_1_1_1_1",
            "container_e_1_1_1_1",
            "container_e1_1_1_1_9999999999999",
            "container_e99999999_1_1_1_1",
            "container_1_1_1_1_1_1_1",
        ] {
            assert!(text.parse::<ContainerId>().is_err(), "{text}");
        }
    }

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
