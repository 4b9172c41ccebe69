//! The ends of blocking edges at the tasks of a worker: where partitions are written, and where
//! those of others are.

use std::collections::BTreeSet;
use std::path::Path;

use flott_model::{EdgeId, ExecutionAttemptId, JobGraph, JobId, JobVertex, ShipStrategy};
use flott_network::Waker;
use flott_network::partition::{
    Compression, PartitionDirectory, PartitionId, PartitionLocation, PartitionPlace,
    PartitionReader, PartitionReaderSettings, PartitionWriter, PartitionWriterSettings,
};
use flott_operators::TaskError;
use flott_protocol::message::{TaskDescriptor, TaskGate, WorkerSpec};
use tokio::runtime::Handle;

use crate::exchange::{MissingPartitions, PartitionInput, PartitionLayout, PartitionOutput};

/// Largest row of a blocking exchange, as of any other.
const MAX_RECORD_BYTES: usize = 64 << 20;
/// Memory of a writer if nobody limits the worker's.
const DEFAULT_WRITER_BYTES: u64 = 16 << 20;
/// With less, regions are so small that reading them is nothing but seeks.
const LEAST_WRITER_BYTES: u64 = 1 << 20;
/// With more, writing gets slower: it does not stay in the processor's cache.
const MOST_WRITER_BYTES: u64 = 16 << 20;
/// Unless there are many sub-partitions, each of which should get a whole frame of a region.
const SUB_PARTITION_BYTES: u64 = 64 << 10;
/// The part of a slot's memory that the writers of one of its tasks may use together: slots are
/// shared by the tasks of a region.
const WRITERS_SHARE: u64 = 16;

/// The partitions of a worker's job, as the worker knows them.
pub(super) struct Partitions {
    job: Option<JobId>,
    container: String,
    token: Vec<u8>,
    /// That of the agent, if it serves one.
    directory: Option<PartitionDirectory>,
    /// Memory for the writers of a task whose group has no managed memory of its own.
    writer_bytes: u64,
    missing: MissingPartitions,
}

/// One of its tasks.
pub(super) struct PartitionTask<'a> {
    pub(super) graph: &'a JobGraph,
    pub(super) attempt: ExecutionAttemptId,
    pub(super) waker: Waker,
    /// How many partitions it writes.
    pub(super) outputs: u64,
}

impl Partitions {
    pub(super) fn new(spec: &WorkerSpec) -> Self {
        let slots = spec.slots.len().max(1) as u64;
        let directory = Path::new(&spec.partition_dir);
        Self {
            job: spec.job.parse().ok(),
            container: spec.container.clone(),
            token: spec.token.clone(),
            directory: (!spec.partition_dir.is_empty()).then(|| PartitionDirectory::new(directory)),
            writer_bytes: match spec.memory_bytes {
                0 => DEFAULT_WRITER_BYTES,
                bytes => bytes / slots / WRITERS_SHARE,
            },
            missing: MissingPartitions::default(),
        }
    }

    /// The producers whose partitions that consumer could not get.
    pub(super) fn take_missing(
        &self,
        consumer: ExecutionAttemptId,
    ) -> BTreeSet<ExecutionAttemptId> {
        self.missing.take(consumer)
    }

    fn job(&self) -> Result<JobId, TaskError> {
        self.job
            .ok_or_else(|| TaskError::fatal("the worker's job has no id that partitions can have"))
    }

    /// Memory for the writers of a task: what its slot sharing group was given as managed memory is
    /// theirs, in equal parts for the group's tasks; else the usual part of the slot's.
    fn writer_bytes(&self, task: &PartitionTask<'_>) -> u64 {
        let graph = task.graph;
        let managed = graph.resources_at(task.attempt.vertex);
        match managed.map_or(0, |profile| profile.managed_bytes) {
            0 => self.writer_bytes,
            managed => {
                let vertex = graph.vertices.get(task.attempt.vertex.0 as usize);
                let same = |other: &&JobVertex| {
                    vertex.is_some_and(|it| it.slot_sharing_group == other.slot_sharing_group)
                };
                let sharing = graph.vertices.iter().filter(same).count();
                managed / sharing.max(1) as u64
            }
        }
    }

    /// Where the worker's partitions are.
    fn directory(&self) -> Result<&PartitionDirectory, TaskError> {
        self.directory.as_ref().ok_or_else(|| {
            TaskError::fatal(
                "this job exchanges records by way of files, but the task executor has no directory \
                 for them; run it with execution.runtime-mode=STREAMING, or look into the task \
                 executor's log",
            )
        })
    }

    /// The sending end of a blocking edge.
    pub(super) fn output(
        &self,
        task: &PartitionTask<'_>,
        gate: &TaskGate,
    ) -> Result<PartitionOutput, TaskError> {
        let layout = layout(task.graph, gate)?;
        let id = PartitionId {
            job: self.job()?,
            edge: EdgeId(gate.edge),
            producer: task.attempt,
        };
        let most = MOST_WRITER_BYTES.max(u64::from(layout.sub_partitions()) * SUB_PARTITION_BYTES);
        let memory = self.writer_bytes(task) / task.outputs.max(1);
        let memory = memory.clamp(LEAST_WRITER_BYTES, most);
        let settings = PartitionWriterSettings {
            sub_partitions: layout.sub_partitions(),
            memory_bytes: memory as usize,
            compression: Compression::Lz4,
            max_record_bytes: MAX_RECORD_BYTES,
        };
        let directory = self.directory()?.path();
        let (io, waker) = (Handle::current(), task.waker.clone());
        let writer = PartitionWriter::new(directory, id, settings, io, waker);
        Ok(PartitionOutput::new(writer, &layout, task.attempt.subtask))
    }

    /// The receiving end of a blocking edge.
    pub(super) fn input(
        &self,
        task: &PartitionTask<'_>,
        gate: &TaskGate,
    ) -> Result<PartitionInput, TaskError> {
        let layout = layout(task.graph, gate)?;
        let settings = PartitionReaderSettings {
            job: self.job()?,
            edge: EdgeId(gate.edge),
            sub_partitions: layout.sub_partitions(),
            wanted: layout.read_by(task.attempt.subtask),
            token: self.token.clone(),
            max_record_bytes: MAX_RECORD_BYTES,
            ..PartitionReaderSettings::default()
        };
        let here = self.directory.is_some();
        let locations = gate.partitions.iter().map(|source| PartitionLocation {
            producer: source.attempt.into(),
            place: if here && source.container == self.container {
                PartitionPlace::Here
            } else {
                PartitionPlace::Server(source.address.clone())
            },
        });
        // Without a directory nothing is here, and any path will do.
        let elsewhere = || PartitionDirectory::new(Path::new(""));
        let directory = self.directory.clone().unwrap_or_else(elsewhere);
        let reader = PartitionReader::open(
            settings,
            &directory,
            locations.collect(),
            &Handle::current(),
            &task.waker,
        );
        Ok(PartitionInput::new(
            reader,
            layout.is_keyed(),
            task.attempt,
            self.missing.clone(),
        ))
    }
}

/// What both ends of an edge know of its partitions.
fn layout(graph: &JobGraph, gate: &TaskGate) -> Result<PartitionLayout, TaskError> {
    let missing = || TaskError::fatal(format!("the job graph has no edge {}", gate.edge));
    let edge = graph.edges.get(gate.edge as usize).ok_or_else(missing)?;
    let vertex = |position: u32| graph.vertices.get(position as usize).ok_or_else(missing);
    let (source, target) = (vertex(edge.source)?, vertex(edge.target)?);
    Ok(PartitionLayout::new(
        edge.ship(),
        source.parallelism,
        target.parallelism,
        target.max_parallelism,
    ))
}

/// Rows of a key must not come both at once and range by range: the state of a range is gone when
/// the next one begins.
pub(super) fn check_keys(graph: &JobGraph, task: &TaskDescriptor) -> Result<(), TaskError> {
    let keyed = |gate: &&TaskGate| {
        let edge = graph.edges.get(gate.edge as usize);
        edge.is_some_and(|edge| edge.ship() == ShipStrategy::Hash)
    };
    let mut blocking = task.inputs.iter().filter(keyed).map(|gate| gate.blocking);
    let Some(first) = blocking.next() else {
        return Ok(());
    };
    if blocking.all(|other| other == first) {
        return Ok(());
    }
    Err(TaskError::fatal(
        "the keyed inputs of a task are partly blocking and partly pipelined: the job graph is wrong",
    ))
}

#[cfg(test)]
mod tests;
