//! Questions to the workers of a job: what their tasks are doing, for whoever looks at it. Answers are collected until every
//! worker that was asked has answered, or time is up; who does not answer is left out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_coordination::job::WorkerId;
use flott_protocol::message::{
    Inspect, Inspected, Inspection, Metric, TaskInspected, ThreadInspected, WorkerCommand,
    worker_command,
};
use tokio::sync::{mpsc, oneshot};

/// How long a worker may take to answer, beside the time it samples.
const PATIENCE: Duration = Duration::from_secs(3);
/// Parts of answers that may wait for who asked.
const PARTS: usize = 1024;

/// What one worker says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkerInspection {
    /// Its container.
    pub container: String,
    /// Which life of the worker.
    pub incarnation: u64,
    /// Its tasks.
    pub tasks: Vec<TaskInspected>,
    /// Its threads, if they were asked for.
    pub threads: Vec<ThreadInspected>,
    /// Metrics of its process.
    pub metrics: Vec<Metric>,
    /// Why it could not answer, if so.
    pub failure: Option<String>,
}

/// How stacks are sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampling {
    /// For how long.
    pub duration: Duration,
    /// Processor time between two samples.
    pub interval: Duration,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A part of an answer, and whose.
type Part = (WorkerId, Inspected);

/// A question on its way to a job's shell.
#[derive(Debug)]
pub(crate) struct Question {
    what: Inspection,
    sample: Duration,
    interval: Duration,
    parts: mpsc::Sender<Part>,
    asked: oneshot::Sender<usize>,
}

/// A question and where its answer comes in.
pub(crate) struct Answer {
    patience: Duration,
    parts: mpsc::Receiver<Part>,
    asked: oneshot::Receiver<usize>,
}

pub(crate) fn question(what: Inspection, sampling: Sampling) -> (Question, Answer) {
    let Sampling {
        duration: sample,
        interval,
    } = sampling;
    let (parts_tx, parts) = mpsc::channel(PARTS);
    let (asked_tx, asked) = oneshot::channel();
    let question = Question {
        what,
        sample,
        interval,
        parts: parts_tx,
        asked: asked_tx,
    };
    let answer = Answer {
        patience: sample + PATIENCE,
        parts,
        asked,
    };
    (question, answer)
}

impl Answer {
    /// Waits for all that was asked, in order of the workers.
    pub(crate) async fn collect(mut self) -> Vec<WorkerInspection> {
        let mut found: BTreeMap<WorkerId, WorkerInspection> = BTreeMap::new();
        let collecting = async {
            // A job that ends answers nothing.
            let mut open = self.asked.await.unwrap_or_default();
            while open > 0 {
                let Some((worker, part)) = self.parts.recv().await else {
                    return;
                };
                open -= usize::from(part.last);
                add(&mut found, worker, part);
            }
        };
        if tokio::time::timeout(self.patience, collecting)
            .await
            .is_err()
        {
            tracing::debug!("a worker did not say in time what it is doing");
        }
        found.into_values().collect()
    }
}

fn add(found: &mut BTreeMap<WorkerId, WorkerInspection>, worker: WorkerId, part: Inspected) {
    let (container, incarnation) = (worker.container.0.clone(), worker.incarnation.0);
    let known = found.entry(worker).or_default();
    known.container = container;
    known.incarnation = incarnation;
    known.tasks.extend(part.tasks);
    known.threads.extend(part.threads);
    known.metrics.extend(part.metrics);
    if !part.failure.is_empty() {
        known.failure = Some(part.failure);
    }
}

/// The questions a job's shell has put to its workers.
#[derive(Debug, Default)]
pub(crate) struct Inspections {
    next: u64,
    open: BTreeMap<u64, mpsc::Sender<Part>>,
}

impl Inspections {
    /// Puts a question to those workers that can be told. Unlike other commands it may be lost.
    pub(crate) fn ask<'a>(
        &mut self,
        question: Question,
        workers: impl Iterator<Item = &'a mpsc::Sender<WorkerCommand>>,
    ) {
        self.open.retain(|_, parts| !parts.is_closed());
        self.next += 1;
        let inspect = Inspect {
            request: self.next,
            what: question.what.into(),
            sample_ms: millis(question.sample),
            interval_ms: millis(question.interval),
        };
        let command = WorkerCommand {
            kind: Some(worker_command::Kind::Inspect(inspect)),
        };
        let asked = workers.filter(|commands| commands.try_send(command.clone()).is_ok());
        let asked = asked.count();
        self.open.insert(self.next, question.parts);
        // Who asked may have gone.
        let _ = question.asked.send(asked);
    }

    /// A worker answered. What nobody waits for any more is dropped.
    pub(crate) fn answered(&mut self, worker: WorkerId, part: Inspected) {
        let request = part.request;
        let Some(parts) = self.open.get(&request) else {
            return;
        };
        if let Err(mpsc::error::TrySendError::Closed(_)) = parts.try_send((worker, part)) {
            self.open.remove(&request);
        }
    }
}

/// The last answer, for a time: any number of readers cost the workers one question.
#[derive(Debug, Default)]
pub(crate) struct Remembered(
    // Held while the workers are asked, so that others wait for the same answer.
    tokio::sync::Mutex<Option<(Instant, Arc<Vec<WorkerInspection>>)>>,
);

impl Remembered {
    /// The last answer, or `ask`'s if that is older than `age`.
    pub(crate) async fn get(
        &self,
        age: Duration,
        ask: impl Future<Output = Vec<WorkerInspection>>,
    ) -> Arc<Vec<WorkerInspection>> {
        let mut last = self.0.lock().await;
        if let Some((when, answer)) = &*last
            && when.elapsed() < age
        {
            return Arc::clone(answer);
        }
        let answer = Arc::new(ask.await);
        *last = Some((Instant::now(), Arc::clone(&answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use flott_model::{ContainerId, Incarnation};

    use super::*;

    fn worker(incarnation: u64) -> WorkerId {
        WorkerId {
            container: ContainerId("c".into()),
            incarnation: Incarnation(incarnation),
        }
    }

    fn part(request: u64, last: bool, name: &str) -> Inspected {
        Inspected {
            request,
            last,
            metrics: vec![Metric {
                name: name.into(),
                ..Metric::default()
            }],
            ..Inspected::default()
        }
    }

    fn names(found: &[WorkerInspection]) -> Vec<Vec<&str>> {
        found
            .iter()
            .map(|one| {
                one.metrics
                    .iter()
                    .map(|metric| metric.name.as_str())
                    .collect()
            })
            .collect()
    }

    #[tokio::test]
    async fn parts_are_joined_by_worker() {
        let mut inspections = Inspections::default();
        let (commands, mut told) = mpsc::channel(4);
        let (question, answer) = question(Inspection::Metrics, Sampling::default());
        inspections.ask(question, [&commands, &commands].into_iter());
        let Some(worker_command::Kind::Inspect(inspect)) = told.recv().await.unwrap().kind else {
            panic!("the worker is asked");
        };
        let request = inspect.request;
        inspections.answered(worker(2), part(request, false, "a"));
        inspections.answered(worker(1), part(request, true, "b"));
        inspections.answered(worker(1), part(request + 1, true, "not asked"));
        inspections.answered(worker(2), part(request, true, "c"));
        let found = answer.collect().await;
        assert_eq!(names(&found), [vec!["b"], vec!["a", "c"]]);
        assert_eq!((found[0].incarnation, found[1].incarnation), (1, 2));
    }

    #[tokio::test]
    async fn who_does_not_answer_is_left_out() {
        let mut inspections = Inspections::default();
        let (commands, _told) = mpsc::channel(1);
        let (question, mut answer) = question(Inspection::Metrics, Sampling::default());
        // The second cannot be told: its channel is full.
        inspections.ask(question, [&commands, &commands].into_iter());
        answer.patience = Duration::from_millis(10);
        let nobody = answer.collect().await;
        assert_eq!(nobody, []);
        inspections.answered(worker(1), part(1, true, "late"));
        assert!(inspections.open.is_empty(), "nobody waits any more");
    }

    #[tokio::test]
    async fn an_answer_serves_for_a_while() {
        let remembered = Remembered::default();
        let hour = Duration::from_secs(3600);
        let one = || async { vec![WorkerInspection::default()] };
        assert_eq!(remembered.get(hour, one()).await.len(), 1);
        let again = remembered.get(hour, async { Vec::new() }).await;
        assert_eq!(again.len(), 1);
        let newer = remembered.get(Duration::ZERO, async { Vec::new() }).await;
        assert_eq!(newer.len(), 0);
    }
}
