//! Jobs with blocking edges end to end: what workers are told of partitions, and what becomes of them.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod scripted;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flott_jobmanager::{Dispatcher, DispatcherHandle, EmbeddedDriver, JobSnapshot, WorkerFactory};
use flott_model::{
    Exchange, ExecutionAttemptId, ExecutionState, Failure, FailureClass, JobGraph, JobId, JobStatus,
};
use flott_protocol::message::{
    AttemptId, JobBundle, RegisterWorker, TaskDescriptor, TaskReport, WorkerCommand, WorkerMessage,
    WorkerSpec, worker_command, worker_message,
};
use scripted::{graph, settings};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(20);

/// What a task says when it has run.
type Answer = Box<dyn Fn(&TaskDescriptor) -> TaskReport + Send + Sync>;

/// A task, as its worker got it.
struct Deployed {
    container: String,
    directory: PathBuf,
    task: TaskDescriptor,
}

/// Workers that write a file for each task and answer as they are told.
struct Workers {
    answer: Answer,
    deployed: Mutex<Vec<Deployed>>,
}

impl Workers {
    fn new(answer: impl Fn(&TaskDescriptor) -> TaskReport + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            deployed: Mutex::default(),
        })
    }

    fn start(self: &Arc<Self>, restarts: u32) -> DispatcherHandle {
        let workers = Arc::clone(self);
        let factory: WorkerFactory = Arc::new(move |spec, messages, commands| {
            let workers = Arc::clone(&workers);
            tokio::spawn(async move { workers.work(spec, &messages, commands).await });
        });
        let driver = EmbeddedDriver::new(1, factory);
        Dispatcher::start(settings(restarts), Box::new(driver))
    }

    async fn work(
        &self,
        spec: WorkerSpec,
        messages: &mpsc::Sender<WorkerMessage>,
        mut commands: mpsc::Receiver<WorkerCommand>,
    ) {
        let register = worker_message::Kind::Register(RegisterWorker {
            job: spec.job.clone(),
            container: spec.container.clone(),
            incarnation: spec.incarnation,
            data_address: "127.0.0.1:1".to_owned(),
            pid: 1,
        });
        let mut say = vec![register];
        let mut heartbeat = tokio::time::interval(Duration::from_millis(50));
        loop {
            for kind in say.drain(..) {
                // The job may have ended.
                let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
            }
            let command = tokio::select! {
                command = commands.recv() => command,
                _ = heartbeat.tick() => {
                    say.push(worker_message::Kind::Report(Default::default()));
                    continue;
                }
            };
            match command.and_then(|command| command.kind) {
                None | Some(worker_command::Kind::Stop(_)) => return,
                Some(worker_command::Kind::Deploy(deploy)) => {
                    for task in deploy.tasks {
                        say.push(worker_message::Kind::Task(self.run(&spec, task)));
                    }
                }
                Some(_) => (),
            }
        }
    }

    fn run(&self, spec: &WorkerSpec, task: TaskDescriptor) -> TaskReport {
        let directory = Path::new(&spec.partition_dir).join(&spec.job);
        std::fs::create_dir_all(&directory).unwrap();
        let name = ExecutionAttemptId::from(task.attempt).to_string();
        std::fs::write(directory.join(name), "rows").unwrap();
        let report = (self.answer)(&task);
        self.deployed.lock().unwrap().push(Deployed {
            container: spec.container.clone(),
            directory,
            task,
        });
        report
    }
}

fn report(task: &TaskDescriptor, state: ExecutionState) -> TaskReport {
    TaskReport {
        attempt: task.attempt,
        state: state.number(),
        ..TaskReport::default()
    }
}

/// source (2) => sink (2), by key, by way of disk.
fn staged() -> JobGraph {
    let mut graph = graph(2, 0);
    graph.edges[0].exchange = Exchange::Blocking.into();
    graph
}

async fn submit(dispatcher: &DispatcherHandle) -> JobId {
    let submitted = dispatcher.submit(staged(), JobBundle::default());
    submitted.await.unwrap()
}

async fn ended(dispatcher: &DispatcherHandle, job: JobId) -> JobSnapshot {
    let end = tokio::time::timeout(DEADLINE, dispatcher.wait(job)).await;
    end.expect("it takes too long").unwrap()
}

fn states(job: &JobSnapshot, vertex: usize) -> Vec<ExecutionState> {
    let subtasks = job.vertices[vertex].subtasks.iter();
    subtasks.map(|subtask| subtask.state).collect()
}

#[tokio::test]
async fn the_second_stage_reads_what_the_first_one_wrote() {
    let workers = Workers::new(|task| report(task, ExecutionState::Finished));
    let dispatcher = workers.start(0);
    let job = submit(&dispatcher).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(end.status, JobStatus::Finished, "{:?}", end.failures);
    let deployed = std::mem::take(&mut *workers.deployed.lock().unwrap());
    assert_eq!(deployed.len(), 4);
    let place: BTreeMap<AttemptKey, &Deployed> = deployed
        .iter()
        .map(|it| (key(it.task.attempt), it))
        .collect();
    for source in &deployed[..2] {
        let output = &source.task.outputs[0];
        assert_eq!(source.task.attempt.vertex, 0, "sources come first");
        assert!(output.blocking && output.peers.is_empty());
        assert_eq!((output.consumers, output.key_groups), (2, 128));
    }
    let mut addresses = BTreeMap::new();
    for sink in &deployed[2..] {
        let input = &sink.task.inputs[0];
        assert!(input.blocking && input.peers.is_empty());
        let read: Vec<u32> = input
            .partitions
            .iter()
            .map(|it| it.attempt.subtask)
            .collect();
        assert_eq!(read, [0, 1], "in order of the subtasks");
        for partition in &input.partitions {
            let writer = place[&key(partition.attempt)];
            assert_eq!(partition.container, writer.container);
            addresses.insert(partition.container.clone(), partition.address.clone());
        }
    }
    assert_eq!(addresses.len(), 2, "each container serves its own");
    for address in addresses.values() {
        TcpStream::connect(address.as_str()).unwrap();
    }
    let all_gone = async {
        while deployed.iter().any(|it| it.directory.exists()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, all_gone)
        .await
        .expect("partitions are deleted when the job has ended");
    let parent = deployed[0].directory.parent().unwrap().to_owned();
    assert!(parent.exists(), "the container is kept for further jobs");
    dispatcher.shutdown().await;
    assert!(!parent.exists(), "nothing is left");
}

type AttemptKey = (u32, u32, u32);

fn key(attempt: AttemptId) -> AttemptKey {
    (attempt.vertex, attempt.subtask, attempt.attempt)
}

#[tokio::test]
async fn only_the_missing_partition_is_written_again() {
    let workers = Workers::new(|task| {
        let first = key(task.attempt) == (1, 1, 0);
        if !first {
            return report(task, ExecutionState::Finished);
        }
        TaskReport {
            failure: Some(Failure::new(FailureClass::Transient, "a disk is gone")),
            missing_partitions: vec![task.inputs[0].partitions[0].attempt],
            ..report(task, ExecutionState::Failed)
        }
    });
    let dispatcher = workers.start(1);
    let job = submit(&dispatcher).await;
    let end = ended(&dispatcher, job).await;
    assert_eq!(
        (end.status, end.restarts),
        (JobStatus::Finished, 1),
        "{:?}",
        end.failures
    );
    assert_eq!(end.failures.len(), 1);
    assert!(end.failures[0].root.message.contains("a disk is gone"));
    let deployed = workers.deployed.lock().unwrap();
    let mut attempts: Vec<AttemptKey> = deployed.iter().map(|it| key(it.task.attempt)).collect();
    let (last, rest) = attempts.split_last_mut().unwrap();
    assert_eq!(*last, (1, 1, 1), "it waits for what is written again");
    rest.sort_unstable();
    let once = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0)];
    assert_eq!(rest, once);
    let read = &deployed.last().unwrap().task.inputs[0].partitions;
    let read: Vec<AttemptKey> = read.iter().map(|it| key(it.attempt)).collect();
    assert_eq!(read, [(0, 0, 1), (0, 1, 0)], "the newest of each");
}

#[tokio::test]
async fn what_has_finished_stays_so_while_the_next_stage_runs() {
    let workers = Workers::new(|task| {
        let state = match task.attempt.vertex {
            0 => ExecutionState::Finished,
            _ => ExecutionState::Running,
        };
        report(task, state)
    });
    let dispatcher = workers.start(0);
    let job = submit(&dispatcher).await;
    let mut watch = dispatcher.watch(job).unwrap();
    let first = watch.borrow().clone();
    assert_eq!(states(&first, 1), [ExecutionState::Created; 2]);
    let second = watch.wait_for(|job| states(job, 1) == [ExecutionState::Running; 2]);
    let second = tokio::time::timeout(DEADLINE, second).await;
    let second = second.expect("it takes too long").unwrap().clone();
    assert_eq!(states(&second, 0), [ExecutionState::Finished; 2]);
    assert_eq!(second.status, JobStatus::Running);
    assert!(second.all_running(), "of those that can");
    dispatcher.shutdown().await;
}
