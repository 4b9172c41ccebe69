//! What a windowed count costs: 100,000 keys, windows of event time, one subtask. Prints millions of
//! events per CPU-second. `cargo run --release -p flott --example window_count [tumbling|sliding|session]`

use std::time::{Duration, Instant};

use flott::prelude::*;
use flott::window::{EventTimeSessionWindows, SlidingEventTimeWindows, TumblingEventTimeWindows};

const EVENTS: i64 = 40_000_000;
const KEYS: u64 = 100_000;
/// Events per millisecond of event time.
const RATE: i64 = 1_000;

/// Key, event time, count.
type Event = (u64, i64, u64);

fn event(n: i64) -> Event {
    let mixed = n.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    (mixed % KEYS, n / RATE, 1)
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may have blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn run(kind: &str) -> Result<(), flott::Error> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(1);
    let strategy = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|row: &Event, _| row.1);
    let keyed = env
        .from_sequence(0, EVENTS - 1)
        .map(event)
        .assign_timestamps_and_watermarks(strategy)
        .key_by(|row| row.0);
    let second = Duration::from_secs(1);
    let counts = match kind {
        "sliding" => keyed
            .window(SlidingEventTimeWindows::of(5 * second, second))
            .sum(|row| &mut row.2),
        "session" => keyed
            .window(EventTimeSessionWindows::with_gap(second / 5))
            .sum(|row| &mut row.2),
        _ => keyed
            .window(TumblingEventTimeWindows::of(5 * second))
            .sum(|row| &mut row.2),
    };
    counts.discard();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    env.execute(kind)?;
    let (cpu, wall) = (cpu_seconds() - cpu, wall.elapsed().as_secs_f64());
    let millions = EVENTS as f64 / 1e6;
    tell(&format!(
        "{kind}: {:.1} M events per CPU-second ({cpu:.2} s of CPU, {wall:.2} s)",
        millions / cpu
    ));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn tell(text: &str) {
    println!("{text}");
}

fn main() -> Result<(), flott::Error> {
    let kind = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "tumbling".to_owned());
    for _ in 0..3 {
        run(&kind)?;
    }
    Ok(())
}
