//! What somebody who looks at a job asks its workers, and what they answer. Nothing of it is sent unless somebody asks.

use flott_metrics::MetricSample;
use flott_metrics::accumulators::AccumulatorSnapshot;

use super::AttemptId;

/// Say what the tasks are doing. A worker that does not know the request, or is busy, need not answer.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Inspect {
    /// Which request; answers carry it.
    #[prost(uint64, tag = "1")]
    pub request: u64,
    /// Number of an [`Inspection`].
    #[prost(enumeration = "Inspection", tag = "2")]
    pub what: i32,
    /// For how long stacks are sampled, in milliseconds.
    #[prost(uint64, tag = "3")]
    pub sample_ms: u64,
    /// Processor time between two samples, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub interval_ms: u64,
}

/// What an [`Inspect`] wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Inspection {
    /// Metrics and accumulators of the tasks.
    Metrics = 0,
    /// Sampled stacks of the tasks.
    Stacks = 1,
    /// The threads of the process, with sampled stacks.
    Threads = 2,
}

/// Part of the answer to an [`Inspect`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Inspected {
    /// Which request.
    #[prost(uint64, tag = "1")]
    pub request: u64,
    /// Whether this is the last part.
    #[prost(bool, tag = "2")]
    pub last: bool,
    /// Tasks that were asked for.
    #[prost(message, repeated, tag = "3")]
    pub tasks: Vec<TaskInspected>,
    /// The threads, if they were asked for.
    #[prost(message, repeated, tag = "4")]
    pub threads: Vec<ThreadInspected>,
    /// Metrics of the process.
    #[prost(message, repeated, tag = "5")]
    pub metrics: Vec<Metric>,
    /// Why there is no answer, if there is none.
    #[prost(string, tag = "6")]
    pub failure: String,
}

/// What a task is doing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TaskInspected {
    /// Its attempt.
    #[prost(message, required, tag = "1")]
    pub attempt: AttemptId,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Its accumulators.
    #[prost(message, repeated, tag = "3")]
    pub accumulators: Vec<TaskAccumulator>,
    /// Its stacks.
    #[prost(message, repeated, tag = "4")]
    pub stacks: Vec<SampledStack>,
}

/// A metric as it is shown.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metric {
    /// Flink's name, within the task or the job.
    #[prost(string, tag = "1")]
    pub name: String,
    /// As text.
    #[prost(string, tag = "2")]
    pub value: String,
    /// Whether it belongs to the job as a whole.
    #[prost(bool, tag = "3")]
    pub of_job: bool,
}

/// A user's accumulator in one subtask.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TaskAccumulator {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its kind.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// Encoded by its kind.
    #[prost(bytes = "vec", tag = "3")]
    pub value: Vec<u8>,
    /// As text.
    #[prost(string, tag = "4")]
    pub text: String,
    /// Why it could not be encoded; empty if it could.
    #[prost(string, tag = "5")]
    pub failure: String,
}

/// A stack that was seen, and how often.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SampledStack {
    /// Functions, the outermost first.
    #[prost(string, repeated, tag = "1")]
    pub frames: Vec<String>,
    /// In how many samples.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// Whether the task used a processor then; otherwise it waited, and the frame says for what.
    #[prost(bool, tag = "3")]
    pub on_cpu: bool,
}

/// A thread of a worker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ThreadInspected {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its id in the operating system.
    #[prost(uint64, tag = "2")]
    pub id: u64,
    /// `RUNNABLE` or what else the operating system says, in Flink's words.
    #[prost(string, tag = "3")]
    pub state: String,
    /// Processor time it used, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub cpu_ms: u64,
    /// The functions it was seen in last, the innermost first; none if it did not run.
    #[prost(string, repeated, tag = "5")]
    pub frames: Vec<String>,
}

impl From<MetricSample> for Metric {
    fn from(sample: MetricSample) -> Self {
        Self {
            name: sample.name,
            value: sample.value.to_string(),
            of_job: sample.of_job,
        }
    }
}

impl From<AccumulatorSnapshot> for TaskAccumulator {
    fn from(snapshot: AccumulatorSnapshot) -> Self {
        Self {
            name: snapshot.name,
            kind: snapshot.kind,
            value: snapshot.bytes,
            text: snapshot.text,
            failure: snapshot.failure.unwrap_or_default(),
        }
    }
}

impl From<TaskAccumulator> for AccumulatorSnapshot {
    fn from(sent: TaskAccumulator) -> Self {
        Self {
            name: sent.name,
            kind: sent.kind,
            bytes: sent.value,
            text: sent.text,
            failure: Some(sent.failure).filter(|failure| !failure.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use flott_metrics::accumulators::{AccumulatorHandle, Accumulators, LongCounter};
    use prost::Message;

    use super::*;

    #[test]
    fn an_accumulator_survives_the_wire() {
        let accumulators = Accumulators::default();
        let rows: AccumulatorHandle<LongCounter> = accumulators.get("rows").unwrap();
        rows.add(-3);
        let mut snapshots = accumulators.snapshot();
        snapshots.push(AccumulatorSnapshot::failed("list", "ListAccumulator", "no"));
        for snapshot in snapshots {
            let bytes = TaskAccumulator::from(snapshot.clone()).encode_to_vec();
            let received = TaskAccumulator::decode(bytes.as_slice()).unwrap();
            assert_eq!(AccumulatorSnapshot::from(received), snapshot);
        }
    }
}
