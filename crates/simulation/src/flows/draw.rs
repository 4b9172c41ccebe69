//! Jobs with checkpoints, their settings, and what their users want.

use std::time::Duration;

use flott_coordination::checkpoint::{CheckpointRetention, CheckpointSettings, CheckpointingMode};
use flott_coordination::job::RestartStrategy;
use flott_model::{
    JobEdge, JobGraph, JobVertex, OperatorMeta, PROTOCOL_VERSION, ShipStrategy, SnapshotKind,
};

use super::source::uid;
use crate::random::Random;

/// Something that a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) kind: SnapshotKind,
    pub(crate) cancel: bool,
}

pub(crate) fn draw_settings(random: &mut Random) -> (CheckpointSettings, RestartStrategy) {
    let checkpoints = CheckpointSettings {
        interval: random.percent(95).then(|| random.millis(500..7_000)),
        min_pause: random.millis(0..3_000),
        timeout: random.millis(8_000..40_000),
        max_concurrent: random.small(1..4),
        tolerable_failed: random.small(0..6),
        retention: match random.within(0..3) {
            0 => CheckpointRetention::RetainOnCancellation,
            1 => CheckpointRetention::DeleteOnCancellation,
            _ => CheckpointRetention::NoExternalizedCheckpoints,
        },
        num_retained: random.small(1..4),
        after_tasks_finish: random.percent(80),
        mode: CheckpointingMode::ExactlyOnce,
        unaligned: false,
        aligned_timeout: Duration::ZERO,
        history: random.small(0..12),
    };
    let restart = match random.within(0..10) {
        0 => RestartStrategy::FailureRate {
            maximum: random.small(1..10),
            interval: random.millis(1_000..60_000),
            delay: random.millis(0..3_000),
        },
        1 => RestartStrategy::FixedDelay {
            attempts: random.small(0..5),
            delay: random.millis(0..3_000),
        },
        _ => RestartStrategy::ExponentialDelay {
            initial: random.millis(10..2_000),
            maximum: Duration::from_secs(10),
            multiplier: 1.5,
            reset_threshold: Duration::from_secs(60),
            jitter: 0.1,
            attempts: u32::MAX,
        },
    };
    (checkpoints, restart)
}

pub(crate) fn draw_wishes(random: &mut Random) -> Vec<(Duration, Wish)> {
    let mut wishes = Vec::new();
    for _ in 0..random.within(0..4) {
        let kind = match random.percent(50) {
            true => SnapshotKind::Savepoint,
            false => SnapshotKind::Checkpoint,
        };
        wishes.push((random.millis(0..200_000), Wish::of(kind)));
    }
    for _ in 0..random.within(0..3) {
        let when = random.millis(60_000..250_000);
        let wish = match random.within(0..4) {
            0 => Wish::of(SnapshotKind::StopWithSavepoint),
            1 => Wish::of(SnapshotKind::DrainWithSavepoint),
            2 => Wish {
                cancel: true,
                ..Wish::of(SnapshotKind::Savepoint)
            },
            _ => continue,
        };
        wishes.push((when, wish));
    }
    wishes
}

/// A few shapes whose output can be judged.
pub(crate) fn draw_graph(random: &mut Random) -> JobGraph {
    use ShipStrategy as Ship;
    let (names, edges): (&[&str], &[(u32, u32, Ship)]) = match random.within(0..6) {
        0 => (&["source", "sink"], &[(0, 1, Ship::Forward)]),
        1 => (
            &["source", "count", "sink"],
            &[(0, 1, Ship::Hash), (1, 2, Ship::Forward)],
        ),
        2 => (
            &["source", "source", "count", "sink"],
            &[
                (0, 2, Ship::Hash),
                (1, 2, Ship::Hash),
                (2, 3, Ship::Rebalance),
            ],
        ),
        3 => (
            &["source", "map", "count", "sink"],
            &[
                (0, 1, Ship::Forward),
                (1, 2, Ship::Hash),
                (2, 3, Ship::Rescale),
            ],
        ),
        4 => (
            &["source", "map", "sink"],
            &[(0, 1, Ship::Rebalance), (1, 2, Ship::Forward)],
        ),
        _ => (
            &["source", "sink", "source", "count", "sink"],
            &[
                (0, 1, Ship::Forward),
                (2, 3, Ship::Hash),
                (3, 4, Ship::Forward),
            ],
        ),
    };
    let parallelism = random.small(1..5);
    let vertices = (0..).zip(names).map(|(position, name)| JobVertex {
        uid: uid(position),
        name: (*name).to_owned(),
        operators: vec![OperatorMeta {
            uid: uid(position),
            name: (*name).to_owned(),
        }],
        parallelism,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
    });
    let edges = edges.iter().map(|(source, target, ship)| JobEdge {
        source: *source,
        target: *target,
        ship: (*ship).into(),
        ..JobEdge::default()
    });
    JobGraph {
        name: "simulated".to_owned(),
        protocol_version: PROTOCOL_VERSION,
        vertices: vertices.collect(),
        edges: edges.collect(),
        ..JobGraph::default()
    }
}
