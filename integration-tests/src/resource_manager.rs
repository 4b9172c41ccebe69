//! What the ResourceManager and the NodeManagers say of applications and containers, by their REST interfaces.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Http;
use crate::job_manager::JobManager;
use crate::wait::wait_for;

#[derive(Debug)]
pub struct ResourceManager {
    http: Http,
    address: String,
    user: String,
}

/// A NodeManager as the ResourceManager sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `host:port`.
    pub id: String,
    pub node_host_name: String,
    #[serde(rename = "nodeHTTPAddress")]
    pub http_address: String,
    pub state: String,
    pub num_containers: u32,
}

/// An application's report.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Application {
    pub id: String,
    pub user: String,
    pub name: String,
    pub queue: String,
    pub state: String,
    pub final_status: String,
    pub application_type: String,
    #[serde(default)]
    pub diagnostics: String,
    #[serde(default)]
    pub tracking_url: String,
    #[serde(default)]
    pub running_containers: i64,
}

impl Application {
    /// Whether YARN is done with it.
    pub fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "FINISHED" | "FAILED" | "KILLED")
    }
}

/// A container that a NodeManager runs or has just run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Container {
    pub id: String,
    pub state: String,
    #[serde(rename = "nodeId")]
    pub node: String,
    #[serde(rename = "totalMemoryNeededMB")]
    pub memory_mb: u64,
}

impl Container {
    /// Whether it is one of the application's, of whatever attempt.
    pub fn belongs_to(&self, application: &str) -> bool {
        let cluster_and_number = application.trim_start_matches("application");
        self.id.contains(&format!("{cluster_and_number}_"))
    }
}

/// A container that the ResourceManager has given and that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocated {
    pub id: String,
    pub memory_mb: u64,
    pub vcores: u64,
}

impl Allocated {
    /// Whether it is the ApplicationMaster's.
    pub fn is_of_master(&self) -> bool {
        self.id.ends_with("_000001")
    }
}

impl ResourceManager {
    pub(crate) fn new(address: &str, user: &str) -> Result<Self> {
        Ok(Self {
            http: Http::new()?,
            address: address.to_owned(),
            user: user.to_owned(),
        })
    }

    pub fn nodes(&self) -> Result<Vec<Node>> {
        list(self.get("nodes")?, "nodes", "node")
    }

    pub fn applications(&self) -> Result<Vec<Application>> {
        list(self.get("apps")?, "apps", "app")
    }

    pub fn application(&self, id: &str) -> Result<Application> {
        let mut answer = self.get(&format!("apps/{id}"))?;
        serde_json::from_value(answer["app"].take())
            .with_context(|| format!("the ResourceManager's report of {id}"))
    }

    /// The application's JobManager; `None` while it does not run.
    pub fn job_manager(&self, id: &str) -> Result<Option<JobManager>> {
        let answer = self.get(&format!("apps/{id}"))?;
        let address = answer["app"]["amRPCAddress"].as_str().unwrap_or_default();
        let is_known = answer["app"]["state"] == "RUNNING" && !address.ends_with(":0");
        if !is_known || !address.contains(':') {
            return Ok(None);
        }
        JobManager::new(address).map(Some)
    }

    /// The application's JobManager through YARN's proxy, as the tracking URL says.
    pub fn proxied_job_manager(&self, id: &str) -> Result<JobManager> {
        let url = self.application(id)?.tracking_url;
        ensure!(
            url.contains("/proxy/"),
            "{url:?} does not lead through the proxy"
        );
        JobManager::at(&url)
    }

    /// Waits for the application's JobManager.
    pub fn wait_for_job_manager(&self, id: &str, limit: Duration) -> Result<JobManager> {
        wait_for(&format!("the JobManager of {id}"), limit, || {
            self.job_manager(id)
        })
    }

    /// How often the application's master was started.
    pub fn attempts(&self, id: &str) -> Result<usize> {
        let answer = self.get(&format!("apps/{id}/appattempts"))?;
        let attempts = answer["appAttempts"]["appAttempt"].as_array();
        Ok(attempts.map_or(0, Vec::len))
    }

    /// Waits until YARN is done with the application, and gives its last report.
    pub fn wait_for_end(&self, id: &str, limit: Duration) -> Result<Application> {
        wait_for(&format!("the end of {id}"), limit, || {
            let report = self.application(id)?;
            Ok(report.has_ended().then_some(report))
        })
    }

    /// Waits until the application has this state; an application that ends in another is an error.
    pub fn wait_for_state(&self, id: &str, state: &str, limit: Duration) -> Result<Application> {
        wait_for(&format!("{id} to be {state}"), limit, || {
            let report = self.application(id)?;
            if report.state != state && report.has_ended() {
                bail!("it is {}: {}", report.state, report.diagnostics);
            }
            Ok((report.state == state).then_some(report))
        })
    }

    /// Submits an application whose only container runs a line of shell, and gives its id. It never registers as an
    /// ApplicationMaster should, so YARN ends it as failed when the line ends.
    pub fn submit_shell(&self, line: &str, memory_mb: u64) -> Result<String> {
        let user = format!("?user.name={}", self.user);
        let url = self.url(&format!("apps/new-application{user}"));
        let answer: Value = serde_json::from_slice(&self.http.send(Method::POST, &url, None)?)?;
        let id = answer["application-id"]
            .as_str()
            .context("the ResourceManager gave no application id")?;
        let submission = json!({
            "application-id": id,
            "application-name": "shell",
            "application-type": "TEST",
            "queue": "default",
            "max-app-attempts": 1,
            "resource": { "memory": memory_mb, "vCores": 1 },
            "am-container-spec": { "commands": { "command": line } },
        });
        self.http
            .send_json(Method::POST, &self.url(&format!("apps{user}")), &submission)?;
        Ok(id.to_owned())
    }

    pub fn kill(&self, id: &str) -> Result<()> {
        let url = self.url(&format!("apps/{id}/state?user.name={}", self.user));
        self.http
            .send_json(Method::PUT, &url, &json!({ "state": "KILLED" }))?;
        Ok(())
    }

    /// The application's containers on all nodes, as the NodeManagers know them.
    pub fn containers(&self, application: &str) -> Result<Vec<Container>> {
        let mut all = Vec::new();
        for node in self.nodes()? {
            if node.state != "RUNNING" {
                continue;
            }
            let url = format!("http://{}/ws/v1/node/containers", node.http_address);
            let here: Vec<Container> = list(self.http.get_json(&url)?, "containers", "container")?;
            all.extend(
                here.into_iter()
                    .filter(|container| container.belongs_to(application)),
            );
        }
        Ok(all)
    }

    /// The live containers of the application's newest attempt, as the ResourceManager counts them.
    pub fn allocated(&self, id: &str) -> Result<Vec<Allocated>> {
        let answer = self.get(&format!("apps/{id}/appattempts"))?;
        let attempts = answer["appAttempts"]["appAttempt"].as_array();
        let attempt = attempts.and_then(|attempts| attempts.last());
        let Some(attempt) = attempt.and_then(|attempt| attempt["appAttemptId"].as_str()) else {
            return Ok(Vec::new());
        };
        let answer = self.get(&format!("apps/{id}/appattempts/{attempt}/containers"))?;
        // A number, or a number as a text: it depends on Hadoop's version.
        let number = |value: &Value| match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64(),
        };
        let containers = answer["container"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let live = containers.iter().filter(|container| {
            container["containerState"] != "COMPLETE" && container["finishedTime"] == 0
                || container["containerState"] == "RUNNING"
        });
        live.map(|container| {
            Ok(Allocated {
                id: container["containerId"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                memory_mb: number(&container["allocatedMB"]).context("no allocatedMB")?,
                vcores: number(&container["allocatedVCores"]).context("no allocatedVCores")?,
            })
        })
        .collect()
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.http.get_json(&self.url(path))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/ws/v1/cluster/{path}", self.address)
    }
}

/// `{"apps": {"app": […]}}`, where an empty list is `{"apps": null}` or `{"apps": {}}`.
fn list<T: for<'de> Deserialize<'de>>(
    mut answer: Value,
    outer: &str,
    inner: &str,
) -> Result<Vec<T>> {
    match answer[outer].get_mut(inner) {
        None => Ok(Vec::new()),
        Some(entries) => {
            serde_json::from_value(entries.take()).with_context(|| format!("the list of {outer}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_has_two_forms() {
        for answer in [json!({ "apps": null }), json!({ "apps": {} })] {
            assert_eq!(list::<Application>(answer, "apps", "app").unwrap(), []);
        }
    }

    #[test]
    fn containers_know_their_application() {
        let container = |id: &str| Container {
            id: id.to_owned(),
            state: "RUNNING".to_owned(),
            node: "n:1".to_owned(),
            memory_mb: 64,
        };
        let application = "application_1700000000000_0001";
        assert!(container("container_1700000000000_0001_02_000001").belongs_to(application));
        assert!(container("container_e17_1700000000000_0001_01_000001").belongs_to(application));
        assert!(!container("container_1700000000000_0012_01_000001").belongs_to(application));
    }
}
