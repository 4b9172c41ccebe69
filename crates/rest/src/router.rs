//! Paths to handlers. Every path is served bare and under `/v1`.

mod checkpoints;
mod inspect;
mod operations;

use std::future::Future;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use flott_config::{Configuration, options};
use flott_jobmanager::{DispatcherHandle, JobSnapshot};
use flott_model::JobId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::error::RestError;
use crate::operations::Operations;
use crate::{cluster, collected, exceptions, execution_result, executor, job, plan};

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct RestState {
    dispatcher: DispatcherHandle,
    operations: Operations,
    fetched: Arc<watch::Sender<u64>>,
}

impl RestState {
    /// Over a running Dispatcher.
    pub fn new(dispatcher: DispatcherHandle) -> Self {
        let (fetched, _) = watch::channel(0);
        let keep = &options::REST_ASYNC_STORE_DURATION;
        let keep = dispatcher.settings().configuration.get(keep);
        Self {
            operations: Operations::new(keep),
            dispatcher,
            fetched: Arc::new(fetched),
        }
    }

    /// Counts how often the result of a job that has ended was fetched.
    pub fn results_fetched(&self) -> watch::Receiver<u64> {
        self.fetched.subscribe()
    }

    /// Waits until savepoints and other operations that were asked for have ended, and their results
    /// were fetched.
    pub async fn operations_fetched(&self) {
        self.operations.all_fetched().await;
    }

    pub(crate) fn dispatcher(&self) -> &DispatcherHandle {
        &self.dispatcher
    }

    pub(crate) fn job(&self, id: &str) -> Result<JobSnapshot, RestError> {
        let id: JobId = id.parse().map_err(|_| RestError::bad_job_id(id))?;
        self.dispatcher
            .job(id)
            .ok_or_else(|| RestError::unknown_job(id))
    }

    /// A job's configuration over the cluster's.
    fn configuration_of(&self, job: &JobSnapshot) -> Result<Configuration, RestError> {
        let settings = self.dispatcher.settings();
        let configuration = settings.job_configuration(&job.graph);
        // It was usable when the job was submitted.
        configuration
            .map_err(|error| RestError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

type Answer = Result<Json<Value>, RestError>;

/// The routes.
pub fn router(state: RestState) -> Router {
    let routes = Router::new()
        .route("/overview", get(overview))
        .route("/config", get(async || Json(cluster::dashboard())))
        .route("/jobmanager/config", get(configuration))
        .route("/taskmanagers", get(executors))
        .route("/taskmanagers/{id}", get(one_executor))
        .route("/jobs", get(job_ids))
        .route("/jobs/overview", get(jobs_overview))
        .route("/jobs/{id}", get(details).patch(cancel))
        .route("/jobs/{id}/status", get(status))
        .route("/jobs/{id}/config", get(job_config))
        .route("/jobs/{id}/plan", get(job_plan))
        .route("/jobs/{id}/exceptions", get(job_exceptions))
        .route("/jobs/{id}/execution-result", get(result))
        .route("/jobs/{id}/vertices/{vertex}", get(vertex))
        .route("/jobs/{id}/collected", get(collected::collected))
        .route("/jobs/{id}/yarn-cancel", get(cancel))
        // Clients of a version that sends signs of life must not fail by it.
        .route("/jobs/{id}/clientHeartbeat", patch(async || accepted()))
        .merge(checkpoints::routes())
        .merge(operations::routes())
        .merge(inspect::routes());
    Router::new()
        .merge(routes.clone())
        .nest("/v1", routes)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_path)
        .layer(map_response(headers))
        .with_state(state)
}

/// Serves the routes until `shutdown` completes.
pub async fn serve(
    listener: TcpListener,
    state: RestState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(state))
        .with_graceful_shutdown(shutdown)
        .await
}

/// Flink's spelling of the type, and its default for `web.access-control-allow-origin`.
async fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({}))).into_response()
}

async fn no_such_path(method: Method, uri: Uri) -> RestError {
    RestError::no_such_path(&method, uri.path())
}

async fn overview(State(state): State<RestState>) -> Json<Value> {
    let executors = state.dispatcher.executors().await;
    Json(cluster::overview(&executors, &state.dispatcher.jobs()))
}

async fn configuration(State(state): State<RestState>) -> Json<Value> {
    Json(cluster::configuration(
        &state.dispatcher.settings().configuration.to_map(),
    ))
}

async fn executors(State(state): State<RestState>) -> Json<Value> {
    let executors = state.dispatcher.executors().await;
    let configuration = &state.dispatcher.settings().configuration;
    let executors = executors.iter();
    let list: Vec<Value> = executors
        .map(|one| executor::summary(one, configuration))
        .collect();
    Json(json!({ "taskmanagers": list }))
}

async fn one_executor(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    let executors = state.dispatcher.executors().await;
    let found = executors.iter().find(|executor| executor.container == id);
    found
        .map(|found| {
            let configuration = &state.dispatcher.settings().configuration;
            Json(executor::details(found, configuration))
        })
        .ok_or_else(|| {
            RestError::new(
                StatusCode::NOT_FOUND,
                format!("No TaskExecutor registered under {id}."),
            )
        })
}

async fn job_ids(State(state): State<RestState>) -> Json<Value> {
    let jobs = state.dispatcher.jobs();
    let ids = jobs
        .iter()
        .map(|job| json!({ "id": job.id.to_string(), "status": job.status.as_str() }));
    Json(json!({ "jobs": ids.collect::<Vec<_>>() }))
}

async fn jobs_overview(State(state): State<RestState>) -> Json<Value> {
    let jobs = state.dispatcher.jobs();
    Json(json!({ "jobs": jobs.iter().map(job::overview).collect::<Vec<_>>() }))
}

async fn details(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    state.job(&id).map(|snapshot| Json(job::details(&snapshot)))
}

async fn status(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    state
        .job(&id)
        .map(|snapshot| Json(json!({ "status": snapshot.status.as_str() })))
}

async fn job_config(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    state.job(&id).map(|snapshot| Json(job::config(&snapshot)))
}

async fn job_plan(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    state
        .job(&id)
        .map(|snapshot| Json(json!({ "plan": plan::plan(&snapshot) })))
}

async fn job_exceptions(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    state
        .job(&id)
        .map(|snapshot| Json(exceptions::exceptions(&snapshot)))
}

async fn vertex(
    State(state): State<RestState>,
    Path((id, vertex)): Path<(String, String)>,
) -> Answer {
    let snapshot = state.job(&id)?;
    job::vertex(&snapshot, &vertex).map(Json).ok_or_else(|| {
        let message = format!("job vertex {vertex} not found");
        RestError::new(StatusCode::NOT_FOUND, message)
    })
}

async fn result(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    let snapshot = state.job(&id)?;
    if snapshot.status.is_terminal() {
        state.fetched.send_modify(|count| *count += 1);
    }
    Ok(Json(execution_result::execution_result(&snapshot)))
}

async fn cancel(
    State(state): State<RestState>,
    Path(id): Path<String>,
) -> Result<Response, RestError> {
    let job = state.job(&id)?.id;
    tracing::info!(%job, "cancelled by REST");
    state.dispatcher.cancel(job).await;
    Ok(accepted())
}

#[cfg(test)]
mod tests;
