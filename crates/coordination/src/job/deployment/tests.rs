//! Channels of all kinds of topologies.

use std::collections::BTreeSet;
use std::time::Duration;

use flott_model::{EdgeId, ExecutionAttemptId, JobGraph, ShipStrategy as Ship};

use crate::checkpoint::Origin;
use crate::job::message::{JobAction, JobEvent, RestartStrategy, TaskDeployment};
use crate::job::testkit::{edge, graph, offers, settings};
use crate::job::{JobCore, WorkerId};

/// Runs a graph on two containers of eight slots and returns what was deployed where.
fn deploy(graph: &JobGraph) -> Vec<(WorkerId, TaskDeployment)> {
    let mut core = JobCore::new(settings(RestartStrategy::None), graph, Origin::default());
    core.handle(Duration::ZERO, JobEvent::Started);
    let slots = offers("a@h1:0,1,2,3,4,5,6,7 b@h2:0,1,2,3,4,5,6,7");
    let halves = slots[..8].iter().zip(&slots[8..]);
    let offers = halves
        .flat_map(|(left, right)| [left.clone(), right.clone()])
        .collect();
    let mut actions = core.handle(Duration::ZERO, JobEvent::SlotsGranted(offers));
    let mut deployed = Vec::new();
    while let Some(action) = actions.pop() {
        if let JobAction::StartWorker { worker, .. } = action {
            let data_address = format!("{}:1", worker.container);
            let event = JobEvent::WorkerRegistered {
                worker,
                data_address,
            };
            actions.extend(core.handle(Duration::ZERO, event));
        } else if let JobAction::Deploy { worker, tasks } = action {
            deployed.extend(tasks.into_iter().map(|task| (worker.clone(), task)));
        }
    }
    deployed
}

type Channel = (EdgeId, ExecutionAttemptId, ExecutionAttemptId);

/// Both ends of every channel, as producers and as consumers know them.
fn channels(deployed: &[(WorkerId, TaskDeployment)]) -> (BTreeSet<Channel>, BTreeSet<Channel>) {
    let place_of = |attempt: ExecutionAttemptId| {
        let (worker, _) = deployed
            .iter()
            .find(|(_, task)| task.attempt == attempt)
            .unwrap();
        (worker.clone(), format!("{}:1", worker.container))
    };
    let (mut sent, mut received) = (BTreeSet::new(), BTreeSet::new());
    for (_, task) in deployed {
        for output in &task.outputs {
            for (target, location) in output.targets.iter().zip(&output.locations) {
                assert!(sent.insert((output.edge, task.attempt, *target)));
                assert_eq!(*location, place_of(*target));
            }
            assert_eq!(output.targets.len(), output.locations.len());
            assert!(output.targets.is_sorted());
        }
        for input in &task.inputs {
            for (source, location) in input.sources.iter().zip(&input.locations) {
                assert!(received.insert((input.edge, *source, task.attempt)));
                assert_eq!(*location, place_of(*source));
            }
            assert_eq!(input.sources.len(), input.locations.len());
            assert!(input.sources.is_sorted());
        }
    }
    (sent, received)
}

#[test]
fn both_ends_of_every_channel_agree() {
    let topologies = [
        // Several edges between the same vertices.
        graph(
            &[("a", 3), ("b", 3)],
            &[
                edge(0, 1, Ship::Forward),
                edge(0, 1, Ship::Hash),
                edge(0, 1, Ship::Broadcast),
            ],
        ),
        // A union of two inputs.
        graph(
            &[("a", 2), ("b", 5), ("c", 3)],
            &[edge(0, 2, Ship::Rescale), edge(1, 2, Ship::Rescale)],
        ),
        // A diamond.
        graph(
            &[("a", 4), ("b", 1), ("c", 6), ("d", 4)],
            &[
                edge(0, 1, Ship::Global),
                edge(0, 2, Ship::Rebalance),
                edge(1, 3, Ship::Custom),
                edge(2, 3, Ship::Rescale),
                edge(0, 3, Ship::Forward),
            ],
        ),
        // Nothing is connected.
        graph(&[("a", 2), ("b", 3)], &[]),
    ];
    let counts = [3 + 9 + 9, 3 + 5, 4 + 24 + 4 + 6 + 4, 0];
    for (topology, count) in topologies.iter().zip(counts) {
        topology.validate().unwrap();
        let deployed = deploy(topology);
        let tasks: u32 = topology
            .vertices
            .iter()
            .map(|vertex| vertex.parallelism)
            .sum();
        assert_eq!(deployed.len(), tasks as usize);
        let (sent, received) = channels(&deployed);
        assert_eq!(sent, received);
        assert_eq!(sent.len(), count);
    }
}

#[test]
fn subtasks_with_the_same_index_share_a_slot_and_neighbours_do_not_share_a_container() {
    let deployed = deploy(&graph(&[("a", 4), ("b", 2)], &[edge(0, 1, Ship::Hash)]));
    let at = |vertex: u32, subtask: u32| {
        let mut found = deployed
            .iter()
            .filter(|(_, task)| (task.attempt.vertex.0, task.attempt.subtask) == (vertex, subtask));
        let (worker, task) = found.next().unwrap();
        (worker.container.clone(), task.slot)
    };
    assert_eq!(at(0, 0), at(1, 0));
    assert_eq!(at(0, 1), at(1, 1));
    assert_ne!(at(0, 0).0, at(0, 1).0);
    assert_eq!(at(0, 0).0, at(0, 2).0);
}
