//! `/jobs/:id/collected?from=n`: records that a job collects for a program that runs elsewhere. Asking for a frame says that
//! those before it were taken; it waits until there are some. Not part of Flink's interface.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Value, json};

use crate::error::RestError;
use crate::router::RestState;

/// A client waits longer than this for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The answer is the message that a launcher passes on to its program, in Base64.
pub(crate) async fn collected(
    State(state): State<RestState>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, RestError> {
    let job = state.job(&id)?.id;
    let from = query.get("from").map_or("", String::as_str);
    let from = from.parse().map_err(|_| {
        let message = format!("the parameter from is the number of a frame, not \"{from}\"");
        RestError::new(StatusCode::BAD_REQUEST, message)
    })?;
    let found = state.dispatcher().collected(job, from, PATIENCE).await;
    let found = found.ok_or_else(|| RestError::unknown_job(job))?;
    Ok(Json(json!({
        "frames": found.frames.len(),
        "over": found.over,
        "serialized-collected": STANDARD.encode(found.encode_to_vec()),
    })))
}
