//! Two workers in two containers, and the agents that serve their partitions.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_model::{
    Epoch, FailureClass, GroupResources, JobEdge, JobVertex, ResourceProfile, VertexId,
};
use flott_network::partition::{PartitionServer, PartitionServerSettings};
use flott_network::{Control, NO_TIMESTAMP};
use flott_operators::Collect;
use flott_operators::keyed::ByValue;
use flott_operators::pipe::Writer;
use flott_protocol::message::PartitionSource;

use super::*;
use crate::exchange::{
    ExchangeWriter, Gate, InputChannel, InputHalf, KeyRouter, OneInput, OutputHalf, Ports,
};
use crate::pacer::BufferTimeout;
use crate::scheduler::{Poll, Tasklet};

const PATIENCE: Duration = Duration::from_secs(60);
const JOB: &str = "00000000000000000000000000000abc";
const TOKEN: &[u8] = b"token";

fn attempt(vertex: u32, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        epoch: Epoch(1),
        vertex: VertexId(vertex),
        subtask,
        attempt: 0,
    }
}

/// Two producers, one consumer, by key.
fn graph() -> JobGraph {
    let vertex = |parallelism| JobVertex {
        parallelism,
        max_parallelism: 16,
        ..JobVertex::default()
    };
    JobGraph {
        vertices: vec![vertex(2), vertex(1)],
        edges: vec![JobEdge {
            source: 0,
            target: 1,
            ship: ShipStrategy::Hash.into(),
            ..JobEdge::default()
        }],
        ..JobGraph::default()
    }
}

fn worker(container: &str, directory: &Path) -> Partitions {
    Partitions::new(&WorkerSpec {
        job: JOB.to_owned(),
        container: container.to_owned(),
        token: TOKEN.to_vec(),
        partition_dir: directory.display().to_string(),
        ..WorkerSpec::default()
    })
}

fn agent(directory: &Path) -> PartitionServer {
    let settings = PartitionServerSettings {
        directory: directory.to_owned(),
        host: "127.0.0.1".into(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports: vec![0],
        tokens: Arc::new(|_| TOKEN.to_vec()),
    };
    Handle::current()
        .block_on(PartitionServer::start(settings))
        .unwrap()
}

fn task(graph: &JobGraph, attempt: ExecutionAttemptId) -> PartitionTask<'_> {
    PartitionTask {
        graph,
        attempt,
        waker: Waker::default(),
        outputs: 1,
    }
}

#[track_caller]
fn until(mut poll: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !poll() {
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::yield_now();
    }
}

fn gate(partitions: Vec<PartitionSource>) -> TaskGate {
    TaskGate {
        blocking: true,
        partitions,
        ..TaskGate::default()
    }
}

/// A producer of a hundred numbers.
fn produce(worker: &Partitions, subtask: u32) {
    let graph = graph();
    let output = worker
        .output(&task(&graph, attempt(0, subtask)), &gate(vec![]))
        .unwrap();
    let ports = Ports::new(vec![OutputHalf::Partition(Box::new(output))]);
    let router = KeyRouter::new(ByValue::new(|row: &u64| *row), 1, 16);
    let mut writer = ExchangeWriter::new(ports, router, Arc::default());
    for row in 0..100 {
        writer.collect(u64::from(subtask) * 100 + row, NO_TIMESTAMP);
    }
    writer.control(Control::End).unwrap();
    until(|| writer.settle().unwrap());
}

/// What reads both.
fn consume(worker: &Partitions, sources: [(&str, &str); 2]) -> Result<u64, TaskError> {
    let graph = graph();
    let partitions = (0..).zip(sources).map(|(subtask, place)| PartitionSource {
        attempt: attempt(0, subtask).into(),
        container: place.0.to_owned(),
        address: place.1.to_owned(),
    });
    let own = attempt(1, 0);
    let input = worker.input(&task(&graph, own), &gate(partitions.collect()))?;
    let context = flott_operators::SubtaskContext::for_tests("Sink");
    let counters = Arc::clone(&context.counters);
    let channels = vec![InputChannel::new(InputHalf::Partition(Box::new(input)))];
    let head = Box::new(flott_operators::chain::Tee::<u64>::new(Vec::new()));
    let inputs = OneInput::new(channels, head, Arc::clone(&counters));
    let mut gate = Gate::new(inputs, BufferTimeout::Never, &context);
    let mut failed = None;
    until(|| match gate.poll() {
        Ok(poll) => poll == Poll::Done,
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    let read = counters
        .records_in
        .load(std::sync::atomic::Ordering::Relaxed);
    failed.map_or(Ok(read), Err)
}

/// A runtime whose handle the workers find.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn partitions_here_and_there_are_found() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let workers = [
        worker("c1", directories[0].path()),
        worker("c2", directories[1].path()),
    ];
    produce(&workers[0], 0);
    produce(&workers[1], 1);
    let there = agent(directories[1].path());
    // Nobody answers at the first address: that partition is here.
    let sources = [("c1", "127.0.0.1:1"), ("c2", there.address())];
    assert_eq!(consume(&workers[0], sources), Ok(200));
    assert!(workers[0].take_missing(attempt(1, 0)).is_empty());
}

#[test]
fn what_its_agent_lost_is_missing() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let here = worker("c1", directories[0].path());
    produce(&here, 0);
    let there = agent(directories[1].path());
    let sources = [("c1", ""), ("c2", there.address())];
    let error = consume(&here, sources).unwrap_err();
    assert_eq!(error.class, FailureClass::Transient);
    let missing = here.take_missing(attempt(1, 0));
    assert_eq!(missing, BTreeSet::from([attempt(0, 1)]));
    // Without an address nobody can be asked.
    consume(&here, [("c1", ""), ("c3", "")]).unwrap_err();
    let missing = here.take_missing(attempt(1, 0));
    assert_eq!(missing, BTreeSet::from([attempt(0, 1)]));
}

#[test]
fn a_container_without_a_directory_says_so() {
    let runtime = runtime();
    let _entered = runtime.enter();
    let worker = worker("c1", Path::new(""));
    let graph = graph();
    let producer = task(&graph, attempt(0, 0));
    let Err(error) = worker.output(&producer, &gate(vec![])) else {
        panic!("there is nowhere to write");
    };
    assert_eq!(error.class, FailureClass::Fatal);
    assert!(error.message.contains("no directory"), "{error}");
    let unknown = TaskGate {
        edge: 7,
        ..gate(vec![])
    };
    let Err(error) = worker.input(&producer, &unknown) else {
        panic!("there is no such edge");
    };
    assert!(error.message.contains("no edge 7"), "{error}");
}

#[test]
fn keys_come_by_one_way() {
    let mut graph = graph();
    graph.edges.push(graph.edges[0].clone());
    graph.edges.push(JobEdge {
        ship: ShipStrategy::Broadcast.into(),
        ..graph.edges[0].clone()
    });
    let check = |blocking: [bool; 3]| {
        let gates = (0..).zip(blocking).map(|(edge, blocking)| TaskGate {
            edge,
            blocking,
            ..TaskGate::default()
        });
        let task = TaskDescriptor {
            inputs: gates.collect(),
            ..TaskDescriptor::default()
        };
        check_keys(&graph, &task)
    };
    for fine in [[true, true, false], [false; 3], [true; 3]] {
        check(fine).unwrap();
    }
    for wrong in [[true, false, true], [false, true, false]] {
        assert_eq!(check(wrong).unwrap_err().class, FailureClass::Fatal);
    }
}

#[test]
fn writers_use_the_managed_memory_of_their_group() {
    let mut graph = graph();
    graph.vertices.push(graph.vertices[1].clone());
    for vertex in &mut graph.vertices[1..] {
        vertex.slot_sharing_group = "managed".to_owned();
    }
    let profile = ResourceProfile {
        managed_bytes: 10 << 20,
        ..ResourceProfile::default()
    };
    let group = "managed".to_owned();
    graph.group_resources = vec![GroupResources { group, profile }];
    let partitions = Partitions::new(&WorkerSpec {
        slots: vec![0, 1],
        memory_bytes: 64 << 20,
        ..WorkerSpec::default()
    });
    let bytes = |vertex| partitions.writer_bytes(&task(&graph, attempt(vertex, 0)));
    assert_eq!(bytes(0), 2 << 20, "a sixteenth of the slot's");
    assert_eq!(bytes(1), 5 << 20, "two vertices share it");
}
