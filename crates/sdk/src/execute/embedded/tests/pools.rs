//! What is told of the buffers between tasks, in one process and between two.

use super::*;
use crate::graph::OperatorInfo;

/// Two sources, all of whose numbers go to one valve.
fn into_one_valve(open: &Arc<AtomicBool>) -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(2);
    let open = Arc::clone(open);
    env.from_sequence(1, i64::MAX / 4)
        .global()
        .transform(OperatorInfo::new("Valve"), move |context, output| {
            Valve::make(Arc::clone(&open), context, output)
        })
        .discard();
    env
}

/// The figures of a group of a task: length, bytes and usage of the output, then of the input.
fn pools(workers: &[WorkerInspection], vertex: u32, subtask: u32, group: &str) -> Option<[f64; 6]> {
    let [input, output] = match group {
        "" => ["buffers", "buffers"],
        _ => ["Input.Buffers", "Output.Buffers"],
    };
    let told = |place: &str, name: &str| {
        metric_of(
            workers,
            (vertex, subtask),
            &format!("{group}{place}.{name}"),
        )
    };
    Some([
        told(output, "outputQueueLength")?,
        told(output, "outputQueueSize")?,
        told(output, "outPoolUsage")?,
        told(input, "inputQueueLength")?,
        told(input, "inputQueueSize")?,
        told(input, "inPoolUsage")?,
    ])
}

/// Runs the job in containers with so many slots until the valve has stopped everything; what the sources, each by itself,
/// and the valve tell then.
fn stopped(slots: u32) -> ([[f64; 6]; 2], [f64; 6], [f64; 2]) {
    let open = Arc::new(AtomicBool::new(false));
    let configuration = Configuration::default();
    let plan = plan(&into_one_valve(&open), &configuration);
    let cluster = DispatcherSettings::new("pools", Secret::new(&[]), configuration);
    engine::run_threaded(|| async move {
        let (dispatcher, job) = start(cluster, slots, plan).await.unwrap();
        let is_blocked = |workers: &[WorkerInspection], subtask: u32| {
            pools(workers, 0, subtask, "").is_some_and(|told| told[0] > 0.0 && told[2] == 1.0)
        };
        // The second look: what moved during the first one has come to rest.
        for _ in 0..2 {
            until(&dispatcher, job, |workers| {
                is_blocked(workers, 0) && is_blocked(workers, 1)
            })
            .await;
        }
        let all = |workers: &[WorkerInspection], group: &str| {
            let of = |vertex, subtask| pools(workers, vertex, subtask, group);
            Some(([of(0, 0)?, of(0, 1)?], of(1, 0)?))
        };
        let workers = until(&dispatcher, job, |workers| {
            let told = all(workers, "");
            told.is_some_and(|(_, valve)| valve[5] > 0.8) && told == all(workers, "Shuffle.Netty.")
        })
        .await;
        let (sources, valve) = all(&workers, "").unwrap();
        let exclusive = ["inputExclusiveBuffersUsage", "inputFloatingBuffersUsage"]
            .map(|name| metric_of(&workers, (1, 0), &format!("buffers.{name}")).unwrap());
        dispatcher.cancel(job).await;
        dispatcher.wait(job).await.unwrap();
        dispatcher.shutdown().await;
        (sources, valve, exclusive)
    })
    .unwrap()
}

#[test]
fn a_stopped_job_fills_the_buffers_of_its_process() {
    let (sources, valve, [exclusive, floating]) = stopped(2);
    for [length, bytes, ..] in sources {
        assert!(length >= 4.0, "the ring is full");
        assert_eq!(bytes, 0.0);
    }
    let [outgoing, _, out_usage, incoming, bytes, usage] = valve;
    assert_eq!((outgoing, out_usage), (0.0, 0.0), "it gives nothing");
    assert_eq!((incoming, bytes, usage), (8.0, 0.0, 1.0));
    assert_eq!((exclusive, floating), (1.0, 0.0));
}

#[test]
fn a_stopped_job_uses_up_the_credit_between_containers() {
    let (sources, valve, [exclusive, floating]) = stopped(1);
    // One of the sources is in the container of the valve.
    let remote = sources.iter().filter(|[_, bytes, ..]| *bytes > 0.0);
    assert_eq!(remote.count(), 1, "{sources:?}");
    let [_, _, _, incoming, bytes, usage] = valve;
    assert!(incoming > 4.0 && bytes > 0.0, "{valve:?}");
    assert!(usage > 0.8 && usage <= 1.0, "{valve:?}");
    assert!(exclusive > 0.5 && exclusive <= 1.0, "{exclusive}");
    assert!((0.0..=1.0).contains(&floating), "{floating}");
}
