//! Records shared by the YARN protocols: ids, resources, containers, nodes.

use bytes::Bytes;

use crate::rpc::proto::Token;

/// Life of a container as its NodeManager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerState {
    /// Wire name `C_NEW`.
    New = 1,
    /// Wire name `C_RUNNING`.
    Running = 2,
    /// Wire name `C_COMPLETE`.
    Complete = 3,
}

/// Finer state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerSubState {
    /// Wire name `CSS_SCHEDULED`.
    Scheduled = 1,
    /// Wire name `CSS_RUNNING`.
    Running = 2,
    /// Wire name `CSS_PAUSED`.
    Paused = 3,
    /// Wire name `CSS_COMPLETING`.
    Completing = 4,
    /// Wire name `CSS_DONE`.
    Done = 5,
}

/// Guaranteed or opportunistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ExecutionType {
    /// Wire name `GUARANTEED`.
    Guaranteed = 1,
    /// Wire name `OPPORTUNISTIC`.
    Opportunistic = 2,
}

/// State of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NodeState {
    /// Wire name `NS_NEW`.
    New = 1,
    /// Wire name `NS_RUNNING`.
    Running = 2,
    /// Wire name `NS_UNHEALTHY`.
    Unhealthy = 3,
    /// Wire name `NS_DECOMMISSIONED`.
    Decommissioned = 4,
    /// Wire name `NS_LOST`.
    Lost = 5,
    /// Wire name `NS_REBOOTED`.
    Rebooted = 6,
    /// Wire name `NS_DECOMMISSIONING`.
    Decommissioning = 7,
    /// Wire name `NS_SHUTDOWN`.
    Shutdown = 8,
}

/// Why a node is mentioned in an allocate response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum NodeUpdateType {
    /// Wire name `NODE_USABLE`.
    NodeUsable = 0,
    /// Wire name `NODE_UNUSABLE`.
    NodeUnusable = 1,
    /// Wire name `NODE_DECOMMISSIONING`.
    NodeDecommissioning = 2,
}

/// Kind of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ResourceTypes {
    /// Wire name `COUNTABLE`.
    Countable = 0,
}

/// How an application says it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FinalApplicationStatus {
    /// Wire name `APP_UNDEFINED`.
    Undefined = 0,
    /// Wire name `APP_SUCCEEDED`.
    Succeeded = 1,
    /// Wire name `APP_FAILED`.
    Failed = 2,
    /// Wire name `APP_KILLED`.
    Killed = 3,
    /// Wire name `APP_ENDED`.
    Ended = 4,
}

/// State of an application in the ResourceManager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum YarnApplicationState {
    /// Wire name `NEW`.
    New = 1,
    /// Wire name `NEW_SAVING`.
    NewSaving = 2,
    /// Wire name `SUBMITTED`.
    Submitted = 3,
    /// Wire name `ACCEPTED`.
    Accepted = 4,
    /// Wire name `RUNNING`.
    Running = 5,
    /// Wire name `FINISHED`.
    Finished = 6,
    /// Wire name `FAILED`.
    Failed = 7,
    /// Wire name `KILLED`.
    Killed = 8,
}

/// What an access list governs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ApplicationAccessType {
    /// Wire name `APPACCESS_VIEW_APP`.
    ViewApp = 1,
    /// Wire name `APPACCESS_MODIFY_APP`.
    ModifyApp = 2,
}

/// Application id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationId {
    #[prost(int32, optional, tag = "1")]
    pub id: Option<i32>,
    #[prost(int64, optional, tag = "2")]
    pub cluster_timestamp: Option<i64>,
}

/// Attempt id.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationAttemptId {
    #[prost(message, optional, tag = "1")]
    pub application_id: Option<ApplicationId>,
    #[prost(int32, optional, tag = "2")]
    pub attempt_id: Option<i32>,
}

/// Container id; servers leave `app_id` empty. The upper bits of `id` are the epoch of the ResourceManager.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerId {
    #[prost(message, optional, tag = "1")]
    pub app_id: Option<ApplicationId>,
    #[prost(message, optional, tag = "2")]
    pub app_attempt_id: Option<ApplicationAttemptId>,
    #[prost(int64, optional, tag = "3")]
    pub id: Option<i64>,
}

/// Address of a NodeManager.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeId {
    #[prost(string, optional, tag = "1")]
    pub host: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub port: Option<i32>,
}

/// Smaller numbers are more urgent.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Priority {
    #[prost(int32, optional, tag = "1")]
    pub priority: Option<i32>,
}

/// Memory in MiB and virtual cores; the map carries only further types.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    #[prost(int64, optional, tag = "1")]
    pub memory: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    pub virtual_cores: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    pub resource_value_map: Vec<ResourceInformation>,
}

/// An amount of a further resource type.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceInformation {
    #[prost(string, required, tag = "1")]
    pub key: String,
    #[prost(int64, optional, tag = "2")]
    pub value: Option<i64>,
    #[prost(string, optional, tag = "3")]
    pub units: Option<String>,
    #[prost(enumeration = "ResourceTypes", optional, tag = "4")]
    pub r#type: Option<i32>,
}

/// A resource type of the cluster.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceTypeInfo {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(string, optional, tag = "2")]
    pub units: Option<String>,
    #[prost(enumeration = "ResourceTypes", optional, tag = "3")]
    pub r#type: Option<i32>,
}

/// A URL in parts; a port of -1 means none.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Url {
    #[prost(string, optional, tag = "1")]
    pub scheme: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub host: Option<String>,
    #[prost(int32, optional, tag = "3")]
    pub port: Option<i32>,
    #[prost(string, optional, tag = "4")]
    pub file: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub user_info: Option<String>,
}

/// Map entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringMap {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Map entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringBytesMap {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub value: Option<Bytes>,
}

/// A Java exception inside an otherwise successful response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SerializedException {
    #[prost(string, optional, tag = "1")]
    pub message: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub trace: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub class_name: Option<String>,
    #[prost(message, boxed, optional, tag = "4")]
    pub cause: Option<Box<SerializedException>>,
}

/// An allocated container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Container {
    #[prost(message, optional, tag = "1")]
    pub id: Option<ContainerId>,
    #[prost(message, optional, tag = "2")]
    pub node_id: Option<NodeId>,
    #[prost(string, optional, tag = "3")]
    pub node_http_address: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub resource: Option<Resource>,
    #[prost(message, optional, tag = "5")]
    pub priority: Option<Priority>,
    #[prost(message, optional, tag = "6")]
    pub container_token: Option<Token>,
    #[prost(
        enumeration = "ExecutionType",
        optional,
        tag = "7",
        default = "Guaranteed"
    )]
    pub execution_type: Option<i32>,
    #[prost(int64, optional, tag = "8", default = "-1")]
    pub allocation_request_id: Option<i64>,
    #[prost(int32, optional, tag = "9")]
    pub version: Option<i32>,
    #[prost(string, repeated, tag = "10")]
    pub allocation_tags: Vec<String>,
    #[prost(string, optional, tag = "11")]
    pub exposed_ports: Option<String>,
}

/// State and, when finished, exit status of a container.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ContainerStatus {
    #[prost(message, optional, tag = "1")]
    pub container_id: Option<ContainerId>,
    #[prost(enumeration = "ContainerState", optional, tag = "2")]
    pub state: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub diagnostics: Option<String>,
    #[prost(int32, optional, tag = "4", default = "-1000")]
    pub exit_status: Option<i32>,
    #[prost(message, optional, tag = "5")]
    pub capability: Option<Resource>,
    #[prost(
        enumeration = "ExecutionType",
        optional,
        tag = "6",
        default = "Guaranteed"
    )]
    pub execution_type: Option<i32>,
    #[prost(message, repeated, tag = "7")]
    pub container_attributes: Vec<StringStringMap>,
    #[prost(enumeration = "ContainerSubState", optional, tag = "8")]
    pub container_sub_state: Option<i32>,
}

/// Report about a node.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeReport {
    #[prost(message, optional, tag = "1")]
    pub node_id: Option<NodeId>,
    #[prost(string, optional, tag = "2")]
    pub http_address: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub rack_name: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub used: Option<Resource>,
    #[prost(message, optional, tag = "5")]
    pub capability: Option<Resource>,
    #[prost(int32, optional, tag = "6")]
    pub num_containers: Option<i32>,
    #[prost(enumeration = "NodeState", optional, tag = "7")]
    pub node_state: Option<i32>,
    #[prost(string, optional, tag = "8")]
    pub health_report: Option<String>,
    #[prost(int64, optional, tag = "9")]
    pub last_health_report_time: Option<i64>,
    #[prost(string, repeated, tag = "10")]
    pub node_labels: Vec<String>,
    #[prost(uint32, optional, tag = "13")]
    pub decommissioning_timeout: Option<u32>,
    #[prost(enumeration = "NodeUpdateType", optional, tag = "14")]
    pub node_update_type: Option<i32>,
}

/// Access list entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ApplicationAclMap {
    #[prost(enumeration = "ApplicationAccessType", optional, tag = "1")]
    pub access_type: Option<i32>,
    #[prost(string, optional, tag = "2")]
    pub acl: Option<String>,
}
