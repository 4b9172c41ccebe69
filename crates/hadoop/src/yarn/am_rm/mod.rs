//! The ApplicationMaster's side of the ResourceManager: decisions in `protocol`, here only calls, reconnecting and
//! waiting. Runs on one task: never two heartbeats at the same time.

mod protocol;

use std::time::Duration;

use prost::Message;
use tokio::time::Instant;

pub use protocol::{
    AllocateInput, Allocation, AllocationRequestId, AmProtocol, Ask, Command, NodeUpdate,
    Preemption, Registration,
};

use super::nm_tokens::NmTokens;
use super::proto;
use super::types::{Container, Incomplete, NodeId};
use crate::conf::{ConfError, HadoopConf, HostPort, RmService};
use crate::rpc::{Auth, RemoteException, RemoteKind, RpcConnection, RpcError, RpcOptions};
use crate::token::{AMRM_TOKEN_KIND, Credentials, Token};

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB";
/// First pause after every ResourceManager was tried; doubles up to the maximum.
const RETRY_BASE: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Between asking whether the end of the application has been stored.
const FINISH_POLL: Duration = Duration::from_millis(100);

/// Why the ResourceManager could not be worked with.
#[derive(Debug, thiserror::Error)]
pub enum AmError {
    /// The configuration does not say where it is.
    #[error("finding the ResourceManager's scheduler address")]
    Conf(#[from] ConfError),
    /// Not started by YARN.
    #[error(
        "the credentials hold no {AMRM_TOKEN_KIND}: not started by YARN as an ApplicationMaster"
    )]
    NoToken,
    /// The attempt is over or belongs to somebody else: leave at once, without unregistering.
    #[error("the ResourceManager no longer accepts this attempt: {exception}")]
    AttemptOver {
        /// What it said.
        exception: RemoteException,
    },
    /// Asks or releases were rejected; nothing of the heartbeat was applied.
    #[error("the ResourceManager rejected the request for containers: {exception}")]
    Rejected {
        /// What it said.
        exception: RemoteException,
    },
    /// No ResourceManager answered for as long as the cluster's configuration says to wait.
    #[error("no ResourceManager answered for {waited:?} (tried {tried})")]
    Unreachable {
        /// How long.
        waited: Duration,
        /// Addresses.
        tried: String,
        /// The last failure.
        #[source]
        source: Box<RpcError>,
    },
    /// Any other failure of a call.
    #[error("calling the ResourceManager")]
    Rpc(#[source] Box<RpcError>),
    /// An answer lacks what it must have.
    #[error("reading the ResourceManager's answer")]
    Incomplete(#[from] Incomplete),
    /// Used in the wrong order.
    #[error("{0}")]
    Order(&'static str),
    /// The end was not stored in time.
    #[error("the ResourceManager did not store the end of the application within {0:?}")]
    NotUnregistered(Duration),
}

impl From<RpcError> for AmError {
    fn from(error: RpcError) -> Self {
        let Some(exception) = error.remote().cloned() else {
            return Self::Rpc(error.into());
        };
        match exception.kind {
            RemoteKind::ApplicationAttemptNotFound
            | RemoteKind::InvalidApplicationMasterRequest
            | RemoteKind::InvalidToken
            | RemoteKind::Sasl => Self::AttemptOver { exception },
            RemoteKind::InvalidResourceRequest | RemoteKind::InvalidContainerRelease => {
                Self::Rejected { exception }
            }
            _ => Self::Rpc(error.into()),
        }
    }
}

/// How an application ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalStatus {
    /// Did what it was for.
    Succeeded,
    /// Did not.
    Failed,
    /// Was told to stop.
    Killed,
}

impl FinalStatus {
    fn to_proto(self) -> proto::FinalApplicationStatus {
        match self {
            Self::Succeeded => proto::FinalApplicationStatus::Succeeded,
            Self::Failed => proto::FinalApplicationStatus::Failed,
            Self::Killed => proto::FinalApplicationStatus::Killed,
        }
    }
}

/// Client of the scheduler port of one or several ResourceManagers.
#[derive(Debug)]
pub struct AmClient {
    core: AmProtocol,
    servers: Vec<HostPort>,
    /// Index of the server in use, or to try next.
    current: usize,
    connection: Option<RpcConnection>,
    options: RpcOptions,
    max_wait: Duration,
    registration: Option<proto::RegisterApplicationMasterRequest>,
    nm_tokens: NmTokens,
    /// Registered again since the last heartbeat that returned normally, and what that brought.
    news: Option<Vec<Container>>,
}

impl AmClient {
    /// A client for the attempt the credentials stand for. Connects with the first call.
    pub fn new(conf: &HadoopConf, credentials: &Credentials) -> Result<Self, AmError> {
        let token = credentials
            .token_of_kind(AMRM_TOKEN_KIND)
            .ok_or(AmError::NoToken)?;
        let servers = conf.resource_managers(RmService::Scheduler)?;
        let max_wait = conf.duration_ms("yarn.resourcemanager.connect.max-wait.ms", 900_000)?;
        Ok(Self {
            core: AmProtocol::new(token.clone()),
            servers: servers.into_iter().map(|server| server.address).collect(),
            current: 0,
            connection: None,
            options: RpcOptions::from_conf(conf)?,
            max_wait: Duration::from_millis(max_wait),
            registration: None,
            nm_tokens: NmTokens::default(),
            news: None,
        })
    }

    /// Registers the attempt. `tracking_url` is where the web proxy forwards to; `rpc_port` may be -1.
    pub async fn register(
        &mut self,
        host: &str,
        rpc_port: i32,
        tracking_url: &str,
    ) -> Result<Registration, AmError> {
        let request = proto::RegisterApplicationMasterRequest {
            host: Some(host.to_owned()),
            rpc_port: Some(rpc_port),
            tracking_url: Some(tracking_url.to_owned()),
        };
        let response = self.call(REGISTER, &request).await?;
        self.registration = Some(request);
        let registration = self.core.on_registered(response)?;
        self.nm_tokens.extend(&registration.nm_tokens);
        Ok(registration)
    }

    /// One heartbeat. Waits through restarts and failovers of the ResourceManager, registering again if needed.
    /// Dropping the future is safe: the next heartbeat repeats the request.
    pub async fn allocate(&mut self, input: &AllocateInput) -> Result<Allocation, AmError> {
        loop {
            let request = self.core.next_request(input);
            match self
                .call::<_, proto::AllocateResponse>("allocate", &request)
                .await
            {
                Ok(response) => {
                    let (mut allocation, command) = self.core.on_response(response)?;
                    self.nm_tokens.extend(&allocation.nm_tokens);
                    match command {
                        Some(Command::Shutdown) => return Err(shut_down()),
                        Some(Command::Resync) => self.register_again().await?,
                        None => {}
                    }
                    if let Some(containers) = self.news.take() {
                        allocation.reregistered = true;
                        allocation.previous.extend(containers);
                    }
                    return Ok(allocation);
                }
                Err(AmError::Rpc(error)) if is_not_registered(&error) => {
                    self.register_again().await?
                }
                Err(AmError::Rejected { exception }) => {
                    self.core
                        .on_rejected(exception.kind == RemoteKind::InvalidContainerRelease);
                    return Err(AmError::Rejected { exception });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the end of the application and waits until the ResourceManager has stored it, so that no further
    /// attempt is started. `tracking_url` is where the proxy redirects to from then on.
    pub async fn finish(
        &mut self,
        status: FinalStatus,
        diagnostics: &str,
        tracking_url: &str,
    ) -> Result<(), AmError> {
        let request = proto::FinishApplicationMasterRequest {
            diagnostics: Some(diagnostics.to_owned()),
            tracking_url: Some(tracking_url.to_owned()),
            final_application_status: Some(status.to_proto() as i32),
        };
        let start = Instant::now();
        while start.elapsed() < self.max_wait {
            let answer = self
                .call::<_, proto::FinishApplicationMasterResponse>(FINISH, &request)
                .await;
            match answer {
                Ok(response) if response.is_unregistered() => return Ok(()),
                Ok(_) => tokio::time::sleep(FINISH_POLL).await,
                Err(AmError::Rpc(error)) if is_not_registered(&error) => {
                    self.register_again().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(AmError::NotUnregistered(self.max_wait))
    }

    /// The permissions received so far; the handle sees later ones too.
    pub fn nm_tokens(&self) -> NmTokens {
        self.nm_tokens.clone()
    }

    /// Permission for one node.
    pub fn nm_token(&self, node: &NodeId) -> Option<Token> {
        self.nm_tokens.get(node)
    }

    async fn register_again(&mut self) -> Result<(), AmError> {
        let request = self.registration.clone();
        let request = request.ok_or(AmError::Order(
            "the ApplicationMaster has not registered yet",
        ))?;
        tracing::info!(
            "the ResourceManager does not know this attempt as registered: registering again"
        );
        match self.call(REGISTER, &request).await {
            Ok(response) => {
                let registration = self.core.on_registered(response)?;
                self.nm_tokens.extend(&registration.nm_tokens);
                self.news
                    .get_or_insert_default()
                    .extend(registration.previous_containers);
                Ok(())
            }
            // An earlier try got through although its answer was lost. It held nothing we need.
            Err(AmError::AttemptOver { exception })
                if exception.kind == RemoteKind::InvalidApplicationMasterRequest
                    && exception.message.contains("already registered") =>
            {
                self.core.forget_server();
                self.news.get_or_insert_default();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Calls whichever ResourceManager is active, waiting for one if need be.
    async fn call<Q: Message, A: Message + Default>(
        &mut self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, AmError> {
        let start = Instant::now();
        let mut pause = RETRY_BASE;
        let mut failures = 0;
        loop {
            let error = match self.try_call(method, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !error.is_transient() {
                return Err(error.into());
            }
            tracing::debug!(%error, method, "trying again");
            if error.remote_kind() != Some(RemoteKind::RetryLater) {
                self.connection = None;
                self.current = (self.current + 1) % self.servers.len();
            }
            failures += 1;
            if failures % self.servers.len() == 0 {
                if start.elapsed() >= self.max_wait {
                    let tried: Vec<_> = self.servers.iter().map(HostPort::to_string).collect();
                    return Err(AmError::Unreachable {
                        waited: start.elapsed(),
                        tried: tried.join(", "),
                        source: error.into(),
                    });
                }
                tokio::time::sleep(pause).await;
                pause = RETRY_MAX.min(pause * 2);
            }
        }
    }

    async fn try_call<Q: Message, A: Message + Default>(
        &mut self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, RpcError> {
        let connection = match self
            .connection
            .take()
            .filter(|connection| !connection.is_closed())
        {
            Some(connection) => connection,
            None => {
                let auth = Auth::Token(self.core.token().clone());
                RpcConnection::connect(&self.servers[self.current], PROTOCOL, &auth, &self.options)
                    .await?
            }
        };
        self.connection = Some(connection.clone());
        connection.call(method, request).await
    }
}

const REGISTER: &str = "registerApplicationMaster";
const FINISH: &str = "finishApplicationMaster";

fn is_not_registered(error: &RpcError) -> bool {
    error.remote_kind() == Some(RemoteKind::ApplicationMasterNotRegistered)
}

fn shut_down() -> AmError {
    let message = "the ResourceManager told this attempt to shut down";
    AmError::AttemptOver {
        exception: RemoteException::new("AM_SHUTDOWN", message, false),
    }
}

#[cfg(test)]
mod tests;
