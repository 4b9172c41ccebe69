//! What was on its way in channels, laid out for the subtasks that send it again: all of it is sent by
//! the source of its edge, so that it comes before anything new, in order.

use std::collections::BTreeMap;

use flott_model::{
    ChannelRestore, ChannelState, EdgeName, ShipStrategy, StateHandle, VertexSnapshot,
};

use super::{OldOperator, Shape};
use flott_model::OperatorUid;

/// What was on its way in one edge.
#[derive(Debug, Default)]
struct OldEdge {
    ship: i32,
    /// By the subtasks that sent and that received: what had been received first.
    channels: BTreeMap<(u32, u32), [Option<StateHandle>; 2]>,
}

/// An edge of the job, and what it has to send again.
#[derive(Debug)]
struct Sent {
    edge: u32,
    source: usize,
    /// The subtasks at both ends are who they were: each channel goes on where it was.
    same: bool,
    old: OldEdge,
}

/// All edges that have something to send again.
#[derive(Debug, Default)]
pub(super) struct OldChannels(Vec<Sent>);

impl OldChannels {
    /// Lays it out, or says why the job cannot begin from it. `allow_lost`: what no edge of the job
    /// takes may be left behind.
    pub(super) fn new(
        shape: &Shape,
        operators: &BTreeMap<OperatorUid, OldOperator>,
        vertices: &[VertexSnapshot],
        allow_lost: bool,
    ) -> Result<Self, String> {
        let mut edges = collect(operators, vertices)?;
        let mut sent = Vec::new();
        for (position, edge) in (0..).zip(&shape.edges) {
            let Some(old) = edges.remove(&edge.name) else {
                continue;
            };
            let same =
                shape.is_same(operators, edge.source) && shape.is_same(operators, edge.target);
            let route = routes(edge.ship);
            let as_it_was = same && edge.ship == old.ship;
            if !as_it_was && !route {
                return Err(refusal(shape, edge.source, edge.target, same));
            }
            sent.push(Sent {
                edge: position,
                source: edge.source,
                same: as_it_was,
                old,
            });
        }
        match edges.keys().next() {
            Some(name) if !allow_lost => Err(format!(
                "it has records that were on their way from {} to {}, and the job has no such edge: \
                 restore the program that wrote it, or take a savepoint with that one; \
                 --allowNonRestoredState (execution.state-recovery.ignore-unclaimed-state) loses \
                 these records",
                named(operators, &name.source),
                named(operators, &name.target),
            )),
            _ => Ok(Self(sent)),
        }
    }

    /// What a subtask sends first; `parallelism`: of its vertex.
    pub(super) fn of(&self, vertex: usize, subtask: u32, parallelism: u32) -> Vec<ChannelRestore> {
        let edges = self.0.iter().filter(|sent| sent.source == vertex);
        let channels = edges.flat_map(|sent| {
            let own = sent.old.channels.iter().filter(move |((source, _), _)| {
                // With another parallelism everybody takes a share.
                source % parallelism.max(1) == subtask
            });
            own.map(|((_, target), parts)| ChannelRestore {
                edge: sent.edge,
                target: sent.same.then_some(*target),
                states: parts.iter().flatten().cloned().collect(),
            })
        });
        channels.collect()
    }
}

/// Whether the edge can find out anew where a record belongs.
fn routes(ship: i32) -> bool {
    match ShipStrategy::try_from(ship) {
        Ok(
            ShipStrategy::Hash
            | ShipStrategy::Rebalance
            | ShipStrategy::Global
            | ShipStrategy::Custom,
        ) => true,
        Ok(ShipStrategy::Forward | ShipStrategy::Rescale | ShipStrategy::Broadcast) | Err(_) => {
            false
        }
    }
}

fn refusal(shape: &Shape, source: usize, target: usize, same: bool) -> String {
    let (source, target) = (&shape.vertices[source].name, &shape.vertices[target].name);
    let why = if same {
        "the edge spreads records in another way now"
    } else {
        "the parallelism is another one now, and such an edge (forward, rescale or broadcast) ties \
         records to subtasks"
    };
    format!(
        "it has records that were on their way from '{source}' to '{target}', and {why}: restore it \
         as it was and take a savepoint, from which any parallelism can begin"
    )
}

fn named(operators: &BTreeMap<OperatorUid, OldOperator>, uid: &[u8]) -> String {
    let uid = OperatorUid(u128::from_be_bytes(uid.try_into().unwrap_or_default()));
    let known = operators.get(&uid).map_or("", |old| old.name.as_str());
    format!("'{known}' (uid {uid})")
}

fn collect(
    operators: &BTreeMap<OperatorUid, OldOperator>,
    vertices: &[VertexSnapshot],
) -> Result<BTreeMap<EdgeName, OldEdge>, String> {
    let mut edges: BTreeMap<EdgeName, OldEdge> = BTreeMap::new();
    for vertex in vertices {
        for (subtask, snapshot) in (0..).zip(&vertex.subtasks) {
            for channel in &snapshot.channels {
                let (name, state) = parts(operators, channel)
                    .ok_or("its _metadata is damaged: a channel has no edge or no state")?;
                let edge = edges.entry(name.clone()).or_default();
                edge.ship = channel.ship;
                let (ends, part) = match channel.received {
                    true => ((channel.peer, subtask), 0),
                    false => ((subtask, channel.peer), 1),
                };
                edge.channels.entry(ends).or_default()[part] = Some(state.clone());
            }
        }
    }
    Ok(edges)
}

fn parts<'a>(
    operators: &BTreeMap<OperatorUid, OldOperator>,
    channel: &'a ChannelState,
) -> Option<(&'a EdgeName, &'a StateHandle)> {
    let name = channel.edge.as_ref()?;
    for uid in [&name.source, &name.target] {
        let uid = OperatorUid(u128::from_be_bytes(uid.as_slice().try_into().ok()?));
        operators.get(&uid)?;
    }
    Some((name, channel.state.as_ref()?))
}
