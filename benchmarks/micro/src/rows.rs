//! The table of what is measured, with the targets.

use crate::saturation::Shape;
use crate::{by_hand, jobs};

/// One row.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: What,
    pub(crate) targets: Targets,
}

/// What is measured.
pub(crate) enum What {
    /// A program of the SDK, and a loop that does the same.
    Job {
        job: fn(&jobs::Setting<'_>) -> anyhow::Result<jobs::Done>,
        by_hand: fn(&jobs::Setting<'_>) -> anyhow::Result<jobs::Done>,
        events: u64,
        parallelism: u32,
        /// `taskmanager.numberOfTaskSlots`, if it is set: the job's tasks are in several containers then.
        slots: Option<u32>,
    },
    /// Tasks on the scheduler, and on a thread each.
    Saturation(Shape),
}

/// What the figures should be.
#[derive(Clone, Copy, Default)]
pub(crate) struct Targets {
    /// Million events per second of processor time, at least.
    pub(crate) floor: Option<f64>,
    /// The same, as hoped for.
    pub(crate) aim: Option<f64>,
    /// Processor time per event, at most; nanoseconds.
    pub(crate) cpu_ns: Option<f64>,
    /// The 99th percentile of latency is not above that of the other side.
    pub(crate) p99_as_threads: bool,
    /// Peak of resident memory, at most; megabytes.
    pub(crate) megabytes: f64,
}

const fn speed(floor: f64, aim: f64) -> Targets {
    Targets {
        floor: Some(floor),
        aim: Some(aim),
        cpu_ns: None,
        p99_as_threads: false,
        megabytes: 200.0,
    }
}

const fn saturation(name: &'static str, pipelines: usize, tasks: usize, cpu_ns: f64) -> Row {
    Row {
        name,
        what: What::Saturation(Shape {
            pipelines,
            tasks,
            rows: 30_000_000 * 3 / (tasks as u64 - 1),
        }),
        targets: Targets {
            floor: None,
            aim: None,
            cpu_ns: Some(cpu_ns),
            p99_as_threads: true,
            megabytes: 200.0,
        },
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "map-chain",
        what: What::Job {
            job: jobs::chain::job,
            by_hand: by_hand::chain,
            events: 300_000_000,
            parallelism: 1,
            slots: None,
        },
        targets: speed(170.0, 300.0),
    },
    Row {
        name: "keyed-sum-10k",
        what: What::Job {
            job: jobs::keyed::job::<10_000>,
            by_hand: by_hand::keyed::<10_000>,
            events: 100_000_000,
            parallelism: 2,
            slots: None,
        },
        targets: speed(95.0, 95.0),
    },
    Row {
        name: "running-sum-1m",
        what: What::Job {
            job: jobs::keyed::job::<1_000_000>,
            by_hand: by_hand::keyed::<1_000_000>,
            events: 40_000_000,
            parallelism: 1,
            slots: None,
        },
        targets: speed(15.0, 22.0),
    },
    Row {
        name: "tumbling-count",
        what: What::Job {
            job: jobs::tumbling::job,
            by_hand: by_hand::tumbling,
            events: 30_000_000,
            parallelism: 1,
            slots: None,
        },
        targets: speed(16.0, 25.0),
    },
    Row {
        name: "wordcount",
        what: What::Job {
            job: jobs::wordcount::job,
            by_hand: by_hand::wordcount,
            events: jobs::wordcount::TOKENS,
            parallelism: 2,
            slots: None,
        },
        targets: speed(13.0, 20.0),
    },
    Row {
        name: "wordcount-frames",
        what: What::Job {
            job: jobs::wordcount::job,
            by_hand: by_hand::wordcount,
            events: jobs::wordcount::TOKENS,
            parallelism: 2,
            slots: Some(1),
        },
        targets: speed(12.0, 20.0),
    },
    Row {
        name: "channels-10000",
        what: What::Job {
            job: jobs::keyed::job::<10_000>,
            by_hand: by_hand::keyed::<10_000>,
            events: 30_000_000,
            parallelism: 100,
            slots: None,
        },
        targets: Targets {
            floor: None,
            aim: None,
            cpu_ns: None,
            p99_as_threads: false,
            megabytes: 150.0,
        },
    },
    Row {
        name: "subtasks-1000",
        what: What::Job {
            job: jobs::stages::job,
            by_hand: by_hand::stages,
            events: 100_000_000,
            parallelism: 200,
            slots: None,
        },
        targets: Targets {
            floor: None,
            aim: None,
            cpu_ns: None,
            p99_as_threads: false,
            megabytes: 200.0,
        },
    },
    saturation("saturation-1x4", 1, 4, 22.0),
    saturation("saturation-25x4", 25, 4, 17.7),
    saturation("saturation-250x4", 250, 4, 30.1),
    saturation("saturation-10x100", 10, 100, 961.0),
];
