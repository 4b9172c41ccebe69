//! From the core's words for tasks to those on the wire.

use flott_coordination::job::{SubtaskOutput, TaskDeployment, WorkerId};
use flott_model::{EdgeId, ExecutionAttemptId, VertexId};
use flott_protocol::message::{ChannelEnd, SubtaskCommittable, TaskDescriptor, TaskGate};

pub(crate) fn descriptor(task: TaskDeployment) -> TaskDescriptor {
    let inputs = task.inputs.into_iter();
    let outputs = task.outputs.into_iter();
    TaskDescriptor {
        attempt: task.attempt.into(),
        slot: task.slot,
        inputs: inputs
            .map(|input| gate(input.edge, &input.sources, input.locations))
            .collect(),
        outputs: outputs
            .map(|out| gate(out.edge, &out.targets, out.locations))
            .collect(),
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

pub(crate) fn committable(output: SubtaskOutput) -> SubtaskCommittable {
    SubtaskCommittable {
        vertex: output.vertex.0,
        operator: output.operator,
        committable: output.committable,
    }
}

pub(crate) fn output(committable: SubtaskCommittable) -> SubtaskOutput {
    SubtaskOutput {
        vertex: VertexId(committable.vertex),
        operator: committable.operator,
        committable: committable.committable,
    }
}
