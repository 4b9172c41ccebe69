//! Messages of the RPC layer itself (package `hadoop.common`): headers, connection context, SASL.
//! Field numbers are those compiled into Hadoop 3.4.2; unknown fields are ignored.

use bytes::Bytes;

/// How the call body is serialized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RpcKind {
    /// Wire name `RPC_BUILTIN`.
    RpcBuiltin = 0,
    /// Wire name `RPC_WRITABLE`.
    RpcWritable = 1,
    /// Wire name `RPC_PROTOCOL_BUFFER`.
    RpcProtocolBuffer = 2,
}

/// What the frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Operation {
    /// Wire name `RPC_FINAL_PACKET`.
    RpcFinalPacket = 0,
    /// Wire name `RPC_CONTINUATION_PACKET`.
    RpcContinuationPacket = 1,
    /// Wire name `RPC_CLOSE_CONNECTION`.
    RpcCloseConnection = 2,
}

/// Whether the call, or the whole connection, succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RpcStatus {
    /// Wire name `SUCCESS`.
    Success = 0,
    /// Wire name `ERROR`.
    Error = 1,
    /// Wire name `FATAL`.
    Fatal = 2,
}

/// The server's own classification of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RpcErrorCode {
    /// Wire name `ERROR_APPLICATION`.
    ErrorApplication = 1,
    /// Wire name `ERROR_NO_SUCH_METHOD`.
    ErrorNoSuchMethod = 2,
    /// Wire name `ERROR_NO_SUCH_PROTOCOL`.
    ErrorNoSuchProtocol = 3,
    /// Wire name `ERROR_RPC_SERVER`.
    ErrorRpcServer = 4,
    /// Wire name `ERROR_SERIALIZING_RESPONSE`.
    ErrorSerializingResponse = 5,
    /// Wire name `ERROR_RPC_VERSION_MISMATCH`.
    ErrorRpcVersionMismatch = 6,
    /// Wire name `FATAL_UNKNOWN`.
    FatalUnknown = 10,
    /// Wire name `FATAL_UNSUPPORTED_SERIALIZATION`.
    FatalUnsupportedSerialization = 11,
    /// Wire name `FATAL_INVALID_RPC_HEADER`.
    FatalInvalidRpcHeader = 12,
    /// Wire name `FATAL_DESERIALIZING_REQUEST`.
    FatalDeserializingRequest = 13,
    /// Wire name `FATAL_VERSION_MISMATCH`.
    FatalVersionMismatch = 14,
    /// Wire name `FATAL_UNAUTHORIZED`.
    FatalUnauthorized = 15,
}

/// Step of the SASL exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SaslState {
    /// Wire name `SUCCESS`.
    Success = 0,
    /// Wire name `NEGOTIATE`.
    Negotiate = 1,
    /// Wire name `INITIATE`.
    Initiate = 2,
    /// Wire name `CHALLENGE`.
    Challenge = 3,
    /// Wire name `RESPONSE`.
    Response = 4,
    /// Wire name `WRAP`.
    Wrap = 5,
}

/// Header of every frame the client sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RpcRequestHeader {
    #[prost(enumeration = "RpcKind", optional, tag = "1")]
    pub rpc_kind: Option<i32>,
    #[prost(enumeration = "Operation", optional, tag = "2")]
    pub rpc_op: Option<i32>,
    #[prost(sint32, required, tag = "3")]
    pub call_id: i32,
    #[prost(bytes = "bytes", required, tag = "4")]
    pub client_id: Bytes,
    #[prost(sint32, optional, tag = "5", default = "-1")]
    pub retry_count: Option<i32>,
}

/// Header of every frame the server sends. `call_id` is unsigned on the wire, so -33 arrives as 4294967263.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RpcResponseHeader {
    #[prost(uint32, required, tag = "1")]
    pub call_id: u32,
    #[prost(enumeration = "RpcStatus", required, tag = "2")]
    pub status: i32,
    #[prost(uint32, optional, tag = "3")]
    pub server_ipc_version_num: Option<u32>,
    #[prost(string, optional, tag = "4")]
    pub exception_class_name: Option<String>,
    #[prost(string, optional, tag = "5")]
    pub error_msg: Option<String>,
    #[prost(enumeration = "RpcErrorCode", optional, tag = "6")]
    pub error_detail: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub client_id: Option<Bytes>,
    #[prost(sint32, optional, tag = "8", default = "-1")]
    pub retry_count: Option<i32>,
}

/// One step of the SASL exchange, or wrapped data after it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RpcSasl {
    #[prost(uint32, optional, tag = "1")]
    pub version: Option<u32>,
    #[prost(enumeration = "SaslState", required, tag = "2")]
    pub state: i32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub token: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub auths: Vec<SaslAuth>,
}

/// An authentication method the server offers. The absent and the empty string differ here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SaslAuth {
    #[prost(string, required, tag = "1")]
    pub method: String,
    #[prost(string, required, tag = "2")]
    pub mechanism: String,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub server_id: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub challenge: Option<Bytes>,
}

/// Who the client says it is (SIMPLE only).
#[derive(Clone, PartialEq, prost::Message)]
pub struct UserInformation {
    #[prost(string, optional, tag = "1")]
    pub effective_user: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub real_user: Option<String>,
}

/// Sent once per connection, after authentication.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IpcConnectionContext {
    #[prost(message, optional, tag = "2")]
    pub user_info: Option<UserInformation>,
    #[prost(string, optional, tag = "3")]
    pub protocol: Option<String>,
}

/// Names the method of a call.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestHeader {
    #[prost(string, required, tag = "1")]
    pub method_name: String,
    #[prost(string, required, tag = "2")]
    pub declaring_class_protocol_name: String,
    #[prost(uint64, required, tag = "3")]
    pub client_protocol_version: u64,
}

/// A Hadoop security token.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Token {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub identifier: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub password: Bytes,
    #[prost(string, required, tag = "3")]
    pub kind: String,
    #[prost(string, required, tag = "4")]
    pub service: String,
}

/// Body of a token file of format 1.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Credentials {
    #[prost(message, repeated, tag = "1")]
    pub tokens: Vec<CredentialsKv>,
    #[prost(message, repeated, tag = "2")]
    pub secrets: Vec<CredentialsKv>,
}

/// One token or one secret of a token file of format 1.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct CredentialsKv {
    #[prost(string, required, tag = "1")]
    pub alias: String,
    #[prost(message, optional, tag = "2")]
    pub token: Option<Token>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub secret: Option<Bytes>,
}

// Passwords and secrets must not end up in logs.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CredentialsKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsKv")
            .field("alias", &self.alias)
            .finish_non_exhaustive()
    }
}
