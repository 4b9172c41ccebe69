//! Answers over real HTTP, of a cluster whose workers finish at once.

mod inspected;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flott_config::Configuration;
use flott_jobmanager::{Dispatcher, DispatcherSettings, EmbeddedDriver, WorkerFactory};
use flott_model::{
    ExecutionState, Failure, FailureClass, JobEdge, JobGraph, JobVertex, PROTOCOL_VERSION,
    ShipStrategy,
};
use flott_protocol::message::{
    JobBundle, RegisterWorker, TaskReport, WorkerCommand, WorkerMessage, WorkerSpec,
    worker_command, worker_message,
};
use flott_protocol::rpc::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

/// Ends every task in that state.
fn workers(end: ExecutionState) -> WorkerFactory {
    Arc::new(move |spec, messages, commands| {
        tokio::spawn(work(spec, messages, commands, end));
    })
}

async fn work(
    spec: WorkerSpec,
    messages: mpsc::Sender<WorkerMessage>,
    mut commands: mpsc::Receiver<WorkerCommand>,
    end: ExecutionState,
) {
    let register = RegisterWorker {
        job: spec.job,
        container: spec.container,
        incarnation: spec.incarnation,
        data_address: "localhost:1".to_owned(),
        pid: 1,
    };
    let kind = Some(worker_message::Kind::Register(register));
    messages.send(WorkerMessage { kind }).await.unwrap();
    while let Some(command) = commands.recv().await {
        let Some(worker_command::Kind::Deploy(deploy)) = command.kind else {
            continue;
        };
        for task in deploy.tasks {
            for state in [ExecutionState::Initializing, ExecutionState::Running, end] {
                let failed = state == ExecutionState::Failed;
                let failure =
                    failed.then(|| Failure::new(FailureClass::UserCode, "division by zero"));
                let (attempt, state) = (task.attempt, state.number());
                let report = TaskReport {
                    attempt,
                    state,
                    failure,
                    ..TaskReport::default()
                };
                let kind = Some(worker_message::Kind::Task(report));
                messages.send(WorkerMessage { kind }).await.unwrap();
            }
        }
    }
}

struct Server {
    address: std::net::SocketAddr,
    dispatcher: DispatcherHandle,
    state: RestState,
}

impl Server {
    async fn start(end: ExecutionState) -> Self {
        let settings = [("s3.secret-key".to_owned(), "visible".to_owned())];
        Self::with(settings.into(), workers(end)).await
    }

    async fn with(configuration: BTreeMap<String, String>, workers: WorkerFactory) -> Self {
        let configuration = Configuration::from_map(configuration).unwrap();
        let settings = DispatcherSettings::new("rest", Secret::new(b"s"), configuration);
        let driver = Box::new(EmbeddedDriver::new(2, workers));
        let dispatcher = Dispatcher::start(settings, driver);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = RestState::new(dispatcher.clone());
        tokio::spawn(serve(listener, state.clone(), std::future::pending()));
        Self {
            address,
            dispatcher,
            state,
        }
    }

    async fn request(&self, method: &str, path: &str) -> (u16, Value) {
        self.send(method, path, "").await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = tokio::time::timeout(Duration::from_secs(10), answer)
            .await
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("content-type: application/json; charset=UTF-8"),
            "{head}"
        );
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Runs a job to its end; its id.
    async fn run(&self) -> String {
        let id = self
            .dispatcher
            .submit(graph(), JobBundle::default())
            .await
            .unwrap();
        let ended = self.dispatcher.wait(id);
        tokio::time::timeout(Duration::from_secs(10), ended)
            .await
            .unwrap()
            .unwrap();
        id.to_string()
    }
}

fn graph() -> JobGraph {
    let vertex = |name: &str, uid: u8| JobVertex {
        uid: vec![uid; 16],
        name: name.to_owned(),
        parallelism: 2,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
        ..JobVertex::default()
    };
    let edge = JobEdge {
        source: 0,
        target: 1,
        ship: ShipStrategy::Hash.into(),
        ..JobEdge::default()
    };
    JobGraph {
        name: "counts".to_owned(),
        vertices: vec![vertex("Source: text", 1), vertex("sum -> print", 2)],
        edges: vec![edge],
        protocol_version: PROTOCOL_VERSION,
        ..JobGraph::default()
    }
}

fn keys(value: &Value) -> String {
    let keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.join(" ")
}

#[tokio::test]
async fn a_finished_job_has_flinks_fields() {
    let server = Server::start(ExecutionState::Finished).await;
    let job = server.run().await;
    let details = server.get(&format!("/v1/jobs/{job}")).await;
    let expected = "duration end-time isStoppable jid job-type maxParallelism name now plan \
                    start-time state status-counts timestamps vertices";
    assert_eq!(keys(&details), expected);
    assert_eq!(details["state"], "FINISHED");
    assert_eq!(details["timestamps"]["FAILED"], 0);
    assert_eq!(details["status-counts"]["FINISHED"], 2);
    let vertex = &details["vertices"][1];
    let expected = "duration end-time id maxParallelism metrics name parallelism \
                    slotSharingGroupId start-time status tasks";
    assert_eq!(keys(vertex), expected);
    assert_eq!(vertex["tasks"]["FINISHED"], 2);
    assert_eq!(vertex["tasks"]["RECONCILING"], 0);
    assert_eq!(
        details["plan"]["nodes"][0]["inputs"][0]["ship_strategy"],
        "HASH"
    );
    assert_eq!(
        details["plan"]["nodes"][1]["id"],
        "01010101010101010101010101010101"
    );

    let overview = server.get("/jobs/overview").await;
    let expected = "duration end-time jid last-modification name start-time state tasks";
    assert_eq!(keys(&overview["jobs"][0]), expected);
    assert_eq!(overview["jobs"][0]["tasks"]["total"], 4);
    assert_eq!(server.get("/jobs").await["jobs"][0]["status"], "FINISHED");
    assert_eq!(
        server.get(&format!("/jobs/{job}/status")).await["status"],
        "FINISHED"
    );
    let exceptions = server.get(&format!("/jobs/{job}/exceptions")).await;
    assert!(exceptions["root-exception"].is_null());

    let id = "02020202020202020202020202020202";
    let vertex = server.get(&format!("/jobs/{job}/vertices/{id}")).await;
    assert_eq!(vertex["subtasks"][1]["host"], "localhost");
    assert_eq!(vertex["subtasks"][1]["status"], "FINISHED");

    assert_eq!(*server.state.results_fetched().borrow(), 0);
    let result = server.get(&format!("/jobs/{job}/execution-result")).await;
    assert_eq!(result["status"]["id"], "COMPLETED");
    assert_eq!(
        result["job-execution-result"]["application-status"],
        "SUCCEEDED"
    );
    assert_eq!(*server.state.results_fetched().borrow(), 1);
}

#[tokio::test]
async fn a_failed_job_tells_its_root_cause() {
    let server = Server::start(ExecutionState::Failed).await;
    let job = server.run().await;
    let exceptions = server.get(&format!("/jobs/{job}/exceptions")).await;
    let root = exceptions["root-exception"].as_str().unwrap();
    assert!(
        root.contains("division by zero") && root.contains("localhost"),
        "{root}"
    );
    let entry = &exceptions["exceptionHistory"]["entries"][0];
    assert!(
        entry["taskName"].as_str().unwrap().ends_with("/2)"),
        "{entry}"
    );
    let result = server.get(&format!("/jobs/{job}/execution-result")).await;
    let cause = &result["job-execution-result"]["failure-cause"]["stack-trace"];
    assert!(
        cause.as_str().unwrap().contains("division by zero"),
        "{result}"
    );
}

#[tokio::test]
async fn jobs_are_cancelled_by_either_verb() {
    let server = Server::start(ExecutionState::Running).await;
    for (index, (method, path)) in [("PATCH", "?mode=cancel"), ("GET", "/yarn-cancel")]
        .into_iter()
        .enumerate()
    {
        let graph = JobGraph {
            execute_index: index as u32,
            ..graph()
        };
        let id = server
            .dispatcher
            .submit(graph, JobBundle::default())
            .await
            .unwrap();
        let path = format!("/jobs/{id}{path}");
        assert_eq!(server.request(method, &path).await, (202, json!({})));
        let mut watch = server.dispatcher.watch(id).unwrap();
        let cancelling = watch.wait_for(|job| job.status.as_str().starts_with("CANCEL"));
        tokio::time::timeout(Duration::from_secs(10), cancelling)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn the_cluster_shows_its_executors_and_hides_secrets() {
    let server = Server::start(ExecutionState::Finished).await;
    server.run().await;
    let overview = server.get("/overview").await;
    assert_eq!(
        (&overview["taskmanagers"], &overview["slots-total"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(overview["jobs-finished"], 1);
    let executors = server.get("/taskmanagers").await;
    let id = executors["taskmanagers"][0]["id"].as_str().unwrap();
    assert_eq!(
        server.get(&format!("/taskmanagers/{id}")).await["slotsNumber"],
        2
    );
    let configuration = server.get("/jobmanager/config").await;
    assert_eq!(
        configuration,
        json!([{ "key": "s3.secret-key", "value": "******" }])
    );
    assert_eq!(server.get("/config").await["features"]["web-cancel"], true);
}

#[tokio::test]
async fn errors_have_flinks_form() {
    let server = Server::start(ExecutionState::Finished).await;
    let unknown = "00000000000000000000000000000000";
    for (method, path, status, text) in [
        (
            "GET",
            format!("/jobs/{unknown}"),
            404,
            format!("Job {unknown} not found"),
        ),
        (
            "GET",
            "/jobs/xyz".to_owned(),
            400,
            "value \"xyz\"".to_owned(),
        ),
        (
            "GET",
            "/nope".to_owned(),
            404,
            "Unable to load requested file /nope.".to_owned(),
        ),
        (
            "POST",
            "/overview".to_owned(),
            404,
            "Not found: /overview".to_owned(),
        ),
        (
            "GET",
            "/taskmanagers/x".to_owned(),
            404,
            "registered under x".to_owned(),
        ),
    ] {
        let (found, body) = server.request(method, &path).await;
        assert_eq!(found, status, "{path}");
        assert!(
            body["errors"][0].as_str().unwrap().contains(&text),
            "{body}"
        );
    }
}
