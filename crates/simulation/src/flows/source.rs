//! Sources: enumerators that give out splits and know who has which, and readers that ask.
//!
//! What a reader was given is numbered. A reader that begins says how many splits it knows of; those
//! with greater numbers are given back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flott_coordination::job::JobEvent;
use flott_model::{
    CheckpointId, EnumeratorState, ExecutionAttemptId, Failure, FailureClass, JobId,
};

use super::Content;
use crate::world::{Channel, Happening, ProcessId, World};

/// The splits of one source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Enumerator {
    parallelism: u32,
    remaining: VecDeque<u32>,
    /// By subtask: what it was given; the number of a split is its place, from 1.
    pub(crate) given: BTreeMap<u32, Vec<u32>>,
    /// The same at the parallelism before.
    before: BTreeMap<u32, Vec<u32>>,
    /// Readers that have begun.
    begun: BTreeSet<ExecutionAttemptId>,
    /// Readers that were told that there is no more: they end.
    ended: BTreeSet<ExecutionAttemptId>,
    /// Its process is gone.
    lost: bool,
}

/// What a reader says.
#[derive(Debug, Clone)]
pub(crate) enum ReaderCall {
    /// It begins, and knows of so many splits that it was given.
    Begins {
        received: u32,
        /// The same of subtasks of another parallelism, whose part it takes.
        before: Vec<(u32, u32)>,
    },
    /// It wants a split after so many.
    Asks(u32),
}

impl Enumerator {
    pub(crate) fn new(parallelism: u32, splits: u32) -> Self {
        Self {
            parallelism,
            remaining: (0..splits).collect(),
            ..Self::default()
        }
    }

    /// The same, restored at another parallelism perhaps.
    fn restored(&self, parallelism: u32) -> Self {
        let mut restored = Self {
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            lost: false,
            parallelism,
            ..self.clone()
        };
        if self.parallelism != parallelism {
            restored.before = std::mem::take(&mut restored.given);
        }
        restored
    }

    /// Splits that nobody has.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = u32> {
        self.remaining.iter().copied()
    }

    fn begins(&mut self, attempt: ExecutionAttemptId, received: u32, before: &[(u32, u32)]) {
        if !self.begun.insert(attempt) || !self.is_newest(attempt) {
            return; // Said twice, or long ago.
        }
        let mut back = Vec::new();
        for (subtask, received) in before {
            let given = self.before.entry(*subtask).or_default();
            back.extend(given.split_off((*received as usize).min(given.len())));
        }
        let given = self.given.entry(attempt.subtask).or_default();
        back.extend(given.split_off((received as usize).min(given.len())));
        for split in back.into_iter().rev() {
            self.remaining.push_front(split);
        }
    }

    /// The newest reader of a subtask that has begun.
    fn is_newest(&self, attempt: ExecutionAttemptId) -> bool {
        let same = self.begun.iter().filter(|it| it.subtask == attempt.subtask);
        same.max() == Some(&attempt)
    }
}

impl World {
    pub(crate) fn reader_calls(
        &mut self,
        process: &ProcessId,
        attempt: ExecutionAttemptId,
        call: &ReaderCall,
    ) {
        let severed = self.processes.get(process).is_none_or(|it| it.severed);
        if severed || self.fenced.contains(process) {
            return; // The JobMaster relays nothing of a lost worker.
        }
        let source = (process.0, attempt.vertex.0);
        let Some(enumerator) = self.flows.sources.get_mut(&source).filter(|it| !it.lost) else {
            return;
        };
        match call {
            ReaderCall::Begins { received, before } => {
                enumerator.begins(attempt, *received, before);
            }
            ReaderCall::Asks(received) if enumerator.is_newest(attempt) => {
                let given = enumerator.given.entry(attempt.subtask).or_default();
                let ended = enumerator.ended.contains(&attempt);
                if given.len() == *received as usize && !ended {
                    given.extend(enumerator.remaining.pop_front());
                }
                // Who asks again is answered again.
                let split = given.get(*received as usize).copied();
                enumerator.ended.extend(split.is_none().then_some(attempt));
                let number = received + u32::from(split.is_some());
                let channel = Channel::JobToWorker(process.clone());
                let arrives = Happening::SplitArrives(process.clone(), attempt, number, split);
                self.say(channel, arrives);
            }
            ReaderCall::Asks(_) => (),
        }
    }

    /// What the enumerators of a job know is wanted for a checkpoint.
    pub(crate) fn snapshot_enumerators(&mut self, job: JobId, checkpoint: CheckpointId) {
        let sources = self.flows.sources.range((job, 0)..=(job, u32::MAX));
        let sources: Vec<(u32, Enumerator)> = sources
            .map(|((_, vertex), it)| (*vertex, it.clone()))
            .collect();
        let lost = sources.iter().any(|(_, it)| it.lost);
        let result = if lost || self.trouble() {
            Err(Failure::new(
                FailureClass::Transient,
                "the coordinator was lost",
            ))
        } else {
            let states = sources.into_iter().map(|(vertex, enumerator)| {
                let place = self.flows.write(Content::Enumerator(enumerator));
                EnumeratorState {
                    operator: uid(vertex),
                    state: place.to_le_bytes().to_vec(),
                }
            });
            Ok(states.collect())
        };
        let workers = self.processes.keys().filter(|(owner, _)| *owner == job);
        let workers: Vec<ProcessId> = workers.cloned().collect();
        let worker = self.random.pick(&workers).map(|(_, worker)| worker.clone());
        let event = JobEvent::EnumeratorsSnapshotted {
            checkpoint,
            worker,
            result,
        };
        self.answer_job(job, event);
    }

    pub(crate) fn reset_enumerators(&mut self, job: JobId, states: &[EnumeratorState]) {
        for (vertex, parallelism) in self.source_vertices(job) {
            let state = states.iter().find(|state| state.operator == uid(vertex));
            let restored = state.map(|state| {
                let place = state.state.as_slice().try_into().expect("eight bytes");
                match self.flows.read(u64::from_le_bytes(place)) {
                    Content::Enumerator(known) => known.restored(parallelism),
                    other => unreachable!("{other:?} is no enumerator"),
                }
            });
            let fresh = || Enumerator::new(parallelism, self.splits_of(job, vertex));
            let enumerator = restored.unwrap_or_else(fresh);
            self.flows.sources.insert((job, vertex), enumerator);
        }
    }

    /// The process with the enumerators of a job ends.
    pub(crate) fn lose_enumerators(&mut self, job: JobId) {
        if self.record.of(job).checks.deaf {
            return; // Between two JobManagers nobody coordinates.
        }
        for (_, enumerator) in self.flows.sources.range_mut((job, 0)..=(job, u32::MAX)) {
            enumerator.lost = true;
        }
        let failure = Failure::new(FailureClass::Transient, "the coordinator was lost");
        self.answer_job(job, JobEvent::EnumeratorsLost(failure));
    }

    /// The sources of a job, with their parallelism.
    pub(crate) fn source_vertices(&self, job: JobId) -> Vec<(u32, u32)> {
        let mut plans = self.plan.jobs.iter();
        let Some(plan) = plans.find(|plan| plan.settings.job == job) else {
            return Vec::new();
        };
        let fed: BTreeSet<u32> = plan.graph.edges.iter().map(|edge| edge.target).collect();
        let vertices = (0..).zip(&plan.graph.vertices);
        vertices
            .filter(|(vertex, _)| !fed.contains(vertex))
            .map(|(vertex, described)| (vertex, described.parallelism))
            .collect()
    }

    pub(crate) fn splits_of(&self, job: JobId, vertex: u32) -> u32 {
        let line = self.flows.line(job);
        self.flows.splits.get(&(line, vertex)).copied().unwrap_or(0)
    }

    pub(crate) fn prepare_sources(&mut self, job: JobId) {
        let line = self.flows.line(job);
        for (vertex, parallelism) in self.source_vertices(job) {
            let splits = parallelism * self.random.small(2..20);
            let splits = *self.flows.splits.entry((line, vertex)).or_insert(splits);
            let fresh = Enumerator::new(parallelism, splits);
            self.flows.sources.insert((job, vertex), fresh);
        }
    }
}

/// The uid of the operator of a vertex.
pub(crate) fn uid(vertex: u32) -> Vec<u8> {
    (u128::from(vertex) + 1).to_be_bytes().to_vec()
}
