//! The jobs of a running cluster, as its JobManager's REST interface (Flink's JSON) tells them.

mod operations;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flott_model::{Failure, FailureClass};
use flott_protocol::program::{Collected, JobAccumulator};
use prost::Message as _;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) use operations::{CANONICAL, SavepointRequest};

/// The JobManager is asked often and is near: a late answer is none.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A running JobManager.
#[derive(Debug, Clone)]
pub(crate) struct JobManager {
    http: reqwest::Client,
    /// `host:port`.
    address: String,
}

/// A job and its vertices.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct JobDetails {
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) duration: i64,
    #[serde(default)]
    pub(crate) vertices: Vec<Vertex>,
}

/// One vertex: how many of its subtasks are in which state.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Vertex {
    pub(crate) parallelism: u64,
    #[serde(default)]
    pub(crate) tasks: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct Overview {
    jobs: Vec<ListedJob>,
}

/// A job in the list of all.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedJob {
    pub(crate) jid: String,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) state: String,
    /// In milliseconds since the epoch.
    #[serde(rename = "start-time", default)]
    pub(crate) start_time: i64,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct ExecutionResult {
    #[serde(rename = "job-execution-result")]
    result: Option<JobResult>,
}

#[derive(Deserialize)]
struct JobResult {
    #[serde(rename = "net-runtime", default)]
    net_runtime: i64,
}

#[derive(Deserialize)]
struct JobAccumulators {
    #[serde(rename = "serialized-user-task-accumulators", default)]
    serialized: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct CollectedAnswer {
    #[serde(rename = "serialized-collected")]
    serialized: String,
}

impl JobAccumulators {
    fn into_values(self) -> anyhow::Result<Vec<JobAccumulator>> {
        let value = |(name, text): (String, String)| {
            let bytes = STANDARD
                .decode(text)
                .with_context(|| format!("the accumulator {name:?} is not Base64"))?;
            JobAccumulator::decode(bytes.as_slice())
                .with_context(|| format!("the accumulator {name:?} cannot be read"))
        };
        self.serialized.into_iter().map(value).collect()
    }
}

#[derive(Deserialize)]
struct Exceptions {
    #[serde(rename = "root-exception", default)]
    root: Option<String>,
    #[serde(rename = "exceptionHistory", default)]
    history: Option<History>,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    entries: Vec<HistoryEntry>,
}

#[derive(Deserialize)]
struct HistoryEntry {
    #[serde(default)]
    stacktrace: String,
    #[serde(rename = "taskName", default)]
    task: Option<String>,
    #[serde(default)]
    location: Option<String>,
}

impl JobDetails {
    /// Whether nothing can follow.
    pub(crate) fn is_terminal(&self) -> bool {
        is_terminal(&self.state)
    }

    /// Whether all subtasks run, or did so already.
    pub(crate) fn is_running(&self) -> bool {
        let (ready, all) = self.ready_subtasks();
        self.state == "FINISHED" || (self.state == "RUNNING" && all > 0 && ready == all)
    }

    /// How many subtasks run or have finished, of how many.
    pub(crate) fn ready_subtasks(&self) -> (u64, u64) {
        let count = |vertex: &Vertex, state| vertex.tasks.get(state).copied().unwrap_or(0);
        let ready = |vertex| count(vertex, "RUNNING") + count(vertex, "FINISHED");
        (
            self.vertices.iter().map(ready).sum(),
            self.vertices.iter().map(|vertex| vertex.parallelism).sum(),
        )
    }

    /// How many subtasks have finished.
    pub(crate) fn finished_subtasks(&self) -> u64 {
        self.vertices
            .iter()
            .filter_map(|vertex| vertex.tasks.get("FINISHED"))
            .sum()
    }
}

/// Whether nothing can follow this state of a job.
pub(crate) fn is_terminal(state: &str) -> bool {
    matches!(state, "FINISHED" | "FAILED" | "CANCELED")
}

impl JobManager {
    /// The one at `host:port`.
    pub(crate) fn at(http: &reqwest::Client, address: &str) -> Self {
        Self {
            http: http.clone(),
            address: address.to_owned(),
        }
    }

    /// A job; `None` if it is not known there (yet).
    pub(crate) async fn job(&self, id: &str) -> anyhow::Result<Option<JobDetails>> {
        self.get(&format!("/jobs/{id}")).await
    }

    /// All jobs, oldest first.
    pub(crate) async fn jobs(&self) -> anyhow::Result<Vec<ListedJob>> {
        let overview: Option<Overview> = self.get("/jobs/overview").await?;
        let mut jobs = overview.map(|overview| overview.jobs).unwrap_or_default();
        jobs.sort_by_key(|job| job.start_time);
        Ok(jobs)
    }

    /// Ids of all jobs, oldest first.
    pub(crate) async fn job_ids(&self) -> anyhow::Result<Vec<String>> {
        let jobs = self.jobs().await?;
        Ok(jobs.into_iter().map(|job| job.jid).collect())
    }

    /// Run time of a job that has ended, if it is known. Fetching it lets the cluster end.
    pub(crate) async fn runtime_ms(&self, id: &str) -> anyhow::Result<Option<u64>> {
        let result: Option<ExecutionResult> =
            self.get(&format!("/jobs/{id}/execution-result")).await?;
        let runtime = result
            .and_then(|result| result.result)
            .map(|result| result.net_runtime);
        Ok(runtime.and_then(|runtime| u64::try_from(runtime).ok()))
    }

    /// What the subtasks of a job accumulated.
    pub(crate) async fn accumulators(&self, id: &str) -> anyhow::Result<Vec<JobAccumulator>> {
        let path = format!("/jobs/{id}/accumulators?includeSerializedValue=true");
        let answer: Option<JobAccumulators> = self.get(&path).await?;
        answer.map_or_else(|| Ok(Vec::new()), JobAccumulators::into_values)
    }

    /// Records that a job collected, from that frame on; waits some seconds for them.
    pub(crate) async fn collected(&self, id: &str, from: u64) -> anyhow::Result<Collected> {
        let answer: Option<CollectedAnswer> = self
            .get(&format!("/jobs/{id}/collected?from={from}"))
            .await?;
        let answer = answer.with_context(|| format!("job {id} is not known (yet)"))?;
        let bytes = STANDARD
            .decode(answer.serialized)
            .context("collected records are not Base64")?;
        Collected::decode(bytes.as_slice()).context("collected records cannot be read")
    }

    /// Why a job failed.
    pub(crate) async fn failure(&self, id: &str) -> anyhow::Result<Option<Failure>> {
        let exceptions: Option<Exceptions> = self.get(&format!("/jobs/{id}/exceptions")).await?;
        Ok(exceptions.and_then(Exceptions::into_failure))
    }

    /// Asks a job to stop.
    pub(crate) async fn cancel(&self, id: &str) -> anyhow::Result<()> {
        let url = self.url(&format!("/jobs/{id}?mode=cancel"));
        let answer = self.send(self.http.patch(url)).await?;
        Self::accepted(answer).await?;
        Ok(())
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let answer = self.send(self.http.get(self.url(path))).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            _ => Self::content(answer).await.map(Some),
        }
    }

    async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.timeout(REQUEST_TIMEOUT).send().await;
        answer.with_context(|| format!("the JobManager at {} cannot be reached", self.address))
    }

    async fn content<T: DeserializeOwned>(answer: Response) -> anyhow::Result<T> {
        let url = answer.url().clone();
        let text = Self::accepted(answer).await?.text().await?;
        serde_json::from_str(&text)
            .with_context(|| format!("{url} gave an answer that cannot be understood"))
    }

    /// An answer that is no error, or what the error is.
    async fn accepted(answer: Response) -> anyhow::Result<Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let url = answer.url().clone();
        let text = answer.text().await.unwrap_or_default();
        Err(match serde_json::from_str::<Errors>(&text) {
            Ok(Errors { errors }) if !errors.is_empty() => {
                anyhow!("{} ({url} answered {status})", errors.join("; "))
            }
            _ => anyhow!("{url} answered {status}"),
        })
    }
}

impl Exceptions {
    fn into_failure(self) -> Option<Failure> {
        let newest = self
            .history
            .and_then(|history| history.entries.into_iter().next());
        let root = self.root.filter(|root| !root.trim().is_empty());
        let (text, task, location) = match newest {
            Some(entry) => {
                let text = root.unwrap_or(entry.stacktrace);
                (
                    text,
                    entry.task.unwrap_or_default(),
                    entry.location.unwrap_or_default(),
                )
            }
            None => (root?, String::new(), String::new()),
        };
        let location = if location == "(unassigned)" {
            String::new()
        } else {
            location
        };
        let mut failure = Failure::new(FailureClass::UserCode, text.trim());
        // Said once: the text may name the task already.
        if !task.is_empty() && !failure.message.contains(&task) {
            failure = failure.in_task(task).at(location);
        }
        Some(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(state: &str, tasks: &[(&str, u64)]) -> JobDetails {
        let tasks = tasks
            .iter()
            .map(|(state, count)| ((*state).to_owned(), *count))
            .collect();
        JobDetails {
            state: state.to_owned(),
            duration: 0,
            vertices: vec![Vertex {
                parallelism: 2,
                tasks,
            }],
        }
    }

    #[test]
    fn running_means_every_subtask() {
        assert!(details("RUNNING", &[("RUNNING", 2)]).is_running());
        assert!(details("RUNNING", &[("RUNNING", 1), ("FINISHED", 1)]).is_running());
        assert!(details("FINISHED", &[]).is_running());
        assert!(!details("RUNNING", &[("RUNNING", 1), ("DEPLOYING", 1)]).is_running());
        assert!(!details("RESTARTING", &[("RUNNING", 2)]).is_running());
        assert!(!details("FAILED", &[("RUNNING", 2)]).is_running());
        let nothing = JobDetails {
            vertices: Vec::new(),
            ..details("RUNNING", &[])
        };
        assert!(!nothing.is_running());
    }

    #[test]
    fn a_failure_names_task_and_place_once() {
        let parse = |text: &str| {
            let exceptions: Exceptions = serde_json::from_str(text).unwrap();
            exceptions.into_failure().map(|failure| failure.to_string())
        };
        let entry = r#"{"root-exception":"boom","exceptionHistory":{"entries":[
            {"stacktrace":"boom","taskName":"map (1/2)","location":"node1:8041"}]}}"#;
        assert_eq!(parse(entry).unwrap(), "task map (1/2) on node1:8041: boom");
        let named = r#"{"root-exception":"task map (1/2): boom","exceptionHistory":{"entries":[
            {"stacktrace":"boom","taskName":"map (1/2)","location":null}]}}"#;
        assert_eq!(parse(named).unwrap(), "task map (1/2): boom");
        assert_eq!(parse(r#"{"root-exception":"lost"}"#).unwrap(), "lost");
        assert_eq!(
            parse(r#"{"root-exception":null,"exceptionHistory":{"entries":[]}}"#),
            None
        );
    }
}
