//! Short ways to build graphs, slots and events, and to read actions, for the tests of this module.

mod checkpoints;
mod describe;

use std::time::Duration;

use flott_model::{
    ContainerId, Epoch, Exchange, ExecutionAttemptId, ExecutionState, Failure, FailureClass,
    GroupResources, Incarnation, JobEdge, JobGraph, JobId, JobVertex, OperatorMeta,
    ResourceProfile, ShipStrategy, SlotId, StoredCommittable, VertexId,
};

use super::JobCore;
use super::message::{JobEvent, JobSettings, RestartStrategy, SlotOffer, Timer, WorkerId};
use crate::checkpoint::{CheckpointSettings, Origin};
pub(super) use checkpoints::{decisions, every_ten_seconds, snapshot};
use describe::{describe, short_attempt};

pub(super) fn graph(vertices: &[(&str, u32)], edges: &[JobEdge]) -> JobGraph {
    JobGraph {
        name: "job".to_owned(),
        vertices: (0..)
            .zip(vertices)
            .map(|(position, (name, parallelism))| JobVertex {
                uid: uid(position),
                name: (*name).to_owned(),
                operators: vec![OperatorMeta {
                    uid: uid(position),
                    name: (*name).to_owned(),
                }],
                parallelism: *parallelism,
                max_parallelism: 128,
                slot_sharing_group: "default".to_owned(),
            })
            .collect(),
        edges: edges.to_vec(),
        protocol_version: flott_model::PROTOCOL_VERSION,
        ..JobGraph::default()
    }
}

/// The uid of the operator of a vertex.
pub(super) fn uid(vertex: u32) -> Vec<u8> {
    u128::from(vertex).to_be_bytes().to_vec()
}

pub(super) fn edge(source: u32, target: u32, ship: ShipStrategy) -> JobEdge {
    JobEdge {
        source,
        target,
        ship: ship.into(),
        ..JobEdge::default()
    }
}

pub(super) fn blocking(source: u32, target: u32, ship: ShipStrategy) -> JobEdge {
    JobEdge {
        exchange: Exchange::Blocking.into(),
        ..edge(source, target, ship)
    }
}

pub(super) fn grouped(graph: &mut JobGraph, vertex: usize, group: &str) {
    graph.vertices[vertex].slot_sharing_group = group.to_owned();
}

/// Each slot of the group must offer a core and that many mebibytes.
pub(super) fn asking(graph: &mut JobGraph, group: &str, mebibytes: u64) {
    graph.group_resources.push(GroupResources {
        group: group.to_owned(),
        profile: profile(mebibytes),
    });
}

/// A core and that many mebibytes.
pub(super) fn profile(mebibytes: u64) -> ResourceProfile {
    ResourceProfile {
        cpu_millicores: 1000,
        task_heap_bytes: mebibytes << 20,
        ..ResourceProfile::default()
    }
}

/// The same offers, for needs of that size.
pub(super) fn sized(mebibytes: u64, offers: Vec<SlotOffer>) -> Vec<SlotOffer> {
    let sized = offers.into_iter().map(|offer| SlotOffer {
        profile: Some(profile(mebibytes)),
        ..offer
    });
    sized.collect()
}

/// `a@h1:0,1 b@h2:0`: container, host, slot indices; for needs of default size.
pub(super) fn offers(text: &str) -> Vec<SlotOffer> {
    let mut offers = Vec::new();
    for part in text.split_whitespace() {
        let (place, indices) = part.split_once(':').unwrap();
        let (container, host) = place.split_once('@').unwrap();
        for index in indices.split(',') {
            offers.push(SlotOffer {
                slot: SlotId {
                    container: ContainerId(container.to_owned()),
                    index: index.parse().unwrap(),
                },
                host: host.to_owned(),
                profile: None,
            });
        }
    }
    offers
}

pub(super) const EPOCH: Epoch = Epoch(1);

pub(super) fn settings(restart_strategy: RestartStrategy) -> JobSettings {
    JobSettings {
        job: JobId(7),
        epoch: EPOCH,
        restart_strategy,
        slot_request_timeout: Duration::from_secs(300),
        worker_start_timeout: Duration::from_secs(60),
        cancellation_timeout: Duration::from_secs(180),
        checkpoints: CheckpointSettings::default(),
        jitter_seed: 0,
    }
}

pub(super) fn restarts(attempts: u32) -> RestartStrategy {
    RestartStrategy::FixedDelay {
        attempts,
        delay: Duration::from_secs(5),
    }
}

/// `a#0`: container and counter of the incarnation.
pub(super) fn worker(text: &str) -> WorkerId {
    let (container, counter) = text.split_once('#').unwrap();
    let counter: u64 = counter.parse().unwrap();
    WorkerId {
        container: ContainerId(container.to_owned()),
        incarnation: Incarnation((u64::from(EPOCH.0) << 32) | counter),
    }
}

/// `v0_1_2`: vertex, subtask, attempt.
pub(super) fn attempt(text: &str) -> ExecutionAttemptId {
    let parts: Vec<u32> = text[1..]
        .split('_')
        .map(|part| part.parse().unwrap())
        .collect();
    ExecutionAttemptId {
        epoch: EPOCH,
        vertex: VertexId(parts[0]),
        subtask: parts[1],
        attempt: parts[2],
    }
}

pub(super) fn transient(message: &str) -> Failure {
    Failure::new(FailureClass::Transient, message)
}

pub(super) fn output(vertex: u32, byte: u8) -> StoredCommittable {
    StoredCommittable {
        operator: uid(vertex),
        committable: vec![byte],
        id: format!("{vertex}#{byte}"),
    }
}

/// A job under test, with a clock in seconds.
pub(super) struct Script {
    pub(super) core: JobCore,
    pub(super) seconds: u64,
}

impl Script {
    pub(super) fn new(graph: &JobGraph, strategy: RestartStrategy) -> Self {
        Self::of(settings(strategy), graph, Origin::default())
    }

    pub(super) fn of(settings: JobSettings, graph: &JobGraph, origin: Origin) -> Self {
        Self {
            core: JobCore::new(settings, graph, origin),
            seconds: 0,
        }
    }

    /// A source and a sink of two subtasks each, all to all.
    pub(super) fn two_by_two(strategy: RestartStrategy) -> Self {
        let edges = [edge(0, 1, ShipStrategy::Hash)];
        Self::new(&graph(&[("source", 2), ("sink", 2)], &edges), strategy)
    }

    /// The same, deployed and running on the workers a#0 and b#1.
    pub(super) fn running(strategy: RestartStrategy) -> Self {
        let mut script = Self::two_by_two(strategy);
        script.send(JobEvent::Started);
        script.grant("a@h1:0 b@h2:0");
        script.register("a#0");
        script.register("b#1");
        script.all_tasks(0, ExecutionState::Running);
        script
    }

    /// Three stages, `read` (2) => `count` (2) => `write` (1), on the workers a#0 and b#1; the first
    /// one runs.
    pub(super) fn staged(strategy: RestartStrategy) -> Self {
        let edges = [
            blocking(0, 1, ShipStrategy::Hash),
            blocking(1, 2, ShipStrategy::Global),
        ];
        let vertices = [("read", 2), ("count", 2), ("write", 1)];
        let mut script = Self::new(&graph(&vertices, &edges), strategy);
        script.send(JobEvent::Started);
        script.grant("a@h1:0 b@h2:0");
        script.register("a#0");
        script.register("b#1");
        script
    }

    /// The same, with the second stage running.
    pub(super) fn second_stage(strategy: RestartStrategy) -> Self {
        let mut script = Self::staged(strategy);
        script.tasks("v0_0_0 v0_1_0", ExecutionState::Finished);
        script
    }

    /// The same, with the third stage running.
    pub(super) fn third_stage(strategy: RestartStrategy) -> Self {
        let mut script = Self::second_stage(strategy);
        script.tasks("v1_0_0 v1_1_0", ExecutionState::Finished);
        script
    }

    /// Reports the same state of several tasks.
    pub(super) fn tasks(&mut self, names: &str, state: ExecutionState) -> Vec<String> {
        let names = names.split_whitespace();
        names.flat_map(|name| self.task(name, state)).collect()
    }

    /// The state of every subtask's present attempt.
    pub(super) fn states(&self) -> String {
        let executions = self.core.executions();
        let states: Vec<String> = executions
            .map(|it| format!("{} {}", short_attempt(&it.attempt), it.state))
            .collect();
        states.join(", ")
    }

    pub(super) fn send(&mut self, event: JobEvent) -> Vec<String> {
        let now = Duration::from_secs(self.seconds);
        self.core.handle(now, event).iter().map(describe).collect()
    }

    pub(super) fn grant(&mut self, text: &str) -> Vec<String> {
        self.send(JobEvent::SlotsGranted(offers(text)))
    }

    pub(super) fn register(&mut self, text: &str) -> Vec<String> {
        let worker = worker(text);
        let data_address = format!("{}:1", worker.container);
        self.send(JobEvent::WorkerRegistered {
            worker,
            data_address,
        })
    }

    pub(super) fn lose_worker(&mut self, text: &str, message: &str) -> Vec<String> {
        self.send(JobEvent::WorkerLost {
            worker: worker(text),
            failure: transient(message),
        })
    }

    pub(super) fn lose_container(&mut self, text: &str) -> Vec<String> {
        let container = ContainerId(text.to_owned());
        self.send(JobEvent::ContainerLost {
            container,
            failure: transient("node lost"),
        })
    }

    pub(super) fn task(&mut self, text: &str, state: ExecutionState) -> Vec<String> {
        self.task_with(attempt(text), state, None, Vec::new())
    }

    pub(super) fn fail(&mut self, text: &str, class: FailureClass, why: &str) -> Vec<String> {
        let failure = Some(Failure::new(class, why));
        self.task_with(attempt(text), ExecutionState::Failed, failure, Vec::new())
    }

    pub(super) fn task_with(
        &mut self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<Failure>,
        output: Vec<StoredCommittable>,
    ) -> Vec<String> {
        self.send(JobEvent::TaskStateChanged {
            attempt,
            state,
            failure,
            output,
            missing: Vec::new(),
        })
    }

    /// A task could not get what these attempts wrote.
    pub(super) fn miss(&mut self, text: &str, producers: &[&str]) -> Vec<String> {
        self.send(JobEvent::TaskStateChanged {
            attempt: attempt(text),
            state: ExecutionState::Failed,
            failure: Some(transient("partitions are gone")),
            output: Vec::new(),
            missing: producers.iter().map(|text| attempt(text)).collect(),
        })
    }

    /// Reports the same state of all four tasks of [`Script::two_by_two`].
    pub(super) fn all_tasks(&mut self, number: u32, state: ExecutionState) -> Vec<String> {
        let mut actions = Vec::new();
        for task in ["v0_0", "v0_1", "v1_0", "v1_1"] {
            actions.extend(self.task(&format!("{task}_{number}"), state));
        }
        actions
    }

    pub(super) fn fire(&mut self, timer: Timer) -> Vec<String> {
        self.send(JobEvent::TimerFired(timer))
    }
}

/// Without the executions: the part of the actions that leads anywhere.
pub(super) fn without_executions(actions: Vec<String>) -> Vec<String> {
    actions
        .into_iter()
        .filter(|action| !action.starts_with('v'))
        .collect()
}
