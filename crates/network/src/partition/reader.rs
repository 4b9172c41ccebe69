//! Reads some sub-partitions of an edge from all its producers, wherever their partitions are:
//! one after the other, each from all places at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use flott_model::{EdgeId, ExecutionAttemptId, JobId};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::pump::{Chunk, Feed, Remote, pump_files, pump_server};
use super::scan::{Request, Scan};
use super::stream::{Decoder, Element, MAX_PRODUCERS};
use super::{PartitionDirectory, PartitionError, PartitionId};
use crate::{DataFrame, Waker};

/// How often a connection may break without anything new before its partitions count as lost.
const BROKEN_IN_VAIN: u32 = 2;

/// Settings of a [`PartitionReader`].
#[derive(Clone)]
pub struct PartitionReaderSettings {
    /// The job.
    pub job: JobId,
    /// The edge.
    pub edge: EdgeId,
    /// How many sub-partitions every partition of the edge has.
    pub sub_partitions: u32,
    /// Which of them are read.
    pub wanted: Range<u32>,
    /// The job's secret, which servers ask for.
    pub token: Vec<u8>,
    /// Bytes read ahead, over all places; each gets at least 4 KiB.
    pub read_ahead_bytes: usize,
    /// Largest row, its event time included, that the writer allowed.
    pub max_record_bytes: usize,
    /// Limit for connecting to a server.
    pub connect_timeout: Duration,
    /// A server that says nothing for so long is lost.
    pub silence_timeout: Duration,
}

impl Default for PartitionReaderSettings {
    fn default() -> Self {
        Self {
            job: JobId(0),
            edge: EdgeId(0),
            sub_partitions: 0,
            wanted: 0..0,
            token: Vec::new(),
            read_ahead_bytes: 2 * 1024 * 1024,
            max_record_bytes: 64 * 1024 * 1024,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
        }
    }
}

impl std::fmt::Debug for PartitionReaderSettings {
    // By hand, so that the token never gets into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionReaderSettings")
            .field("job", &self.job)
            .field("edge", &self.edge)
            .field("sub_partitions", &self.sub_partitions)
            .field("wanted", &self.wanted)
            .field("read_ahead_bytes", &self.read_ahead_bytes)
            .finish_non_exhaustive()
    }
}

/// Where the partition of a producer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLocation {
    /// Who wrote it.
    pub producer: ExecutionAttemptId,
    /// Where.
    pub place: PartitionPlace,
}

/// A place that has partitions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionPlace {
    /// The directory that the reader was given.
    Here,
    /// A server, `host:port`.
    Server(String),
}

/// What a reader gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionMessage {
    /// Rows of the current sub-partition. Those of one producer come in its order.
    Rows(DataFrame),
    /// All rows of that sub-partition were given.
    EndOfSubPartition(u32),
    /// All sub-partitions were given.
    End,
}

/// Reads sub-partitions in order. Dropping it ends its fetches.
pub struct PartitionReader {
    settings: PartitionReaderSettings,
    sources: Vec<Source>,
    /// The source to look at first.
    turn: usize,
    sub_partition: u32,
    bytes_read: u64,
}

/// The partitions of one place.
struct Source {
    place: String,
    is_here: bool,
    producers: Vec<ExecutionAttemptId>,
    feed: Arc<Feed>,
    pump: JoinHandle<()>,
    decoder: Decoder,
    /// Whether it gave all of the current sub-partition.
    waits: bool,
    /// How often its connection broke since something came.
    broken: u32,
    /// Nothing follows an error.
    failed: Option<PartitionError>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl PartitionReader {
    /// Begins to read ahead, by tasks of `io`. `task` is woken when something arrives.
    pub fn open(
        settings: PartitionReaderSettings,
        directory: &PartitionDirectory,
        locations: Vec<PartitionLocation>,
        io: &Handle,
        task: &Waker,
    ) -> Self {
        let mut places: BTreeMap<PartitionPlace, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for PartitionLocation { producer, place } in locations {
            places.entry(place).or_default().push(producer);
        }
        let share = settings.read_ahead_bytes / places.len().max(1);
        let limit = share.max(4 * 1024);
        let sources = places
            .into_iter()
            .flat_map(|(place, producers)| {
                let groups: Vec<Vec<_>> =
                    producers.chunks(MAX_PRODUCERS).map(<[_]>::to_vec).collect();
                groups.into_iter().map(move |group| (place.clone(), group))
            })
            .map(|(place, producers)| {
                let feed = Arc::new(Feed::new(limit, task.clone()));
                Source::open(&settings, directory, place, producers, feed, io)
            })
            .collect();
        Self {
            sub_partition: settings.wanted.start,
            settings,
            sources,
            turn: 0,
            bytes_read: 0,
        }
    }

    /// The next message, if it is there already. The error is final.
    pub fn receive(&mut self) -> Result<Option<PartitionMessage>, PartitionError> {
        if self.sub_partition >= self.settings.wanted.end {
            return self.end();
        }
        let count = self.sources.len();
        for _ in 0..count {
            if self.turn >= count {
                self.turn = 0;
            }
            let source = &mut self.sources[self.turn];
            if !source.waits {
                match source.next(&self.settings, &mut self.bytes_read)? {
                    Some(Element::Rows(frame)) => return Ok(Some(PartitionMessage::Rows(frame))),
                    // Only of the current one: the decoder sees to that.
                    Some(_) => source.waits = true,
                    None => {}
                }
            }
            self.turn += 1;
        }
        if self.sources.iter().any(|source| !source.waits) {
            return Ok(None);
        }
        for source in &mut self.sources {
            source.waits = false;
        }
        let over = self.sub_partition;
        self.sub_partition += 1;
        Ok(Some(PartitionMessage::EndOfSubPartition(over)))
    }

    /// A stream ends with an end mark: without it, something was cut off.
    fn end(&mut self) -> Result<Option<PartitionMessage>, PartitionError> {
        for source in &mut self.sources {
            if source.waits {
                continue;
            }
            match source.next(&self.settings, &mut self.bytes_read)? {
                Some(_) => source.waits = true,
                None => return Ok(None),
            }
        }
        Ok(Some(PartitionMessage::End))
    }

    /// Bytes read so far, as they are stored.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Bytes that were read ahead and wait here.
    pub fn waiting_bytes(&self) -> usize {
        self.sources.iter().map(|source| source.feed.bytes()).sum()
    }

    /// After an error: all producers that are known to have to run again, those of other places
    /// that failed at the same time included.
    pub fn missing(&mut self, error: &PartitionError) -> BTreeSet<ExecutionAttemptId> {
        let mut missing: BTreeSet<_> = error.missing().iter().copied().collect();
        if missing.is_empty() {
            return missing;
        }
        for source in &mut self.sources {
            // What was read ahead is dropped: the task that reads is about to fail.
            let enough = self.bytes_read + self.settings.read_ahead_bytes as u64;
            while self.bytes_read < enough {
                match source.next(&self.settings, &mut self.bytes_read) {
                    Ok(Some(Element::Rows(_) | Element::Next(_))) => {}
                    Ok(_) => break,
                    Err(other) => {
                        missing.extend(other.missing());
                        break;
                    }
                }
            }
        }
        missing
    }
}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionReader")
            .field("settings", &self.settings)
            .field("sub_partition", &self.sub_partition)
            .finish_non_exhaustive()
    }
}

impl Source {
    fn open(
        settings: &PartitionReaderSettings,
        directory: &PartitionDirectory,
        place: PartitionPlace,
        producers: Vec<ExecutionAttemptId>,
        feed: Arc<Feed>,
        io: &Handle,
    ) -> Self {
        // A frame has at least one row, and may be over a frame's size by one.
        let max_payload = settings
            .max_record_bytes
            .saturating_add(super::frame::FRAME_BYTES);
        let count = producers.len() as u32;
        let decoder = Decoder::new(&settings.wanted, count, max_payload);
        let request = Request {
            edge: settings.edge,
            total: settings.sub_partitions,
            wanted: settings.wanted.clone(),
            producers: producers.clone(),
            skip: 0,
        };
        let for_pump = Arc::clone(&feed);
        let is_here = place == PartitionPlace::Here;
        let (place, pump) = match place {
            PartitionPlace::Here => {
                let scan = Scan::new(directory.clone(), settings.job, request);
                let pump = io.spawn(pump_files(scan, for_pump));
                (directory.path().display().to_string(), pump)
            }
            PartitionPlace::Server(address) => {
                let remote = Remote {
                    address: address.clone(),
                    job: settings.job,
                    token: settings.token.clone(),
                    connect_timeout: settings.connect_timeout,
                    silence_timeout: settings.silence_timeout,
                };
                (address, io.spawn(pump_server(remote, request, for_pump)))
            }
        };
        Self {
            place,
            is_here,
            producers,
            feed,
            pump,
            decoder,
            waits: false,
            broken: 0,
            failed: None,
        }
    }

    /// The next element that is no error.
    fn next(
        &mut self,
        settings: &PartitionReaderSettings,
        bytes_read: &mut u64,
    ) -> Result<Option<Element>, PartitionError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let element = self.read(settings, bytes_read);
        self.failed = element.as_ref().err().cloned();
        element
    }

    fn read(
        &mut self,
        settings: &PartitionReaderSettings,
        bytes_read: &mut u64,
    ) -> Result<Option<Element>, PartitionError> {
        loop {
            let element = self.decoder.next().map_err(|_| {
                self.lost(
                    settings,
                    "what it sends does not follow the protocol".into(),
                )
            })?;
            match element {
                Some(Element::Missing(positions)) => {
                    return Err(PartitionError::NotFound {
                        edge: settings.edge,
                        place: self.place.clone(),
                        producers: self.named(&positions),
                    });
                }
                Some(Element::Damaged(position, reason)) => {
                    return Err(self.damaged(settings, position, reason));
                }
                Some(Element::Failed(reason)) => return Err(self.lost(settings, reason)),
                Some(element) => return Ok(Some(element)),
                None => match self.feed.take() {
                    Ok(None) => return Ok(None),
                    Ok(Some(Chunk::More(bytes))) => {
                        self.broken = 0;
                        *bytes_read += bytes.len() as u64;
                        self.decoder.push(bytes);
                    }
                    Ok(Some(Chunk::Refusal(bytes))) => self.decoder.refused(bytes),
                    Err(ended) if ended.may_go_on && self.broken < BROKEN_IN_VAIN => {
                        tracing::debug!(
                            place = self.place,
                            reason = ended.reason,
                            "asking for the rest of the partitions"
                        );
                        self.broken += 1;
                        self.feed.go_on();
                        return Ok(None);
                    }
                    Err(ended) => return Err(self.lost(settings, ended.reason)),
                },
            }
        }
    }

    fn named(&self, positions: &[u32]) -> Vec<ExecutionAttemptId> {
        positions
            .iter()
            .filter_map(|position| self.producers.get(*position as usize).copied())
            .collect()
    }

    fn lost(&self, settings: &PartitionReaderSettings, reason: String) -> PartitionError {
        PartitionError::Lost {
            edge: settings.edge,
            address: self.place.clone(),
            producers: self.producers.clone(),
            reason,
        }
    }

    fn damaged(
        &self,
        settings: &PartitionReaderSettings,
        position: u32,
        reason: String,
    ) -> PartitionError {
        let Some(producer) = self.producers.get(position as usize).copied() else {
            return self.lost(settings, reason);
        };
        let id = PartitionId {
            job: settings.job,
            edge: settings.edge,
            producer,
        };
        let file = if self.is_here {
            let path = id.data_path(std::path::Path::new(&self.place));
            path.display().to_string()
        } else {
            format!("{}/{id}.data at {}", settings.job, self.place)
        };
        PartitionError::Damaged {
            producer,
            file,
            reason,
        }
    }
}
