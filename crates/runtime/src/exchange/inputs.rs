//! The input channels of one type of record, and what was received and not processed yet.

use std::sync::Arc;

use flott_network::{
    Batch, Control, DataFrame, LocalReceiver, Message, QueueGauge, RemoteMessage, RemoteReceiver,
};
use flott_operators::{TaskCounters, TaskError};
use flott_record::Record;
use flott_record::codec::Values;

use super::blocking::PartitionEvent;
use super::{InputHalf, PartitionInput, unbox};
use crate::pieces::Pieces;

/// One incoming channel.
pub enum InputChannel<T> {
    /// From a task of this process.
    Local(LocalReceiver<T>),
    /// From a task of another process.
    Remote(RemoteReceiver),
    /// From the partitions of a blocking edge.
    Partition(Box<PartitionInput>),
}

impl<T: 'static> InputChannel<T> {
    /// The typed channel of a half.
    pub fn new(half: InputHalf) -> Self {
        match half {
            InputHalf::Local(boxed) => Self::Local(unbox(boxed)),
            InputHalf::Remote(receiver) => Self::Remote(receiver),
            InputHalf::Partition(input) => Self::Partition(input),
        }
    }
}

/// What a look at a channel found.
pub(super) enum Received {
    /// Nothing.
    Nothing,
    /// Rows, which are now in the pieces.
    Rows,
    /// A control element.
    Control(Control),
}

/// The channels of one input.
pub(super) struct Channels<T> {
    channels: Vec<InputChannel<T>>,
    pub(super) pieces: Pieces<T>,
    /// The local channel that gets the emptied batch back.
    origin: Option<usize>,
    /// Our own batch, for rows from other processes, while a channel's is in `pieces`.
    own: Batch<T>,
    counters: Arc<TaskCounters>,
}

impl<T: Record> Channels<T> {
    pub(super) fn new(channels: Vec<InputChannel<T>>, counters: Arc<TaskCounters>) -> Self {
        counters.inputs.watch(channels.iter().filter_map(gauge));
        Self {
            channels,
            pieces: Pieces::new(Batch::default()),
            origin: None,
            own: Batch::default(),
            counters,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len()
    }

    /// For each channel, whether it gives one range of keys after the other.
    pub(super) fn keyed(&self) -> impl Iterator<Item = bool> {
        self.channels.iter().map(|channel| match channel {
            InputChannel::Partition(input) => input.is_keyed(),
            InputChannel::Local(_) | InputChannel::Remote(_) => false,
        })
    }

    /// The next element of one channel. The pieces must be empty.
    #[inline]
    pub(super) fn receive(&mut self, index: usize) -> Result<Received, TaskError> {
        match &mut self.channels[index] {
            InputChannel::Local(receiver) => match receiver.receive() {
                None => Ok(Received::Nothing),
                Some(Message::Control(control)) => Ok(Received::Control(control)),
                Some(Message::Rows(batch)) => {
                    TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                    TaskCounters::add(&self.counters.buffers_in_local, 1);
                    self.own = std::mem::replace(self.pieces.batch(), batch);
                    self.origin = Some(index);
                    Ok(Received::Rows)
                }
            },
            InputChannel::Remote(receiver) => match receiver
                .receive()
                .map_err(|error| TaskError::transient(format!("receiving failed: {error}")))?
            {
                None => Ok(Received::Nothing),
                Some(RemoteMessage::Control(control)) => Ok(Received::Control(control)),
                Some(RemoteMessage::Data(frame)) => {
                    let batch = self.pieces.batch();
                    decode(&frame, batch)?;
                    TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                    TaskCounters::add(&self.counters.bytes_in, frame.payload.len() as u64);
                    TaskCounters::add(&self.counters.buffers_in_remote, 1);
                    receiver.recycle(frame.payload);
                    Ok(Received::Rows)
                }
            },
            InputChannel::Partition(input) => match input.receive()? {
                None => Ok(Received::Nothing),
                Some(PartitionEvent::Control(control)) => Ok(Received::Control(control)),
                Some(PartitionEvent::Rows(frame)) => {
                    let batch = self.pieces.batch();
                    decode(&frame, batch)?;
                    TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                    TaskCounters::add(&self.counters.bytes_in, frame.payload.len() as u64);
                    Ok(Received::Rows)
                }
            },
        }
    }

    /// After the last piece: the emptied batch goes back to where it came from.
    #[inline]
    pub(super) fn give_back(&mut self) {
        if self.pieces.is_empty()
            && let Some(index) = self.origin.take()
            && let InputChannel::Local(receiver) = &mut self.channels[index]
        {
            let own = std::mem::take(&mut self.own);
            receiver.recycle(std::mem::replace(self.pieces.batch(), own));
        }
    }
}

/// Tells what waits in a channel.
fn gauge<T>(channel: &InputChannel<T>) -> Option<QueueGauge> {
    match channel {
        InputChannel::Local(receiver) => Some(receiver.gauge()),
        InputChannel::Remote(receiver) => Some(receiver.gauge()),
        InputChannel::Partition(_) => None,
    }
}

/// Decodes the rows of a frame, each after its event time if it has one.
pub(super) fn decode<T: Record>(frame: &DataFrame, into: &mut Batch<T>) -> Result<(), TaskError> {
    let mut values = Values::new(&frame.payload);
    let undecodable = |error: &dyn std::fmt::Display| {
        TaskError::user(format!("a record cannot be read: {error}"))
    };
    // A row of zero bytes is possible; memory is bounded by the frame's row count.
    into.rows.reserve(frame.rows as usize);
    for _ in 0..frame.rows {
        if frame.has_timestamps {
            let timestamp: i64 = values.read().map_err(|error| undecodable(&error))?;
            into.timestamps.push(timestamp);
        }
        into.rows
            .push(values.read().map_err(|error| undecodable(&error))?);
    }
    match values.rest().len() {
        0 => Ok(()),
        left => Err(undecodable(&format!("{left} bytes are left over"))),
    }
}
