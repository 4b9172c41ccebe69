//! Handlers of what is asked of running tasks: metrics, back pressure, accumulators, stacks.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use flott_config::options;
use flott_jobmanager::{ExecutorSnapshot, JobSnapshot, Sampling, WorkerInspection};
use flott_protocol::message::Inspection;
use serde::Deserialize;

use super::{Answer, RestState};
use crate::error::RestError;
use crate::metrics::{self, MetricsQuery};
use crate::{accumulators, backpressure, stacks};

/// How long threads are watched for a dump.
const DUMP: Sampling = Sampling {
    duration: Duration::from_millis(200),
    interval: Duration::from_millis(5),
};

pub(super) fn routes() -> Router<RestState> {
    Router::new()
        .route("/jobmanager/metrics", get(of_job_manager))
        .route("/taskmanagers/metrics", get(of_executors))
        .route("/taskmanagers/{id}/metrics", get(of_executor))
        .route("/taskmanagers/{id}/thread-dump", get(thread_dump))
        .route("/jobs/metrics", get(of_jobs))
        .route("/jobs/{id}/metrics", get(of_job))
        .route("/jobs/{id}/accumulators", get(job_accumulators))
        .nest("/jobs/{id}/vertices/{vertex}", of_vertices())
}

fn of_vertices() -> Router<RestState> {
    Router::new()
        .route("/metrics", get(of_vertex))
        .route("/watermarks", get(watermarks))
        .route("/backpressure", get(back_pressure))
        .route("/accumulators", get(vertex_accumulators))
        .route("/flamegraph", get(flame_graph))
        .route("/subtasks/metrics", get(of_subtasks))
        .route("/subtasks/accumulators", get(subtask_accumulators))
        .route("/subtasks/{subtask}/metrics", get(of_subtask))
        .route(
            "/subtasks/{subtask}/attempts/{attempt}/accumulators",
            get(attempt_accumulators),
        )
}

/// A job and what its workers tell.
struct Seen {
    job: JobSnapshot,
    workers: Arc<Vec<WorkerInspection>>,
}

async fn look(state: &RestState, id: &str) -> Result<Seen, RestError> {
    let workers = match state.job(id)? {
        // Nobody is left who could answer.
        job if job.status.is_terminal() => Arc::default(),
        job => state.dispatcher.task_metrics(job.id).await,
    };
    // Looked at again: the answer is as new as the workers'.
    let job = state.job(id)?;
    Ok(Seen { job, workers })
}

/// The position of a vertex.
fn position(job: &JobSnapshot, id: &str) -> Result<usize, RestError> {
    let mut vertices = job.graph.vertices.iter();
    let found = vertices.position(|vertex| vertex.operator_uid().to_string() == id);
    found.ok_or_else(|| RestError::new(StatusCode::NOT_FOUND, format!("job vertex {id} not found")))
}

type VertexPath = Path<(String, String)>;

async fn of_vertex(
    State(state): State<RestState>,
    Path((id, vertex)): VertexPath,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let seen = look(&state, &id).await?;
    let tasks = metrics::tasks(&seen.job, position(&seen.job, &vertex)?, &seen.workers);
    Ok(Json(query.plain(&metrics::of_vertex(&tasks))))
}

async fn of_subtasks(
    State(state): State<RestState>,
    Path((id, vertex)): VertexPath,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let seen = look(&state, &id).await?;
    let tasks = metrics::tasks(&seen.job, position(&seen.job, &vertex)?, &seen.workers);
    let meant = tasks
        .iter()
        .filter(|(index, _)| query.means_subtask(**index));
    let all: Vec<_> = meant.map(|(_, task)| metrics::of_task(task)).collect();
    Ok(Json(query.aggregated(&all)))
}

async fn of_subtask(
    State(state): State<RestState>,
    Path((id, vertex, subtask)): Path<(String, String, usize)>,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let seen = look(&state, &id).await?;
    let tasks = metrics::tasks(&seen.job, position(&seen.job, &vertex)?, &seen.workers);
    let task = tasks.get(&subtask).map(|task| metrics::of_task(task));
    Ok(Json(query.plain(&task.unwrap_or_default())))
}

async fn watermarks(State(state): State<RestState>, Path((id, vertex)): VertexPath) -> Answer {
    let seen = look(&state, &id).await?;
    let index = position(&seen.job, &vertex)?;
    let mut into = seen.job.graph.edges.iter();
    if !into.any(|edge| edge.target as usize == index) {
        return Ok(Json(serde_json::json!([]))); // To a source no watermark comes.
    }
    let tasks = metrics::tasks(&seen.job, index, &seen.workers);
    Ok(Json(metrics::watermarks(&tasks)))
}

async fn back_pressure(State(state): State<RestState>, Path((id, vertex)): VertexPath) -> Answer {
    let seen = look(&state, &id).await?;
    let tasks = metrics::tasks(&seen.job, position(&seen.job, &vertex)?, &seen.workers);
    Ok(Json(backpressure::backpressure(&tasks)))
}

async fn of_job(
    State(state): State<RestState>,
    Path(id): Path<String>,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let seen = look(&state, &id).await?;
    Ok(Json(
        query.plain(&metrics::of_job(&seen.job, &seen.workers)),
    ))
}

async fn of_jobs(State(state): State<RestState>, Query(query): Query<MetricsQuery>) -> Answer {
    let mut all = Vec::new();
    for job in state.dispatcher.jobs() {
        let id = job.id.to_string();
        if metrics::named(query.jobs.as_deref(), &id) {
            let seen = look(&state, &id).await?;
            all.push(metrics::of_job(&seen.job, &seen.workers));
        }
    }
    Ok(Json(query.aggregated(&all)))
}

async fn of_job_manager(
    State(state): State<RestState>,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let executors = state.dispatcher.executors().await;
    let metrics = metrics::of_job_manager(&executors, &state.dispatcher.jobs());
    Ok(Json(query.plain(&metrics)))
}

/// What the workers of all jobs tell.
async fn all_workers(state: &RestState) -> Vec<WorkerInspection> {
    let mut workers = Vec::new();
    for job in state.dispatcher.jobs() {
        if !job.status.is_terminal() {
            let told = state.dispatcher.task_metrics(job.id).await;
            workers.extend(told.iter().cloned());
        }
    }
    workers
}

async fn find(state: &RestState, id: &str) -> Result<ExecutorSnapshot, RestError> {
    let executors = state.dispatcher.executors().await;
    let mut executors = executors.into_iter();
    let found = executors.find(|executor| executor.container == id);
    found.ok_or_else(|| {
        let message = format!("No TaskExecutor registered under {id}.");
        RestError::new(StatusCode::NOT_FOUND, message)
    })
}

async fn of_executor(
    State(state): State<RestState>,
    Path(id): Path<String>,
    Query(query): Query<MetricsQuery>,
) -> Answer {
    let executor = find(&state, &id).await?;
    let workers = all_workers(&state).await;
    Ok(Json(
        query.plain(&metrics::of_executor(&executor, &workers)),
    ))
}

async fn of_executors(State(state): State<RestState>, Query(query): Query<MetricsQuery>) -> Answer {
    let executors = state.dispatcher.executors().await;
    let workers = all_workers(&state).await;
    let meant = executors
        .iter()
        .filter(|executor| metrics::named(query.taskmanagers.as_deref(), &executor.container));
    let all: Vec<_> = meant
        .map(|executor| metrics::of_executor(executor, &workers))
        .collect();
    Ok(Json(query.aggregated(&all)))
}

async fn thread_dump(State(state): State<RestState>, Path(id): Path<String>) -> Answer {
    let executor = find(&state, &id).await?;
    let mut workers = Vec::new();
    for job in state.dispatcher.jobs() {
        if !job.status.is_terminal() {
            let asked = state.dispatcher.inspect(job.id, Inspection::Threads, DUMP);
            workers.extend(asked.await);
        }
    }
    let own = workers
        .iter()
        .filter(|worker| worker.container == executor.container);
    Ok(Json(stacks::thread_dump(own)))
}

#[derive(Debug, Deserialize)]
struct FlameQuery {
    #[serde(rename = "type")]
    part: Option<String>,
    subtaskindex: Option<usize>,
}

async fn flame_graph(
    State(state): State<RestState>,
    Path((id, vertex)): VertexPath,
    Query(query): Query<FlameQuery>,
) -> Answer {
    let job = state.job(&id)?;
    let vertex = position(&job, &vertex)?;
    let Some(part) = stacks::Part::parse(query.part.as_deref()) else {
        let message = "type: FULL, ON_CPU and OFF_CPU are valid";
        return Err(RestError::new(StatusCode::BAD_REQUEST, message));
    };
    let configuration = &state.dispatcher.settings().configuration;
    if !configuration.get(&options::REST_FLAMEGRAPH_ENABLED) {
        return Ok(Json(stacks::disabled()));
    }
    if job.status.is_terminal() {
        return Ok(Json(stacks::ended()));
    }
    let interval = configuration.get(&options::REST_FLAMEGRAPH_DELAY_BETWEEN_SAMPLES);
    let samples = configuration.get(&options::REST_FLAMEGRAPH_NUM_SAMPLES);
    let sampling = Sampling {
        duration: interval.saturating_mul(samples),
        interval,
    };
    let age = configuration.get(&options::REST_FLAMEGRAPH_REFRESH_INTERVAL);
    let workers = state.dispatcher.task_stacks(job.id, sampling, age).await;
    let job = state.job(&id)?;
    let tasks = metrics::tasks(&job, vertex, &workers);
    let meant = tasks.iter().filter(|(index, _)| {
        let wanted = query.subtaskindex;
        wanted.is_none_or(|wanted| wanted == **index)
    });
    Ok(Json(stacks::flame_graph(
        meant.map(|(_, task)| *task),
        part,
    )))
}

#[derive(Debug, Deserialize)]
struct AccumulatorQuery {
    #[serde(rename = "includeSerializedValue")]
    serialized: Option<String>,
}

async fn job_accumulators(
    State(state): State<RestState>,
    Path(id): Path<String>,
    Query(query): Query<AccumulatorQuery>,
) -> Answer {
    let seen = look(&state, &id).await?;
    let serialized = query.serialized.as_deref() == Some("true");
    let all = accumulators::of_job(&seen.job, &seen.workers, serialized);
    Ok(Json(all))
}

async fn vertex_accumulators(
    State(state): State<RestState>,
    Path((id, vertex)): VertexPath,
) -> Answer {
    let seen = look(&state, &id).await?;
    let index = position(&seen.job, &vertex)?;
    let all = accumulators::of_subtasks(&seen.job, index, &seen.workers);
    Ok(Json(accumulators::of_vertex(&vertex, all)))
}

async fn subtask_accumulators(
    State(state): State<RestState>,
    Path((id, vertex)): VertexPath,
) -> Answer {
    let seen = look(&state, &id).await?;
    let index = position(&seen.job, &vertex)?;
    let all = accumulators::of_subtasks(&seen.job, index, &seen.workers);
    let meta = &seen.job.graph.vertices[index];
    Ok(Json(accumulators::by_subtask(&seen.job, index, meta, all)))
}

async fn attempt_accumulators(
    State(state): State<RestState>,
    Path((id, vertex, subtask, attempt)): Path<(String, String, usize, u32)>,
) -> Answer {
    let seen = look(&state, &id).await?;
    let index = position(&seen.job, &vertex)?;
    let current = seen.job.vertices[index].subtasks.get(subtask);
    if current.is_none_or(|current| current.attempt != attempt) {
        let message = format!("Attempt {attempt} of subtask {subtask} is not known");
        return Err(RestError::new(StatusCode::NOT_FOUND, message));
    }
    let mut all = accumulators::of_subtasks(&seen.job, index, &seen.workers);
    let own = std::mem::take(&mut all[subtask]);
    let execution = format!("{id}_{vertex}_{subtask}_{attempt}");
    Ok(Json(accumulators::of_attempt(
        &execution, subtask, attempt, own,
    )))
}
