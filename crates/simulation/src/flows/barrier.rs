//! Barriers: aligned at the inputs, then the task's state is taken, then they go on.

use flott_model::{CheckpointId, ExecutionAttemptId, SnapshotKind};

use super::task::Flow;
use super::{Element, Upload};
use crate::world::{Happening, ProcessId, World};

impl World {
    /// A barrier came in on a channel.
    pub(super) fn meet_barrier(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
        (input, checkpoint, kind): (usize, CheckpointId, SnapshotKind),
    ) {
        if checkpoint <= flow.barrier || flow.aborted.contains(&checkpoint) {
            return;
        }
        if let Some((current, _)) = flow.aligning {
            if current > checkpoint {
                return;
            }
            if current < checkpoint {
                flow.stop_aligning(); // The older one will never be whole.
            }
        }
        flow.aligning = Some((checkpoint, kind));
        flow.inputs[input].blocked = true;
        self.align(process, attempt, flow);
    }

    /// Goes on if no channel is missing; one that has ended is not.
    pub(super) fn align(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
    ) {
        let Some(barrier) = flow.aligning else {
            return;
        };
        if flow.inputs.iter().all(|input| input.ended || input.blocked) {
            flow.stop_aligning();
            self.barrier(process, attempt, flow, barrier);
        }
    }

    /// A barrier goes through a task.
    pub(super) fn barrier(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
        (checkpoint, kind): (CheckpointId, SnapshotKind),
    ) {
        flow.barrier = checkpoint;
        let upload: Upload = self.take_snapshot(process, attempt, flow, checkpoint);
        let slow = self.trouble();
        let usual = if self.plan.sluggish {
            100..7_000
        } else {
            10..700
        };
        let delay = self.random.millis(if slow { 0..20_000 } else { usual });
        let stored = Happening::SnapshotStored(process.clone(), attempt, checkpoint, upload);
        self.after(delay, stored);
        self.broadcast(flow, Element::Barrier(checkpoint, kind));
    }
}

impl Flow {
    pub(super) fn stop_aligning(&mut self) {
        self.aligning = None;
        for input in &mut self.inputs {
            input.blocked = false;
        }
    }
}
