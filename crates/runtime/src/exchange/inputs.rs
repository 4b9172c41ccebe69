//! The input channels of one type of record, and what was received and not processed yet.

use std::sync::Arc;

use flott_network::{
    Barrier, Batch, Control, DataFrame, LocalReceiver, Message, Overtakes, QueueGauge,
    RemoteMessage, RemoteReceiver,
};
use flott_operators::checkpoint::ChannelEnd;
use flott_operators::{BatchSink, TaskCounters, TaskError};
use flott_record::Record;
use flott_record::codec::Values;

use super::blocking::PartitionEvent;
use super::tap::{Found, Tap, Taps};
use super::{InputHalf, PartitionInput, unbox};
use crate::pieces::Pieces;

/// One incoming channel.
pub enum InputChannel<T> {
    /// From a task of this process.
    Local(LocalReceiver<T>, ChannelEnd),
    /// From a task of another process.
    Remote(RemoteReceiver, ChannelEnd),
    /// From the partitions of a blocking edge.
    Partition(Box<PartitionInput>),
}

impl<T: 'static> InputChannel<T> {
    /// The typed channel of a half.
    pub fn new(half: InputHalf) -> Self {
        match half {
            InputHalf::Local(boxed, end) => Self::Local(unbox(boxed), end),
            InputHalf::Remote(receiver, end) => Self::Remote(receiver, end),
            InputHalf::Partition(input) => Self::Partition(input),
        }
    }

    /// Which channel it is; partitions have no barriers.
    fn end(&self) -> Option<ChannelEnd> {
        match self {
            Self::Local(_, end) | Self::Remote(_, end) => Some(*end),
            Self::Partition(_) => None,
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
    /// The channel that rows came from last.
    last: usize,
    /// What a barrier overtakes, by channel.
    taps: Vec<Tap>,
    /// Our own batch, for rows from other processes, while a channel's is in `pieces`.
    own: Batch<T>,
    counters: Arc<TaskCounters>,
}

impl<T: Record> Channels<T> {
    pub(super) fn new(channels: Vec<InputChannel<T>>, counters: Arc<TaskCounters>) -> Self {
        counters.inputs.watch(channels.iter().filter_map(gauge));
        let ends = channels.iter().map(InputChannel::end);
        Self {
            taps: ends.map(Tap::new).collect(),
            last: 0,
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
            InputChannel::Local(..) | InputChannel::Remote(..) => false,
        })
    }

    /// The next element of one channel. The pieces must be empty.
    #[inline]
    pub(super) fn receive(&mut self, index: usize) -> Result<Received, TaskError> {
        let tap = &mut self.taps[index];
        match &mut self.channels[index] {
            InputChannel::Local(receiver, _) => match receiver.receive() {
                None => Ok(Received::Nothing),
                Some(Message::Control(control)) => {
                    tap.control(control);
                    Ok(Received::Control(control))
                }
                Some(Message::Rows(batch)) => {
                    tap.rows(&batch);
                    self.last = index;
                    TaskCounters::add(&self.counters.records_in, batch.len() as u64);
                    TaskCounters::add(&self.counters.buffers_in_local, 1);
                    self.own = std::mem::replace(self.pieces.batch(), batch);
                    self.origin = Some(index);
                    Ok(Received::Rows)
                }
            },
            InputChannel::Remote(receiver, _) => match receiver
                .receive()
                .map_err(|error| TaskError::transient(format!("receiving failed: {error}")))?
            {
                None => Ok(Received::Nothing),
                Some(RemoteMessage::Control(control)) => {
                    tap.control(control);
                    Ok(Received::Control(control))
                }
                Some(RemoteMessage::Data(frame)) => {
                    tap.frame(&frame);
                    self.last = index;
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
            && let InputChannel::Local(receiver, _) = &mut self.channels[index]
        {
            let own = std::mem::take(&mut self.own);
            receiver.recycle(std::mem::replace(self.pieces.batch(), own));
        }
    }
}

impl<T: Record> Channels<T> {
    /// See [`Tap::keeps_much`].
    pub(super) fn keeps_much(&self, channel: usize) -> bool {
        self.taps[channel].keeps_much()
    }

    /// Takes rows back that the head has not begun with.
    pub(super) fn take_back(&mut self, head: &mut dyn BatchSink<T>) {
        self.pieces.take_back(head);
    }
}

impl<T: Record> Taps for Channels<T> {
    fn take_barrier(&mut self, channel: usize) -> Option<(Barrier, usize)> {
        match &mut self.channels[channel] {
            InputChannel::Local(receiver, _) => receiver.take_barrier(),
            InputChannel::Remote(receiver, _) => receiver.take_barrier(),
            InputChannel::Partition(_) => None,
        }
    }

    fn tap(&mut self, channel: usize) -> &mut Tap {
        &mut self.taps[channel]
    }

    fn find(&mut self, channel: usize, barrier: Barrier, or_end: bool) -> Option<usize> {
        let mut found = Found::new(barrier, or_end);
        match &mut self.channels[channel] {
            InputChannel::Local(receiver, _) => receiver.look(|message| match message {
                Message::Control(control) => found.see(Some(*control)),
                Message::Rows(_) => found.see(None),
            }),
            InputChannel::Remote(receiver, _) => {
                receiver.look(|message| found.see(message.err()));
            }
            InputChannel::Partition(_) => (),
        }
        found.at()
    }

    fn patient(&mut self, channel: usize) -> Option<Barrier> {
        let mut found = None;
        let mut see = |control: Option<Control>| {
            if let Some(Control::Barrier(barrier)) = control
                && matches!(barrier.overtakes, Overtakes::AfterMs(_))
            {
                found = Some(barrier);
            }
        };
        match &mut self.channels[channel] {
            InputChannel::Local(receiver, _) => receiver.look(|message| match message {
                Message::Control(control) => see(Some(*control)),
                Message::Rows(_) => (),
            }),
            InputChannel::Remote(receiver, _) => receiver.look(|message| see(message.err())),
            InputChannel::Partition(_) => (),
        }
        found
    }

    fn keep(&mut self, channel: usize, until: usize) {
        let tap = &mut self.taps[channel];
        let mut at = 0;
        match &mut self.channels[channel] {
            InputChannel::Local(receiver, _) => receiver.look(|message| {
                match message {
                    Message::Rows(batch) if tap.wants(at, until) => tap.keep_rows(batch),
                    Message::Control(control) if tap.wants_control(at, until, *control) => {
                        tap.keep_control(*control);
                    }
                    Message::Rows(_) | Message::Control(_) => (),
                }
                at += 1;
            }),
            InputChannel::Remote(receiver, _) => receiver.look(|message| {
                match message {
                    Ok(frame) if tap.wants(at, until) => tap.keep_frame(frame),
                    Err(control) if tap.wants_control(at, until, control) => {
                        tap.keep_control(control);
                    }
                    Ok(_) | Err(_) => (),
                }
                at += 1;
            }),
            InputChannel::Partition(_) => (),
        }
        tap.kept(at.min(until));
    }

    fn keep_rest(&mut self) {
        if let Some(tap) = self.taps.get_mut(self.last) {
            tap.keep_rows(self.pieces.batch());
        }
    }
}

/// Tells what waits in a channel.
fn gauge<T>(channel: &InputChannel<T>) -> Option<QueueGauge> {
    match channel {
        InputChannel::Local(receiver, _) => Some(receiver.gauge()),
        InputChannel::Remote(receiver, _) => Some(receiver.gauge()),
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
