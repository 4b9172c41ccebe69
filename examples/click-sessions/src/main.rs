//! Sessions of a web site: the clicks of a user, until nothing has come for half an hour.
//!
//! ```text
//! cargo run -p click-sessions -- --input clicks.csv --output sessions
//! ```
//! The input is CSV with the header `user,page,at_ms`. Clicks come late, and not in their order: a
//! session counts when event time has passed its end. A session has its first and its last page,
//! kept by an `AggregateFunction` that also merges two sessions that a late click connects.

mod clicks;

use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{DataGeneratorSource, FileSource};
use flott::window::EventTimeSessionWindows;
use serde::{Deserialize, Serialize};

/// Finds the sessions of users by their clicks.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `user,page,at_ms`; default: generated clicks.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// A session ends when a user does nothing for so many seconds.
    #[arg(long, default_value_t = 1_800)]
    gap: u64,
    /// Clicks may come so many seconds later than others that happened after them.
    #[arg(long, default_value_t = 60)]
    disorder: u64,
    /// How many clicks there are, if they are generated.
    #[arg(long, default_value_t = 1_000)]
    clicks: u64,
}

/// A user looks at a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Click {
    pub(crate) user: String,
    pub(crate) page: String,
    pub(crate) at_ms: i64,
}

/// What is kept of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Visit {
    clicks: u64,
    /// Time and page.
    first: (i64, String),
    last: (i64, String),
}

/// Folds clicks into visits. The order in which they come makes no difference.
#[derive(Debug, Clone, Copy)]
struct Visits;

impl AggregateFunction<Click> for Visits {
    type Accumulator = Option<Visit>;
    type Output = Option<Visit>;

    fn create_accumulator(&self) -> Option<Visit> {
        None
    }

    fn add(&self, visit: &mut Option<Visit>, click: Click) {
        let at = (click.at_ms, click.page);
        let one = Visit {
            clicks: 1,
            first: at.clone(),
            last: at,
        };
        self.merge(visit, Some(one));
    }

    fn get_result(&self, visit: &Option<Visit>) -> Option<Visit> {
        visit.clone()
    }

    fn merge(&self, visit: &mut Option<Visit>, other: Option<Visit>) {
        let Some(other) = other else { return };
        match visit {
            None => *visit = Some(other),
            Some(visit) => {
                visit.clicks += other.clicks;
                if other.first < visit.first {
                    visit.first = other.first;
                }
                if other.last > visit.last {
                    visit.last = other.last;
                }
            }
        }
    }
}

/// A session that is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    user: String,
    visit: Visit,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Visit {
            clicks,
            first: (start, first),
            last: (end, last),
        } = &self.visit;
        write!(
            f,
            "{}: {clicks} clicks from {start} to {end}, {first} to {last}",
            self.user
        )
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let disorder = Duration::from_secs(arguments.disorder);
    let times = WatermarkStrategy::for_bounded_out_of_orderness(disorder)
        .with_timestamp_assigner(|click: &Click, _| click.at_ms);
    let clicks = match &arguments.input {
        Some(input) => env.from_source(FileSource::csv(input), times, "clicks"),
        None => {
            let clicks = DataGeneratorSource::new(clicks::generate, arguments.clicks);
            env.from_source(clicks, times, "clicks")
        }
    };
    let sessions = clicks
        .key_by_ref(|click| &click.user)
        .window(EventTimeSessionWindows::with_gap(Duration::from_secs(
            arguments.gap,
        )))
        .aggregate_with_fn(Visits, |user, _, visits, out| {
            for visit in visits.iter().flatten() {
                out.collect(Session {
                    user: user.clone(),
                    visit: visit.clone(),
                });
            }
            Ok(())
        })
        .name("sessions");
    match &arguments.output {
        Some(output) => sessions.write_text(output, |session, line| {
            // Writing to a String cannot fail.
            let _ = write!(line, "{session}");
        }),
        None => sessions.print(),
    };
    env.execute("Click Sessions")?;
    Ok(())
}
