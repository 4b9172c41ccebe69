//! Each time a car has gone another 50 metres: its top speed of the last 10 seconds.
//!
//! ```text
//! cargo run -p top-speed-windowing -- --input trips.csv --output speeds
//! ```
//! A global window with a trigger (how far has the car gone?) and an evictor (what is too long ago?).
//! The input is CSV with the header `car,kmh,metres,at_ms`: the speed, the distance since the start,
//! and the time, in the order in which the cars sent it.

mod trips;

use std::fmt;
use std::fmt::Write;
use std::time::Duration;

use clap::Parser;
use flott::prelude::*;
use flott::source::{CollectionSource, FileSource};
use flott::window::{DeltaTrigger, GlobalWindows, TimeEvictor};
use serde::{Deserialize, Serialize};

/// Tells the top speed of cars over the last seconds, every few metres.
#[derive(Debug, Parser)]
struct Arguments {
    /// CSV with the header `car,kmh,metres,at_ms`; default: generated trips.
    #[arg(long)]
    input: Option<String>,
    /// A directory that does not exist yet; default: print.
    #[arg(long)]
    output: Option<String>,
    /// How far a car goes between two results, in metres.
    #[arg(long, default_value_t = 50.0)]
    every_metres: f64,
    /// How far a result looks back, in seconds.
    #[arg(long, default_value_t = 10)]
    last_seconds: u64,
    /// How many cars there are, if the trips are generated.
    #[arg(long, default_value_t = 3)]
    cars: u32,
    /// How many seconds they drive.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// What a car sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CarEvent {
    pub(crate) car: u32,
    pub(crate) kmh: u32,
    /// Since the start of the trip.
    pub(crate) metres: f64,
    pub(crate) at_ms: i64,
}

impl fmt::Display for CarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            car,
            kmh,
            metres,
            at_ms,
        } = self;
        write!(f, "car {car}: {kmh} km/h at {metres} m, {at_ms} ms")
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|event: &CarEvent, _| event.at_ms);
    let events = match &arguments.input {
        Some(input) => env.from_source(FileSource::csv(input), times, "trips"),
        None => {
            let trips = trips::generate(arguments.cars, arguments.seconds);
            env.from_source(CollectionSource::new(trips), times, "trips")
        }
    };
    let top_speeds = events
        .key_by(|event| event.car)
        .window(GlobalWindows::create())
        .evictor(TimeEvictor::of(Duration::from_secs(arguments.last_seconds)))
        .trigger(DeltaTrigger::of(
            arguments.every_metres,
            |before: &CarEvent, now: &CarEvent| now.metres - before.metres,
        ))
        .max_by(|event| &event.kmh)
        .name("top speed");
    match &arguments.output {
        Some(output) => top_speeds.write_text(output, |event, line| {
            // Writing to a String cannot fail.
            let _ = write!(line, "{event}");
        }),
        None => top_speeds.print(),
    };
    env.execute("Top Speed Windowing")?;
    Ok(())
}
