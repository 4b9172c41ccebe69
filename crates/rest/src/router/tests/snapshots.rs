//! Checkpoints and savepoints over real HTTP, of workers that acknowledge each.

use flott_model::SubtaskSnapshot;
use flott_protocol::message::{AttemptId, EnumeratorsSnapshotted, TaskDescriptor, TaskSnapshotted};

use super::*;

const WAIT: Duration = Duration::from_secs(10);

/// Runs every task until it is cancelled, or told to stop with a savepoint.
fn acknowledging_workers() -> WorkerFactory {
    Arc::new(|spec, messages, commands| {
        tokio::spawn(acknowledge(spec, messages, commands));
    })
}

fn state(attempt: AttemptId, state: ExecutionState) -> worker_message::Kind {
    worker_message::Kind::Task(TaskReport {
        attempt,
        state: state.number(),
        ..TaskReport::default()
    })
}

async fn acknowledge(
    spec: WorkerSpec,
    messages: mpsc::Sender<WorkerMessage>,
    mut commands: mpsc::Receiver<WorkerCommand>,
) {
    let say = async |kind| {
        // A job that ended does not listen.
        let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
    };
    say(worker_message::Kind::Register(RegisterWorker {
        job: spec.job,
        container: spec.container,
        incarnation: spec.incarnation,
        data_address: "localhost:1".to_owned(),
        pid: 1,
    }))
    .await;
    let mut tasks: Vec<TaskDescriptor> = Vec::new();
    while let Some(command) = commands.recv().await {
        match command.kind {
            Some(worker_command::Kind::Deploy(deploy)) => {
                for task in deploy.tasks {
                    say(state(task.attempt, ExecutionState::Initializing)).await;
                    say(state(task.attempt, ExecutionState::Running)).await;
                    tasks.push(task);
                }
            }
            // Sources are told; what is behind them meets their barriers.
            Some(worker_command::Kind::BeginCheckpoint(begin)) if !begin.attempts.is_empty() => {
                for task in &tasks {
                    say(worker_message::Kind::Snapshotted(TaskSnapshotted {
                        checkpoint: begin.checkpoint,
                        attempt: task.attempt,
                        snapshot: Some(SubtaskSnapshot {
                            bytes: 10,
                            ..SubtaskSnapshot::default()
                        }),
                        ..TaskSnapshotted::default()
                    }))
                    .await;
                }
            }
            Some(worker_command::Kind::SnapshotEnumerators(ask)) => {
                say(worker_message::Kind::Enumerators(EnumeratorsSnapshotted {
                    checkpoint: ask.checkpoint,
                    ..EnumeratorsSnapshotted::default()
                }))
                .await;
            }
            Some(worker_command::Kind::EndCheckpoint(end)) if end.stop => {
                for task in &tasks {
                    say(state(task.attempt, ExecutionState::Finished)).await;
                }
            }
            Some(worker_command::Kind::Cancel(cancel)) => {
                for attempt in cancel.attempts {
                    say(state(attempt, ExecutionState::Canceled)).await;
                }
            }
            _ => (),
        }
    }
}

struct Running {
    server: Server,
    job: String,
}

impl Running {
    /// A job whose tasks all run.
    async fn start(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter();
        let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let server = Server::with(settings.collect(), acknowledging_workers()).await;
        let submitted = server.dispatcher.submit(graph(), JobBundle::default());
        let id = submitted.await.unwrap();
        let mut watch = server.dispatcher.watch(id).unwrap();
        let running = watch.wait_for(JobSnapshot::all_running);
        tokio::time::timeout(WAIT, running).await.unwrap().unwrap();
        Self {
            server,
            job: id.to_string(),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/jobs/{}{rest}", self.job)
    }

    /// Begins an operation, and waits for what comes of it.
    async fn operation(&self, what: &str, status: &str, body: Value) -> Value {
        let begun = self.server.send("POST", what, &body.to_string()).await;
        let (code, answer) = begun;
        assert!(code == 202 || code == 200, "{what}: {code} {answer}");
        assert_eq!(keys(&answer), "request-id");
        let id = answer["request-id"].as_str().unwrap();
        let deadline = tokio::time::Instant::now() + WAIT;
        loop {
            let answer = self.server.get(&format!("{status}/{id}")).await;
            assert_eq!(keys(&answer), "operation status");
            if answer["status"]["id"] == "COMPLETED" {
                return answer["operation"].clone();
            }
            assert_eq!(answer["operation"], Value::Null);
            assert!(tokio::time::Instant::now() < deadline, "{what}: {answer}");
            tokio::task::yield_now().await;
        }
    }

    async fn savepoint(&self, directory: &std::path::Path, more: Value) -> Value {
        let mut body = json!({ "target-directory": directory });
        let fields = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        let path = self.path("/savepoints");
        self.operation(&path, &path, body).await
    }

    async fn ended(&self) -> String {
        let ended = self.server.dispatcher.wait(self.job.parse().unwrap());
        let ended = tokio::time::timeout(WAIT, ended).await.unwrap();
        ended.unwrap().status.to_string()
    }
}

fn location(operation: &Value) -> std::path::PathBuf {
    let location = operation["location"].as_str();
    let location = location.unwrap_or_else(|| panic!("no savepoint: {operation}"));
    location.trim_start_matches("file://").into()
}

#[tokio::test]
async fn a_savepoint_is_taken_shown_and_disposed_of() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(&[]).await;
    let operation = running.savepoint(directory.path(), json!({})).await;
    assert_eq!(keys(&operation), "location");
    let path = location(&operation);
    assert!(path.starts_with(directory.path()), "{path:?}");
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let expected = format!("savepoint-{}-", &running.job[..6]);
    assert!(name.starts_with(&expected), "{name}");
    assert!(path.join("_metadata").is_file());

    let shown = running.server.get(&running.path("/checkpoints")).await;
    assert_eq!(shown["counts"]["completed"], 1);
    let savepoint = &shown["latest"]["savepoint"];
    assert_eq!(savepoint["checkpoint_type"], "SAVEPOINT");
    assert_eq!(savepoint["num_acknowledged_subtasks"], 4);
    assert_eq!(savepoint["checkpointed_size"], 40);
    let triggered = savepoint["trigger_timestamp"].as_u64().unwrap();
    let now = crate::job::now();
    assert!(now - triggered < 60_000, "{triggered}, {now}");
    let id = savepoint["id"].as_u64().unwrap();
    let details = format!("/checkpoints/details/{id}");
    let details = running.server.get(&running.path(&details)).await;
    assert_eq!(details["tasks"].as_object().unwrap().len(), 2);
    let vertex = "02020202020202020202020202020202";
    let subtasks = format!("/checkpoints/details/{id}/subtasks/{vertex}");
    let subtasks = running.server.get(&running.path(&subtasks)).await;
    assert_eq!(subtasks["subtasks"][1]["status"], "completed");

    let body = json!({ "savepoint-path": operation["location"] });
    let disposal = "/savepoint-disposal";
    let disposed = running.operation(disposal, disposal, body.clone()).await;
    assert_eq!(disposed, json!({}));
    assert!(!path.exists());
    let again = running.operation(disposal, disposal, body).await;
    let cause = again["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(cause.contains(&name), "{cause}");
}

#[tokio::test]
async fn a_checkpoint_out_of_turn() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    for (key, place) in [
        ("execution.checkpointing.dir", dir),
        // The JobManager holds it.
        ("execution.checkpointing.storage", "jobmanager"),
    ] {
        let settings = [("execution.checkpointing.interval", "1 h"), (key, place)];
        let running = Running::start(&settings).await;
        let path = running.path("/checkpoints");
        let body = json!({ "checkpointType": "FULL" });
        let operation = running.operation(&path, &path, body).await;
        let id = operation["checkpointId"].as_u64();
        let id = id.unwrap_or_else(|| panic!("no checkpoint: {operation}"));
        let shown = running.server.get(&path).await;
        let completed = &shown["latest"]["completed"];
        assert_eq!(completed["id"], id);
        let external = completed["external_path"].as_str().unwrap();
        let expected = if place == dir {
            format!("file://{dir}/{}/chk-{id}", running.job)
        } else {
            "<checkpoint-not-externally-addressable>".to_owned()
        };
        assert_eq!(external, expected);
        let config = format!("{path}/config");
        assert_eq!(running.server.get(&config).await["interval"], 3_600_000);
    }
}

#[tokio::test]
async fn a_job_stops_with_a_savepoint() {
    for drain in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start(&[]).await;
        let body = json!({ "targetDirectory": directory.path(), "drain": drain });
        let (stop, status) = (running.path("/stop"), running.path("/savepoints"));
        let operation = running.operation(&stop, &status, body).await;
        assert!(location(&operation).join("_metadata").is_file());
        assert_eq!(running.ended().await, "FINISHED");
        let shown = running.server.get(&running.path("/checkpoints")).await;
        assert_eq!(
            shown["latest"]["savepoint"]["checkpoint_type"],
            "SYNC_SAVEPOINT"
        );
        let fetched = running.server.state.operations_fetched();
        tokio::time::timeout(WAIT, fetched).await.unwrap();
    }
}

#[tokio::test]
async fn a_job_is_cancelled_with_a_savepoint() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    // The directory of the configuration, and Flink's other format.
    let running = Running::start(&[("execution.checkpointing.savepoint-dir", dir)]).await;
    let body = json!({ "cancel-job": true, "formatType": "NATIVE", "target-directory": null });
    let path = running.path("/savepoints");
    let operation = running.operation(&path, &path, body).await;
    assert!(location(&operation).starts_with(directory.path()));
    assert_eq!(running.ended().await, "CANCELED");
}

#[tokio::test]
async fn asking_twice_by_one_name_asks_once() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(&[]).await;
    let name = "0123456789abcdef0123456789abcdef";
    let first = running.savepoint(directory.path(), json!({ "triggerId": name }));
    let first = first.await;
    let again = running.savepoint(directory.path(), json!({ "triggerId": name }));
    assert_eq!(again.await, first);
    let savepoints = std::fs::read_dir(directory.path()).unwrap();
    assert_eq!(savepoints.count(), 1);
}

#[tokio::test]
async fn what_fails_later_is_an_answer_with_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let mut running = Running::start(&[]).await;
    let unknown = "00000000000000000000000000000000";
    unknown.clone_into(&mut running.job);
    let operation = running.savepoint(directory.path(), json!({})).await;
    let cause = &operation["failure-cause"];
    assert_eq!(keys(cause), "class serialized-throwable stack-trace");
    let text = cause["stack-trace"].as_str().unwrap();
    assert!(
        text.contains(&format!("Could not find Flink job ({unknown})")),
        "{text}"
    );
    // A place where nothing can be written.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let running = Running::start(&[]).await;
    let operation = running.savepoint(&file, json!({})).await;
    let text = operation["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(text.contains(file.to_str().unwrap()), "{text}");
}

impl Running {
    async fn refused(&self, method: &str, path: &str, body: &str, (status, text): (u16, &str)) {
        let (found, answer) = self.server.send(method, path, body).await;
        assert_eq!(found, status, "{method} {path} {body}: {answer}");
        let said = answer["errors"][0].as_str().unwrap();
        assert!(said.contains(text), "{method} {path} {body}: {said}");
    }
}

#[tokio::test]
async fn requests_that_cannot_be_right_are_refused() {
    let running = Running::start(&[]).await;
    let (savepoints, stop) = (running.path("/savepoints"), running.path("/stop"));
    let checkpoints = running.path("/checkpoints");
    for (path, body, text) in [
        (&*savepoints, "", "execution.checkpointing.savepoint-dir"),
        (&stop, "{}", "[targetDirectory]"),
        (&savepoints, "{", "SavepointTriggerRequestBody"),
        (&savepoints, "[]", "an object"),
        (&savepoints, r#"{"formatType":"AVRO"}"#, "AVRO"),
        (
            &savepoints,
            r#"{"triggerId":"7","target-directory":"/x"}"#,
            "triggerId",
        ),
        ("/jobs/xyz/savepoints", "{}", "(jobid)"),
        (&checkpoints, r#"{"checkpointType":"HALF"}"#, "HALF"),
        ("/savepoint-disposal", "{}", "[savepoint-path]"),
    ] {
        running.refused("POST", path, body, (400, text)).await;
    }
}

#[tokio::test]
async fn what_nobody_knows_is_not_found() {
    let running = Running::start(&[]).await;
    let (savepoints, checkpoints) = (running.path("/savepoints"), running.path("/checkpoints"));
    let id = "00000000000000000000000000000000";
    let no_such = format!("There is no savepoint operation with triggerId={id}");
    for (path, status, text) in [
        (format!("{savepoints}/{id}"), 404, &*no_such),
        (format!("{savepoints}/7"), 400, "(triggerid)"),
        (
            format!("{checkpoints}/{id}"),
            404,
            "no checkpoint operation",
        ),
        (
            format!("/savepoint-disposal/{id}"),
            404,
            "no savepoint disposal",
        ),
        (
            format!("{checkpoints}/details/99999"),
            404,
            "for checkpoint 99999",
        ),
        (format!("{checkpoints}/details/x"), 400, "(checkpointid)"),
        (savepoints, 404, "Unable to load"),
    ] {
        running.refused("GET", &path, "", (status, text)).await;
    }
}

#[tokio::test]
async fn a_job_in_batch_has_none() {
    let server = Server::start(ExecutionState::Finished).await;
    let graph = JobGraph {
        mode: flott_model::RuntimeMode::Batch.into(),
        ..graph()
    };
    let id = server.dispatcher.submit(graph, JobBundle::default()).await;
    let id = id.unwrap();
    for path in ["", "/config", "/details/1"] {
        let path = format!("/jobs/{id}/checkpoints{path}");
        let (status, answer) = server.request("GET", &path).await;
        assert_eq!(status, 404, "{path}: {answer}");
        assert_eq!(answer["errors"][0], "Checkpointing has not been enabled.");
    }
}
