//! Flame graphs and thread dumps, from sampled stacks.

use std::collections::BTreeMap;

use flott_jobmanager::WorkerInspection;
use flott_protocol::message::{SampledStack, TaskInspected, ThreadInspected};
use serde_json::{Value, json};

use crate::job::now;

/// Instead of a time: the tasks have ended.
const ENDED: i64 = -1;
/// Instead of a time: `rest.flamegraph.enabled` is not set.
const DISABLED: i64 = -2;

/// Which part of the time a flame graph shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Full,
    OnCpu,
    OffCpu,
}

impl Part {
    /// Flink's names, in any case; no name is all of it.
    pub(crate) fn parse(text: Option<&str>) -> Option<Self> {
        match text.unwrap_or("full").to_lowercase().as_str() {
            "full" => Some(Self::Full),
            "on_cpu" => Some(Self::OnCpu),
            "off_cpu" => Some(Self::OffCpu),
            _ => None,
        }
    }

    fn shows(self, stack: &SampledStack) -> bool {
        match self {
            Self::Full => true,
            Self::OnCpu => stack.on_cpu,
            Self::OffCpu => !stack.on_cpu,
        }
    }
}

#[derive(Default)]
struct Frame {
    value: u64,
    children: BTreeMap<String, Frame>,
}

impl Frame {
    fn add(&mut self, stack: &SampledStack) {
        let mut frame = self;
        frame.value += stack.count;
        for name in &stack.frames {
            frame = frame.children.entry(name.clone()).or_default();
            frame.value += stack.count;
        }
    }

    fn shown(&self, name: &str) -> Value {
        let children: Vec<Value> = self
            .children
            .iter()
            .map(|(name, frame)| frame.shown(name))
            .collect();
        json!({ "name": name, "value": self.value, "children": children })
    }
}

pub(crate) fn disabled() -> Value {
    json!({ "endTimestamp": DISABLED })
}

pub(crate) fn ended() -> Value {
    json!({ "endTimestamp": ENDED })
}

/// `/jobs/:id/vertices/:vertex/flamegraph`.
pub(crate) fn flame_graph<'a>(tasks: impl Iterator<Item = &'a TaskInspected>, part: Part) -> Value {
    let mut root = Frame::default();
    let stacks = tasks.flat_map(|task| &task.stacks);
    stacks
        .filter(|stack| part.shows(stack))
        .for_each(|stack| root.add(stack));
    json!({ "endTimestamp": now(), "data": root.shown("root") })
}

/// `/taskmanagers/:id/thread-dump`.
pub(crate) fn thread_dump<'a>(workers: impl Iterator<Item = &'a WorkerInspection>) -> Value {
    let threads = workers.flat_map(|worker| &worker.threads).map(
        |thread| json!({ "threadName": thread.name, "stringifiedThreadInfo": described(thread) }),
    );
    json!({ "threadInfos": threads.collect::<Vec<_>>() })
}

/// A thread as text: a headline, and a line for each function.
fn described(thread: &ThreadInspected) -> String {
    let mut text = format!(
        "\"{}\" Id={} {} cpu={} ms\n",
        thread.name, thread.id, thread.state, thread.cpu_ms
    );
    for frame in &thread.frames {
        text.push_str("\tat ");
        text.push_str(frame);
        text.push('\n');
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &[&str], count: u64, on_cpu: bool) -> SampledStack {
        SampledStack {
            frames: frames.iter().map(|name| (*name).to_owned()).collect(),
            count,
            on_cpu,
        }
    }

    #[test]
    fn stacks_become_a_tree() {
        let task = TaskInspected {
            stacks: vec![
                stack(&["poll", "map"], 2, true),
                stack(&["poll", "filter"], 3, true),
                stack(&["waiting for input"], 5, false),
            ],
            ..TaskInspected::default()
        };
        let graph = |part| {
            let answer = flame_graph([&task, &task].into_iter(), part);
            assert!(answer["endTimestamp"].as_i64().unwrap() > 0);
            answer["data"].clone()
        };
        let leaf = |name: &str, value: u64| json!({ "name": name, "value": value, "children": [] });
        let poll =
            json!({ "name": "poll", "value": 10, "children": [leaf("filter", 6), leaf("map", 4)] });
        assert_eq!(
            graph(Part::OnCpu),
            json!({ "name": "root", "value": 10, "children": [poll] })
        );
        assert_eq!(
            graph(Part::OffCpu),
            json!({ "name": "root", "value": 10, "children": [leaf("waiting for input", 10)] })
        );
        assert_eq!(graph(Part::Full)["value"], 20);
    }

    #[test]
    fn parts_have_flinks_names() {
        assert_eq!(Part::parse(None), Some(Part::Full));
        assert_eq!(Part::parse(Some("ON_CPU")), Some(Part::OnCpu));
        assert_eq!(Part::parse(Some("off_cpu")), Some(Part::OffCpu));
        assert_eq!(Part::parse(Some("x")), None);
    }

    #[test]
    fn a_thread_is_described_in_lines() {
        let thread = ThreadInspected {
            name: "flott-task-0".into(),
            id: 7,
            state: "RUNNABLE".into(),
            cpu_ms: 12,
            frames: vec!["inner".into(), "outer".into()],
        };
        let worker = WorkerInspection {
            threads: vec![thread],
            ..WorkerInspection::default()
        };
        assert_eq!(
            thread_dump([&worker].into_iter()),
            json!({ "threadInfos": [{
                "threadName": "flott-task-0",
                "stringifiedThreadInfo": "\"flott-task-0\" Id=7 RUNNABLE cpu=12 ms\n\tat inner\n\tat outer\n\n",
            }] })
        );
    }
}
