//! What a seed stands for: settings, jobs, and how rough the weather is.

use std::time::Duration;

use flott_coordination::checkpoint::CheckpointSettings;
use flott_coordination::job::{JobSettings, RestartStrategy};
use flott_coordination::resource::{ResourceSettings, SlotSize};
use flott_model::{
    Epoch, Exchange, GroupResources, JobEdge, JobGraph, JobId, JobVertex, PROTOCOL_VERSION,
    ResourceProfile, ShipStrategy,
};

use crate::flows::{self, Wish};
use crate::random::Random;

/// From then on nothing breaks any more.
pub(crate) const HEALED: Duration = Duration::from_secs(120);

/// What kind of jobs a run has. The same seed stands for another run with each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// All edges are pipelined.
    Pipelined,
    /// Edges are blocking at random.
    Staged,
    /// As staged, and slots of many groups must offer something.
    Sized,
    /// Jobs take checkpoints.
    Checkpointed,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) resources: ResourceSettings,
    pub(crate) jobs: Vec<JobPlan>,
    pub(crate) kind: Jobs,
    /// Chance of a fault per opportunity, in percent.
    pub(crate) roughness: u64,
    /// Storing and committing always takes long.
    pub(crate) sluggish: bool,
    /// Mean pause between blows, in milliseconds.
    pub(crate) calm_ms: u64,
}

/// One job of a run.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub(crate) settings: JobSettings,
    pub(crate) graph: JobGraph,
    pub(crate) submitted: Duration,
    /// When its user loses patience, if ever.
    pub(crate) cancelled: Option<Duration>,
    /// What its user asks for, and when.
    pub(crate) wishes: Vec<(Duration, Wish)>,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random, kind: Jobs) -> Self {
        let maximum = random.percent(30).then(|| random.small(0..20));
        let resources = ResourceSettings {
            slots_per_container: random.small(1..4),
            default_slot: SlotSize {
                memory_bytes: 100,
                cpu_millicores: 1000,
            },
            idle_timeout: Duration::from_secs(30),
            registration_timeout: Duration::from_secs(20),
            maximum_failed_containers: maximum,
        };
        let jobs = random.small(1..4);
        Self {
            resources,
            jobs: (0..jobs)
                .map(|number| JobPlan::draw(random, number, kind))
                .collect(),
            kind,
            roughness: random.within(0..12),
            calm_ms: random.within(1_000..40_000),
            sluggish: kind == Jobs::Checkpointed && random.percent(40),
        }
    }
}

impl JobPlan {
    fn draw(random: &mut Random, number: u32, kind: Jobs) -> Self {
        let restart_strategy = match random.within(0..10) {
            0 => RestartStrategy::None,
            kind => RestartStrategy::FixedDelay {
                attempts: if kind < 3 { random.small(0..4) } else { 1_000 },
                delay: random.millis(0..5_000),
            },
        };
        let settings = JobSettings {
            job: JobId(u128::from(number) + 1),
            epoch: Epoch(1),
            restart_strategy,
            slot_request_timeout: Duration::from_secs(300),
            worker_start_timeout: Duration::from_secs(20),
            cancellation_timeout: Duration::from_secs(15),
            checkpoints: CheckpointSettings::default(),
            jitter_seed: 0,
        };
        let mut plan = Self {
            settings,
            graph: draw_graph(random, kind),
            submitted: random.millis(0..60_000),
            cancelled: random.percent(15).then(|| random.millis(0..150_000)),
            wishes: Vec::new(),
        };
        if kind == Jobs::Checkpointed {
            let (checkpoints, restart_strategy) = flows::draw_settings(random);
            plan.settings.checkpoints = checkpoints;
            plan.settings.restart_strategy = restart_strategy;
            plan.settings.jitter_seed = random.within(0..u64::MAX);
            plan.wishes = flows::draw_wishes(random);
        }
        plan
    }
}

fn draw_graph(random: &mut Random, kind: Jobs) -> JobGraph {
    if kind == Jobs::Checkpointed {
        return flows::draw_graph(random);
    }
    let count = match kind {
        Jobs::Checkpointed => 0,
        Jobs::Pipelined => random.small(1..5),
        Jobs::Staged | Jobs::Sized => random.small(2..7),
    };
    let vertices: Vec<JobVertex> = (0..count)
        .map(|number| JobVertex {
            name: format!("vertex {number}"),
            parallelism: random.small(1..5),
            max_parallelism: 128,
            slot_sharing_group: if random.percent(80) {
                "default"
            } else {
                "other"
            }
            .to_owned(),
            ..JobVertex::default()
        })
        .collect();
    let mut edges = Vec::new();
    for target in 1..count {
        for _ in 0..random.small(1..3) {
            let source = random.small(0..target);
            let same =
                vertices[source as usize].parallelism == vertices[target as usize].parallelism;
            let ship = match random.within(0..4) {
                0 if same => ShipStrategy::Forward,
                1 => ShipStrategy::Rescale,
                2 => ShipStrategy::Broadcast,
                _ => ShipStrategy::Hash,
            };
            let exchange = match kind {
                Jobs::Staged | Jobs::Sized if random.percent(60) => Exchange::Blocking,
                Jobs::Staged | Jobs::Sized | Jobs::Pipelined | Jobs::Checkpointed => {
                    Exchange::Pipelined
                }
            };
            edges.push(JobEdge {
                source,
                target,
                ship: ship.into(),
                exchange: exchange.into(),
                ..JobEdge::default()
            });
        }
    }
    let mut graph = JobGraph {
        name: "simulated".to_owned(),
        protocol_version: PROTOCOL_VERSION,
        vertices,
        edges,
        ..JobGraph::default()
    };
    graph.resolve_exchanges();
    if kind == Jobs::Sized {
        draw_resources(random, &mut graph);
    }
    graph.validate().expect("drawn graphs are valid");
    graph
}

/// More groups, most of which ask for something: less than a slot of default size, as much, or more.
fn draw_resources(random: &mut Random, graph: &mut JobGraph) {
    for vertex in &mut graph.vertices {
        if random.percent(30) {
            vertex.slot_sharing_group = "third".to_owned();
        }
    }
    for group in ["default", "other", "third"] {
        let mut vertices = graph.vertices.iter();
        let is_used = vertices.any(|vertex| vertex.slot_sharing_group == group);
        if is_used && random.percent(70) {
            let profile = ResourceProfile {
                cpu_millicores: 500 * random.small(1..5),
                task_heap_bytes: 50 * random.within(1..5),
                managed_bytes: 50 * random.within(0..2),
                ..ResourceProfile::default()
            };
            graph.group_resources.push(GroupResources {
                group: group.to_owned(),
                profile,
            });
        }
    }
}
