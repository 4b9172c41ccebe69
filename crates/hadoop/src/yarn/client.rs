//! `ApplicationClientProtocol` over RPC, for the little REST does not tell. Insecure clusters only.

use prost::Message;

use super::proto;
use super::types::ApplicationId;
use crate::conf::{ConfError, HadoopConf, HostPort, RmService};
use crate::rpc::{Auth, RpcConnection, RpcError, RpcOptions};

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB";

/// Client of the client port of one or several ResourceManagers.
#[derive(Debug, Clone)]
pub struct ApplicationClient {
    servers: Vec<HostPort>,
    user: String,
    options: RpcOptions,
}

impl ApplicationClient {
    /// A client acting as `user`.
    pub fn new(conf: &HadoopConf, user: impl Into<String>) -> Result<Self, ConfError> {
        let servers = conf.resource_managers(RmService::Client)?;
        Ok(Self {
            servers: servers.into_iter().map(|server| server.address).collect(),
            user: user.into(),
            options: RpcOptions::from_conf(conf)?,
        })
    }

    /// The report on an application.
    pub async fn report(
        &self,
        id: ApplicationId,
    ) -> Result<Option<proto::ApplicationReport>, RpcError> {
        let request = proto::GetApplicationReportRequest {
            application_id: Some(id.into()),
        };
        let response: proto::GetApplicationReportResponse =
            self.call("getApplicationReport", &request).await?;
        Ok(response.application_report)
    }

    /// Asks to kill an application; repeat until it returns true.
    pub async fn force_kill(&self, id: ApplicationId, reason: &str) -> Result<bool, RpcError> {
        let request = proto::KillApplicationRequest {
            application_id: Some(id.into()),
            diagnostics: Some(reason.to_owned()),
        };
        let response: proto::KillApplicationResponse =
            self.call("forceKillApplication", &request).await?;
        Ok(response.is_kill_completed())
    }

    /// Asks every server once; standbys do not listen on this port.
    async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, RpcError> {
        let auth = Auth::Simple {
            user: self.user.clone(),
        };
        let mut last = None;
        for server in &self.servers {
            let result = match RpcConnection::connect(server, PROTOCOL, &auth, &self.options).await
            {
                Ok(connection) => connection.call(method, request).await,
                Err(error) => Err(error),
            };
            match result {
                Err(error) if error.is_transient() => last = Some(error),
                result => return result,
            }
        }
        Err(last.expect("there is at least one server"))
    }
}
