//! Token identifiers the daemons issue; only ever decoded here.

use super::records::*;

/// Identifier inside an AMRM token.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AmRmTokenIdentifier {
    #[prost(message, optional, tag = "1")]
    pub app_attempt_id: Option<ApplicationAttemptId>,
    #[prost(int32, optional, tag = "2", default = "-1")]
    pub key_id: Option<i32>,
}

/// Identifier inside an NM token.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NmTokenIdentifier {
    #[prost(message, optional, tag = "1")]
    pub app_attempt_id: Option<ApplicationAttemptId>,
    #[prost(message, optional, tag = "2")]
    pub node_id: Option<NodeId>,
    #[prost(string, optional, tag = "3")]
    pub app_submitter: Option<String>,
    #[prost(int32, optional, tag = "4", default = "-1")]
    pub key_id: Option<i32>,
}
