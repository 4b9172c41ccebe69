//! What outlasts a request: the JobManager is asked to begin it, and then how far it is.

use std::time::Duration;

use anyhow::{Context as _, bail};
use flott_model::SnapshotKind;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::JobManager;

/// Flink's name of the format of savepoints.
pub(crate) const CANONICAL: &str = "CANONICAL";
/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// A JobManager may not answer for so long.
const ABSENCE_LIMIT: Duration = Duration::from_secs(20);

/// Something that was begun.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its name, by which anybody can ask for it.
    pub(crate) id: String,
    /// Where its status is.
    path: String,
}

/// A savepoint that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SavepointRequest<'a> {
    pub(crate) job: &'a str,
    /// `None`: where the configuration says.
    pub(crate) directory: Option<&'a str>,
    /// Flink's name of its format.
    pub(crate) format: &'a str,
}

#[derive(Deserialize)]
struct Begun {
    #[serde(rename = "request-id")]
    id: String,
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
    #[serde(default)]
    operation: Value,
}

#[derive(Deserialize)]
struct Status {
    id: String,
}

impl JobManager {
    /// Asks for a savepoint; `cancel`: the job is cancelled with it.
    pub(crate) async fn begin_savepoint(
        &self,
        request: SavepointRequest<'_>,
        cancel: bool,
    ) -> anyhow::Result<Operation> {
        let body = json!({
            "target-directory": request.directory,
            "cancel-job": cancel,
            "formatType": request.format,
        });
        let path = format!("/jobs/{}/savepoints", request.job);
        self.begin(&path, &path, &body).await
    }

    /// Asks a job to stop with a savepoint; `drain`: it comes to its end before.
    pub(crate) async fn begin_stop(
        &self,
        request: SavepointRequest<'_>,
        drain: bool,
    ) -> anyhow::Result<Operation> {
        let body = json!({
            "targetDirectory": request.directory,
            "drain": drain,
            "formatType": request.format,
        });
        let path = format!("/jobs/{}", request.job);
        let (stop, status) = (format!("{path}/stop"), format!("{path}/savepoints"));
        self.begin(&stop, &status, &body).await
    }

    /// Asks for a checkpoint; `full`: of all state.
    pub(crate) async fn begin_checkpoint(
        &self,
        job: &str,
        full: bool,
    ) -> anyhow::Result<Operation> {
        let body = json!({ "checkpointType": if full { "FULL" } else { "CONFIGURED" } });
        let path = format!("/jobs/{job}/checkpoints");
        self.begin(&path, &path, &body).await
    }

    /// Asks for the deletion of a savepoint.
    pub(crate) async fn begin_disposal(&self, savepoint: &str) -> anyhow::Result<Operation> {
        let body = json!({ "savepoint-path": savepoint });
        let path = "/savepoint-disposal";
        self.begin(path, path, &body).await
    }

    /// Takes a savepoint or checkpoint as a program wants it, and waits until it is complete; where it
    /// is.
    pub(crate) async fn snapshot(
        &self,
        job: &str,
        kind: SnapshotKind,
        directory: Option<&str>,
        cancel: bool,
    ) -> anyhow::Result<String> {
        let request = SavepointRequest {
            job,
            directory,
            format: CANONICAL,
        };
        let operation = match kind {
            SnapshotKind::Savepoint => self.begin_savepoint(request, cancel).await?,
            SnapshotKind::StopWithSavepoint => self.begin_stop(request, false).await?,
            SnapshotKind::DrainWithSavepoint => self.begin_stop(request, true).await?,
            SnapshotKind::Checkpoint => {
                bail!("a program cannot ask for a checkpoint out of turn: use flott checkpoint")
            }
        };
        self.location(&operation).await
    }

    async fn begin(&self, path: &str, status: &str, body: &Value) -> anyhow::Result<Operation> {
        let request = self.http.post(self.url(path)).json(body);
        let answer = self.send(request).await?;
        let Begun { id } = Self::content(answer).await?;
        Ok(Operation {
            path: format!("{status}/{id}"),
            id,
        })
    }

    /// Waits until a savepoint is complete; where it is.
    pub(crate) async fn location(&self, operation: &Operation) -> anyhow::Result<String> {
        let result = self.result(operation).await?;
        let location = result["location"].as_str();
        let location = location.context("the JobManager does not say where the savepoint is")?;
        Ok(location.to_owned())
    }

    /// Waits until an operation has ended; the fields that tell of it.
    pub(crate) async fn result(&self, operation: &Operation) -> anyhow::Result<Value> {
        let mut absent_since = None;
        loop {
            match self.look(operation).await {
                Ok(None) => absent_since = None,
                Ok(Some(result)) => return outcome(result),
                Err(Look::Never(error)) => return Err(error),
                Err(Look::Absent(error)) => {
                    let since = *absent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > ABSENCE_LIMIT {
                        let id = &operation.id;
                        return Err(error.context(format!(
                            "what became of request {id} is not known: nobody answers any more"
                        )));
                    }
                }
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn look(&self, operation: &Operation) -> Result<Option<Value>, Look> {
        let request = self.http.get(self.url(&operation.path));
        let answer = self.send(request).await.map_err(Look::Absent)?;
        if answer.status() == StatusCode::NOT_FOUND {
            let id = &operation.id;
            let error = anyhow::anyhow!(
                "what became of request {id} is not known: {} does not know it (any more); it may \
                 have been started anew",
                self.address
            );
            return Err(Look::Never(error));
        }
        let answer: Answer = Self::content(answer).await.map_err(Look::Never)?;
        Ok((answer.status.id == "COMPLETED").then_some(answer.operation))
    }
}

/// Why a look showed nothing.
enum Look {
    /// Nobody answered; perhaps the next time.
    Absent(anyhow::Error),
    /// It is of no use to look again.
    Never(anyhow::Error),
}

/// An operation that failed has ended, too.
fn outcome(result: Value) -> anyhow::Result<Value> {
    let Some(cause) = result.get("failure-cause").filter(|cause| !cause.is_null()) else {
        return Ok(result);
    };
    let text = cause["stack-trace"].as_str().unwrap_or_default().trim();
    if text.is_empty() {
        bail!("it failed, and the JobManager does not say why");
    }
    bail!("{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_operation_tells_its_cause() {
        let failed = json!({ "failure-cause": { "class": "x", "stack-trace": "disk full\n" } });
        assert_eq!(outcome(failed).unwrap_err().to_string(), "disk full");
        let silent = json!({ "failure-cause": {} });
        let message = outcome(silent).unwrap_err().to_string();
        assert!(message.contains("does not say why"), "{message}");
        let done = json!({ "location": "/sp", "failure-cause": null });
        assert_eq!(outcome(done.clone()).unwrap(), done);
    }
}
