//! What a task reports of its channels: Flink has each figure under an old name and under that of its shuffle service, and so
//! do we, for the tools of both.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flott_metrics::MetricGroup;
use flott_network::QueueLoad;
use flott_operators::{Queues, TaskCounters};

type Counted = fn(&TaskCounters) -> &AtomicU64;
type Share = fn(&QueueLoad) -> f64;
type Amount = fn(&QueueLoad) -> u64;

/// What came in, of the task and of the shuffle service.
const INPUT: [(&str, Option<Counted>); 4] = [
    // Rows between tasks of one process are never bytes.
    ("numBytesInLocal", None),
    ("numBytesInRemote", Some(|one| &one.bytes_in)),
    ("numBuffersInLocal", Some(|one| &one.buffers_in_local)),
    ("numBuffersInRemote", Some(|one| &one.buffers_in_remote)),
];

/// Adds the metrics of the channels of a task.
pub(super) fn report(task: &MetricGroup, counters: &Arc<TaskCounters>) {
    let netty = task.add_group_with("Shuffle", "Netty");
    for group in [task, &netty.add_group("Input")] {
        for (name, counter) in INPUT {
            let counters = Arc::clone(counters);
            group.counter_and_rate_over(name, move || {
                counter.map_or(0, |counter| counters.sum(counter).cast_signed())
            });
        }
    }
    let old = task.add_group("buffers");
    for group in [&old, &netty.add_group_with("Input", "Buffers")] {
        let side = Side {
            group,
            counters,
            queues: |one| &one.inputs,
        };
        side.amount("inputQueueLength", |load| load.buffers);
        side.amount("inputQueueSize", |load| load.bytes);
        side.share("inPoolUsage", |load| load.room().usage());
        side.share("inputExclusiveBuffersUsage", |load| load.exclusive.usage());
        side.share("inputFloatingBuffersUsage", |load| load.floating.usage());
    }
    for group in [&old, &netty.add_group_with("Output", "Buffers")] {
        let side = Side {
            group,
            counters,
            queues: |one| &one.outputs,
        };
        side.amount("outputQueueLength", |load| load.buffers);
        side.amount("outputQueueSize", |load| load.bytes);
        side.share("outPoolUsage", |load| load.room().usage());
    }
}

/// The channels on one side of a task, on their way into a group.
struct Side<'a> {
    group: &'a MetricGroup,
    counters: &'a Arc<TaskCounters>,
    queues: fn(&TaskCounters) -> &Queues,
}

impl Side<'_> {
    fn amount(&self, name: &str, of: Amount) {
        let (counters, queues) = (Arc::clone(self.counters), self.queues);
        let read = move || of(&counters.queued(queues));
        self.group.gauge_with(name, read);
    }

    fn share(&self, name: &str, of: Share) {
        let (counters, queues) = (Arc::clone(self.counters), self.queues);
        let read = move || of(&counters.queued(queues));
        self.group.gauge_with(name, read);
    }
}

#[cfg(test)]
mod tests {
    use flott_metrics::MetricRegistry;
    use flott_network::{Barrier, Control, Message, Waker, local_channel};

    use super::*;

    #[test]
    fn channels_are_told_under_both_names() {
        let registry = MetricRegistry::new();
        let counters = Arc::new(TaskCounters::default());
        report(&registry.task(), &counters);
        let (mut sender, receiver) = local_channel::<u64>(4, Waker::default(), Waker::default());
        counters.inputs.watch([receiver.gauge()]);
        counters.add_writer().outputs.watch([sender.gauge()]);
        sender.send(Message::Control(Control::Barrier(Barrier::for_tests(1))));
        TaskCounters::add(&counters.bytes_in, 5);
        let samples = registry.snapshot();
        let value = |name: String| {
            let found = samples.iter().find(|sample| sample.name == name);
            found.map(|sample| sample.value.to_string())
        };
        for (old, new, expected) in [
            ("buffers", "Input.Buffers", ("inPoolUsage", "0.25")),
            ("buffers", "Input.Buffers", ("inputQueueLength", "1")),
            ("buffers", "Input.Buffers", ("inputQueueSize", "0")),
            (
                "buffers",
                "Input.Buffers",
                ("inputExclusiveBuffersUsage", "0.25"),
            ),
            (
                "buffers",
                "Input.Buffers",
                ("inputFloatingBuffersUsage", "0.0"),
            ),
            ("buffers", "Output.Buffers", ("outPoolUsage", "0.25")),
            ("buffers", "Output.Buffers", ("outputQueueLength", "1")),
            ("buffers", "Output.Buffers", ("outputQueueSize", "0")),
        ] {
            let (name, expected) = expected;
            let told = [
                value(format!("{old}.{name}")),
                value(format!("Shuffle.Netty.{new}.{name}")),
            ];
            assert_eq!(
                told,
                [Some(expected.into()), Some(expected.into())],
                "{name}"
            );
        }
        for (name, expected) in [("numBytesInRemote", "5"), ("numBytesInLocal", "0")] {
            for name in [name.to_owned(), format!("Shuffle.Netty.Input.{name}")] {
                assert_eq!(value(name.clone()).as_deref(), Some(expected), "{name}");
                assert!(value(format!("{name}PerSecond")).is_some(), "{name}");
            }
        }
    }
}
