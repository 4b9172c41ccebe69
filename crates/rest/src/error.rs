//! Errors in Flink's form: a status and `{"errors": […]}`.

use axum::Json;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use flott_model::JobId;
use serde_json::json;

/// An error answer.
#[derive(Debug)]
pub(crate) struct RestError {
    status: StatusCode,
    message: String,
}

impl RestError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub(crate) fn unknown_job(job: JobId) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Job {job} not found"))
    }

    pub(crate) fn bad_job_id(text: &str) -> Self {
        Self::bad_parameter("jobid", text)
    }

    /// A part of the path that cannot be what it should be.
    pub(crate) fn bad_parameter(name: &str, text: &str) -> Self {
        let message = format!(
            "Bad request, could not parse parameters: Cannot resolve path parameter ({name}) from \
             value \"{text}\"."
        );
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn too_many_operations() -> Self {
        let message =
            "too many savepoints, checkpoints and disposals are under way: try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub(crate) fn no_such_path(method: &Method, path: &str) -> Self {
        let message = match *method {
            Method::GET => format!("Unable to load requested file {path}."),
            _ => format!("Not found: {path}"),
        };
        Self::new(StatusCode::NOT_FOUND, message)
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "errors": [self.message] }))).into_response()
    }
}
