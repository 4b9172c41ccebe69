//! The coordinator of a job's sources: runs their enumerators, each on a thread of its own because
//! they may block, and keeps aligned sources together. Runs in one worker of the job; subtasks in
//! other workers reach it by way of the JobMaster.

mod alignment;
mod assignment;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};

use flott_filesystem::FileSystems;
use flott_model::{CheckpointId, EnumeratorState, ExecutionAttemptId, RuntimeMode};
use flott_operators::TaskError;
use flott_operators::source::{
    Answer, EnumeratorContext, EnumeratorFactory, Request, decode_message, encode_message,
};
use flott_protocol::message::{Coordinate, RunCoordinator};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::plan::{NodeFactory, Plan};
use alignment::Alignment;
use assignment::Assignments;

/// A subtask that asks, and where it runs.
struct Asker {
    attempt: ExecutionAttemptId,
    container: String,
    incarnation: u64,
}

impl Asker {
    fn answer(&self, operator: u32, answer: &Answer, journal: bool) -> Option<Coordinate> {
        let payload = encode_message(answer)
            .inspect_err(|error| tracing::error!("an answer of the coordinator is lost: {error}"));
        Some(Coordinate {
            operator,
            attempt: self.attempt.into(),
            container: self.container.clone(),
            incarnation: self.incarnation,
            payload: payload.ok()?,
            journal,
        })
    }
}

struct Ask {
    asker: Asker,
    number: u64,
    host: String,
}

/// What the thread of a source is told.
enum Work {
    Ask(Ask),
    /// Store the source, and answer.
    Snapshot(CheckpointId, Arc<BTreeMap<ExecutionAttemptId, u64>>, Stored),
    CheckpointEnded(CheckpointId, bool),
}

/// Where the state of a source is sent: its position in the program, and its state.
type Stored = UnboundedSender<(u32, Result<Vec<u8>, TaskError>)>;

/// The coordinator of one job.
pub(crate) struct Coordinator {
    plan: Arc<Plan>,
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    start: RunCoordinator,
    /// One per source that was asked for splits. A thread ends when its sender is dropped.
    sources: BTreeMap<u32, Sender<Work>>,
    alignment: Alignment,
    // Bounded by what subtasks ask: each has one question at a time.
    answers: UnboundedSender<Coordinate>,
}

impl Coordinator {
    /// Coordinates from now on; answers go to `answers`.
    pub(crate) fn new(
        plan: Arc<Plan>,
        files: Arc<FileSystems>,
        start: RunCoordinator,
        answers: UnboundedSender<Coordinate>,
    ) -> Self {
        Self {
            plan,
            files,
            io: tokio::runtime::Handle::current(),
            start,
            sources: BTreeMap::new(),
            alignment: Alignment::default(),
            answers,
        }
    }

    /// Takes what a subtask says.
    pub(crate) fn take(&mut self, message: Coordinate) {
        let Coordinate {
            operator,
            attempt,
            container,
            incarnation,
            payload,
            ..
        } = message;
        let asker = Asker {
            attempt: attempt.into(),
            container,
            incarnation,
        };
        match decode_message(&payload) {
            Ok(Request::NextSplit { number, host }) => {
                let ask = Ask {
                    asker,
                    number,
                    host,
                };
                self.ask(operator, ask);
            }
            Ok(Request::Watermark {
                group,
                watermark,
                max_drift_ms,
            }) => {
                let member = (operator, asker.attempt.subtask);
                let allowed = self
                    .alignment
                    .report(&group, member, watermark, max_drift_ms);
                self.say(operator, &asker, &Answer::MaxWatermark(allowed));
            }
            Err(error) => self.say(operator, &asker, &Answer::failed(&error)),
        }
    }

    fn say(&self, operator: u32, asker: &Asker, answer: &Answer) {
        if let Some(answer) = asker.answer(operator, answer, false) {
            // Nobody wants it when the worker ends.
            let _ = self.answers.send(answer);
        }
    }

    fn ask(&mut self, operator: u32, ask: Ask) {
        let Some(sender) = self.sources.get(&operator) else {
            match self.start(operator) {
                Ok(sender) => {
                    let _ = sender.send(Work::Ask(ask));
                    self.sources.insert(operator, sender);
                }
                Err(error) => self.say(operator, &ask.asker, &Answer::failed(&error)),
            }
            return;
        };
        if let Err(SendError(Work::Ask(ask))) = sender.send(Work::Ask(ask)) {
            let error = TaskError::transient(ENDED);
            self.say(operator, &ask.asker, &Answer::failed(&error));
            self.sources.remove(&operator);
        }
    }

    /// The states of all sources for a checkpoint; `received` says how many splits subtasks had been
    /// given at their barrier. Comes when the enumerators have answered.
    pub(crate) fn snapshot(
        &mut self,
        checkpoint: CheckpointId,
        received: BTreeMap<ExecutionAttemptId, u64>,
    ) -> impl Future<Output = Result<Vec<EnumeratorState>, TaskError>> + use<> {
        let (stored, mut states) = unbounded_channel();
        let received = Arc::new(received);
        let mut failed = None;
        // Sources that nobody has asked since the restore are as they were stored then.
        let restored = self.start.restored.clone().into_iter();
        let mut kept: Vec<EnumeratorState> = restored
            .filter(|state| !self.sources.keys().any(|source| self.is_of(state, *source)))
            .collect();
        for (operator, source) in &self.sources {
            let work = Work::Snapshot(checkpoint, Arc::clone(&received), stored.clone());
            if source.send(work).is_err() {
                failed = Some(TaskError::transient(ENDED));
            }
            tracing::trace!(operator, "a source is stored");
        }
        let plan = Arc::clone(&self.plan);
        async move {
            drop(stored);
            if let Some(error) = failed {
                return Err(error);
            }
            while let Some((operator, state)) = states.recv().await {
                kept.push(EnumeratorState {
                    operator: uid_bytes(&plan, operator),
                    state: state?,
                });
            }
            Ok(kept)
        }
    }

    /// A checkpoint is complete, or was given up.
    pub(crate) fn checkpoint_ended(&self, checkpoint: CheckpointId, completed: bool) {
        for source in self.sources.values() {
            // Who has ended is found out when it is asked.
            let _ = source.send(Work::CheckpointEnded(checkpoint, completed));
        }
    }

    fn is_of(&self, state: &EnumeratorState, source: u32) -> bool {
        state.operator == uid_bytes(&self.plan, source)
    }

    /// Starts the thread of a source.
    fn start(&self, operator: u32) -> Result<Sender<Work>, TaskError> {
        let (factory, parallelism) = self.source(operator)?;
        let files = Arc::clone(&self.files);
        let context = EnumeratorContext::new(files, self.io.clone(), parallelism, Vec::new());
        let batch_mode = self.plan.graph.mode() == RuntimeMode::Batch;
        let journal = self.start.journal.iter();
        let mut assignments = Assignments::new(factory, context, batch_mode).after(
            journal.filter(|entry| entry.operator == operator),
            self.start.incomplete,
        )?;
        let mut restored = self.start.restored.iter();
        if let Some(state) = restored.find(|state| self.is_of(state, operator)) {
            assignments = assignments.restored(&state.state)?;
        }
        let (sender, works) = channel();
        let answers = self.answers.clone();
        std::thread::Builder::new()
            .name(format!("flott-enumerator-{operator}"))
            .spawn(move || serve(operator, assignments, &works, &answers))
            .map_err(|error| {
                TaskError::transient(format!("cannot start the source's enumerator: {error}"))
            })?;
        Ok(sender)
    }

    fn source(&self, operator: u32) -> Result<(EnumeratorFactory, u32), TaskError> {
        let missing =
            || TaskError::fatal(format!("the program has no source at position {operator}"));
        let node = self.plan.nodes.get(operator as usize).ok_or_else(missing)?;
        let NodeFactory::Source(source) = &node.factory else {
            return Err(missing());
        };
        let factory = source.enumerator.clone().ok_or_else(missing)?;
        let heads = &self.plan.heads;
        let vertex = heads.iter().position(|head| *head == operator as usize);
        let vertex = vertex.and_then(|vertex| self.plan.graph.vertices.get(vertex));
        Ok((factory, vertex.ok_or_else(missing)?.parallelism))
    }
}

const ENDED: &str = "the thread of the source's enumerator has ended";

fn enumerator_panicked(panic: &(dyn Any + Send)) -> TaskError {
    let message = crate::scheduler::describe_panic(panic);
    TaskError::user(format!("the source's enumerator: {message}"))
}

/// The uid of the operator at that position of the program.
fn uid_bytes(plan: &Plan, operator: u32) -> Vec<u8> {
    plan.uid_of(operator).0.to_be_bytes().to_vec()
}

/// Answers until nobody asks any more.
fn serve(
    operator: u32,
    mut assignments: Assignments,
    works: &Receiver<Work>,
    answers: &UnboundedSender<Coordinate>,
) {
    while let Ok(work) = works.recv() {
        let Ask {
            asker,
            number,
            host,
        } = match work {
            Work::Ask(ask) => ask,
            Work::Snapshot(checkpoint, received, stored) => {
                let snapshot = || assignments.snapshot(checkpoint, &received);
                let state = catch_unwind(AssertUnwindSafe(snapshot));
                let state = state.unwrap_or_else(|panic| Err(enumerator_panicked(&*panic)));
                // Whoever asked may have given the checkpoint up.
                let _ = stored.send((operator, state));
                continue;
            }
            Work::CheckpointEnded(checkpoint, completed) => {
                assignments.checkpoint_ended(checkpoint, completed);
                continue;
            }
        };
        let attempt = asker.attempt;
        let next = || assignments.next_split(attempt, number, &host);
        let answered = catch_unwind(AssertUnwindSafe(next)).unwrap_or_else(|panic| {
            assignments.forget_enumerator();
            Some((Answer::failed(&enumerator_panicked(&*panic)), false))
        });
        if let Some((answer, journal)) = answered
            && let Some(answer) = asker.answer(operator, &answer, journal)
            && answers.send(answer).is_err()
        {
            return;
        }
    }
}
