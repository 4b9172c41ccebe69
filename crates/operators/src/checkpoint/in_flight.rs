//! What was on its way in a channel when a barrier overtook it: as the task kept it, and as a restored
//! task gets it.

use std::fmt;

use flott_model::EdgeId;
use flott_network::{Batch, Control, DataFrame, NO_TIMESTAMP};
use flott_record::{Record, codec};
use flott_state::{ChannelBlob, ChannelElement};

use crate::TaskError;

/// A channel, seen from the task at one of its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelEnd {
    /// The edge.
    pub edge: EdgeId,
    /// The subtask at the other end.
    pub peer: u32,
    /// This is the receiving end.
    pub receives: bool,
}

impl ChannelEnd {
    /// Some channel, for tests that look at none of it.
    #[doc(hidden)]
    pub fn for_tests(peer: u32, receives: bool) -> Self {
        Self {
            edge: EdgeId(0),
            peer,
            receives,
        }
    }
}

/// What was on its way in a channel, at one of its ends.
pub struct InFlight {
    /// The channel.
    pub channel: ChannelEnd,
    kept: Vec<Kept>,
}

enum Kept {
    Rows(Box<dyn Rows>),
    Frame(DataFrame),
    Watermark(i64),
    Idle(bool),
}

/// Rows that are encoded later, by another thread.
trait Rows: Send + Sync {
    fn encode(&self, blob: &mut ChannelBlob) -> Result<(), codec::CodecError>;
}

impl<T: Record> Rows for Batch<T> {
    fn encode(&self, blob: &mut ChannelBlob) -> Result<(), codec::CodecError> {
        let timed = !self.timestamps.is_empty();
        // A batch has a few thousand rows.
        blob.rows(self.rows.len() as u32, timed, |out| {
            for (at, row) in self.rows.iter().enumerate() {
                if timed {
                    let time = self.timestamps.get(at).copied().unwrap_or(NO_TIMESTAMP);
                    out.extend_from_slice(&time.to_le_bytes());
                }
                codec::encode(row, out)?;
            }
            Ok(())
        })
    }
}

impl InFlight {
    /// Of that channel, without anything yet.
    pub fn new(channel: ChannelEnd) -> Self {
        Self {
            channel,
            kept: Vec::new(),
        }
    }

    /// Whether nothing was on its way.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Adds a copy of these rows.
    pub fn rows<T: Record>(&mut self, batch: &Batch<T>) {
        if !batch.is_empty() {
            self.kept.push(Kept::Rows(Box::new(Batch {
                rows: batch.rows.clone(),
                timestamps: batch.timestamps.clone(),
                hashes: Vec::new(),
            })));
        }
    }

    /// Adds encoded rows.
    pub fn frame(&mut self, frame: DataFrame) {
        self.kept.push(Kept::Frame(frame));
    }

    /// Adds a control element, if it means something to who begins from the checkpoint.
    pub fn control(&mut self, control: Control) {
        let kept = match control {
            Control::Watermark(watermark) => Kept::Watermark(watermark),
            Control::Idle => Kept::Idle(true),
            Control::Active => Kept::Idle(false),
            // The end comes again, from the sender.
            Control::Barrier(_) | Control::Marker(_) | Control::KeysEnd | Control::End => return,
        };
        self.kept.push(kept);
    }

    /// As a blob; `schema`: hash of the layout of the edge's records.
    ///
    /// # Errors
    /// If a record cannot be serialized.
    pub fn encode(&self, schema: u64) -> Result<Vec<u8>, TaskError> {
        let mut blob = ChannelBlob::new(schema);
        for kept in &self.kept {
            match kept {
                Kept::Rows(rows) => rows.encode(&mut blob).map_err(|error| {
                    TaskError::user(format!("a record on its way cannot be serialized: {error}"))
                })?,
                Kept::Frame(frame) => {
                    let copied = blob.rows(frame.rows, frame.has_timestamps, |out| {
                        out.extend_from_slice(&frame.payload);
                        Ok::<(), std::convert::Infallible>(())
                    });
                    match copied {
                        Ok(()) => (),
                        Err(never) => match never {},
                    }
                }
                Kept::Watermark(watermark) => blob.watermark(*watermark),
                Kept::Idle(idle) => blob.idle(*idle),
            }
        }
        Ok(blob.finish())
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = out.debug_struct("InFlight");
        shown.field("channel", &self.channel);
        shown.field("elements", &self.kept.len()).finish()
    }
}

/// What a restored task sends before anything new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// To this subtask; `None`: wherever the rows belong now.
    pub target: Option<u32>,
    /// In order.
    pub elements: Vec<ChannelElement>,
}
