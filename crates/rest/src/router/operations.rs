//! Handlers of what takes longer than a request: savepoints, checkpoints out of turn, disposals.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flott_config::options::EXECUTION_CHECKPOINTING_SAVEPOINT_DIR;
use flott_coordination::checkpoint::SnapshotResult;
use flott_jobmanager::{CheckpointError, DispatcherHandle};
use flott_model::{Failure, FailureClass, JobId, SnapshotKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Answer, RestState};
use crate::error::RestError;
use crate::operations::{Outcome, Subject, TriggerId};

pub(super) fn routes() -> Router<RestState> {
    Router::new()
        .route("/jobs/{id}/savepoints", post(savepoint))
        .route("/jobs/{id}/savepoints/{trigger}", get(savepoint_status))
        .route("/jobs/{id}/stop", post(stop))
        .route("/savepoint-disposal", post(disposal))
        .route("/savepoint-disposal/{trigger}", get(disposal_status))
}

/// Formats of savepoints that Flink knows. Here there is one, which has the properties of both: any
/// backend can read it, and it is what the backend writes for checkpoints, too.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Format {
    #[serde(rename = "CANONICAL")]
    Canonical,
    #[serde(rename = "NATIVE")]
    Native,
}

/// How much of the state a checkpoint writes. Here each writes all of it.
#[derive(Debug, Clone, Copy, Deserialize)]
enum Extent {
    #[serde(rename = "CONFIGURED")]
    Configured,
    #[serde(rename = "FULL")]
    Full,
    #[serde(rename = "INCREMENTAL")]
    Incremental,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct SavepointTriggerRequestBody {
    #[serde(rename = "target-directory")]
    directory: Option<String>,
    #[serde(rename = "cancel-job")]
    cancel: Option<bool>,
    #[serde(rename = "formatType")]
    format: Option<Format>,
    #[serde(rename = "triggerId")]
    trigger: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct StopWithSavepointRequestBody {
    #[serde(rename = "targetDirectory")]
    directory: Option<String>,
    drain: Option<bool>,
    #[serde(rename = "formatType")]
    format: Option<Format>,
    #[serde(rename = "triggerId")]
    trigger: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct CheckpointTriggerRequestBody {
    #[serde(rename = "checkpointType")]
    extent: Option<Extent>,
    #[serde(rename = "triggerId")]
    trigger: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object")]
struct SavepointDisposalRequest {
    #[serde(rename = "savepoint-path")]
    path: Option<String>,
}

/// What a request says; one without a body says nothing.
fn read<T: DeserializeOwned>(name: &str, body: &[u8]) -> Result<T, RestError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("Request did not match expected format {name}: {error}");
        RestError::new(StatusCode::BAD_REQUEST, message)
    })
}

fn job_id(text: &str) -> Result<JobId, RestError> {
    text.parse().map_err(|_| RestError::bad_job_id(text))
}

fn trigger_id(text: Option<&str>) -> Result<TriggerId, RestError> {
    text.map_or_else(
        || Ok(TriggerId::random()),
        |text| {
            let message = |error| format!("Request has no usable triggerId: {error}");
            text.parse()
                .map_err(|error| RestError::new(StatusCode::BAD_REQUEST, message(error)))
        },
    )
}

fn begun(status: StatusCode, trigger: TriggerId) -> Response {
    (status, Json(json!({ "request-id": trigger.to_string() }))).into_response()
}

/// What is wanted of a job.
#[derive(Debug)]
struct Wish {
    job: JobId,
    kind: SnapshotKind,
    directory: Option<String>,
    cancel: bool,
    trigger: TriggerId,
}

impl RestState {
    /// Begins a savepoint or checkpoint.
    fn snapshot(&self, subject: Subject, wish: Wish) -> Result<Response, RestError> {
        let Wish { job, kind, .. } = wish;
        tracing::info!(%job, ?kind, cancel = wish.cancel, "asked for by REST");
        let trigger = wish.trigger;
        let work = take(self.dispatcher.clone(), wish);
        let accepted = self.operations.begin(subject, trigger, work);
        accepted.map_err(|_| RestError::too_many_operations())?;
        Ok(begun(StatusCode::ACCEPTED, trigger))
    }

    /// A savepoint needs a place; better said at once than later. A job that does not exist is told
    /// later, as in Flink.
    fn savepoint_directory(
        &self,
        job: JobId,
        field: &str,
        wanted: Option<String>,
    ) -> Result<Option<String>, RestError> {
        let wanted = wanted.filter(|directory| !directory.trim().is_empty());
        let (None, Some(known)) = (&wanted, self.dispatcher.job(job)) else {
            return Ok(wanted);
        };
        let configuration = self.configuration_of(&known)?;
        let key = &EXECUTION_CHECKPOINTING_SAVEPOINT_DIR;
        if configuration.get(key).is_none() {
            let message = format!(
                "Config key [{}] is not set. Property [{field}] must be provided.",
                key.key()
            );
            return Err(RestError::new(StatusCode::BAD_REQUEST, message));
        }
        Ok(None)
    }

    fn look(&self, subject: Subject, text: &str) -> Answer {
        let parsed = text.parse();
        let trigger: TriggerId = parsed.map_err(|_| RestError::bad_parameter("triggerid", text))?;
        let found = self.operations.look(subject, trigger);
        found.map(Json).ok_or_else(|| {
            let message = match subject {
                Subject::Savepoint(job) => {
                    format!(
                        "There is no savepoint operation with triggerId={trigger} for job {job}."
                    )
                }
                Subject::Checkpoint(job) => {
                    format!(
                        "There is no checkpoint operation with triggerId={trigger} for job {job}."
                    )
                }
                Subject::Disposal => {
                    format!("There is no savepoint disposal operation with triggerId={trigger}.")
                }
            };
            RestError::new(StatusCode::NOT_FOUND, message)
        })
    }
}

async fn take(dispatcher: DispatcherHandle, wish: Wish) -> Outcome {
    let Wish {
        job,
        kind,
        directory,
        cancel,
        ..
    } = wish;
    let taken = dispatcher.snapshot(job, kind, directory, cancel).await;
    let taken = taken.unwrap_or_else(|| {
        let message = format!("Could not find Flink job ({job})");
        Err(Failure::new(FailureClass::Fatal, message))
    });
    taken.map(|SnapshotResult { checkpoint, path }| {
        if kind.is_savepoint() {
            json!({ "location": path })
        } else {
            json!({ "checkpointId": checkpoint.0 })
        }
    })
}

async fn savepoint(
    State(state): State<RestState>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RestError> {
    let job = job_id(&id)?;
    let request: SavepointTriggerRequestBody = read("SavepointTriggerRequestBody", &body)?;
    let wish = Wish {
        job,
        kind: SnapshotKind::Savepoint,
        directory: state.savepoint_directory(job, "target-directory", request.directory)?,
        cancel: request.cancel.unwrap_or_default(),
        trigger: trigger_id(request.trigger.as_deref())?,
    };
    log_format(request.format);
    state.snapshot(Subject::Savepoint(job), wish)
}

async fn stop(
    State(state): State<RestState>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RestError> {
    let job = job_id(&id)?;
    let request: StopWithSavepointRequestBody = read("StopWithSavepointRequestBody", &body)?;
    let wish = Wish {
        job,
        kind: match request.drain {
            Some(true) => SnapshotKind::DrainWithSavepoint,
            Some(false) | None => SnapshotKind::StopWithSavepoint,
        },
        directory: state.savepoint_directory(job, "targetDirectory", request.directory)?,
        cancel: false,
        trigger: trigger_id(request.trigger.as_deref())?,
    };
    log_format(request.format);
    // Asked for like any savepoint.
    state.snapshot(Subject::Savepoint(job), wish)
}

fn log_format(format: Option<Format>) {
    if let Some(Format::Native) = format {
        tracing::info!("a native savepoint is asked for; there is one format, the canonical one");
    }
}

async fn savepoint_status(
    State(state): State<RestState>,
    Path((id, trigger)): Path<(String, String)>,
) -> Answer {
    let job = job_id(&id)?;
    state.look(Subject::Savepoint(job), &trigger)
}

pub(super) async fn checkpoint(
    State(state): State<RestState>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, RestError> {
    let job = job_id(&id)?;
    let request: CheckpointTriggerRequestBody = read("CheckpointTriggerRequestBody", &body)?;
    if let Some(Extent::Incremental) = request.extent {
        tracing::info!("an incremental checkpoint is asked for; this backend writes all its state");
    }
    let wish = Wish {
        job,
        kind: SnapshotKind::Checkpoint,
        directory: None,
        cancel: false,
        trigger: trigger_id(request.trigger.as_deref())?,
    };
    state.snapshot(Subject::Checkpoint(job), wish)
}

pub(super) async fn checkpoint_status(
    State(state): State<RestState>,
    Path((id, trigger)): Path<(String, String)>,
) -> Answer {
    let job = job_id(&id)?;
    state.look(Subject::Checkpoint(job), &trigger)
}

async fn disposal(State(state): State<RestState>, body: Bytes) -> Result<Response, RestError> {
    let request: SavepointDisposalRequest = read("SavepointDisposalRequest", &body)?;
    let path = request.path.filter(|path| !path.trim().is_empty());
    let path = path.ok_or_else(|| {
        let message = "Field [savepoint-path] must not be omitted or be null.";
        RestError::new(StatusCode::BAD_REQUEST, message)
    })?;
    tracing::info!(path, "the disposal of a savepoint is asked for by REST");
    let trigger = TriggerId::random();
    let dispatcher = state.dispatcher.clone();
    let work = async move {
        let disposed = dispatcher.dispose_savepoint(&path).await;
        disposed.map(|()| json!({})).map_err(not_disposed)
    };
    let accepted = state.operations.begin(Subject::Disposal, trigger, work);
    accepted.map_err(|_| RestError::too_many_operations())?;
    // Flink's status for this one, and no other.
    Ok(begun(StatusCode::OK, trigger))
}

fn not_disposed(error: CheckpointError) -> Failure {
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let message = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    Failure::new(FailureClass::Transient, message)
}

async fn disposal_status(State(state): State<RestState>, Path(trigger): Path<String>) -> Answer {
    state.look(Subject::Disposal, &trigger)
}
