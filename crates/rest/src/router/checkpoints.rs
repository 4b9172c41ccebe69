//! Handlers of what is asked about checkpoints.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use flott_coordination::checkpoint::CheckpointRecord;
use flott_jobmanager::JobSnapshot;
use flott_model::CheckpointId;

use super::{Answer, RestState, operations};
use crate::checkpoints;
use crate::error::RestError;

pub(super) fn routes() -> Router<RestState> {
    let of_job = Router::new()
        .route("/", get(statistics).post(operations::checkpoint))
        .route("/config", get(config))
        .route("/{trigger}", get(operations::checkpoint_status))
        .route("/details/{checkpoint}", get(details))
        .route("/details/{checkpoint}/subtasks/{vertex}", get(subtasks));
    Router::new().nest("/jobs/{id}/checkpoints", of_job)
}

/// A job that may have checkpoints.
fn job(state: &RestState, id: &str) -> Result<JobSnapshot, RestError> {
    let job = state.job(id)?;
    if checkpoints::has_checkpoints(&job) {
        Ok(job)
    } else {
        let message = "Checkpointing has not been enabled.";
        Err(RestError::new(StatusCode::NOT_FOUND, message))
    }
}

fn checkpoint_id(text: &str) -> Result<CheckpointId, RestError> {
    let number = text.parse();
    number
        .map(CheckpointId)
        .map_err(|_| RestError::bad_parameter("checkpointid", text))
}

fn forgotten(checkpoint: CheckpointId) -> RestError {
    let message = format!("Could not find checkpointing statistics for checkpoint {checkpoint}.");
    RestError::new(StatusCode::NOT_FOUND, message)
}

fn record(job: &JobSnapshot, id: CheckpointId) -> Result<&CheckpointRecord, RestError> {
    job.checkpoints.get(id).ok_or_else(|| forgotten(id))
}

async fn statistics(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    let job = job(&state, &id)?;
    Ok(Json(checkpoints::statistics(&job)))
}

async fn config(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    let job = job(&state, &id)?;
    let configuration = state.configuration_of(&job)?;
    Ok(Json(checkpoints::config(&configuration)))
}

async fn details(
    State(state): State<RestState>,
    Path((id, checkpoint)): Path<(String, String)>,
) -> Answer {
    let checkpoint = checkpoint_id(&checkpoint)?;
    let job = job(&state, &id)?;
    checkpoints::details(&job, checkpoint)
        .map(Json)
        .ok_or_else(|| forgotten(checkpoint))
}

async fn subtasks(
    State(state): State<RestState>,
    Path((id, checkpoint, vertex)): Path<(String, String, String)>,
) -> Answer {
    let checkpoint = checkpoint_id(&checkpoint)?;
    let job = job(&state, &id)?;
    let record = record(&job, checkpoint)?;
    let found = checkpoints::subtasks(&job, record, &vertex);
    found.map(Json).ok_or_else(|| {
        let message = format!("There is no checkpoint statistics for task {vertex}.");
        RestError::new(StatusCode::NOT_FOUND, message)
    })
}
