//! The coordinator of a job's sources: runs their enumerators, each on a thread of its own because
//! they may block, and keeps aligned sources together. Runs in one worker of the job; subtasks in
//! other workers reach it by way of the JobMaster.

mod alignment;
mod assignment;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use flott_filesystem::FileSystems;
use flott_model::{ExecutionAttemptId, RuntimeMode};
use flott_operators::TaskError;
use flott_operators::source::{
    Answer, EnumeratorContext, EnumeratorFactory, Request, decode_message, encode_message,
};
use flott_protocol::message::{Coordinate, RunCoordinator};
use tokio::sync::mpsc::UnboundedSender;

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

/// The coordinator of one job.
pub(crate) struct Coordinator {
    plan: Arc<Plan>,
    files: Arc<FileSystems>,
    io: tokio::runtime::Handle,
    start: RunCoordinator,
    /// One per source that was asked for splits. A thread ends when its sender is dropped.
    sources: BTreeMap<u32, Sender<Ask>>,
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
                    let _ = sender.send(ask);
                    self.sources.insert(operator, sender);
                }
                Err(error) => self.say(operator, &ask.asker, &Answer::failed(&error)),
            }
            return;
        };
        if let Err(lost) = sender.send(ask) {
            let error = TaskError::transient("the thread of the source's enumerator has ended");
            self.say(operator, &lost.0.asker, &Answer::failed(&error));
            self.sources.remove(&operator);
        }
    }

    /// Starts the thread of a source.
    fn start(&self, operator: u32) -> Result<Sender<Ask>, TaskError> {
        let (factory, parallelism) = self.source(operator)?;
        let files = Arc::clone(&self.files);
        let context = EnumeratorContext::new(files, self.io.clone(), parallelism, Vec::new());
        let batch_mode = self.plan.graph.mode() == RuntimeMode::Batch;
        let journal = self.start.journal.iter();
        let assignments = Assignments::new(factory, context, batch_mode).after(
            journal.filter(|entry| entry.operator == operator),
            self.start.incomplete,
        )?;
        let (sender, asks) = channel();
        let answers = self.answers.clone();
        std::thread::Builder::new()
            .name(format!("flott-enumerator-{operator}"))
            .spawn(move || serve(operator, assignments, &asks, &answers))
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

/// Answers until nobody asks any more.
fn serve(
    operator: u32,
    mut assignments: Assignments,
    asks: &Receiver<Ask>,
    answers: &UnboundedSender<Coordinate>,
) {
    while let Ok(Ask {
        asker,
        number,
        host,
    }) = asks.recv()
    {
        let attempt = asker.attempt;
        let next = || assignments.next_split(attempt, number, &host);
        let answered = catch_unwind(AssertUnwindSafe(next)).unwrap_or_else(|panic| {
            assignments.forget_enumerator();
            let message = crate::scheduler::describe_panic(&*panic);
            let error = TaskError::user(format!("the source's enumerator: {message}"));
            Some((Answer::failed(&error), false))
        });
        if let Some((answer, journal)) = answered
            && let Some(answer) = asker.answer(operator, &answer, journal)
            && answers.send(answer).is_err()
        {
            return;
        }
    }
}
