//! What the tasks of a running job tell, and what its subtasks add up.

mod fused;
mod kinds;
mod pools;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flott_config::Configuration;
use flott_jobmanager::{Sampling, WorkerInspection};
use flott_metrics::accumulators::AccumulatorHandle;
use flott_model::{Exchange, OperatorUid, RuntimeMode};
use flott_network::{Batch, Control};
use flott_operators::{BatchSink, Output, SubtaskContext, TaskError};
use flott_protocol::message::Inspection;
use flott_runtime::BufferTimeout;

use super::*;
use crate::accumulators::{Histogram, ListAccumulator, LongCounter};
use crate::graph::{GraphSettings, build_plan};
use crate::prelude::*;

/// Takes rows while it is open, and counts them.
struct Valve {
    open: Arc<AtomicBool>,
    rows: AccumulatorHandle<LongCounter>,
    sizes: AccumulatorHandle<Histogram>,
    firsts: AccumulatorHandle<ListAccumulator<(u32, i64)>>,
    seen: flott_metrics::Counter,
    subtask: u32,
    output: Output<i64>,
}

impl Valve {
    fn make(
        open: Arc<AtomicBool>,
        context: &SubtaskContext,
        output: Output<i64>,
    ) -> Result<Box<dyn BatchSink<i64>>, TaskError> {
        let all = &context.accumulators;
        Ok(Box::new(Self {
            open,
            rows: all.get("rows").unwrap(),
            sizes: all.get("is even").unwrap(),
            firsts: all.get("firsts").unwrap(),
            seen: context.metrics.add_group("valve").counter("seen"),
            subtask: context.subtask,
            output,
        }))
    }
}

impl BatchSink<i64> for Valve {
    fn batch(&mut self, batch: &mut Batch<i64>) -> Result<(), TaskError> {
        for (row, _) in batch.drain() {
            if self.seen.count() == 0 {
                self.firsts.add((self.subtask, row));
            }
            self.seen.inc();
            self.rows.add(1);
            self.sizes.add(i32::from(row % 2 == 0));
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
        Ok(self.output.settle()? && self.open.load(Ordering::SeqCst))
    }
}

/// Numbers, spread by key over two valves.
fn program(to: i64, open: &Arc<AtomicBool>) -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(2);
    let open = Arc::clone(open);
    env.from_sequence(1, to)
        .map(|n| n)
        .key_by(|n| n % 64)
        .transform(
            crate::graph::OperatorInfo::new("Valve"),
            move |context, _, output| Valve::make(Arc::clone(&open), context, output),
        )
        .discard();
    env
}

fn plan(env: &StreamExecutionEnvironment, configuration: &Configuration) -> Plan {
    build_plan(
        env.take_graph(),
        GraphSettings {
            name: "told".to_owned(),
            args: Vec::new(),
            once: Vec::new(),
            configuration: configuration.to_map(),
            execute_index: 0,
            chaining: true,
            max_parallelism: None,
            buffer_timeout: BufferTimeout::After(Duration::from_millis(10)),
            mode: RuntimeMode::Streaming,
            batch_exchange: Exchange::Blocking,
        },
    )
}

/// The value of a metric of the first task of a vertex.
fn metric(workers: &[WorkerInspection], vertex: u32, name: &str) -> Option<f64> {
    metric_of(workers, (vertex, 0), name)
}

/// The value of a metric of a task, by vertex and subtask.
fn metric_of(workers: &[WorkerInspection], of: (u32, u32), name: &str) -> Option<f64> {
    let mut tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let task = tasks.find(|task| (task.attempt.vertex, task.attempt.subtask) == of)?;
    let metric = task.metrics.iter().find(|metric| metric.name == name)?;
    metric.value.parse().ok()
}

/// Asks until the answer holds, for a minute at most.
async fn until(
    dispatcher: &DispatcherHandle,
    job: JobId,
    holds: impl Fn(&[WorkerInspection]) -> bool,
) -> Vec<WorkerInspection> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let asked = dispatcher.inspect(job, Inspection::Metrics, Sampling::default());
        let workers = asked.await;
        if holds(&workers) {
            return workers;
        }
        assert!(Instant::now() < deadline, "{workers:#?}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn metrics_tell_who_waits_for_whom() {
    let open = Arc::new(AtomicBool::new(true));
    let settings = [("metrics.latency.interval".to_owned(), "20 ms".to_owned())];
    let configuration = Configuration::from_map(settings.into()).unwrap();
    let plan = plan(&program(i64::MAX / 4, &open), &configuration);
    let valve = plan.graph.vertices.len() as u32 - 1;
    let operators = plan.graph.vertices.iter();
    let operators = operators.flat_map(|vertex| &vertex.operators).skip(1);
    let uid = |uid: &[u8]| OperatorUid(u128::from_be_bytes(uid.try_into().unwrap()));
    let operators: Vec<String> = operators.map(|one| uid(&one.uid).to_string()).collect();
    assert_eq!(operators.len(), 3, "map, valve, sink");
    assert_eq!(operators.len(), 3, "map, valve, sink");
    let cluster = DispatcherSettings::new("told", Secret::new(&[]), configuration);
    engine::run_threaded(|| async move {
        let (dispatcher, job) = start(cluster, 2, plan).await.unwrap();
        let workers = until(&dispatcher, job, |workers| {
            metric(workers, valve, "Valve.valve.seen") > Some(100_000.0)
                && metric(workers, valve, "busyTimeMsPerSecond") > Some(0.0)
        })
        .await;
        let of = |vertex, name: &str| metric(&workers, vertex, name).expect(name);
        assert!(of(valve, "numRecordsIn") >= of(valve, "Valve.numRecordsIn"));
        assert!(of(valve, "Valve.numRecordsIn") >= of(valve, "Valve.valve.seen"));
        assert!(of(0, "numRecordsOut") > 0.0 && of(0, "Source__Sequence.numRecordsOut") > 0.0);
        assert!(of(0, "Map.numRecordsOut") > 0.0 && of(0, "Map.numRecordsIn") > 0.0);
        assert!(of(0, "numBuffersOut") > 0.0 && of(valve, "numBuffersInLocal") > 0.0);
        // Latency markers arrive while rows flow, at every operator but the source.
        let latency = |workers: &[WorkerInspection]| {
            let tasks = workers.iter().flat_map(|worker| &worker.tasks);
            let names = tasks.flat_map(|task| &task.metrics);
            let names = names
                .filter(|metric| metric.of_job)
                .map(|metric| &metric.name);
            let names: Vec<&String> = names.collect();
            operators.iter().all(|operator| {
                let told = format!(".operator_id.{operator}.operator_subtask_index.1.latency_p99");
                names.iter().any(|name| name.ends_with(&told))
            })
        };
        until(&dispatcher, job, latency).await;
        open.store(false, Ordering::SeqCst);
        until(&dispatcher, job, |workers| {
            metric(workers, 0, "backPressuredTimeMsPerSecond") > Some(800.0)
                && metric(workers, 0, "busyTimeMsPerSecond") < Some(200.0)
        })
        .await;
        dispatcher.cancel(job).await;
        dispatcher.wait(job).await.unwrap();
        dispatcher.shutdown().await;
    })
    .unwrap();
}

#[test]
fn what_subtasks_add_up_is_in_the_result() {
    let env = program(1_000, &Arc::new(AtomicBool::new(true)));
    let result = env.execute("sums").unwrap();
    let names: Vec<&str> = result.accumulator_names().collect();
    assert_eq!(names, ["firsts", "is even", "rows"]);
    assert_eq!(
        result.accumulator_result::<LongCounter>("rows").unwrap(),
        1_000
    );
    let even = result.accumulator_result::<Histogram>("is even").unwrap();
    assert_eq!(even, [(0, 500), (1, 500)].into());
    let firsts = result.accumulator_result::<ListAccumulator<(u32, i64)>>("firsts");
    assert_eq!(firsts.unwrap().len(), 2);
    let wrong = result
        .accumulator_result::<LongCounter>("firsts")
        .unwrap_err();
    assert!(wrong.to_string().contains("ListAccumulator"), "{wrong}");
}
