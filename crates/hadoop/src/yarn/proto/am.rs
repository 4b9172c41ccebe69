//! Messages of `ApplicationMasterProtocol`: register, allocate, finish.

use bytes::Bytes;

use super::records::*;
use crate::rpc::proto::Token;

/// Command to the ApplicationMaster; obsolete, exceptions took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AmCommand {
    /// Wire name `AM_RESYNC`.
    Resync = 1,
    /// Wire name `AM_SHUTDOWN`.
    Shutdown = 2,
}

/// How a running container is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ContainerUpdateType {
    /// Wire name `INCREASE_RESOURCE`.
    IncreaseResource = 0,
    /// Wire name `DECREASE_RESOURCE`.
    DecreaseResource = 1,
    /// Wire name `PROMOTE_EXECUTION_TYPE`.
    PromoteExecutionType = 2,
    /// Wire name `DEMOTE_EXECUTION_TYPE`.
    DemoteExecutionType = 3,
}

/// Request of `registerApplicationMaster`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterApplicationMasterRequest {
    #[prost(string, optional, tag = "1")]
    pub host: Option<String>,
    #[prost(int32, optional, tag = "2")]
    pub rpc_port: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub tracking_url: Option<String>,
}

/// Response of `registerApplicationMaster`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RegisterApplicationMasterResponse {
    #[prost(message, optional, tag = "1")]
    pub maximum_capability: Option<Resource>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub client_to_am_token_master_key: Option<Bytes>,
    #[prost(message, repeated, tag = "3")]
    pub application_acls: Vec<ApplicationAclMap>,
    #[prost(message, repeated, tag = "4")]
    pub containers_from_previous_attempts: Vec<Container>,
    #[prost(string, optional, tag = "5")]
    pub queue: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub nm_tokens_from_previous_attempts: Vec<NmToken>,
    #[prost(message, repeated, tag = "9")]
    pub resource_types: Vec<ResourceTypeInfo>,
}

/// Request of `finishApplicationMaster`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FinishApplicationMasterRequest {
    #[prost(string, optional, tag = "1")]
    pub diagnostics: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub tracking_url: Option<String>,
    #[prost(enumeration = "FinalApplicationStatus", optional, tag = "3")]
    pub final_application_status: Option<i32>,
}

/// Response of `finishApplicationMaster`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FinishApplicationMasterResponse {
    #[prost(bool, optional, tag = "1")]
    pub is_unregistered: Option<bool>,
}

/// Request of `allocate`, which is also the heartbeat.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AllocateRequest {
    #[prost(message, repeated, tag = "1")]
    pub ask: Vec<ResourceRequest>,
    #[prost(message, repeated, tag = "2")]
    pub release: Vec<ContainerId>,
    #[prost(message, optional, tag = "3")]
    pub blacklist_request: Option<ResourceBlacklistRequest>,
    #[prost(int32, optional, tag = "4")]
    pub response_id: Option<i32>,
    #[prost(float, optional, tag = "5")]
    pub progress: Option<f32>,
    #[prost(string, optional, tag = "11")]
    pub tracking_url: Option<String>,
}

/// Response of `allocate`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AllocateResponse {
    #[prost(enumeration = "AmCommand", optional, tag = "1")]
    pub a_m_command: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    pub response_id: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    pub allocated_containers: Vec<Container>,
    #[prost(message, repeated, tag = "4")]
    pub completed_container_statuses: Vec<ContainerStatus>,
    #[prost(message, optional, tag = "5")]
    pub limit: Option<Resource>,
    #[prost(message, repeated, tag = "6")]
    pub updated_nodes: Vec<NodeReport>,
    #[prost(int32, optional, tag = "7")]
    pub num_cluster_nodes: Option<i32>,
    #[prost(message, optional, tag = "8")]
    pub preempt: Option<PreemptionMessage>,
    #[prost(message, repeated, tag = "9")]
    pub nm_tokens: Vec<NmToken>,
    #[prost(message, optional, tag = "12")]
    pub am_rm_token: Option<Token>,
    #[prost(message, optional, tag = "13")]
    pub application_priority: Option<Priority>,
    #[prost(message, repeated, tag = "16")]
    pub updated_containers: Vec<UpdatedContainer>,
    #[prost(message, repeated, tag = "17")]
    pub containers_from_previous_attempts: Vec<Container>,
}

/// One ask: replaces the outstanding number for its key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceRequest {
    #[prost(message, optional, tag = "1")]
    pub priority: Option<Priority>,
    #[prost(string, optional, tag = "2")]
    pub resource_name: Option<String>,
    #[prost(message, optional, tag = "3")]
    pub capability: Option<Resource>,
    #[prost(int32, optional, tag = "4")]
    pub num_containers: Option<i32>,
    #[prost(bool, optional, tag = "5", default = "true")]
    pub relax_locality: Option<bool>,
    #[prost(string, optional, tag = "6")]
    pub node_label_expression: Option<String>,
    #[prost(int64, optional, tag = "8", default = "-1")]
    pub allocation_request_id: Option<i64>,
}

/// Changes of the list of avoided nodes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceBlacklistRequest {
    #[prost(string, repeated, tag = "1")]
    pub blacklist_additions: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub blacklist_removals: Vec<String>,
}

/// A container whose resources changed.
#[derive(Clone, PartialEq, prost::Message)]
pub struct UpdatedContainer {
    #[prost(enumeration = "ContainerUpdateType", required, tag = "1")]
    pub update_type: i32,
    #[prost(message, required, tag = "2")]
    pub container: Container,
}

/// Permission to talk to one NodeManager.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NmToken {
    #[prost(message, optional, tag = "1")]
    pub node_id: Option<NodeId>,
    #[prost(message, optional, tag = "2")]
    pub token: Option<Token>,
}

/// Containers the ResourceManager wants back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreemptionMessage {
    #[prost(message, optional, tag = "1")]
    pub strict_contract: Option<StrictPreemptionContract>,
    #[prost(message, optional, tag = "2")]
    pub contract: Option<PreemptionContract>,
}

/// Containers that will be killed in any case.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StrictPreemptionContract {
    #[prost(message, repeated, tag = "1")]
    pub container: Vec<PreemptionContainer>,
}

/// Resources that may be given back by choice.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreemptionContract {
    #[prost(message, repeated, tag = "1")]
    pub resource: Vec<PreemptionResourceRequest>,
    #[prost(message, repeated, tag = "2")]
    pub container: Vec<PreemptionContainer>,
}

/// A container named for preemption.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreemptionContainer {
    #[prost(message, optional, tag = "1")]
    pub id: Option<ContainerId>,
}

/// Resources named for preemption.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PreemptionResourceRequest {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<ResourceRequest>,
}
