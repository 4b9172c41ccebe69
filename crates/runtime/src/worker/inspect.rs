//! Answers to who looks at the job: metrics, accumulators, stacks and threads of this process. Made beside the session, on a
//! thread that may block.

use std::time::Duration;

use flott_operators::Doing;
use flott_protocol::message::{
    Inspect, Inspected, Inspection, Metric, SampledStack, TaskInspected, ThreadInspected,
    WorkerMessage, worker_message,
};
use tokio::sync::mpsc;

use super::report::process_metrics;
use super::tasks::Observed;
use super::threads;
use crate::stacks::{Seen, sample};

/// Tasks in one message.
const TASKS_PER_PART: usize = 64;
/// Longer than this nobody waits.
const LONGEST_SAMPLE: Duration = Duration::from_secs(60);

/// Answers, unless the JobMaster goes away.
/// `observed`: the tasks, and metrics of the process beside those that everybody has.
pub(super) fn spawn(
    request: Inspect,
    (tasks, own): (Vec<Observed>, Vec<Metric>),
    to: mpsc::Sender<WorkerMessage>,
) {
    tokio::spawn(async move {
        let made = tokio::task::spawn_blocking(move || parts(request, &tasks, own)).await;
        // What panics has no answer.
        for part in made.unwrap_or_default() {
            let kind = Some(worker_message::Kind::Inspected(part));
            if to.send(WorkerMessage { kind }).await.is_err() {
                return;
            }
        }
    });
}

fn parts(request: Inspect, tasks: &[Observed], own: Vec<Metric>) -> Vec<Inspected> {
    let mut parts = match request.what() {
        Inspection::Metrics => metrics(tasks, own),
        Inspection::Stacks => vec![stacks(request, tasks)],
        Inspection::Threads => vec![all_threads(request, tasks)],
    };
    for part in &mut parts {
        part.request = request.request;
    }
    if let Some(last) = parts.last_mut() {
        last.last = true;
    }
    parts
}

fn metrics(tasks: &[Observed], own: Vec<Metric>) -> Vec<Inspected> {
    let of_process = Inspected {
        metrics: process_metrics().into_iter().chain(own).collect(),
        ..Inspected::default()
    };
    let of_tasks = tasks.chunks(TASKS_PER_PART).map(|tasks| Inspected {
        tasks: tasks.iter().map(metrics_of).collect(),
        ..Inspected::default()
    });
    of_tasks.chain([of_process]).collect()
}

fn metrics_of(task: &Observed) -> TaskInspected {
    let metrics = task.metrics.snapshot().into_iter();
    let accumulators = task.accumulators.snapshot().into_iter();
    TaskInspected {
        attempt: task.attempt.into(),
        metrics: metrics.map(Into::into).collect(),
        accumulators: accumulators.map(Into::into).collect(),
        stacks: Vec::new(),
    }
}

fn duration(request: Inspect) -> Duration {
    Duration::from_millis(request.sample_ms).min(LONGEST_SAMPLE)
}

fn interval(request: Inspect) -> Duration {
    Duration::from_millis(request.interval_ms.max(1))
}

fn waited(task: &Observed) -> [Duration; 2] {
    [Doing::Idle, Doing::Backpressured].map(|what| task.counters.time(what))
}

/// What tasks did: on a processor as it was seen, off it as the tasks themselves counted their time.
fn stacks(request: Inspect, tasks: &[Observed]) -> Inspected {
    let interval = interval(request);
    let before: Vec<_> = tasks.iter().map(waited).collect();
    let seen = match sample(duration(request), interval) {
        Ok(seen) => seen,
        Err(error) => {
            return Inspected {
                failure: error.to_string(),
                ..Inspected::default()
            };
        }
    };
    let tasks = tasks.iter().zip(before).map(|(task, before)| {
        let own = seen.iter().filter(|one| one.tag == Some(task.tag));
        let mut stacks: Vec<SampledStack> = own.map(on_cpu).collect();
        let after = waited(task);
        let waits = ["waiting for input", "waiting for room downstream"];
        for ((what, after), before) in waits.iter().zip(after).zip(before) {
            let waited = after.saturating_sub(before).as_millis() / interval.as_millis().max(1);
            if waited > 0 {
                stacks.push(SampledStack {
                    frames: vec![(*what).to_owned()],
                    count: u64::try_from(waited).unwrap_or(u64::MAX),
                    on_cpu: false,
                });
            }
        }
        TaskInspected {
            attempt: task.attempt.into(),
            stacks,
            ..TaskInspected::default()
        }
    });
    Inspected {
        tasks: tasks.collect(),
        ..Inspected::default()
    }
}

fn on_cpu(seen: &Seen) -> SampledStack {
    SampledStack {
        frames: seen.frames.clone(),
        count: seen.count,
        on_cpu: true,
    }
}

/// The threads, and the tasks as if each were one: who looks for a task does not know the thread that polls it.
fn all_threads(request: Inspect, tasks: &[Observed]) -> Inspected {
    let seen = sample(duration(request), interval(request));
    let (seen, failure) = match seen {
        Ok(seen) => (seen, String::new()),
        Err(error) => (Default::default(), error.to_string()),
    };
    let most_seen = |is_it: &dyn Fn(&Seen) -> bool| -> Vec<String> {
        let stacks = seen.iter().filter(|one| is_it(one));
        let frames = stacks.max_by_key(|one| one.count).map(|one| &one.frames);
        frames.into_iter().flatten().rev().cloned().collect()
    };
    let mut threads = threads::list();
    for thread in &mut threads {
        thread.frames = most_seen(&|one| one.thread == thread.name);
    }
    threads.extend(tasks.iter().map(|task| {
        ThreadInspected {
            name: task.name.clone(),
            id: 0,
            state: match task.counters.doing() {
                Doing::Busy => "RUNNABLE",
                Doing::Idle | Doing::Backpressured => "WAITING",
            }
            .to_owned(),
            cpu_ms: u64::try_from(task.counters.time(Doing::Busy).as_millis()).unwrap_or(u64::MAX),
            frames: match task.counters.doing() {
                Doing::Backpressured => vec!["waiting for room downstream".to_owned()],
                Doing::Busy | Doing::Idle => most_seen(&|one| one.tag == Some(task.tag)),
            },
        }
    }));
    Inspected {
        threads,
        failure,
        ..Inspected::default()
    }
}
