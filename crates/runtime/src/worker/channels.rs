//! Makes the channels of the tasks that are deployed together: rings for those whose both ends are
//! here, network channels for the others, partitions for blocking edges.

use std::collections::BTreeMap;

use flott_model::{EdgeId, ExecutionAttemptId};
use flott_network::{ChannelId, Network, Waker};
use flott_operators::TaskError;
use flott_operators::checkpoint::ChannelEnd;
use flott_protocol::message::{ChannelEnd as Peer, TaskDescriptor, TaskGate};

use super::partitions::{PartitionTask, Partitions, check_keys};
use crate::exchange::{AnyBox, InputHalf, OutputHalf};
use crate::plan::{Plan, TaskChannels};

/// The rings between tasks of one deployment; each half is taken once.
pub(super) struct Wiring<'a> {
    plan: &'a Plan,
    network: &'a Network,
    partitions: &'a Partitions,
    incarnation: u64,
    wakers: &'a BTreeMap<ExecutionAttemptId, Waker>,
    senders: BTreeMap<ChannelId, AnyBox>,
    receivers: BTreeMap<ChannelId, AnyBox>,
}

impl<'a> Wiring<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        network: &'a Network,
        partitions: &'a Partitions,
        incarnation: u64,
        wakers: &'a BTreeMap<ExecutionAttemptId, Waker>,
    ) -> Self {
        Self {
            plan,
            network,
            partitions,
            incarnation,
            wakers,
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
        }
    }

    /// The channels of one task.
    pub(super) fn channels(&mut self, task: &TaskDescriptor) -> Result<TaskChannels, TaskError> {
        let own: ExecutionAttemptId = task.attempt.into();
        check_keys(&self.plan.graph, task)?;
        let blocking = PartitionTask {
            graph: &self.plan.graph,
            attempt: own,
            waker: self.waker(own)?,
            outputs: task.outputs.iter().filter(|gate| gate.blocking).count() as u64,
        };
        let mut channels = TaskChannels::default();
        for gate in &task.inputs {
            let mut halves = Vec::with_capacity(gate.peers.len());
            if gate.blocking {
                let input = self.partitions.input(&blocking, gate)?;
                halves.push(InputHalf::Partition(Box::new(input)));
            }
            for peer in &gate.peers {
                let id = channel(gate, peer.attempt.into(), own);
                halves.push(self.input(id, peer)?);
            }
            channels.inputs.push((EdgeId(gate.edge), halves));
        }
        for gate in &task.outputs {
            let mut halves = Vec::with_capacity(gate.peers.len());
            if gate.blocking {
                let output = self.partitions.output(&blocking, gate)?;
                halves.push(OutputHalf::Partition(Box::new(output)));
            }
            for peer in &gate.peers {
                let id = channel(gate, own, peer.attempt.into());
                halves.push(self.output(id, peer)?);
            }
            channels.outputs.insert(EdgeId(gate.edge), halves);
        }
        Ok(channels)
    }

    fn is_here(&self, peer: &Peer) -> bool {
        peer.incarnation == self.incarnation
            && self
                .wakers
                .contains_key(&ExecutionAttemptId::from(peer.attempt))
    }

    fn input(&mut self, id: ChannelId, peer: &Peer) -> Result<InputHalf, TaskError> {
        let end = ChannelEnd {
            edge: id.edge,
            peer: id.source.subtask,
            receives: true,
        };
        if self.is_here(peer) {
            self.make_ring(id)?;
            let receiver = self.receivers.remove(&id).ok_or_else(|| taken(id))?;
            return Ok(InputHalf::Local(receiver, end));
        }
        let receiver = self.network.receiver(id, self.waker(id.target)?);
        Ok(InputHalf::Remote(receiver, end))
    }

    fn output(&mut self, id: ChannelId, peer: &Peer) -> Result<OutputHalf, TaskError> {
        let end = ChannelEnd {
            edge: id.edge,
            peer: id.target.subtask,
            receives: false,
        };
        if self.is_here(peer) {
            self.make_ring(id)?;
            let sender = self.senders.remove(&id).ok_or_else(|| taken(id))?;
            return Ok(OutputHalf::Local(sender, end));
        }
        let waker = self.waker(id.source)?;
        let sender = self.network.sender(id, &peer.address, waker);
        Ok(OutputHalf::Remote(sender, end))
    }

    /// Makes the ring when its first end asks for it; the other half waits for the other end.
    fn make_ring(&mut self, id: ChannelId) -> Result<(), TaskError> {
        if self.senders.contains_key(&id) || self.receivers.contains_key(&id) {
            return Ok(());
        }
        let edge =
            self.plan.edges.get(id.edge.0 as usize).ok_or_else(|| {
                TaskError::fatal(format!("the program has no edge {}", id.edge.0))
            })?;
        let (sender, receiver) =
            (edge.local_channel)(self.waker(id.source)?, self.waker(id.target)?);
        self.senders.insert(id, sender);
        self.receivers.insert(id, receiver);
        Ok(())
    }

    fn waker(&self, attempt: ExecutionAttemptId) -> Result<Waker, TaskError> {
        self.wakers
            .get(&attempt)
            .cloned()
            .ok_or_else(|| TaskError::fatal(format!("attempt {attempt} was not deployed here")))
    }
}

fn channel(gate: &TaskGate, source: ExecutionAttemptId, target: ExecutionAttemptId) -> ChannelId {
    ChannelId {
        edge: EdgeId(gate.edge),
        source,
        target,
    }
}

fn taken(id: ChannelId) -> TaskError {
    TaskError::fatal(format!(
        "channel {} -> {} was deployed twice",
        id.source, id.target
    ))
}
