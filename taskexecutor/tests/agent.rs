//! The agent with real child processes (a shell that is told what to do) and a JobManager over
//! loopback that a test scripts.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flott_protocol::message::{
    AgentCommand, AgentMessage, AgentRegistered, JobBundle, ReleasePartitions, ShippedFile,
    StartWorker, StopAgent, StopWorker, WorkerCommand, WorkerExited, WorkerMessage, WorkerSpec,
    agent_command, agent_message,
};
use flott_protocol::rpc::{BlobSource, ConnectError, Endpoint, Secret, serve};
use flott_taskexecutor::{Agent, AgentEnd, AgentSettings};
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const JOB: &str = "0123456789abcdef0123456789abcdef";
/// An address, because partitions are served there.
const HOST: &str = "127.0.0.1";
const DEADLINE: Duration = Duration::from_secs(20);

type Connection = (mpsc::Receiver<AgentMessage>, mpsc::Sender<AgentCommand>);

struct Scripted {
    connections: mpsc::UnboundedSender<Connection>,
    blob: Option<PathBuf>,
}

impl BlobSource for Scripted {
    fn find(&self, _sha256: &[u8]) -> Option<PathBuf> {
        self.blob.clone()
    }
}

impl Endpoint for Scripted {
    fn agent(&self, messages: mpsc::Receiver<AgentMessage>, commands: mpsc::Sender<AgentCommand>) {
        self.connections.send((messages, commands)).unwrap();
    }

    fn worker(
        &self,
        _job: String,
        _messages: mpsc::Receiver<WorkerMessage>,
        _commands: mpsc::Sender<WorkerCommand>,
    ) {
        panic!("no worker connects here");
    }
}

struct Cluster {
    directory: tempfile::TempDir,
    connections: mpsc::UnboundedReceiver<Connection>,
    connection: Option<Connection>,
    agent: JoinHandle<Result<AgentEnd, ConnectError>>,
    server: JoinHandle<()>,
    program: ShippedFile,
}

fn shipped(name: &str, path: &Path) -> ShippedFile {
    let content = std::fs::read(path).unwrap();
    let sha256 = Sha256::digest(&content).to_vec();
    ShippedFile {
        name: name.to_owned(),
        sha256,
        size: content.len() as u64,
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it takes too long")
}

impl Cluster {
    /// Starts an agent; its program is a shell, localized or only at the blob service.
    async fn start(localized: bool, agent_secret: &[u8], lost_timeout: Duration) -> Self {
        Self::start_sized(localized, agent_secret, lost_timeout, 1 << 30).await
    }

    async fn start_sized(
        localized: bool,
        agent_secret: &[u8],
        lost_timeout: Duration,
        memory_bytes: u64,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shell = std::fs::canonicalize("/bin/sh").unwrap();
        if localized {
            std::fs::copy(&shell, directory.path().join("program")).unwrap();
        }
        let program = shipped("program", &shell);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let job_manager = listener.local_addr().unwrap().to_string();
        let (sender, connections) = mpsc::unbounded_channel();
        let endpoint = Arc::new(Scripted {
            connections: sender,
            blob: Some(shell),
        });
        let server = tokio::spawn(async move {
            serve(
                listener,
                Secret::new(b"secret"),
                endpoint,
                std::future::pending(),
            )
            .await
            .unwrap();
        });
        let left_over = directory.path().join("partitions/left over");
        std::fs::create_dir_all(left_over).unwrap();
        let agent = Agent::new(AgentSettings {
            container: "container_1".to_owned(),
            host: HOST.to_owned(),
            job_manager,
            secret: Secret::new(agent_secret),
            slots: 2,
            memory_bytes,
            job_manager_lost_timeout: lost_timeout,
            directory: directory.path().to_owned(),
            log_directory: directory.path().to_owned(),
            partition_directory: directory.path().join("partitions"),
            local_state_directory: directory.path().join("local-state"),
        });
        let agent = tokio::spawn(agent.run(std::future::pending()));
        Self {
            directory,
            connections,
            connection: None,
            agent,
            server,
            program,
        }
    }

    async fn started() -> Self {
        let mut cluster = Self::start(true, b"secret", DEADLINE).await;
        cluster.accept().await;
        cluster
    }

    /// Takes the agent's next connection and its registration.
    async fn accept(&mut self) {
        let mut connection = within(self.connections.recv()).await.unwrap();
        let first = within(connection.0.recv()).await.unwrap().kind.unwrap();
        let agent_message::Kind::Register(agent) = first else {
            panic!("{first:?}")
        };
        assert_eq!((agent.container.as_str(), agent.slots), ("container_1", 2));
        assert!(agent.glibc.starts_with("2."), "{}", agent.glibc);
        assert!(agent.partition_address.starts_with("127.0.0.1:"));
        self.connection = Some(connection);
        let registered = AgentRegistered {
            epoch: 1,
            heartbeat_interval_ms: 50,
        };
        self.tell(agent_command::Kind::Registered(registered)).await;
    }

    async fn tell(&self, kind: agent_command::Kind) {
        let (_, commands) = self.connection.as_ref().unwrap();
        commands
            .send(AgentCommand { kind: Some(kind) })
            .await
            .unwrap();
    }

    async fn run(&self, incarnation: u64, script: &str) {
        self.run_with(incarnation, script, |_| ()).await;
    }

    async fn run_with(
        &self,
        incarnation: u64,
        script: &str,
        change: impl FnOnce(&mut StartWorker),
    ) {
        let mut start = StartWorker {
            job: JOB.to_owned(),
            incarnation,
            bundle: JobBundle {
                executable: self.program.clone(),
                files: vec![],
            },
            spec: b"the spec".to_vec(),
            epoch: 1,
            args: vec!["-c".to_owned(), script.to_owned()],
            ..StartWorker::default()
        };
        change(&mut start);
        self.tell(agent_command::Kind::StartWorker(start)).await;
    }

    async fn exit(&mut self) -> WorkerExited {
        let (messages, _) = self.connection.as_mut().unwrap();
        loop {
            match within(messages.recv())
                .await
                .expect("connected")
                .kind
                .unwrap()
            {
                agent_message::Kind::WorkerExited(exited) => return exited,
                agent_message::Kind::Heartbeat(memory) => assert!(memory.resident_bytes > 0),
                agent_message::Kind::Register(agent) => panic!("{agent:?}"),
            }
        }
    }

    /// Waits for a file that a worker's script writes.
    async fn written(&self, name: &str) -> String {
        let path = self.directory.path().join(name);
        let content = async {
            loop {
                match std::fs::read_to_string(&path) {
                    Ok(content) if content.ends_with('\n') => return content,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        within(content).await
    }

    async fn stop(mut self) -> AgentEnd {
        let reason = "the test is over".to_owned();
        self.tell(agent_command::Kind::Stop(StopAgent { reason }))
            .await;
        let end = within(&mut self.agent).await.unwrap().unwrap();
        self.server.abort();
        end
    }
}

fn message(exited: &WorkerExited) -> &str {
    &exited.failure.message
}

#[tokio::test]
async fn a_worker_has_its_role_spec_directory_and_files() {
    let mut cluster = Cluster::started().await;
    let data = cluster.directory.path().join("data.txt");
    std::fs::write(&data, "shipped\n").unwrap();
    let file = shipped("data.txt", &data);
    let script = "read line < \"$FLOTT_WORKER_SPEC\"; echo \"$FLOTT_ROLE $EXTRA $line\"; \
                  cat data.txt; stat -c %a worker.pb; \
                  echo \"${HADOOP_TOKEN_FILE_LOCATION-no tokens}\"; echo to stderr >&2; exit 3";
    cluster
        .run_with(7, script, |start| {
            start.bundle.files.push(file);
            start
                .environment
                .insert("EXTRA".to_owned(), "more".to_owned());
        })
        .await;
    let exited = cluster.exit().await;
    assert_eq!(
        (exited.job.as_str(), exited.incarnation, exited.expected),
        (JOB, 7, false)
    );
    assert!(
        message(&exited).contains("exit code 3"),
        "{}",
        message(&exited)
    );
    assert!(
        message(&exited).ends_with("to stderr"),
        "{}",
        message(&exited)
    );
    assert_eq!(exited.failure.location, format!("container_1 ({HOST})"));
    let log = cluster.directory.path().join(format!("worker-{JOB}-7.out"));
    let output = std::fs::read_to_string(log).unwrap();
    assert_eq!(output, "worker more the spec\nshipped\n600\nno tokens\n");
    let left = std::fs::read_dir(cluster.directory.path().join("workers"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the worker's directory is removed");
    assert_eq!(cluster.stop().await, AgentEnd::Stopped);
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_killed_and_the_failure_says_where_it_is() {
    let cluster = Cluster::start_sized(true, b"secret", DEADLINE, 300 << 20);
    let mut cluster = cluster.await;
    cluster.accept().await;
    let spec = WorkerSpec {
        slots: vec![0],
        ..WorkerSpec::default()
    };
    let spec = spec.encode_to_vec();
    let other = |start: &mut StartWorker| {
        start.job = "e".repeat(32);
        start.spec = spec.clone();
    };
    cluster
        .run_with(1, "echo up > ../../up; read line", other)
        .await;
    cluster.written("up").await;
    // A line without an end.
    let greedy = "head -c 900m /dev/zero | tail; read line";
    cluster
        .run_with(1, greedy, |start| start.spec = spec.clone())
        .await;
    let exited = cluster.exit().await;
    assert_eq!((exited.job.as_str(), exited.expected), (JOB, false));
    for words in [
        "was about to exceed its memory",
        "of 300 MiB are used",
        &format!("this worker (job {JOB}, 1 slots)"),
        "its share is 134 MiB",
        "taskmanager.memory.process.size",
    ] {
        assert!(message(&exited).contains(words), "{}", message(&exited));
    }
    assert_eq!(cluster.stop().await, AgentEnd::Stopped);
}

#[tokio::test]
async fn partitions_stay_after_their_worker_until_they_are_released() {
    let cluster = Cluster::start(true, b"secret", DEADLINE);
    let mut cluster = cluster.await;
    let partitions = cluster.directory.path().join("partitions");
    let (mine, other) = (partitions.join(JOB), partitions.join("f".repeat(32)));
    cluster.accept().await;
    assert!(
        !partitions.join("left over").exists(),
        "an agent clears what another one left"
    );
    // The shell finds the directory in the spec, as text among the bytes.
    let script = "dir=$(grep -ao '/[^[:cntrl:]]*partitions' \"$FLOTT_WORKER_SPEC\"); \
                  mkdir -p \"$dir/$JOB\"; echo rows > \"$dir/$JOB/e0\"; \
                  [ -z \"$STAY\" ] || { echo up > ../../up; read line; }";
    let run = |job: String, stay: bool| {
        move |start: &mut StartWorker| {
            let spec = WorkerSpec {
                job: job.clone(),
                ..WorkerSpec::default()
            };
            start.spec = spec.encode_to_vec();
            start.environment.insert("JOB".to_owned(), job.clone());
            if stay {
                start.environment.insert("STAY".to_owned(), "1".to_owned());
            }
            start.job = job;
        }
    };
    cluster
        .run_with(1, script, run(JOB.to_owned(), false))
        .await;
    assert!(message(&cluster.exit().await).contains("exit code 0"));
    assert!(mine.join("e0").exists(), "it outlives its worker");
    cluster.run_with(2, script, run("f".repeat(32), true)).await;
    cluster.written("up").await;
    for job in [JOB.to_owned(), "f".repeat(32), "no job".to_owned()] {
        let release = ReleasePartitions { job };
        cluster
            .tell(agent_command::Kind::ReleasePartitions(release))
            .await;
    }
    gone(&mine).await;
    assert!(other.join("e0").exists(), "a worker may still write there");
    let stop = StopWorker {
        job: "f".repeat(32),
        incarnation: 2,
        grace_ms: 0,
    };
    cluster.tell(agent_command::Kind::StopWorker(stop)).await;
    cluster.exit().await;
    gone(&other).await;
    let directory = cluster.directory.path().join("partitions");
    assert!(directory.exists());
    let kept = std::mem::replace(&mut cluster.directory, tempfile::tempdir().unwrap());
    assert_eq!(cluster.stop().await, AgentEnd::Stopped);
    assert!(!directory.exists(), "an agent leaves nothing");
    drop(kept);
}

/// Waits until a path does not exist any more.
async fn gone(path: &Path) {
    within(async {
        while path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_killed_worker_is_reported_in_words() {
    let mut cluster = Cluster::started().await;
    cluster.run(1, "kill -KILL $$").await;
    let exited = cluster.exit().await;
    assert!(
        message(&exited).contains("killed by SIGKILL"),
        "{}",
        message(&exited)
    );
    assert!(!exited.expected);
    cluster.run(2, "kill -ABRT $$").await;
    assert!(message(&cluster.exit().await).contains("killed by SIGABRT"));
    cluster.stop().await;
}

#[tokio::test]
async fn stopping_is_polite_then_forceful() {
    let mut cluster = Cluster::started().await;
    let stop = |incarnation, grace_ms| {
        let stop = StopWorker {
            job: JOB.to_owned(),
            incarnation,
            grace_ms,
        };
        agent_command::Kind::StopWorker(stop)
    };
    cluster
        .run(
            1,
            "trap 'exit 0' TERM; echo ready > ../../one; while :; do sleep 0.01; done",
        )
        .await;
    cluster.written("one").await;
    cluster.tell(stop(1, 10_000)).await;
    let exited = cluster.exit().await;
    assert!(
        exited.expected && message(&exited).contains("exit code 0"),
        "{exited:?}"
    );
    // It ignores SIGTERM.
    cluster
        .run(
            2,
            "trap '' TERM; echo ready > ../../two; while :; do sleep 0.01; done",
        )
        .await;
    cluster.written("two").await;
    cluster.tell(stop(2, 50)).await;
    let exited = cluster.exit().await;
    assert!(
        exited.expected && message(&exited).contains("SIGKILL"),
        "{exited:?}"
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_new_life_of_a_worker_ends_the_one_before() {
    let mut cluster = Cluster::started().await;
    cluster.run(1, "while :; do sleep 0.01; done").await;
    cluster.run(2, "while :; do sleep 0.01; done").await;
    let exited = cluster.exit().await;
    assert_eq!((exited.incarnation, exited.expected), (1, true));
    assert_eq!(cluster.stop().await, AgentEnd::Stopped);
}

#[tokio::test]
async fn the_stdin_of_a_worker_lasts_as_long_as_its_agent() {
    let mut cluster = Cluster::started().await;
    // Ends by itself when its stdin does; SIGTERM does not end it.
    let script = "trap '' TERM; echo ready > ../../ready; cat; echo over > ../../over";
    cluster.run(1, script).await;
    cluster.written("ready").await;
    // Another job's worker comes and goes meanwhile.
    let other = |start: &mut StartWorker| start.job = "f".repeat(32);
    cluster.run_with(2, "sleep 0.3; exit 4", other).await;
    let exited = cluster.exit().await;
    assert_eq!(exited.incarnation, 2, "{}", message(&exited));
    assert!(!cluster.directory.path().join("over").exists());
    assert_eq!(cluster.stop().await, AgentEnd::Stopped);
}

#[tokio::test]
async fn the_end_of_the_agent_ends_its_workers() {
    let mut cluster = Cluster::started().await;
    cluster
        .run(1, "echo $$ > ../../pid; while :; do sleep 0.01; done")
        .await;
    let pid = cluster.written("pid").await;
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    let reason = "bye".to_owned();
    cluster
        .tell(agent_command::Kind::Stop(StopAgent { reason }))
        .await;
    assert_eq!(
        within(&mut cluster.agent).await.unwrap().unwrap(),
        AgentEnd::Stopped
    );
    assert!(!process.exists(), "the worker was ended and reaped");
}

#[tokio::test]
async fn files_that_are_not_localized_are_fetched_and_wrong_ones_refused() {
    let mut cluster = Cluster::start(false, b"secret", DEADLINE).await;
    cluster.accept().await;
    cluster.run(1, "exit 5").await;
    assert!(
        message(&cluster.exit().await).contains("exit code 5"),
        "it was fetched, and ran"
    );
    cluster
        .run_with(2, "exit 0", |start| {
            start.bundle.executable.sha256 = vec![1; 32]
        })
        .await;
    let exited = cluster.exit().await;
    assert!(message(&exited).contains("SHA-256"), "{}", message(&exited));
    cluster
        .run_with(3, "exit 0", |start| {
            start.bundle.executable.name = "../sh".to_owned()
        })
        .await;
    let exited = cluster.exit().await;
    assert!(
        message(&exited).contains("inside the working directory"),
        "{}",
        message(&exited)
    );
    cluster.stop().await;
}

#[tokio::test]
async fn a_program_that_is_none_is_refused_with_the_nodes_name() {
    let mut cluster = Cluster::started().await;
    let script = cluster.directory.path().join("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n".repeat(10)).unwrap();
    let program = shipped("script", &script);
    cluster
        .run_with(1, "", |start| start.bundle.executable = program)
        .await;
    let exited = cluster.exit().await;
    let expected =
        "the job's executable cannot run on node 127.0.0.1: it is not a Linux executable";
    assert_eq!(message(&exited), expected);
    cluster.stop().await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_exits_meanwhile_are_told() {
    let mut cluster = Cluster::started().await;
    cluster
        .run(1, "while [ ! -e ../../go ]; do sleep 0.01; done; exit 9")
        .await;
    cluster.connection = None;
    std::fs::write(cluster.directory.path().join("go"), "").unwrap();
    cluster.accept().await;
    assert!(message(&cluster.exit().await).contains("exit code 9"));
    cluster.stop().await;
}

#[tokio::test]
async fn without_a_job_manager_the_agent_gives_up() {
    let mut cluster = Cluster::start(true, b"secret", Duration::from_millis(300)).await;
    cluster.accept().await;
    cluster.run(1, "while :; do sleep 0.01; done").await;
    cluster.server.abort();
    cluster.connection = None;
    drop(cluster.connections);
    assert_eq!(
        within(cluster.agent).await.unwrap().unwrap(),
        AgentEnd::Lost
    );
}

#[tokio::test]
async fn an_agent_of_another_application_is_refused_at_once() {
    let cluster = Cluster::start(true, b"another secret", DEADLINE).await;
    let error = within(cluster.agent).await.unwrap().unwrap_err();
    assert!(
        matches!(error, ConnectError::Unauthenticated { .. }),
        "{error}"
    );
}
