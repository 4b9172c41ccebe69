//! What is asked of a place that has partitions, and the walk over its files that answers.

use std::ops::Range;
use std::sync::Arc;

use flott_model::{EdgeId, Epoch, ExecutionAttemptId, JobId, VertexId};

use super::directory::OpenPartition;
use super::stream::{self, Input};
use super::{PartitionDirectory, PartitionError, PartitionId};

/// Some sub-partitions of an edge, from those of its producers whose partitions are in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) edge: EdgeId,
    /// How many sub-partitions every partition of the edge has.
    pub(super) total: u32,
    /// Which of them are wanted.
    pub(super) wanted: Range<u32>,
    pub(super) producers: Vec<ExecutionAttemptId>,
    /// Bytes at the beginning of the stream that the consumer has already: a connection broke. The
    /// same request has the same stream, as long as the partitions are there.
    pub(super) skip: u64,
}

const FIXED_BYTES: usize = 28;
const ATTEMPT_BYTES: usize = 16;
/// Places that are looked at in one go: a sign of life is due after that.
const STEPS: u32 = 4096;
/// Length of the longest request.
pub(super) const MAX_REQUEST_BYTES: usize = FIXED_BYTES + stream::MAX_PRODUCERS * ATTEMPT_BYTES;

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + self.producers.len() * ATTEMPT_BYTES);
        let fixed = [
            self.edge.0,
            self.total,
            self.wanted.start,
            self.wanted.end,
            self.producers.len() as u32,
        ];
        let attempts = self
            .producers
            .iter()
            .flat_map(|id| [id.epoch.0, id.vertex.0, id.subtask, id.attempt]);
        out.extend_from_slice(&self.skip.to_le_bytes());
        for word in fixed.into_iter().chain(attempts) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let skip = input.u64()?;
        let (edge, total) = (EdgeId(input.u32()?), input.u32()?);
        let wanted = input.u32()?..input.u32()?;
        let count = input.u32()? as usize;
        if wanted.start > wanted.end || wanted.end > total || input.0.len() != count * ATTEMPT_BYTES
        {
            return None;
        }
        let mut producers = Vec::with_capacity(count);
        for _ in 0..count {
            producers.push(ExecutionAttemptId {
                epoch: Epoch(input.u32()?),
                vertex: VertexId(input.u32()?),
                subtask: input.u32()?,
                attempt: input.u32()?,
            });
        }
        Some(Self {
            edge,
            total,
            wanted,
            producers,
            skip,
        })
    }
}

/// Walks over the wanted sub-partitions, and for each over its producers and their regions. Blocks.
pub(super) struct Scan {
    directory: PartitionDirectory,
    job: JobId,
    request: Request,
    /// Where it is: a sub-partition, the position of a producer, a region, bytes of its entry.
    sub_partition: u32,
    producer: u32,
    region: u32,
    at: u64,
    /// Bytes of the stream that are still to be left out.
    skip: u64,
    /// Steps in a row that found nothing.
    quiet: u32,
    /// The partition of that producer.
    open: Option<Arc<OpenPartition>>,
}

impl Scan {
    pub(super) fn new(directory: PartitionDirectory, job: JobId, request: Request) -> Self {
        Self {
            directory,
            job,
            sub_partition: request.wanted.start,
            producer: 0,
            region: 0,
            at: 0,
            skip: request.skip,
            quiet: 0,
            open: None,
            request,
        }
    }

    /// Appends more of the stream, about so many bytes; none if it leaves out much. Whether there is
    /// more; what goes wrong is said in the stream.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>, limit: usize) -> bool {
        for _ in 0..STEPS {
            if out.len() >= limit {
                break;
            }
            match self.step(out, limit) {
                Ok(Step::Said) => self.quiet = 0,
                Ok(Step::Nothing) => self.quiet += 1,
                Ok(Step::End) => return false,
                Err(error) => {
                    self.explain(&error, out);
                    return false;
                }
            }
            if self.quiet == STEPS {
                // It looked in many places where there is nothing. Never within an entry.
                self.quiet = 0;
                let start = out.len();
                stream::append_ping(out);
                self.said(start, out);
            }
        }
        true
    }

    /// What was appended since `start` is left out if the consumer has it.
    fn said(&mut self, start: usize, out: &mut Vec<u8>) -> Step {
        let known = self.skip.min((out.len() - start) as u64);
        out.drain(start..start + known as usize);
        self.skip -= known;
        Step::Said
    }

    /// To be asked before anything is read: what the consumer must be told instead of the stream.
    /// All that is missing is said at once: each repair costs a round of new attempts.
    pub(super) fn refusal(&self) -> Option<Vec<u8>> {
        let mut refusal = Vec::new();
        let mut missing = Vec::new();
        for (position, producer) in (0..).zip(&self.request.producers) {
            match self.partition(*producer) {
                Ok(_) => {}
                Err(PartitionError::NotFound { .. }) => missing.push(position),
                Err(error) => {
                    explain(position, &error, &mut refusal);
                    return Some(refusal);
                }
            }
        }
        if missing.is_empty() {
            return None;
        }
        stream::append_missing(&missing, &mut refusal);
        Some(refusal)
    }

    fn partition(
        &self,
        producer: ExecutionAttemptId,
    ) -> Result<Arc<OpenPartition>, PartitionError> {
        let id = PartitionId {
            job: self.job,
            edge: self.request.edge,
            producer,
        };
        let partition = self.directory.open(&id)?;
        if partition.sub_partitions() == self.request.total {
            return Ok(partition);
        }
        Err(partition.damaged(format!(
            "it has {} sub-partitions instead of {}",
            partition.sub_partitions(),
            self.request.total
        )))
    }

    /// Which steps say something must not depend on `limit`.
    fn step(&mut self, out: &mut Vec<u8>, limit: usize) -> Result<Step, PartitionError> {
        let start = out.len();
        if self.sub_partition >= self.request.wanted.end {
            stream::append_end(out);
            self.said(start, out);
            return Ok(Step::End);
        }
        let Some(producer) = self.request.producers.get(self.producer as usize) else {
            stream::append_next(self.sub_partition, out);
            self.sub_partition += 1;
            self.producer = 0;
            return Ok(self.said(start, out));
        };
        let partition = match &self.open {
            Some(partition) => Arc::clone(partition),
            None => self.partition(*producer)?,
        };
        if self.region >= partition.regions() {
            self.open = None;
            self.region = 0;
            self.producer += 1;
            return Ok(Step::Nothing);
        }
        let entry = partition.entry(self.region, self.sub_partition)?;
        let is_empty = entry.length == 0 && entry.rows == 0;
        if self.at == 0 && !is_empty {
            stream::append_entry(self.producer, self.sub_partition, &entry, out);
            self.said(start, out);
        }
        let known = self.skip.min(entry.length - self.at);
        self.skip -= known;
        self.at += known;
        // At least a little, so that no limit is too small for progress.
        let room = limit.saturating_sub(out.len()).max(1024);
        let length = (entry.length - self.at).min(room as u64);
        partition.read(entry.offset + self.at, length as usize, out)?;
        self.at += length;
        if self.at == entry.length {
            self.at = 0;
            self.region += 1;
        }
        self.open = Some(partition);
        Ok(if is_empty { Step::Nothing } else { Step::Said })
    }

    fn explain(&self, error: &PartitionError, out: &mut Vec<u8>) {
        explain(self.producer, error, out);
    }
}

/// What a step did.
enum Step {
    Nothing,
    Said,
    End,
}

fn explain(producer: u32, error: &PartitionError, out: &mut Vec<u8>) {
    match error {
        PartitionError::NotFound { .. } => stream::append_missing(&[producer], out),
        PartitionError::Damaged { reason, .. } => stream::append_damaged(producer, reason, out),
        other => stream::append_failed(&with_cause(other), out),
    }
}

fn with_cause(error: &PartitionError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn requests_round_trip(
            edge: u32,
            skip: u64,
            (from, more, rest) in (0u32..100, 0u32..100, 0u32..100),
            attempts in proptest::collection::vec((0u32..9, 0u32..9, 0u32..9, 0u32..9), 0..9),
        ) {
            let request = Request {
                edge: EdgeId(edge),
                total: from + more + rest,
                wanted: from..from + more,
                producers: attempts
                    .into_iter()
                    .map(|(epoch, vertex, subtask, attempt)| ExecutionAttemptId {
                        epoch: Epoch(epoch),
                        vertex: VertexId(vertex),
                        subtask,
                        attempt,
                    })
                    .collect(),
                skip,
            };
            prop_assert_eq!(Request::decode(&request.encode()), Some(request));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(0u8..4, 0..80)) {
            let _ = Request::decode(&bytes);
        }
    }
}
