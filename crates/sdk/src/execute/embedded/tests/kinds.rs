//! What only some kinds of operators tell: sources, sinks, operators with two inputs, those with timers.

use super::*;
use crate::source::DataGeneratorSource;
use crate::window::{EventTimeSessionWindows, TumblingEventTimeWindows};

/// Registers a timer for each record.
#[derive(Clone)]
struct Later;

impl KeyedProcessFunction<u64, u64> for Later {
    type Out = u64;

    fn process_element(
        &mut self,
        _: u64,
        cx: &mut KeyedContext<'_, u64>,
        _: &mut Collector<'_, u64>,
    ) -> FunctionResult {
        let at = cx.timestamp().unwrap_or_default() + 10;
        cx.timer_service().register_event_time_timer(at);
        Ok(())
    }

    fn on_timer(
        &mut self,
        _: i64,
        cx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, u64>,
    ) -> FunctionResult {
        out.collect(*cx.current_key());
        Ok(())
    }
}

/// A hundred records, a second between them and the next hundred.
fn time_of(record: u64) -> i64 {
    (record + record / 100 * 1_000) as i64
}

fn kinds() -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(1);
    let generator = DataGeneratorSource::unbounded(|index| index).rate_per_second(5_000.0);
    let times = WatermarkStrategy::for_monotonous_timestamps()
        .with_timestamp_assigner(|record: &u64, _| time_of(*record));
    let records = env.from_source(generator, times, "records");
    let by_key = || records.clone().key_by(|record| record % 7);
    let second = Duration::from_secs(1);
    let tumbling = by_key().window(TumblingEventTimeWindows::of(second));
    let sessions = by_key().window(EventTimeSessionWindows::with_gap(second / 2));
    let tumbling = tumbling.reduce(|sum, record| *sum += record);
    let sessions = sessions.reduce(|sum, record| *sum += record);
    tumbling.connect(sessions).map(|n| n, |n| n).discard();
    by_key().process(Later).discard();
    env
}

/// The values of all metrics whose name ends so, by vertex.
fn values(workers: &[WorkerInspection], end: &str) -> Vec<(u32, f64)> {
    let tasks = workers.iter().flat_map(|worker| &worker.tasks);
    let metrics = tasks.flat_map(|task| task.metrics.iter().map(|one| (task.attempt, one)));
    let named = metrics.filter(|(_, metric)| metric.name.ends_with(end));
    let mut values: Vec<(u32, f64)> = named
        .map(|(attempt, metric)| (attempt.vertex, metric.value.parse().unwrap()))
        .collect();
    values.sort_by_key(|(vertex, _)| *vertex);
    values
}

#[test]
fn operators_tell_what_only_their_kind_has() {
    let configuration = Configuration::default();
    let plan = plan(&kinds(), &configuration);
    let vertices = plan.graph.vertices.len();
    assert_eq!(vertices, 5, "source, two windows, connected, process");
    let cluster = DispatcherSettings::new("kinds", Secret::new(&[]), configuration);
    engine::run_threaded(|| async move {
        let (dispatcher, job) = start(cluster, 1, plan).await.unwrap();
        let fired = |workers: &[WorkerInspection]| {
            let fired = values(workers, "numFiredTimers");
            fired.len() == vertices && fired.iter().filter(|(_, timers)| *timers > 0.0).count() == 3
        };
        let workers = until(&dispatcher, job, |workers| {
            let all_over = |end: &str, tasks: usize, least: f64| {
                let values = values(workers, end);
                values.len() == tasks && values.iter().all(|(_, value)| *value > least)
            };
            fired(workers)
                && all_over("currentInput1Watermark", 1, 0.0)
                && all_over("currentInput2Watermark", 1, 0.0)
                && all_over("numRecordsSend", 2, 0.0)
                && all_over("watermarkLag", 1, 0.0)
                && all_over("currentEmitEventTimeLag", 1, 0.0)
        })
        .await;
        assert_eq!(values(&workers, "Source__records.numRecordsIn").len(), 1);
        assert_eq!(values(&workers, "numRecordsSendErrors").len(), 2);
        let idle = values(&workers, "Source__records.sourceIdleTime");
        assert!(
            idle.iter()
                .all(|(_, millis)| (0.0..60_000.0).contains(millis))
        );
        assert_eq!(idle.len(), 1);
        dispatcher.cancel(job).await;
        dispatcher.wait(job).await.unwrap();
        dispatcher.shutdown().await;
    })
    .unwrap();
}
