//! A ResourceManager and the JobManager of its only application, following a script.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::USER;

pub(crate) const APPLICATION: &str = "application_1700000000000_0001";
pub(crate) const JOB: &str = "11111111111111111111111111111111";

/// How the cluster behaves.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) standby: bool,
    pub(crate) queue: &'static str,
    pub(crate) maximum_mb: i64,
    pub(crate) owner: &'static str,
    /// State of the application once it was submitted, and what YARN says to it.
    pub(crate) state: (&'static str, &'static str),
    /// How the job ends; it does not, if this is empty.
    pub(crate) end: &'static str,
    /// The application runs already.
    pub(crate) is_known: bool,
    /// What comes of savepoints and the like: the JSON of the operation.
    pub(crate) operation: &'static str,
    /// The answer to whoever asks for one, if it is an error: status and text.
    pub(crate) refusal: Option<(u16, &'static str)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            standby: false,
            queue: "default",
            maximum_mb: 8192,
            owner: USER,
            state: ("RUNNING", ""),
            end: "FINISHED",
            is_known: false,
            operation: "{}",
            refusal: None,
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    submission: Option<Value>,
    killed: Option<String>,
    cancelled: bool,
    looks: u32,
    is_over: bool,
    /// What was asked for that takes a while: path and body.
    operations: Vec<(String, Value)>,
    /// How often somebody asked what became of it.
    polls: u32,
}

#[derive(Clone)]
struct Shared {
    script: Script,
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// A running fake; ends when dropped.
pub(crate) struct Cluster {
    shared: Shared,
    _runtime: tokio::runtime::Runtime,
}

impl Cluster {
    pub(crate) fn start(script: Script) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared {
            script,
            address,
            seen: Arc::default(),
        };
        let app = routes().with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self {
            shared,
            _runtime: runtime,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.shared.address.to_string()
    }

    pub(crate) fn submission(&self) -> Option<Value> {
        self.shared.seen.lock().unwrap().submission.clone()
    }

    pub(crate) fn killed(&self) -> Option<String> {
        self.shared.seen.lock().unwrap().killed.clone()
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.shared.seen.lock().unwrap().cancelled
    }

    /// How often a client asked for the job; at the third time all its tasks run.
    pub(crate) fn looks(&self) -> u32 {
        self.shared.seen.lock().unwrap().looks
    }

    /// What was asked for that takes a while: path and body.
    pub(crate) fn operations(&self) -> Vec<(String, Value)> {
        self.shared.seen.lock().unwrap().operations.clone()
    }

    /// A client has seen the job with all its tasks running.
    pub(crate) fn was_seen_running(&self) -> bool {
        self.looks() > 3
    }
}

fn routes() -> Router<Shared> {
    Router::new()
        .route("/ws/v1/cluster/scheduler", get(scheduler))
        .route("/ws/v1/cluster/apps/new-application", post(new_application))
        .route("/ws/v1/cluster/apps", post(submit))
        .route("/ws/v1/cluster/apps/{id}", get(report))
        .route("/ws/v1/cluster/apps/{id}/state", put(kill))
        .route("/jobs/overview", get(overview))
        .route("/jobs/{id}", get(job).patch(cancel))
        .route("/jobs/{id}/exceptions", get(exceptions))
        .route("/jobs/{id}/savepoints", post(begin))
        .route("/jobs/{id}/savepoints/{trigger}", get(status))
        .route("/jobs/{id}/checkpoints", post(begin))
        .route("/jobs/{id}/checkpoints/{trigger}", get(status))
        .route("/jobs/{id}/stop", post(begin))
        .route("/savepoint-disposal", post(begin))
        .route("/savepoint-disposal/{trigger}", get(status))
        .route("/jobs/{id}/execution-result", get(execution_result))
}

fn unless_standby(shared: &Shared, answer: Value) -> Response {
    if shared.script.standby {
        return (
            StatusCode::TEMPORARY_REDIRECT,
            [(header::REFRESH, "3; url=/")],
        )
            .into_response();
    }
    Json(answer).into_response()
}

async fn scheduler(State(shared): State<Shared>) -> Response {
    let queue = json!({"queueName": shared.script.queue, "queuePath": format!("root.{}", shared.script.queue)});
    let info =
        json!({"type": "capacityScheduler", "queueName": "root", "queues": {"queue": [queue]}});
    unless_standby(&shared, json!({"scheduler": {"schedulerInfo": info}}))
}

async fn new_application(State(shared): State<Shared>) -> Response {
    let maximum = json!({"memory": shared.script.maximum_mb, "vCores": 8});
    let answer = json!({"application-id": APPLICATION, "maximum-resource-capability": maximum});
    unless_standby(&shared, answer)
}

async fn submit(State(shared): State<Shared>, Json(body): Json<Value>) -> StatusCode {
    shared.seen.lock().unwrap().submission = Some(body);
    StatusCode::ACCEPTED
}

async fn report(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let seen = shared.seen.lock().unwrap();
    if (seen.submission.is_none() && !shared.script.is_known) || id != APPLICATION {
        let exception = json!({"exception": "NotFoundException", "message": "not found"});
        return (
            StatusCode::NOT_FOUND,
            Json(json!({"RemoteException": exception})),
        )
            .into_response();
    }
    let (state, diagnostics) = shared.script.state;
    let (state, final_status) = match state {
        _ if seen.killed.is_some() => ("KILLED", "KILLED"),
        "FAILED" => ("FAILED", "FAILED"),
        "FINISHED" => ("FINISHED", "SUCCEEDED"),
        _ if seen.cancelled => ("FINISHED", "KILLED"),
        _ if seen.is_over && shared.script.end == "FAILED" => ("FINISHED", "FAILED"),
        _ if seen.is_over => ("FINISHED", "SUCCEEDED"),
        state => (state, "UNDEFINED"),
    };
    let app = json!({
        "id": id, "user": shared.script.owner, "name": "x", "queue": "default", "state": state,
        "finalStatus": final_status, "diagnostics": diagnostics, "startedTime": 1000,
        "finishedTime": 3000, "trackingUrl": format!("http://rm:8088/proxy/{id}/"),
        "amRPCAddress": shared.address.to_string(),
    });
    Json(json!({"app": app})).into_response()
}

async fn kill(State(shared): State<Shared>, Json(body): Json<Value>) -> Response {
    let mut seen = shared.seen.lock().unwrap();
    let first = seen.killed.is_none();
    seen.killed = Some(body["diagnostics"].as_str().unwrap_or_default().to_owned());
    let status = if first {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    (status, Json(json!({"state": "KILLED"}))).into_response()
}

async fn overview(State(shared): State<Shared>) -> Json<Value> {
    let state = if shared.seen.lock().unwrap().is_over {
        shared.script.end
    } else {
        "RUNNING"
    };
    Json(json!({"jobs": [{"jid": JOB, "name": "x", "start-time": 1, "state": state}]}))
}

/// Unknown at first, then starting, then running, then ended.
async fn job(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    let mut seen = shared.seen.lock().unwrap();
    seen.looks += 1;
    let (state, tasks) = match seen.looks {
        1 => return (StatusCode::NOT_FOUND, Json(json!({"errors": ["no job"]}))).into_response(),
        2 => ("RUNNING", json!({"RUNNING": 1, "DEPLOYING": 1})),
        3 | 4 => ("RUNNING", json!({"RUNNING": 2})),
        _ if shared.script.end.is_empty() => ("RUNNING", json!({"RUNNING": 2})),
        _ => {
            seen.is_over = true;
            (shared.script.end, json!({"FINISHED": 2}))
        }
    };
    let vertex = json!({"id": "v", "name": "Source: fake", "parallelism": 2, "tasks": tasks});
    Json(json!({"jid": id, "name": "x", "state": state, "duration": 5, "vertices": [vertex]}))
        .into_response()
}

async fn cancel(State(shared): State<Shared>) -> Response {
    shared.seen.lock().unwrap().cancelled = true;
    (StatusCode::ACCEPTED, Json(json!({}))).into_response()
}

async fn exceptions() -> Json<Value> {
    let entry =
        json!({"stacktrace": "word 7 is bad", "taskName": "map (1/2)", "location": "node1:8041"});
    Json(json!({"root-exception": "word 7 is bad", "exceptionHistory": {"entries": [entry]}}))
}

async fn execution_result() -> Json<Value> {
    Json(json!({"status": {"id": "COMPLETED"}, "job-execution-result": {"net-runtime": 4321}}))
}

const TRIGGER: &str = "22222222222222222222222222222222";

async fn begin(State(shared): State<Shared>, uri: Uri, Json(body): Json<Value>) -> Response {
    if let Some((status, text)) = shared.script.refusal {
        let status = StatusCode::from_u16(status).unwrap();
        return (status, Json(json!({"errors": [text]}))).into_response();
    }
    let asked = (uri.path().to_owned(), body);
    shared.seen.lock().unwrap().operations.push(asked);
    (StatusCode::ACCEPTED, Json(json!({"request-id": TRIGGER}))).into_response()
}

/// Under way when it is asked for the first time, then done.
async fn status(State(shared): State<Shared>, uri: Uri) -> Response {
    let mut seen = shared.seen.lock().unwrap();
    let is_known = uri.path().ends_with(TRIGGER) && !seen.operations.is_empty();
    if !is_known || shared.script.operation.is_empty() {
        let errors = json!({"errors": ["There is no savepoint operation"]});
        return (StatusCode::NOT_FOUND, Json(errors)).into_response();
    }
    seen.polls += 1;
    let (status, operation) = match seen.polls {
        1 => ("IN_PROGRESS", Value::Null),
        _ => (
            "COMPLETED",
            serde_json::from_str(shared.script.operation).unwrap(),
        ),
    };
    Json(json!({"status": {"id": status}, "operation": operation})).into_response()
}
