//! Messages of `ContainerManagementProtocol`: start, stop and inspect containers.

use bytes::Bytes;

use super::records::*;
use crate::rpc::proto::Token;

/// How a localized file is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum LocalResourceType {
    /// Wire name `ARCHIVE`.
    Archive = 1,
    /// Wire name `FILE`.
    File = 2,
    /// Wire name `PATTERN`.
    Pattern = 3,
}

/// Who may share a localized file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum LocalResourceVisibility {
    /// Wire name `PUBLIC`.
    Public = 1,
    /// Wire name `PRIVATE`.
    Private = 2,
    /// Wire name `APPLICATION`.
    Application = 3,
}

/// Signal for a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SignalContainerCommand {
    /// Wire name `OUTPUT_THREAD_DUMP`.
    OutputThreadDump = 1,
    /// Wire name `GRACEFUL_SHUTDOWN`.
    GracefulShutdown = 2,
    /// Wire name `FORCEFUL_SHUTDOWN`.
    ForcefulShutdown = 3,
}

/// Request of `startContainers`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartContainersRequest {
    #[prost(message, repeated, tag = "1")]
    pub start_container_request: Vec<StartContainerRequest>,
}

/// One container to start.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartContainerRequest {
    #[prost(message, optional, tag = "1")]
    pub container_launch_context: Option<ContainerLaunchContext>,
    #[prost(message, optional, tag = "2")]
    pub container_token: Option<Token>,
}

/// Response of `startContainers`; success is per container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StartContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub services_meta_data: Vec<StringBytesMap>,
    #[prost(message, repeated, tag = "2")]
    pub succeeded_requests: Vec<ContainerId>,
    #[prost(message, repeated, tag = "3")]
    pub failed_requests: Vec<ContainerExceptionMap>,
}

/// Why one container failed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerExceptionMap {
    #[prost(message, optional, tag = "1")]
    pub container_id: Option<ContainerId>,
    #[prost(message, optional, tag = "2")]
    pub exception: Option<SerializedException>,
}

/// Request of `stopContainers`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopContainersRequest {
    #[prost(message, repeated, tag = "1")]
    pub container_id: Vec<ContainerId>,
}

/// Response of `stopContainers`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StopContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub succeeded_requests: Vec<ContainerId>,
    #[prost(message, repeated, tag = "2")]
    pub failed_requests: Vec<ContainerExceptionMap>,
}

/// Request of `getContainerStatuses`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetContainerStatusesRequest {
    #[prost(message, repeated, tag = "1")]
    pub container_id: Vec<ContainerId>,
}

/// Response of `getContainerStatuses`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GetContainerStatusesResponse {
    #[prost(message, repeated, tag = "1")]
    pub status: Vec<ContainerStatus>,
    #[prost(message, repeated, tag = "2")]
    pub failed_requests: Vec<ContainerExceptionMap>,
}

/// Request of `signalToContainer`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalContainerRequest {
    #[prost(message, required, tag = "1")]
    pub container_id: ContainerId,
    #[prost(enumeration = "SignalContainerCommand", required, tag = "2")]
    pub command: i32,
}

/// Response of `signalToContainer`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignalContainerResponse {}

/// What a NodeManager needs to run a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerLaunchContext {
    #[prost(message, repeated, tag = "1")]
    pub local_resources: Vec<StringLocalResourceMap>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub tokens: Option<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub service_data: Vec<StringBytesMap>,
    #[prost(message, repeated, tag = "4")]
    pub environment: Vec<StringStringMap>,
    #[prost(string, repeated, tag = "5")]
    pub command: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub application_acls: Vec<ApplicationAclMap>,
    #[prost(bytes = "bytes", optional, tag = "8")]
    pub tokens_conf: Option<Bytes>,
}

/// Map entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringLocalResourceMap {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub value: Option<LocalResource>,
}

/// A file to localize.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LocalResource {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Url>,
    #[prost(int64, optional, tag = "2")]
    pub size: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    pub timestamp: Option<i64>,
    #[prost(enumeration = "LocalResourceType", optional, tag = "4")]
    pub r#type: Option<i32>,
    #[prost(enumeration = "LocalResourceVisibility", optional, tag = "5")]
    pub visibility: Option<i32>,
    #[prost(string, optional, tag = "6")]
    pub pattern: Option<String>,
    #[prost(bool, optional, tag = "7")]
    pub should_be_uploaded_to_shared_cache: Option<bool>,
}
