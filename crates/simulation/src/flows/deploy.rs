//! The inside of a task as it is deployed: from nothing, or from a checkpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flott_coordination::job::TaskDeployment;
use flott_model::{CheckpointId, JobId, key_groups_of};

use super::source::{ReaderCall, uid};
use super::task::{Flow, Input, Output, Role, group};
use super::{Content, Wire};
use crate::world::World;

impl World {
    /// The inside of a task as it is deployed.
    pub(crate) fn new_flow(&self, job: JobId, deployment: &TaskDeployment) -> Option<Flow> {
        let plan = self.plan.jobs.iter().find(|it| it.settings.job == job)?;
        let attempt = deployment.attempt;
        let name = plan.graph.vertices[attempt.vertex.0 as usize].name.as_str();
        let role = match name {
            "source" => Role::Reader {
                received: 0,
                open: VecDeque::new(),
                exhausted: false,
            },
            "map" => Role::Map,
            "count" => Role::Counter(BTreeMap::new()),
            "sink" => Role::Sink {
                open: Vec::new(),
                prepared: Vec::new(),
            },
            _ => return None,
        };
        let wire = |edge: u32, from, to| Wire {
            job,
            edge,
            from,
            to,
        };
        let inputs = deployment.inputs.iter().flat_map(|input| {
            let sources = input.sources.iter();
            sources.map(move |from| Input {
                wire: wire(input.edge.0, *from, attempt),
                ended: false,
                blocked: false,
            })
        });
        let outputs = deployment.outputs.iter().map(|output| {
            let ends = output.targets.iter().zip(&output.locations);
            Output {
                ship: plan.graph.edges[output.edge.0 as usize].ship(),
                wires: ends
                    .map(|(to, (worker, _))| {
                        (wire(output.edge.0, attempt, *to), (job, worker.clone()))
                    })
                    .collect(),
                turn: 0,
            }
        });
        let mut flow = Flow {
            greeting: matches!(role, Role::Reader { .. }).then(|| ReaderCall::Begins {
                received: 0,
                before: Vec::new(),
            }),
            role,
            inputs: inputs.collect(),
            outputs: outputs.collect(),
            triggers: VecDeque::new(),
            aligning: None,
            barrier: CheckpointId(0),
            files: BTreeMap::new(),
            confirmed: Vec::new(),
            aborted: BTreeSet::new(),
            stopped: None,
            ends: false,
            scheduled: false,
        };
        self.restore_flow(job, deployment, &mut flow);
        Some(flow)
    }

    fn restore_flow(&self, job: JobId, deployment: &TaskDeployment, flow: &mut Flow) {
        let Some(restore) = &deployment.restore else {
            return;
        };
        flow.barrier = CheckpointId(restore.checkpoint);
        flow.ends = restore.finished;
        if restore.finished {
            flow.greeting = None;
        }
        let (subtask, parallelism) = self.place_of(job, deployment.attempt);
        let own = uid(deployment.attempt.vertex.0);
        for operator in restore.operators.iter().filter(|it| it.operator == own) {
            let rescaled = operator.old_parallelism != parallelism;
            match &mut flow.role {
                Role::Reader { received, open, .. } => {
                    let states = operator.states.iter();
                    let mine = states.filter(|it| it.subtask % parallelism == subtask);
                    let mut earlier = Vec::new();
                    for old in mine {
                        let place = old.state.as_ref().map_or(0, |handle| handle.offset);
                        let Content::Reader {
                            received: before,
                            open: left,
                        } = self.flows.read(place)
                        else {
                            unreachable!("a reader's state is a reader's");
                        };
                        open.extend(left.iter().copied());
                        if rescaled {
                            earlier.push((old.subtask, *before));
                        } else {
                            *received = *before;
                        }
                    }
                    flow.greeting = Some(ReaderCall::Begins {
                        received: *received,
                        before: earlier,
                    });
                }
                Role::Counter(counts) => {
                    let (first, groups) = key_groups_of(subtask, parallelism, 128);
                    for handle in &operator.keyed {
                        let Content::Counts(old) = self.flows.read(handle.offset) else {
                            unreachable!("a counter's state is counts");
                        };
                        let keys = old.iter();
                        let mine =
                            keys.filter(|(key, _)| (first..first + groups).contains(&group(**key)));
                        counts.extend(mine.map(|(key, count)| (*key, *count)));
                    }
                }
                Role::Map | Role::Sink { .. } => (),
            }
        }
    }
}
