//! What goes over the REST interface. Reading is lenient: fields come and go between Hadoop versions, and lists of
//! one element are sometimes an object.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::yarn::launch::{LaunchContext, LaunchError};
use crate::yarn::types::{ApplicationId, Resource};

/// Longest application type the ResourceManager keeps.
const MAX_TYPE: usize = 20;

/// An application to submit.
#[derive(Debug, Clone)]
pub struct SubmissionContext {
    /// From [`super::ResourceManagerRest::new_application`].
    pub id: ApplicationId,
    /// Shown in the web UI.
    pub name: String,
    /// Shown in the web UI; only 20 characters are kept.
    pub application_type: String,
    /// Queue, by its leaf or full name.
    pub queue: String,
    /// Larger numbers are more urgent here, unlike for containers.
    pub priority: Option<i32>,
    /// Attempts before the application fails; the cluster's limit applies too.
    pub max_attempts: u32,
    /// Containers outlive the attempt that started them.
    pub keep_containers: bool,
    /// Failures older than this are forgotten.
    pub failures_validity_ms: Option<u64>,
    /// Size of the ApplicationMaster's container.
    pub resource: Resource,
    /// At most ten; come back in lower case.
    pub tags: Vec<String>,
    /// Partition for the ApplicationMaster and its containers.
    pub node_label: Option<String>,
    /// Log files to aggregate while the application runs, as a Java regular expression.
    pub rolled_log_pattern: Option<String>,
    /// How the ApplicationMaster is started.
    pub launch: LaunchContext,
}

impl SubmissionContext {
    /// A submission with YARN's defaults.
    pub fn new(
        id: ApplicationId,
        name: impl Into<String>,
        resource: Resource,
        launch: LaunchContext,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            application_type: "YARN".to_owned(),
            queue: "default".to_owned(),
            priority: None,
            max_attempts: 1,
            keep_containers: false,
            failures_validity_ms: None,
            resource,
            tags: Vec::new(),
            node_label: None,
            rolled_log_pattern: None,
            launch,
        }
    }

    /// The body of the submission.
    pub fn to_json(&self) -> Result<Value, LaunchError> {
        let kind: String = self.application_type.chars().take(MAX_TYPE).collect();
        let mut body = json!({
            "application-id": self.id,
            "application-name": self.name,
            "application-type": kind,
            "queue": self.queue,
            "max-app-attempts": self.max_attempts,
            "keep-containers-across-application-attempts": self.keep_containers,
            "unmanaged-AM": false,
            "cancel-tokens-when-complete": true,
            "resource": {"memory": self.resource.memory_mb, "vCores": self.resource.vcores},
            "application-tags": {"tag": self.tags},
            "am-container-spec": self.launch.to_json()?,
        });
        if let Some(priority) = self.priority {
            body["priority"] = json!(priority);
        }
        if let Some(interval) = self.failures_validity_ms {
            body["attempt-failures-validity-interval"] = json!(interval);
        }
        if let Some(label) = &self.node_label {
            body["app-node-label-expression"] = json!(label);
            body["am-container-node-label-expression"] = json!(label);
        }
        if let Some(pattern) = &self.rolled_log_pattern {
            body["log-aggregation-context"] = json!({"rolled-log-include-pattern": pattern});
        }
        Ok(body)
    }
}

/// State of an application in the ResourceManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ApplicationState {
    /// Just submitted.
    New,
    /// Being stored.
    NewSaving,
    /// Accepted by the ResourceManager, not yet by the scheduler.
    Submitted,
    /// Waiting for the ApplicationMaster's container.
    Accepted,
    /// The ApplicationMaster has registered.
    Running,
    /// The ApplicationMaster unregistered; see the final status.
    Finished,
    /// Refused, or the ApplicationMaster failed too often.
    Failed,
    /// Killed on request.
    Killed,
    /// A state unknown here.
    Unknown,
}

impl ApplicationState {
    /// Whether nothing will happen any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed)
    }

    /// Name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::NewSaving => "NEW_SAVING",
            Self::Submitted => "SUBMITTED",
            Self::Accepted => "ACCEPTED",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl<'de> Deserialize<'de> for ApplicationState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "NEW" => Self::New,
            "NEW_SAVING" => Self::NewSaving,
            "SUBMITTED" => Self::Submitted,
            "ACCEPTED" => Self::Accepted,
            "RUNNING" => Self::Running,
            "FINISHED" | "FINISHING" => Self::Finished,
            "FAILED" => Self::Failed,
            "KILLED" => Self::Killed,
            _ => Self::Unknown,
        })
    }
}

/// Report on an application.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationReport {
    /// Which one.
    pub id: ApplicationId,
    /// Who the ResourceManager thinks owns it: `dr.who` if it was submitted without a user.
    #[serde(default)]
    pub user: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its queue.
    #[serde(default)]
    pub queue: String,
    /// Its state.
    pub state: ApplicationState,
    /// How it says it ended: `UNDEFINED`, `SUCCEEDED`, `FAILED`, `KILLED`.
    #[serde(default)]
    pub final_status: String,
    /// From 0 to 100.
    #[serde(default)]
    pub progress: f32,
    /// Address through the web proxy.
    #[serde(default)]
    pub tracking_url: Option<String>,
    /// Text of the ResourceManager or ApplicationMaster.
    #[serde(default, deserialize_with = "text_or_nothing")]
    pub diagnostics: String,
    /// Its type.
    #[serde(default)]
    pub application_type: String,
    /// Tags, separated by commas.
    #[serde(default)]
    pub application_tags: String,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub started_time: i64,
    /// Milliseconds since the epoch; 0 while it runs.
    #[serde(default)]
    pub finished_time: i64,
    /// Log page of the ApplicationMaster's container.
    #[serde(default)]
    pub am_container_logs: Option<String>,
    /// Web address of the node of the ApplicationMaster.
    #[serde(default)]
    pub am_host_http_address: Option<String>,
    /// `host:port` the ApplicationMaster registered with.
    #[serde(default, rename = "amRPCAddress")]
    pub am_rpc_address: Option<String>,
}

/// State of the ResourceManager.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// For example `STARTED`.
    #[serde(default)]
    pub state: String,
    /// `ACTIVE` or `STANDBY`.
    #[serde(default)]
    pub ha_state: String,
    /// Version of Hadoop.
    #[serde(default)]
    pub hadoop_version: String,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeReport {
    /// `host:port`.
    pub id: String,
    /// For example `RUNNING`.
    #[serde(default)]
    pub state: String,
    /// Host name.
    #[serde(default, rename = "nodeHostName")]
    pub host: String,
    /// `host:port` of its web pages.
    #[serde(default, rename = "nodeHTTPAddress")]
    pub http_address: String,
    /// Containers on it.
    #[serde(default, rename = "numContainers")]
    pub containers: u32,
    /// Memory in use, MiB.
    #[serde(default, rename = "usedMemoryMB")]
    pub used_memory_mb: i64,
    /// Memory free, MiB.
    #[serde(default, rename = "availMemoryMB")]
    pub available_memory_mb: i64,
}

/// Which applications to list. Empty lists mean no restriction.
#[derive(Debug, Clone, Default)]
pub struct ApplicationFilter {
    /// Owner.
    pub user: Option<String>,
    /// States.
    pub states: Vec<ApplicationState>,
    /// Tags, in lower case; one is enough.
    pub tags: Vec<String>,
    /// Types.
    pub types: Vec<String>,
}

/// What a new application may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewApplication {
    /// Reserved id.
    pub id: ApplicationId,
    /// Largest container possible now.
    pub max_capability: Resource,
}

fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// The elements of `value[outer][inner]`, whether a list, a single object, or nothing.
pub(super) fn elements<'a>(value: &'a Value, outer: &str, inner: &str) -> Vec<&'a Value> {
    match value.get(outer).and_then(|value| value.get(inner)) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(single) => vec![single],
    }
}
