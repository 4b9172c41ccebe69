//! What is told of each operator of a fused run, while it waits for room and after that.

use std::sync::atomic::AtomicU64;

use flott_network::Waker;
use flott_operators::Collect;

use super::*;
use crate::graph::OperatorInfo;

const ROWS: u64 = 1_000;
/// What the flat map of the job makes of one row.
const COPIES: u64 = 5_000;
/// Rows that leave the run.
const ALL: u64 = ROWS / 2 * COPIES;
const WATERMARK: i64 = 77;

/// Rows that an operator takes; the task is woken when that changes.
#[derive(Clone, Default)]
struct Allowance(Arc<(AtomicU64, Mutex<Option<Waker>>)>);

impl Allowance {
    fn set(&self, rows: u64) {
        self.0.0.store(rows, Ordering::SeqCst);
        if let Some(waker) = &*lock(&self.0.1) {
            waker.wake();
        }
    }

    fn allows(&self, rows: u64) -> bool {
        rows < self.0.0.load(Ordering::SeqCst)
    }
}

/// Passes rows on as long as it may take more; after as many as are in the job a watermark.
struct Dam {
    allowance: Allowance,
    taken: u64,
    output: Output<i64>,
}

impl Dam {
    fn make(
        allowance: &Allowance,
        context: &SubtaskContext,
        output: Output<i64>,
    ) -> Box<dyn BatchSink<i64>> {
        *lock(&allowance.0.1) = Some(context.waker.clone());
        Box::new(Self {
            allowance: allowance.clone(),
            taken: 0,
            output,
        })
    }
}

impl BatchSink<i64> for Dam {
    fn batch(&mut self, batch: &mut Batch<i64>) -> Result<(), TaskError> {
        self.taken += batch.len() as u64;
        for (row, timestamp) in batch.drain() {
            self.output.collect(row, timestamp);
        }
        self.output.hand_on()?;
        if self.taken == ROWS {
            self.output.control(Control::Watermark(WATERMARK))?;
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.output.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(self.output.settle()? && self.allowance.allows(self.taken))
    }
}

/// A dam, a run of four operators, a second dam, and a run that ends in an exchange.
fn dammed(first: &Allowance, second: &Allowance) -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(1);
    let (first, second) = (first.clone(), second.clone());
    env.from_sequence(1, ROWS as i64)
        .transform(OperatorInfo::new("First"), move |context, output| {
            Ok(Dam::make(&first, context, output))
        })
        .map(|n| n)
        .name("Same")
        .filter(|n| n % 2 == 0)
        .name("Even")
        .flat_map(|n| (0..COPIES as i64).map(move |at| n + at))
        .name("Copies")
        .map(|n| n)
        .name("Last")
        .transform(OperatorInfo::new("Second"), move |context, output| {
            Ok(Dam::make(&second, context, output))
        })
        .filter(|n| n % 2 == 0)
        .name("Again")
        .flat_map(|n| [n, n, n])
        .name("Thrice")
        .rebalance()
        .discard();
    env
}

/// What an operator has taken and given, and its watermarks, if its task runs.
fn of(workers: &[WorkerInspection], operator: &str) -> Option<[f64; 4]> {
    let told = |name: &str| metric(workers, 0, &format!("{operator}.{name}"));
    Some([
        told("numRecordsIn")?,
        told("numRecordsOut")?,
        told("currentInputWatermark")?,
        told("currentOutputWatermark")?,
    ])
}

fn is_backpressured(workers: &[WorkerInspection]) -> bool {
    let tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let mut metrics = tasks.flat_map(|task| &task.metrics);
    metrics.any(|metric| metric.name == "isBackPressured" && metric.value == "true")
}

#[test]
fn operators_in_the_middle_of_a_run_tell_their_rows_and_watermarks() {
    let (first, second) = (Allowance::default(), Allowance::default());
    first.set(ROWS);
    second.set(1);
    let configuration = Configuration::default();
    let plan = plan(&dammed(&first, &second), &configuration);
    let cluster = DispatcherSettings::new("fused", Secret::new(&[]), configuration);
    engine::run_threaded(|| async move {
        let (dispatcher, job) = start(cluster, 1, plan).await.unwrap();
        // The second dam has taken a batch, the flat map waits with an iterator that has come half way; nothing moves.
        let none = i64::MIN as f64;
        until(&dispatcher, job, |workers| {
            of(workers, "Second").is_some_and(|[rows, ..]| rows > 0.0) && is_backpressured(workers)
        })
        .await;
        let workers = until(&dispatcher, job, is_backpressured).await;
        let [same, even, copies, last, dam] =
            ["Same", "Even", "Copies", "Last", "Second"].map(|name| of(&workers, name).unwrap());
        assert_eq!(same, [same[0], same[0], none, none]);
        assert_eq!(even, [same[1], copies[0], none, none]);
        assert_eq!(even[1], (even[0] / 2.0).floor());
        let (copies_in, copies_out) = (copies[0], copies[1]);
        let expected = (copies_in - 1.0) * COPIES as f64..copies_in * COPIES as f64;
        assert!(expected.contains(&copies_out), "{copies:?}");
        assert!(copies_in < ROWS as f64 / 2.0);
        assert_eq!(last, [copies_out, copies_out, none, none]);
        assert!(dam[0] <= last[1]);
        // All rows, and the watermark behind them; the first dam holds the end back.
        second.set(u64::MAX);
        let all = ALL as f64;
        let workers = until(&dispatcher, job, |workers| {
            of(workers, "Second").is_some_and(|told| told[3] == WATERMARK as f64)
        })
        .await;
        let watermark = WATERMARK as f64;
        let half = ROWS as f64 / 2.0;
        for (operator, taken, given) in [
            ("Same", ROWS as f64, ROWS as f64),
            ("Even", ROWS as f64, half),
            ("Copies", half, all),
            ("Last", all, all),
            ("Second", all, all),
            ("Again", all, all / 2.0),
            ("Thrice", all / 2.0, all / 2.0 * 3.0),
        ] {
            let expected = [taken, given, watermark, watermark];
            assert_eq!(of(&workers, operator), Some(expected), "{operator}");
            for rate in ["numRecordsInPerSecond", "numRecordsOutPerSecond"] {
                assert!(metric(&workers, 0, &format!("{operator}.{rate}")).is_some());
            }
        }
        first.set(u64::MAX);
        let ended = dispatcher.wait(job).await.unwrap();
        assert_eq!(ended.status, JobStatus::Finished);
        dispatcher.shutdown().await;
    })
    .unwrap();
}
