//! The inside of a task: a reader, an operator that counts, or a transactional sink.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use flott_coordination::checkpoint::CheckpointTrigger;
use flott_coordination::job::JobEvent;
use flott_model::{
    CheckpointId, ExecutionAttemptId, ExecutionState, JobId, ShipStrategy, SnapshotKind,
    StoredCommittable,
};

use super::source::{ReaderCall, uid};
use super::{Content, Element, Record, SPLIT_RECORDS, Wire};
use crate::world::{Channel, Happening, ProcessId, World};

/// Elements a task takes before others have their turn.
const TURN: usize = 30;

/// What a task does.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(super) role: Role,
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) triggers: VecDeque<CheckpointTrigger>,
    pub(super) aligning: Option<(CheckpointId, SnapshotKind)>,
    /// The newest checkpoint whose barrier went through.
    pub(super) barrier: CheckpointId,
    /// Shared files of its snapshots.
    pub(super) files: BTreeMap<CheckpointId, Vec<String>>,
    /// Of the newest snapshot that is known to be complete.
    pub(super) confirmed: Vec<String>,
    pub(super) aborted: BTreeSet<CheckpointId>,
    /// A source that has stopped for a savepoint.
    pub(super) stopped: Option<CheckpointId>,
    /// It ends with its next step.
    pub(super) ends: bool,
    pub(super) scheduled: bool,
    /// What its enumerator is told at first.
    pub(super) greeting: Option<ReaderCall>,
}

#[derive(Debug)]
pub(super) enum Role {
    Reader {
        received: u32,
        open: VecDeque<(u32, u32)>,
        exhausted: bool,
    },
    Map,
    Counter(BTreeMap<u32, u64>),
    Sink {
        open: Vec<Record>,
        /// Handed over with a checkpoint that is not known to be complete.
        prepared: Vec<(CheckpointId, StoredCommittable)>,
    },
}

#[derive(Debug)]
pub(super) struct Input {
    pub(super) wire: Wire,
    pub(super) ended: bool,
    /// The barrier has come; nothing more is read before the others'.
    pub(super) blocked: bool,
}

#[derive(Debug)]
pub(super) struct Output {
    pub(super) ship: ShipStrategy,
    pub(super) wires: Vec<(Wire, ProcessId)>,
    pub(super) turn: usize,
}

enum Outcome {
    /// Something will wake it.
    Waits,
    Again(Duration),
    Finished,
}

impl World {
    pub(super) fn place_of(&self, job: JobId, attempt: ExecutionAttemptId) -> (u32, u32) {
        let mut plans = self.plan.jobs.iter();
        let plan = plans.find(|it| it.settings.job == job);
        let vertices = plan.map(|it| &it.graph.vertices);
        let vertex = vertices.and_then(|it| it.get(attempt.vertex.0 as usize));
        (attempt.subtask, vertex.map_or(1, |it| it.parallelism))
    }

    fn flow_mut(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
    ) -> Option<&mut Option<Flow>> {
        let task = self.processes.get_mut(process)?.tasks.get_mut(&attempt)?;
        let running = task.state == ExecutionState::Running;
        running.then_some(&mut task.flow)
    }

    /// Something changed for a task: it has a turn soon.
    pub(crate) fn wake(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) {
        let Some(Some(flow)) = self.flow_mut(process, attempt) else {
            return;
        };
        if std::mem::replace(&mut flow.scheduled, true) {
            return;
        }
        let slow = self.trouble();
        let delay = self.random.millis(if slow { 0..5_000 } else { 1..80 });
        self.after(delay, Happening::TaskSteps(process.clone(), attempt));
    }

    /// Does something with the inside of a running task.
    pub(crate) fn with_flow(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        change: impl FnOnce(&mut Flow),
    ) {
        if let Some(Some(flow)) = self.flow_mut(process, attempt) {
            change(flow);
            self.wake(process, attempt);
        }
    }

    /// A turn of a running task; whether it is such a one.
    pub(crate) fn step_flow(&mut self, process: &ProcessId, attempt: ExecutionAttemptId) -> bool {
        let Some(place) = self.flow_mut(process, attempt) else {
            return false;
        };
        let Some(mut flow) = place.take() else {
            return false;
        };
        flow.scheduled = false;
        let outcome = self.run(process, attempt, &mut flow);
        if let Outcome::Finished = outcome {
            self.finish_flow(process, attempt, flow);
            return true;
        }
        flow.scheduled = matches!(outcome, Outcome::Again(_));
        if let Some(place) = self.flow_mut(process, attempt) {
            *place = Some(flow);
        }
        if let Outcome::Again(delay) = outcome {
            self.after(delay, Happening::TaskSteps(process.clone(), attempt));
        }
        true
    }

    fn run(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
    ) -> Outcome {
        if let Some(greeting) = flow.greeting.take() {
            self.say_to_enumerator(process, attempt, greeting);
        }
        if flow.ends {
            return Outcome::Finished;
        }
        while let Some(trigger) = flow.triggers.pop_front() {
            if trigger.checkpoint > flow.barrier && !flow.aborted.contains(&trigger.checkpoint) {
                self.barrier(process, attempt, flow, (trigger.checkpoint, trigger.kind));
                if trigger.kind.stops() && matches!(flow.role, Role::Reader { .. }) {
                    flow.stopped = Some(trigger.checkpoint);
                }
            }
        }
        match flow.role {
            Role::Reader { .. } => self.read(process, attempt, flow),
            Role::Map | Role::Counter(_) | Role::Sink { .. } => self.work(process, attempt, flow),
        }
    }

    fn read(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
    ) -> Outcome {
        if flow.stopped.is_some() {
            return Outcome::Waits;
        }
        let Role::Reader {
            open,
            exhausted,
            received,
        } = &mut flow.role
        else {
            return Outcome::Waits;
        };
        let Some((split, position)) = open.front_mut() else {
            if *exhausted {
                return Outcome::Finished;
            }
            let asks = ReaderCall::Asks(*received);
            self.say_to_enumerator(process, attempt, asks);
            return Outcome::Again(self.random.millis(1_000..3_000));
        };
        let record = Record {
            source: attempt.vertex.0,
            split: *split,
            index: *position,
            count: 0,
        };
        *position += 1;
        if *position == SPLIT_RECORDS {
            open.pop_front();
        }
        self.emit(flow, record);
        Outcome::Again(self.random.millis(300..2_500))
    }

    fn work(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        flow: &mut Flow,
    ) -> Outcome {
        for _ in 0..TURN {
            let Some((input, element)) = self.next_element(flow) else {
                let ended = flow.inputs.iter().all(|input| input.ended);
                return if ended {
                    Outcome::Finished
                } else {
                    Outcome::Waits
                };
            };
            match element {
                Element::Record(record) => self.process(flow, record),
                Element::End => {
                    flow.inputs[input].ended = true;
                    self.align(process, attempt, flow);
                }
                Element::Barrier(checkpoint, kind) => {
                    self.meet_barrier(process, attempt, flow, (input, checkpoint, kind));
                }
            }
        }
        Outcome::Again(self.random.millis(1..100))
    }

    /// From any channel that may be read.
    fn next_element(&mut self, flow: &Flow) -> Option<(usize, Element)> {
        let readable = flow.inputs.iter().enumerate();
        let readable = readable.filter(|(_, input)| !input.ended && !input.blocked);
        let mut readable: Vec<usize> = readable.map(|(position, _)| position).collect();
        while !readable.is_empty() {
            let chosen = self.random.within(0..readable.len() as u64);
            let chosen = usize::try_from(chosen).expect("channels are few");
            let input = readable.swap_remove(chosen);
            let wire = self.flows.wire(&flow.inputs[input].wire);
            if let Some(element) = wire.and_then(VecDeque::pop_front) {
                return Some((input, element));
            }
        }
        None
    }

    fn process(&mut self, flow: &mut Flow, record: Record) {
        match &mut flow.role {
            Role::Counter(counts) => {
                let count = counts.entry(record.key()).or_default();
                *count += 1;
                let counted = Record {
                    count: *count,
                    ..record
                };
                self.emit(flow, counted);
            }
            Role::Sink { open, .. } => open.push(record),
            Role::Map | Role::Reader { .. } => self.emit(flow, record),
        }
    }

    fn emit(&mut self, flow: &mut Flow, record: Record) {
        for output in &mut flow.outputs {
            let targets = output.wires.len();
            let target = match output.ship {
                ShipStrategy::Hash => group(record.key()) as usize * targets / 128,
                _ => output.turn % targets,
            };
            output.turn += 1;
            let (wire, process) = output.wires[target].clone();
            self.flows.put(wire, Element::Record(record));
            self.wake(&process, wire.to);
        }
    }

    /// Something that goes to all.
    pub(super) fn broadcast(&mut self, flow: &Flow, element: Element) {
        let wires = flow.outputs.iter().flat_map(|output| &output.wires);
        let wires: Vec<(Wire, ProcessId)> = wires.cloned().collect();
        for (wire, process) in wires {
            self.flows.put(wire, element);
            self.wake(&process, wire.to);
        }
    }

    fn finish_flow(&mut self, process: &ProcessId, attempt: ExecutionAttemptId, flow: Flow) {
        self.record.of(process.0).finished.insert(attempt);
        self.broadcast(&flow, Element::End);
        let mut output = Vec::new();
        if let Role::Sink { open, prepared } = flow.role {
            output.extend(prepared.into_iter().map(|(_, committable)| committable));
            output.extend(self.committable(attempt, open));
        }
        let ended = self.processes.get_mut(process);
        if ended.and_then(|it| it.tasks.remove(&attempt)).is_some() {
            let event = JobEvent::TaskStateChanged {
                attempt,
                state: ExecutionState::Finished,
                failure: None,
                output,
                missing: Vec::new(),
            };
            self.answer(process, event);
        }
    }

    /// What a sink wants committed, if there is something.
    pub(super) fn committable(
        &mut self,
        attempt: ExecutionAttemptId,
        records: Vec<Record>,
    ) -> Option<StoredCommittable> {
        if records.is_empty() {
            return None;
        }
        let place = self.flows.write(Content::Output(records));
        Some(StoredCommittable {
            operator: uid(attempt.vertex.0),
            committable: place.to_le_bytes().to_vec(),
            id: format!("{attempt}#{place}"),
        })
    }

    fn say_to_enumerator(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        call: ReaderCall,
    ) {
        let channel = Channel::WorkerToJob(process.clone());
        let calls = Happening::ReaderCalls(process.clone(), attempt, call);
        self.say(channel, calls);
    }

    pub(crate) fn split_arrives(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        number: u32,
        split: Option<u32>,
    ) {
        self.with_flow(process, attempt, |flow| {
            let Role::Reader {
                received,
                open,
                exhausted,
            } = &mut flow.role
            else {
                return;
            };
            match split {
                Some(split) if number == *received + 1 => {
                    *received = number;
                    open.push_back((split, 0));
                }
                Some(_) => (), // Doubled.
                None => *exhausted = number == *received,
            }
        });
    }
}

/// The key group of a key.
pub(super) fn group(key: u32) -> u32 {
    (key * 37 + 11) % 128
}
