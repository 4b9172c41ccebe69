//! The ResourceManager's REST interface: submit, watch and kill applications. Tries every configured address, so
//! standbys and dead ResourceManagers are passed over.

mod types;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode, header, redirect};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use types::{
    ApplicationFilter, ApplicationReport, ApplicationState, ClusterInfo, NewApplication,
    NodeReport, SubmissionContext,
};

use super::launch::LaunchError;
use super::types::{ApplicationId, Resource};
use crate::conf::{ConfError, HadoopConf, HostPort, RmService};

const BASE: &str = "/ws/v1/cluster";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The configuration does not say where the ResourceManager is.
    #[error("finding the ResourceManager's web address")]
    Conf(#[from] ConfError),
    /// The HTTP client cannot be made.
    #[error("preparing the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The launch context cannot work.
    #[error("preparing the submission")]
    Launch(#[from] LaunchError),
    /// No address led to an active ResourceManager.
    #[error("{doing}: no active ResourceManager found ({tried})")]
    Unreachable {
        /// What was being done.
        doing: String,
        /// Each address with what happened.
        tried: String,
    },
    /// There is no such application.
    #[error("{doing}: the ResourceManager does not know {id}")]
    NotFound {
        /// What was being done.
        doing: String,
        /// The application.
        id: ApplicationId,
    },
    /// The ResourceManager said no.
    #[error("{doing}: the ResourceManager answered {status}: {message}")]
    Rejected {
        /// What was being done.
        doing: String,
        /// HTTP status.
        status: u16,
        /// Its reason.
        message: String,
    },
    /// The answer is not what it should be.
    #[error("{doing}: the ResourceManager's answer is not understood: {reason}")]
    Malformed {
        /// What was being done.
        doing: String,
        /// What is wrong.
        reason: String,
    },
}

/// Client of one or several ResourceManagers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ResourceManagerRest {
    http: reqwest::Client,
    servers: Vec<HostPort>,
    /// Index of the server that answered last.
    current: Arc<AtomicUsize>,
    user: String,
}

struct Answer {
    status: StatusCode,
    body: String,
}

/// One try on one server.
enum Try {
    Answered(Answer),
    /// Not the active one, and who it says is.
    Standby(Option<HostPort>),
    Failed(String),
}

impl ResourceManagerRest {
    /// A client acting as `user`, who will own what it submits.
    pub fn new(conf: &HadoopConf, user: impl Into<String>) -> Result<Self, RestError> {
        let servers = conf.resource_managers(RmService::Web)?;
        Self::with_servers(
            servers.into_iter().map(|server| server.address).collect(),
            user,
        )
    }

    /// A client of these web addresses.
    pub fn with_servers(
        servers: Vec<HostPort>,
        user: impl Into<String>,
    ) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            // A standby redirects by a name that may not be reachable from here; see `send`.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(RestError::Client)?;
        Ok(Self {
            http,
            servers,
            current: Arc::default(),
            user: user.into(),
        })
    }

    /// The user it acts as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Reserves an application id.
    pub async fn new_application(&self) -> Result<NewApplication, RestError> {
        let doing = "asking for a new application";
        let value: Value = self
            .json(doing, Method::POST, "/apps/new-application", &[], None)
            .await?;
        let malformed = |reason: &str| RestError::Malformed {
            doing: doing.to_owned(),
            reason: reason.to_owned(),
        };
        let id = value
            .get("application-id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let maximum = value
            .get("maximum-resource-capability")
            .unwrap_or(&Value::Null);
        let number = |key: &str| maximum.get(key).and_then(Value::as_i64);
        Ok(NewApplication {
            id: id.parse().map_err(|_| malformed("no application id"))?,
            max_capability: Resource {
                memory_mb: number("memory").ok_or_else(|| malformed("no maximum memory"))?,
                vcores: number("vCores")
                    .and_then(|n| i32::try_from(n).ok())
                    .unwrap_or(i32::MAX),
            },
        })
    }

    /// Submits an application. Success means received: an unknown queue or a missing permission shows as state
    /// FAILED in the report a moment later.
    pub async fn submit(&self, submission: &SubmissionContext) -> Result<(), RestError> {
        let doing = format!("submitting {}", submission.id);
        let body = submission.to_json()?;
        let answer = self
            .send(&doing, Method::POST, "/apps", &[], Some(&body))
            .await?;
        if answer.status == StatusCode::ACCEPTED || answer.status == StatusCode::OK {
            return Ok(());
        }
        Err(rejected(&doing, &answer))
    }

    /// The report on an application.
    pub async fn report(&self, id: ApplicationId) -> Result<ApplicationReport, RestError> {
        let doing = format!("asking for the state of {id}");
        let path = format!("/apps/{id}");
        let answer = self.send(&doing, Method::GET, &path, &[], None).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Err(RestError::NotFound { doing, id });
        }
        let value: Value = parse(&doing, &answer)?;
        from_value(&doing, value.get("app").unwrap_or(&Value::Null))
    }

    /// Asks to kill an application; returns whether it has ended already. Poll the report, or repeat.
    pub async fn kill(&self, id: ApplicationId, reason: &str) -> Result<bool, RestError> {
        let doing = format!("killing {id}");
        let path = format!("/apps/{id}/state");
        let body = json!({"state": "KILLED", "diagnostics": reason});
        let answer = self
            .send(&doing, Method::PUT, &path, &[], Some(&body))
            .await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::ACCEPTED => Ok(false),
            StatusCode::NOT_FOUND => Err(RestError::NotFound { doing, id }),
            _ => Err(rejected(&doing, &answer)),
        }
    }

    /// State and version of the ResourceManager, even of a standby.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, RestError> {
        let doing = "asking for the state of the cluster";
        let value: Value = self.json(doing, Method::GET, "/info", &[], None).await?;
        from_value(doing, value.get("clusterInfo").unwrap_or(&Value::Null))
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeReport>, RestError> {
        let doing = "listing the nodes";
        let value: Value = self.json(doing, Method::GET, "/nodes", &[], None).await?;
        types::elements(&value, "nodes", "node")
            .into_iter()
            .map(|node| from_value(doing, node))
            .collect()
    }

    /// Applications that match the filter.
    pub async fn applications(
        &self,
        filter: &ApplicationFilter,
    ) -> Result<Vec<ApplicationReport>, RestError> {
        let doing = "listing applications";
        let states: Vec<_> = filter
            .states
            .iter()
            .map(|state| state.name().to_owned())
            .collect();
        let mut query = Vec::new();
        for (key, values) in [
            ("user", &filter.user.iter().cloned().collect()),
            ("states", &states),
            ("applicationTags", &filter.tags),
            ("applicationTypes", &filter.types),
        ] {
            if !values.is_empty() {
                query.push((key, values.join(",")));
            }
        }
        let value: Value = self.json(doing, Method::GET, "/apps", &query, None).await?;
        types::elements(&value, "apps", "app")
            .into_iter()
            .map(|app| from_value(doing, app))
            .collect()
    }

    /// Names of all queues, leaf and full, or nothing if the scheduler does not list them in a form known here.
    /// A submission to an unknown queue fails only after it was accepted, so checking first gives a better error.
    pub async fn queues(&self) -> Result<Vec<String>, RestError> {
        let doing = "listing the queues";
        let value: Value = self
            .json(doing, Method::GET, "/scheduler", &[], None)
            .await?;
        let info = value
            .get("scheduler")
            .and_then(|value| value.get("schedulerInfo"));
        let mut names = Vec::new();
        if let Some(info) = info {
            collect_queues(info, &mut names);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn json<T: DeserializeOwned>(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<T, RestError> {
        let answer = self.send(doing, method, path, query, body).await?;
        parse(doing, &answer)
    }

    /// Sends to the server that answered last, then to the others, then to whom a standby named.
    async fn send(
        &self,
        doing: &str,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Answer, RestError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        let mut named = None;
        for offset in 0..self.servers.len() {
            let index = (first + offset) % self.servers.len();
            let server = &self.servers[index];
            match self.try_server(server, &method, path, query, body).await {
                Try::Answered(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Try::Standby(active) => {
                    named = active.or(named);
                    tried.push(format!("{server}: standby"));
                }
                Try::Failed(reason) => tried.push(format!("{server}: {reason}")),
            }
        }
        if let Some(server) = named.filter(|server| !self.servers.contains(server)) {
            match self.try_server(&server, &method, path, query, body).await {
                Try::Answered(answer) => return Ok(answer),
                Try::Standby(_) => tried.push(format!("{server}: standby")),
                Try::Failed(reason) => tried.push(format!("{server}: {reason}")),
            }
        }
        Err(RestError::Unreachable {
            doing: doing.to_owned(),
            tried: tried.join("; "),
        })
    }

    async fn try_server(
        &self,
        server: &HostPort,
        method: &Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Try {
        // Without a user the ResourceManager takes us for dr.who.
        let mut url = format!(
            "http://{server}{BASE}{path}?user.name={}",
            percent_encoded(&self.user)
        );
        for (key, value) in query {
            let _ = write!(url, "&{key}={}", percent_encoded(value));
        }
        let mut request = self
            .http
            .request(method.clone(), url)
            .header(header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Try::Failed(innermost(&error)),
        };
        let status = response.status();
        if status == StatusCode::TEMPORARY_REDIRECT {
            let location = response.headers().get(header::LOCATION);
            return Try::Standby(location.and_then(|value| authority(value.to_str().ok()?)));
        }
        match response.text().await {
            Ok(body) => Try::Answered(Answer { status, body }),
            Err(error) => Try::Failed(innermost(&error)),
        }
    }
}

/// The last cause says what happened; the ones above only repeat the URL.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn authority(url: &str) -> Option<HostPort> {
    let rest = url.strip_prefix("http://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    HostPort::parse(&rest[..end], Some(80))
}

fn parse<T: DeserializeOwned>(doing: &str, answer: &Answer) -> Result<T, RestError> {
    if !answer.status.is_success() {
        return Err(rejected(doing, answer));
    }
    serde_json::from_str(&answer.body).map_err(|error| RestError::Malformed {
        doing: doing.to_owned(),
        reason: error.to_string(),
    })
}

fn from_value<T: DeserializeOwned>(doing: &str, value: &Value) -> Result<T, RestError> {
    T::deserialize(value).map_err(|error| RestError::Malformed {
        doing: doing.to_owned(),
        reason: error.to_string(),
    })
}

fn rejected(doing: &str, answer: &Answer) -> RestError {
    let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let message = value
        .get("RemoteException")
        .and_then(|exception| exception.get("message"));
    let message = match message.and_then(Value::as_str) {
        Some(message) => message.lines().next().unwrap_or_default().to_owned(),
        None => answer
            .status
            .canonical_reason()
            .unwrap_or("no reason given")
            .to_owned(),
    };
    RestError::Rejected {
        doing: doing.to_owned(),
        status: answer.status.as_u16(),
        message,
    }
}

/// Capacity scheduler: `queues.queue[]` with `queueName` and `queuePath`. Fair scheduler: `rootQueue` with
/// `childQueues.queue[]`, where the name is the path.
fn collect_queues(info: &Value, names: &mut Vec<String>) {
    for key in ["queueName", "queuePath"] {
        names.extend(info.get(key).and_then(Value::as_str).map(str::to_owned));
    }
    if let Some(root) = info.get("rootQueue") {
        collect_queues(root, names);
    }
    for outer in ["queues", "childQueues"] {
        for queue in types::elements(info, outer, "queue") {
            collect_queues(queue, names);
        }
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
