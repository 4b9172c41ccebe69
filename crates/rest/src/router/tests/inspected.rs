//! What running tasks tell, over real HTTP: compared with the shapes that a Flink 1.20 gave.

use flott_metrics::accumulators::Accumulators;
use flott_protocol::message::{
    Inspect, Inspected, Inspection, Metric, SampledStack, TaskAccumulator, TaskDescriptor,
    TaskInspected, ThreadInspected,
};

use super::*;

/// Runs every task for ever, and answers what is asked of it.
fn telling_workers() -> WorkerFactory {
    Arc::new(|spec, messages, commands| {
        tokio::spawn(tell(spec, messages, commands));
    })
}

async fn tell(
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
                    for state in [ExecutionState::Initializing, ExecutionState::Running] {
                        let report = TaskReport {
                            attempt: task.attempt,
                            state: state.number(),
                            ..TaskReport::default()
                        };
                        say(worker_message::Kind::Task(report)).await;
                    }
                    tasks.push(task);
                }
            }
            Some(worker_command::Kind::Cancel(cancel)) => {
                for attempt in cancel.attempts {
                    let report = TaskReport {
                        attempt,
                        state: ExecutionState::Canceled.number(),
                        accumulators: rows(attempt.subtask),
                        ..TaskReport::default()
                    };
                    say(worker_message::Kind::Task(report)).await;
                }
            }
            Some(worker_command::Kind::Inspect(inspect)) => {
                say(worker_message::Kind::Inspected(answer(inspect, &tasks))).await;
            }
            _ => (),
        }
    }
}

/// `rows`: 10 in the first subtask, 11 in the second.
fn rows(subtask: u32) -> Vec<TaskAccumulator> {
    let accumulators = Accumulators::default();
    let rows = accumulators.get::<flott_metrics::accumulators::LongCounter>("rows");
    rows.unwrap().add(10 + i64::from(subtask));
    accumulators
        .snapshot()
        .into_iter()
        .map(Into::into)
        .collect()
}

fn answer(inspect: Inspect, tasks: &[TaskDescriptor]) -> Inspected {
    let metric = |name: &str, value: &str, of_job| Metric {
        name: name.to_owned(),
        value: value.to_owned(),
        of_job,
    };
    let told = tasks.iter().map(|task| {
        let subtask = task.attempt.subtask;
        let stack = SampledStack {
            frames: vec!["poll".to_owned()],
            count: 4,
            on_cpu: true,
        };
        TaskInspected {
            attempt: task.attempt,
            metrics: vec![
                metric("numRecordsIn", &(subtask + 1).to_string(), false),
                metric("currentInputWatermark", "77", false),
                metric("backPressuredTimeMsPerSecond", "600", false),
                metric("latency_p99", "3.0", true),
            ],
            accumulators: rows(subtask),
            stacks: vec![stack],
        }
    });
    let thread = ThreadInspected {
        name: "flott-task-0".to_owned(),
        id: 5,
        state: "RUNNABLE".to_owned(),
        ..ThreadInspected::default()
    };
    Inspected {
        request: inspect.request,
        last: true,
        tasks: told.collect(),
        threads: Vec::from_iter((inspect.what() == Inspection::Threads).then_some(thread)),
        metrics: vec![metric("Status.JVM.Threads.Count", "9", false)],
        failure: String::new(),
    }
}

/// A server with a job of which all tasks run: the server, the job's id, the ids of its two vertices.
async fn running() -> (Server, String, Vec<String>) {
    let settings = [
        ("rest.flamegraph.enabled", "true"),
        ("metrics.fetcher.update-interval", "0 ms"),
    ];
    let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let server = Server::with(settings.into(), telling_workers()).await;
    let submitted = server.dispatcher.submit(graph(), JobBundle::default());
    let id = submitted.await.unwrap();
    let mut watch = server.dispatcher.watch(id).unwrap();
    let runs = watch.wait_for(|job| job.all_running());
    let job = tokio::time::timeout(Duration::from_secs(10), runs).await;
    let job = job.unwrap().unwrap();
    let vertices = job.graph.vertices.iter();
    let vertices = vertices.map(|vertex| vertex.operator_uid().to_string());
    let vertices = vertices.collect();
    drop(job);
    (server, id.to_string(), vertices)
}

#[tokio::test]
async fn metrics_of_a_vertex_its_subtasks_and_the_job() {
    let (server, job, vertices) = running().await;
    let of = async |path: &str| server.get(&format!("/jobs/{job}/{path}")).await;
    let target = format!("vertices/{}", vertices[1]);
    let named = of(&format!(
        "{target}/metrics?get=0.numRecordsIn,1.numRecordsIn,x"
    ))
    .await;
    assert_eq!(
        named,
        json!([{"id": "0.numRecordsIn", "value": "1"}, {"id": "1.numRecordsIn", "value": "2"}])
    );
    let list = of(&format!("{target}/metrics")).await;
    assert!(
        list.as_array()
            .unwrap()
            .contains(&json!({"id": "1.currentInputWatermark"}))
    );
    let figures = of(&format!(
        "{target}/subtasks/metrics?get=numRecordsIn&agg=min,max"
    ))
    .await;
    assert_eq!(
        figures,
        json!([{"id": "numRecordsIn", "min": 1.0, "max": 2.0}])
    );
    let second = of(&format!(
        "{target}/subtasks/metrics?get=numRecordsIn&agg=sum&subtasks=1"
    ))
    .await;
    assert_eq!(second, json!([{"id": "numRecordsIn", "sum": 2.0}]));
    let one = of(&format!("{target}/subtasks/1/metrics?get=numRecordsIn")).await;
    assert_eq!(one, json!([{"id": "numRecordsIn", "value": "2"}]));
    let whole = of("metrics?get=latency_p99,numRestarts").await;
    assert_eq!(
        whole,
        json!([{"id": "latency_p99", "value": "3.0"}, {"id": "numRestarts", "value": "0"}])
    );
    let jobs = server.get("/jobs/metrics?get=numRestarts&agg=max").await;
    assert_eq!(jobs, json!([{"id": "numRestarts", "max": 0.0}]));
}

#[tokio::test]
async fn watermarks_back_pressure_and_flame_graphs_of_a_vertex() {
    let (server, job, vertices) = running().await;
    let of = async |vertex: usize, path: &str| {
        let vertex = &vertices[vertex];
        server
            .get(&format!("/jobs/{job}/vertices/{vertex}/{path}"))
            .await
    };
    assert_eq!(of(0, "watermarks").await, json!([]), "a source has none");
    assert_eq!(
        of(1, "watermarks").await,
        json!([
            {"id": "0.currentInputWatermark", "value": "77"},
            {"id": "1.currentInputWatermark", "value": "77"}
        ])
    );
    let pressure = of(1, "backpressure").await;
    assert_eq!(pressure["backpressure-level"], "high");
    assert_eq!(pressure["subtasks"][1]["ratio"], 0.6);
    let graph = of(1, "flamegraph?type=on_cpu").await;
    assert_eq!(
        graph["data"],
        json!({"name": "root", "value": 8, "children": [{"name": "poll", "value": 8, "children": []}]})
    );
    let first = of(1, "flamegraph?subtaskindex=0").await;
    assert_eq!(first["data"]["value"], 4);
    let path = format!("/jobs/{job}/vertices/{}/flamegraph?type=x", vertices[1]);
    assert_eq!(server.request("GET", &path).await.0, 400);
}

#[tokio::test]
async fn accumulators_of_running_and_of_ended_tasks() {
    let (server, job, vertices) = running().await;
    let vertex = format!("/jobs/{job}/vertices/{}", vertices[1]);
    let shown = |value: &str| json!({"name": "rows", "type": "LongCounter", "value": value});
    let check = async || {
        let whole = server.get(&format!("/jobs/{job}/accumulators")).await;
        let expected = json!({
            "job-accumulators": [], "user-task-accumulators": [shown("42")],
            "serialized-user-task-accumulators": {},
        });
        assert_eq!(whole, expected);
        let of_vertex = server.get(&format!("{vertex}/accumulators")).await;
        assert_eq!(
            of_vertex,
            json!({"id": vertices[1], "user-accumulators": [shown("21")]})
        );
        let subtasks = server.get(&format!("{vertex}/subtasks/accumulators")).await;
        assert_eq!(subtasks["parallelism"], 2);
        assert_eq!(
            subtasks["subtasks"][1]["user-accumulators"],
            json!([shown("11")])
        );
        let attempt = format!("{vertex}/subtasks/0/attempts/0/accumulators");
        let attempt = server.get(&attempt).await;
        assert_eq!(attempt["user-accumulators"], json!([shown("10")]));
    };
    check().await;
    server.request("PATCH", &format!("/jobs/{job}")).await;
    let id = job.parse().unwrap();
    let ended = server.dispatcher.wait(id);
    tokio::time::timeout(Duration::from_secs(10), ended)
        .await
        .unwrap();
    check().await;
    let result = server.get(&format!("/jobs/{job}/execution-result")).await;
    assert_eq!(
        result["job-execution-result"]["accumulator-results"],
        json!({"rows": "42"})
    );
    let serialized = server
        .get(&format!(
            "/jobs/{job}/accumulators?includeSerializedValue=true"
        ))
        .await;
    let value = &serialized["serialized-user-task-accumulators"]["rows"];
    assert!(!value.as_str().unwrap().is_empty());
    let metrics = server.get(&format!("{vertex}/metrics")).await;
    assert_eq!(metrics, json!([]), "nobody is left who could tell");
    let pressure = server.get(&format!("{vertex}/backpressure")).await;
    assert_eq!(pressure, json!({"status": "deprecated"}));
    let graph = server.get(&format!("{vertex}/flamegraph")).await;
    assert_eq!(graph, json!({"endTimestamp": -1}));
}

#[tokio::test]
async fn task_executors_tell_metrics_and_threads() {
    let (server, _, _) = running().await;
    let executors = server.get("/taskmanagers").await;
    let id = executors["taskmanagers"][0]["id"].as_str().unwrap();
    let metrics = server
        .get(&format!(
            "/taskmanagers/{id}/metrics?get=Status.JVM.Threads.Count"
        ))
        .await;
    assert_eq!(
        metrics,
        json!([{"id": "Status.JVM.Threads.Count", "value": "9"}])
    );
    let all = server
        .get("/taskmanagers/metrics?get=Status.JVM.Threads.Count&agg=avg")
        .await;
    assert_eq!(all, json!([{"id": "Status.JVM.Threads.Count", "avg": 9.0}]));
    let dump = server.get(&format!("/taskmanagers/{id}/thread-dump")).await;
    assert_eq!(dump["threadInfos"][0]["threadName"], "flott-task-0");
    let manager = server.get("/jobmanager/metrics?get=numRunningJobs").await;
    assert_eq!(manager, json!([{"id": "numRunningJobs", "value": "1"}]));
    assert_eq!(
        server.request("GET", "/taskmanagers/x/metrics").await.0,
        404
    );
}

#[tokio::test]
async fn flame_graphs_are_off_unless_they_are_switched_on() {
    let server = Server::start(ExecutionState::Running).await;
    let id = server
        .dispatcher
        .submit(graph(), JobBundle::default())
        .await
        .unwrap();
    let vertex = graph().vertices[0].operator_uid().to_string();
    let answer = server
        .get(&format!("/jobs/{id}/vertices/{vertex}/flamegraph"))
        .await;
    assert_eq!(answer, json!({"endTimestamp": -2}));
}
