//! A checkpoint on its way: who has handed over, who has not.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_model::{
    CheckpointMetadata, EnumeratorState, ExecutionAttemptId, SnapshotKind, StoredCommittable,
    SubtaskSnapshot,
};

use super::request::Request;
use crate::job::WorkerId;

/// A subtask at the moment a checkpoint begins.
#[derive(Debug, Clone)]
pub(crate) struct Participant {
    pub(crate) attempt: ExecutionAttemptId,
    pub(crate) worker: Option<WorkerId>,
    /// Its vertex has no inputs.
    pub(crate) source: bool,
    /// It is told to begin: nobody sends it a barrier.
    pub(crate) begins: bool,
    /// It has finished, and its sinks still want these committed.
    pub(crate) finished: Option<Vec<StoredCommittable>>,
}

/// A checkpoint that is not complete.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) kind: SnapshotKind,
    /// Who asked for it; `None`: it is a periodic one.
    pub(super) request: Option<Request>,
    pub(super) stage: Stage,
    /// Its own; empty until it is opened.
    pub(super) directory: String,
    pub(super) timestamp_ms: i64,
    /// Who had finished when it began: all that they left is in it.
    pub(super) finished: Vec<ExecutionAttemptId>,
}

/// How far a pending checkpoint is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Its directory is being made.
    Opening,
    /// Subtasks and enumerators hand over.
    Collecting(Collecting),
    /// Its metadata is being written.
    Storing(Arc<CheckpointMetadata>),
}

/// What was handed over.
#[derive(Debug)]
pub(super) struct Collecting {
    members: Vec<Vec<Member>>,
    /// Members without a snapshot; sources among them.
    waiting: usize,
    waiting_sources: usize,
    enumerators: Enumerators,
}

#[derive(Debug)]
struct Member {
    attempt: ExecutionAttemptId,
    source: bool,
    snapshot: Option<SubtaskSnapshot>,
}

#[derive(Debug)]
enum Enumerators {
    /// Not before all sources have handed over: what a reader was given by then is known here.
    NotAsked,
    Asked,
    Known(Vec<EnumeratorState>),
}

impl Pending {
    pub(super) fn new(kind: SnapshotKind, request: Option<Request>) -> Self {
        Self {
            kind,
            request,
            stage: Stage::Opening,
            directory: String::new(),
            timestamp_ms: 0,
            finished: Vec::new(),
        }
    }

    pub(super) fn collecting(&mut self) -> Option<&mut Collecting> {
        match &mut self.stage {
            Stage::Collecting(collecting) => Some(collecting),
            Stage::Opening | Stage::Storing(_) => None,
        }
    }

    /// Whether tasks know of it.
    pub(super) fn is_triggered(&self) -> bool {
        !matches!(self.stage, Stage::Opening)
    }

    /// What was handed over so far.
    pub(super) fn snapshots(&self) -> Vec<&SubtaskSnapshot> {
        match &self.stage {
            Stage::Opening => Vec::new(),
            Stage::Collecting(collecting) => collecting.snapshots().flatten().collect(),
            Stage::Storing(metadata) => {
                let vertices = metadata.vertices.iter();
                vertices.flat_map(|vertex| &vertex.subtasks).collect()
            }
        }
    }
}

impl Collecting {
    /// Finished subtasks have handed over: their last outputs.
    pub(super) fn new(tasks: Vec<Vec<Participant>>) -> Self {
        let member = |task: Participant| Member {
            attempt: task.attempt,
            source: task.source,
            snapshot: task.finished.map(|committables| SubtaskSnapshot {
                finished: true,
                committables,
                ..SubtaskSnapshot::default()
            }),
        };
        let members: Vec<Vec<Member>> = tasks
            .into_iter()
            .map(|vertex| vertex.into_iter().map(member).collect())
            .collect();
        let open = || members.iter().flatten().filter(|it| it.snapshot.is_none());
        Self {
            waiting: open().count(),
            waiting_sources: open().filter(|it| it.source).count(),
            members,
            enumerators: Enumerators::NotAsked,
        }
    }

    /// Takes a snapshot; false if it is none of these subtasks', or not its first.
    pub(super) fn acknowledge(
        &mut self,
        attempt: ExecutionAttemptId,
        snapshot: SubtaskSnapshot,
    ) -> bool {
        let Some(member) = self.member(attempt) else {
            return false;
        };
        if member.snapshot.is_some() {
            return false;
        }
        member.snapshot = Some(snapshot);
        let source = member.source;
        self.waiting -= 1;
        self.waiting_sources -= usize::from(source);
        true
    }

    fn member(&mut self, attempt: ExecutionAttemptId) -> Option<&mut Member> {
        self.members
            .get_mut(attempt.vertex.0 as usize)?
            .get_mut(attempt.subtask as usize)
            .filter(|member| member.attempt == attempt)
    }

    /// Whether a subtask has yet to hand over.
    pub(super) fn awaits(&mut self, attempt: ExecutionAttemptId) -> bool {
        self.member(attempt)
            .is_some_and(|member| member.snapshot.is_none())
    }

    /// Whether the time has come to ask the enumerators; only once.
    pub(super) fn ask_enumerators(&mut self) -> bool {
        let now = self.waiting_sources == 0 && matches!(self.enumerators, Enumerators::NotAsked);
        if now {
            self.enumerators = Enumerators::Asked;
        }
        now
    }

    /// Takes the answer; false if nobody asked.
    pub(super) fn enumerators_are(&mut self, states: Vec<EnumeratorState>) -> bool {
        let asked = matches!(self.enumerators, Enumerators::Asked);
        if asked {
            self.enumerators = Enumerators::Known(states);
        }
        asked
    }

    /// Whether enumerators were asked and have not answered.
    pub(super) fn awaits_enumerators(&self) -> bool {
        matches!(self.enumerators, Enumerators::Asked)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.waiting == 0 && matches!(self.enumerators, Enumerators::Known(_))
    }

    /// By vertex and subtask; `None`: not handed over.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = Option<&SubtaskSnapshot>> {
        self.members.iter().flatten().map(|it| it.snapshot.as_ref())
    }

    /// The snapshots by vertex, and the enumerators' states, of one that is whole.
    pub(super) fn take(&mut self) -> (Vec<Vec<SubtaskSnapshot>>, Vec<EnumeratorState>) {
        let members = std::mem::take(&mut self.members).into_iter();
        let snapshots = members.map(|vertex| {
            let snapshots = vertex.into_iter().map(|member| member.snapshot);
            snapshots.flatten().collect()
        });
        let states = match std::mem::replace(&mut self.enumerators, Enumerators::Asked) {
            Enumerators::Known(states) => states,
            Enumerators::NotAsked | Enumerators::Asked => Vec::new(),
        };
        (snapshots.collect(), states)
    }

    /// The counts are right; for tests.
    pub(super) fn check(&self) {
        let members = || self.members.iter().flatten();
        let open = members().filter(|it| it.snapshot.is_none());
        let sources = members().filter(|it| it.snapshot.is_none() && it.source);
        assert_eq!(self.waiting, open.count(), "who is awaited is counted");
        assert_eq!(self.waiting_sources, sources.count(), "sources are counted");
        assert!(
            self.waiting_sources == 0 || matches!(self.enumerators, Enumerators::NotAsked),
            "enumerators hand over last"
        );
    }

    /// The attempts that take part; for tests.
    pub(super) fn attempts(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        self.members.iter().flatten().map(|member| member.attempt)
    }
}

/// Who is told to begin, by worker; also the workers where none begins, but some take part.
pub(super) fn beginners(tasks: &[Vec<Participant>]) -> BTreeMap<WorkerId, Vec<ExecutionAttemptId>> {
    let mut told: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
    let running = tasks
        .iter()
        .flatten()
        .filter(|task| task.finished.is_none());
    for task in running {
        if let Some(worker) = &task.worker {
            let there = told.entry(worker.clone()).or_default();
            if task.begins {
                there.push(task.attempt);
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use flott_model::{ContainerId, Epoch, Incarnation, VertexId};

    use super::*;

    fn participant(vertex: u32, subtask: u32, finished: bool) -> Participant {
        Participant {
            attempt: ExecutionAttemptId {
                epoch: Epoch(1),
                vertex: VertexId(vertex),
                subtask,
                attempt: 0,
            },
            worker: Some(WorkerId {
                container: ContainerId(format!("c{subtask}")),
                incarnation: Incarnation(1),
            }),
            source: vertex == 0,
            begins: vertex == 0 && !finished,
            finished: finished.then(Vec::new),
        }
    }

    /// Two sources, the first of them finished, and a sink.
    fn tasks() -> Vec<Vec<Participant>> {
        vec![
            vec![participant(0, 0, true), participant(0, 1, false)],
            vec![participant(1, 0, false)],
        ]
    }

    #[test]
    fn it_is_whole_when_all_and_then_the_enumerators_have_handed_over() {
        let mut collecting = Collecting::new(tasks());
        let attempts: Vec<ExecutionAttemptId> = collecting.attempts().collect();
        let acknowledge = |collecting: &mut Collecting, which: usize| {
            let taken = collecting.acknowledge(attempts[which], SubtaskSnapshot::default());
            collecting.check();
            taken
        };
        assert!(!acknowledge(&mut collecting, 0), "it has finished");
        assert!(collecting.awaits(attempts[2]));
        assert!(acknowledge(&mut collecting, 2));
        assert!(!acknowledge(&mut collecting, 2), "doubled");
        assert!(!collecting.ask_enumerators(), "a source is missing");
        assert!(!collecting.enumerators_are(Vec::new()), "nobody asked");
        assert!(acknowledge(&mut collecting, 1));
        assert!(collecting.ask_enumerators());
        assert!(!collecting.ask_enumerators(), "once");
        assert!(!collecting.is_whole());
        assert!(collecting.enumerators_are(vec![EnumeratorState::default()]));
        assert!(collecting.is_whole());
        let (snapshots, states) = collecting.take();
        assert_eq!(
            snapshots.iter().map(Vec::len).collect::<Vec<usize>>(),
            [2, 1]
        );
        assert!(snapshots[0][0].finished && !snapshots[0][1].finished);
        assert_eq!(states.len(), 1);
    }

    #[test]
    fn only_those_that_run_without_producers_are_told() {
        let told = beginners(&tasks());
        let told: Vec<usize> = told.values().map(Vec::len).collect();
        assert_eq!(told, [0, 1], "the sink's worker learns of it as well");
    }
}
