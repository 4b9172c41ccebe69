//! From the core's words for tasks to those on the wire.

use std::collections::BTreeMap;

use flott_coordination::job::{TaskDeployment, TaskInput, TaskOutput, WorkerId};
use flott_model::{ContainerId, EdgeId, ExecutionAttemptId};
use flott_protocol::message::{ChannelEnd, PartitionSource, TaskDescriptor, TaskGate};

/// Where the agents of containers serve partitions.
pub(crate) type PartitionAddresses = BTreeMap<ContainerId, String>;

pub(crate) fn descriptor(task: TaskDeployment, addresses: &PartitionAddresses) -> TaskDescriptor {
    let inputs = task.inputs.into_iter();
    let outputs = task.outputs.into_iter();
    TaskDescriptor {
        attempt: task.attempt.into(),
        slot: task.slot,
        restore: task.restore,
        inputs: inputs.map(|it| input_gate(it, addresses)).collect(),
        outputs: outputs.map(output_gate).collect(),
    }
}

fn input_gate(input: TaskInput, addresses: &PartitionAddresses) -> TaskGate {
    let sources = input
        .partitions
        .into_iter()
        .map(|(attempt, container)| PartitionSource {
            attempt: attempt.into(),
            // A container that is gone by now is noticed by whoever dials it.
            address: addresses.get(&container).cloned().unwrap_or_default(),
            container: container.0,
        });
    let partitions: Vec<PartitionSource> = sources.collect();
    TaskGate {
        blocking: !partitions.is_empty(),
        partitions,
        ..gate(input.edge, &input.sources, input.locations)
    }
}

fn output_gate(output: TaskOutput) -> TaskGate {
    let gate = gate(output.edge, &output.targets, output.locations);
    match output.partition {
        Some(shape) => TaskGate {
            blocking: true,
            consumers: shape.consumers,
            key_groups: shape.key_groups,
            ..gate
        },
        None => gate,
    }
}

fn gate(
    edge: EdgeId,
    attempts: &[ExecutionAttemptId],
    locations: Vec<(WorkerId, String)>,
) -> TaskGate {
    let peers = attempts
        .iter()
        .zip(locations)
        .map(|(attempt, (worker, address))| ChannelEnd {
            attempt: (*attempt).into(),
            address,
            incarnation: worker.incarnation.0,
        });
    TaskGate {
        edge: edge.0,
        peers: peers.collect(),
        ..TaskGate::default()
    }
}
