//! What a window operator costs by itself, without source and exchange: CPU-nanoseconds per row.
//! `cargo run --release -p flott-operators --example window_bench [keys]`

use std::time::Duration;

use flott_network::{Batch, Control};
use flott_operators::keyed::{ByRef, Reduce};
use flott_operators::window::{
    EmitResult, EventTimeSessionWindows, EventTimeTrigger, Folded, SlidingEventTimeWindows,
    Trigger, TumblingEventTimeWindows, WindowAssigner, WindowSpec, keyed_windows,
};
use flott_operators::{BatchSink, Output, SubtaskContext, TaskError};
use flott_record::hash::stable_hash;

type Row = (u64, i64, u64);

const ROWS: u64 = 10_000_000;
const BATCH: u64 = 680;

/// Counts and forgets.
struct Count(u64);

impl BatchSink<Row> for Count {
    fn batch(&mut self, batch: &mut Batch<Row>) -> Result<(), TaskError> {
        self.0 += batch.len() as u64;
        batch.clear();
        Ok(())
    }
    fn control(&mut self, _: Control) -> Result<(), TaskError> {
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }
}

/// User and system time of this process, in seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// The rows alone, then with the operator.
fn fill(batch: &mut Batch<Row>, from: u64, keys: u64) {
    for n in from..from + BATCH {
        let key = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % keys;
        batch.push((key, (n / 1_000) as i64, 1), (n / 1_000) as i64);
        batch.hashes.push(stable_hash(&key));
    }
}

fn run<A, R>(name: &str, assigner: A, trigger: Option<R>, keys: u64) -> Result<(), TaskError>
where
    A: WindowAssigner<Row>,
    R: Trigger<Row, A::Window>,
{
    let context = SubtaskContext::for_tests("Window");
    let spec = WindowSpec {
        assigner,
        trigger,
        late: Default::default(),
    };
    let mut operator = keyed_windows(
        &context,
        ByRef::new(|row: &Row| &row.0),
        spec,
        Folded(Reduce(|sum: &mut Row, row: Row| sum.2 += row.2)),
        EmitResult,
        Output::to(Box::new(Count(0))),
    )?;
    let mut batch = Batch::with_capacity(BATCH as usize);
    let start = cpu_seconds();
    for from in (0..ROWS).step_by(BATCH as usize) {
        fill(&mut batch, from, keys);
        batch.clear();
    }
    let rows = cpu_seconds() - start;
    let start = cpu_seconds();
    for (at, from) in (0..ROWS).step_by(BATCH as usize).enumerate() {
        fill(&mut batch, from, keys);
        operator.batch(&mut batch)?;
        if at % 200 == 0 {
            operator.control(Control::Watermark((from / 1_000) as i64 - 1))?;
        }
    }
    operator.control(Control::Watermark(i64::MAX))?;
    let all = cpu_seconds() - start;
    tell(&format!(
        "{name}, {keys} keys: {:.1} ns per row",
        (all - rows) * 1e9 / ROWS as f64
    ));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "it is what the program is for")]
fn tell(text: &str) {
    println!("{text}");
}

fn main() -> Result<(), TaskError> {
    let keys = std::env::args().nth(1).and_then(|keys| keys.parse().ok());
    let keys = keys.unwrap_or(100_000);
    let second = Duration::from_secs(1);
    let tumbling = || TumblingEventTimeWindows::of(5 * second);
    let sliding = || SlidingEventTimeWindows::of(5 * second, second);
    for _ in 0..2 {
        run::<_, EventTimeTrigger>("tumbling by panes", tumbling(), None, keys)?;
        run::<_, EventTimeTrigger>("sliding by panes", sliding(), None, keys)?;
        run(
            "tumbling by entries",
            tumbling(),
            Some(EventTimeTrigger),
            keys,
        )?;
        let sessions = EventTimeSessionWindows::with_gap(second / 5);
        run::<_, EventTimeTrigger>("sessions", sessions, None, keys)?;
    }
    Ok(())
}
