//! What a barrier overtakes in front of a task: found in the channels, copied, and handed over when the
//! barrier has come on all of them. Nothing here happens while no barrier overtakes.

use std::collections::VecDeque;

use flott_model::CheckpointId;
use flott_network::{Barrier, Batch, Control, DataFrame};
use flott_operators::checkpoint::{ChannelEnd, InFlight};
use flott_record::Record;

use super::merge::{Event, Merge};

/// Of a channel whose barrier is awaited no more is processed when so many bytes were copied.
const KEPT_MOST: u64 = 4 << 20;

/// What is copied of one channel.
pub(super) struct Tap {
    end: Option<ChannelEnd>,
    /// What is received is copied, until the barrier of this checkpoint comes.
    open: Option<CheckpointId>,
    /// Messages in front of the channel that were copied already.
    copied: usize,
    /// Messages in front of the barrier, once it has come and nothing was copied yet.
    ahead: Option<usize>,
    kept: Option<InFlight>,
    kept_bytes: u64,
    /// Bytes that were received behind the snapshot and in front of the barrier.
    processed: u64,
}

impl Tap {
    /// Of that channel; one without an end is never tapped.
    pub(super) fn new(end: Option<ChannelEnd>) -> Self {
        Self {
            end,
            open: None,
            copied: 0,
            ahead: None,
            kept: None,
            kept_bytes: 0,
            processed: 0,
        }
    }

    /// Rows were received.
    #[inline(always)]
    pub(super) fn rows<T: Record>(&mut self, batch: &Batch<T>) {
        if self.open.is_some() {
            self.processed += (batch.len() * size_of::<T>()) as u64;
            if !self.was_copied() {
                self.keep_rows(batch);
            }
        }
    }

    /// Encoded rows were received.
    #[inline(always)]
    pub(super) fn frame(&mut self, frame: &DataFrame) {
        if self.open.is_some() {
            self.processed += frame.payload.len() as u64;
            if !self.was_copied() {
                self.keep_frame(frame);
            }
        }
    }

    /// A control element was received.
    #[inline(always)]
    pub(super) fn control(&mut self, control: Control) {
        let Some(checkpoint) = self.open else { return };
        match control {
            Control::Barrier(barrier) if barrier.checkpoint == checkpoint => self.close(),
            Control::End => self.close(),
            // One that was copied may have grown since.
            Control::Watermark(_) => {
                self.was_copied();
                self.keep_control(control);
            }
            _ if self.was_copied() => (),
            _ => self.keep_control(control),
        }
    }

    fn was_copied(&mut self) -> bool {
        let copied = self.copied > 0;
        self.copied = self.copied.saturating_sub(1);
        copied
    }

    pub(super) fn keep_rows<T: Record>(&mut self, batch: &Batch<T>) {
        if let Some(kept) = &mut self.kept {
            kept.rows(batch);
            self.kept_bytes += (batch.len() * size_of::<T>()) as u64;
        }
    }

    pub(super) fn keep_frame(&mut self, frame: &DataFrame) {
        if let Some(kept) = &mut self.kept {
            kept.frame(frame.clone());
            self.kept_bytes += frame.payload.len() as u64;
        }
    }

    pub(super) fn keep_control(&mut self, control: Control) {
        if let Some(kept) = &mut self.kept {
            kept.control(control);
        }
    }

    /// Whether the message at that place is to be copied, if those before `until` are.
    pub(super) fn wants(&self, at: usize, until: usize) -> bool {
        at >= self.copied && at < until
    }

    /// The same of a control element: into the last watermark that was copied another one may have been
    /// merged.
    pub(super) fn wants_control(&self, at: usize, until: usize, control: Control) -> bool {
        let again = at + 1 == self.copied && matches!(control, Control::Watermark(_));
        at < until && (again || at >= self.copied)
    }

    /// The first so many messages are copied now.
    pub(super) fn kept(&mut self, messages: usize) {
        self.copied = self.copied.max(messages);
    }

    fn begin(&mut self) {
        self.kept = self.end.map(InFlight::new);
        self.copied = 0;
        self.kept_bytes = 0;
        self.processed = 0;
    }

    /// Memory for copies is used up, and the barrier has not come.
    pub(super) fn keeps_much(&self) -> bool {
        self.open.is_some() && self.kept_bytes > KEPT_MOST
    }

    fn close(&mut self) {
        self.open = None;
        self.ahead = None;
    }
}

/// Looks for what ends a channel's share in a checkpoint.
pub(super) struct Found {
    barrier: CheckpointId,
    or_end: bool,
    seen: usize,
    at: Option<usize>,
}

impl Found {
    /// The barrier of that checkpoint, or the end if that will do.
    pub(super) fn new(barrier: Barrier, or_end: bool) -> Self {
        Self {
            barrier: barrier.checkpoint,
            or_end,
            seen: 0,
            at: None,
        }
    }

    /// The next message; `None`: rows.
    pub(super) fn see(&mut self, control: Option<Control>) {
        let ends = match control {
            Some(Control::Barrier(barrier)) => barrier.checkpoint == self.barrier,
            Some(Control::End) => self.or_end,
            _ => false,
        };
        if ends {
            self.at.get_or_insert(self.seen);
        }
        self.seen += 1;
    }

    /// How many messages are in front of it, if it is there.
    pub(super) fn at(&self) -> Option<usize> {
        self.at
    }
}

/// The channels of one type of record, as barriers that overtake see them.
pub(super) trait Taps {
    /// The barrier that overtakes has come on this channel: takes it once, with the number of messages
    /// in front of it.
    fn take_barrier(&mut self, channel: usize) -> Option<(Barrier, usize)>;
    fn tap(&mut self, channel: usize) -> &mut Tap;
    /// How many messages of those that wait are in front of that barrier, or of the end if that will do.
    fn find(&mut self, channel: usize, barrier: Barrier, or_end: bool) -> Option<usize>;
    /// A barrier among the messages that wait, if it will overtake them after a while.
    fn patient(&mut self, channel: usize) -> Option<Barrier>;
    /// Copies the first so many messages, as far as they are not copied.
    fn keep(&mut self, channel: usize, until: usize);
    /// Copies what is left of the batch that is being processed.
    fn keep_rest(&mut self);
}

/// All inputs of a task.
pub(super) struct AllTaps<'a> {
    pub(super) merge: &'a mut Merge,
    /// Each with its channels, in order.
    pub(super) inputs: [(&'a mut dyn Taps, usize); 2],
    /// The barrier that overtakes, once the head was told.
    pub(super) told: &'a mut Option<Barrier>,
}

impl AllTaps<'_> {
    fn channels(&self) -> usize {
        self.inputs[0].1 + self.inputs[1].1
    }

    fn at(&mut self, channel: usize) -> (&mut dyn Taps, usize) {
        let [(first, split), (second, _)] = &mut self.inputs;
        match channel.checked_sub(*split) {
            None => (&mut **first, channel),
            Some(channel) => (&mut **second, channel),
        }
    }

    /// Takes the barriers that have come. The newest of those that will overtake rows after a while.
    pub(super) fn look(&mut self, events: &mut VecDeque<Event>) -> Option<Barrier> {
        let mut patient: Option<Barrier> = None;
        for channel in 0..self.channels() {
            let (taps, own) = self.at(channel);
            let found = taps.patient(own);
            let newest = patient.map(|it| it.checkpoint);
            patient = found.filter(|it| Some(it.checkpoint) > newest).or(patient);
            if let Some((barrier, ahead)) = taps.take_barrier(own)
                && self.merge.overtake(Some(channel), barrier, events)
            {
                let (taps, own) = self.at(channel);
                taps.tap(own).ahead = Some(ahead);
            }
        }
        self.settle();
        patient
    }

    /// The barrier, which is between the rows, waits no longer. Whether some channel has it.
    pub(super) fn hurry(&mut self, barrier: Barrier, events: &mut VecDeque<Event>) -> bool {
        let mut any = self.merge.aligning().map(|it| it.checkpoint) == Some(barrier.checkpoint);
        if any {
            self.merge.overtake(None, barrier, events);
        }
        for channel in 0..self.channels() {
            if self.merge.has_ended(channel) {
                continue;
            }
            let (taps, own) = self.at(channel);
            let Some(ahead) = taps.find(own, barrier, false) else {
                continue;
            };
            if self.merge.overtake(Some(channel), barrier, events) {
                let (taps, own) = self.at(channel);
                taps.tap(own).ahead = Some(ahead);
                any = true;
            }
        }
        self.settle();
        any
    }

    /// The head is told the barrier now: copies what waits in front of it.
    pub(super) fn snapshot(&mut self, barrier: Barrier) {
        for channel in 0..self.channels() {
            let (taps, own) = self.at(channel);
            taps.tap(own).begin();
        }
        for (taps, channels) in &mut self.inputs {
            if *channels > 0 {
                taps.keep_rest();
            }
        }
        for channel in 0..self.channels() {
            if self.merge.has_ended(channel) {
                continue;
            }
            let awaited = self.merge.awaits(channel);
            let (taps, own) = self.at(channel);
            let ahead = taps.tap(own).ahead.take();
            let ahead = match awaited {
                true => taps.find(own, barrier, true),
                false => Some(ahead.unwrap_or(0)),
            };
            taps.keep(own, ahead.unwrap_or(usize::MAX));
            taps.tap(own).open = ahead.is_none().then_some(barrier.checkpoint);
            if ahead.is_some() {
                self.merge.has_come(channel);
            }
        }
        *self.told = Some(barrier);
    }

    /// Copies what came on the channels whose barrier was awaited.
    fn settle(&mut self) {
        let Some(barrier) = *self.told else { return };
        for channel in 0..self.channels() {
            let awaited = self.merge.awaits(channel);
            let (taps, own) = self.at(channel);
            if taps.tap(own).open.is_none() {
                continue;
            }
            let ahead = match taps.tap(own).ahead.take() {
                Some(ahead) => Some(ahead),
                None if awaited => taps.find(own, barrier, true),
                // It was received.
                None => Some(0),
            };
            if let Some(ahead) = ahead {
                taps.keep(own, ahead);
                taps.tap(own).close();
                self.merge.has_come(channel);
            }
        }
    }

    /// What the barrier overtook, and the bytes that were processed meanwhile, if it has come on all
    /// channels.
    pub(super) fn take(&mut self) -> Option<(Vec<InFlight>, u64)> {
        if self.told.is_none() || self.merge.awaits_any() {
            return None;
        }
        self.settle();
        *self.told = None;
        let (mut all, mut processed) = (Vec::new(), 0);
        for channel in 0..self.channels() {
            let (taps, own) = self.at(channel);
            let tap = taps.tap(own);
            processed += tap.processed;
            all.extend(tap.kept.take().filter(|kept| !kept.is_empty()));
        }
        Some((all, processed))
    }

    /// Nobody wants the checkpoint any more.
    pub(super) fn abort(&mut self, checkpoint: CheckpointId) {
        self.merge.abort(checkpoint);
        if self.told.is_some_and(|told| told.checkpoint == checkpoint) {
            *self.told = None;
        }
        if self.told.is_none() {
            for channel in 0..self.channels() {
                let (taps, own) = self.at(channel);
                taps.tap(own).close();
                taps.tap(own).kept = None;
            }
        }
    }
}

/// No channels.
pub(super) struct NoTaps(Tap);

impl Default for NoTaps {
    fn default() -> Self {
        Self(Tap::new(None))
    }
}

impl Taps for NoTaps {
    fn take_barrier(&mut self, _: usize) -> Option<(Barrier, usize)> {
        None
    }

    fn tap(&mut self, _: usize) -> &mut Tap {
        &mut self.0
    }

    fn find(&mut self, _: usize, _: Barrier, _: bool) -> Option<usize> {
        None
    }

    fn patient(&mut self, _: usize) -> Option<Barrier> {
        None
    }

    fn keep(&mut self, _: usize, _: usize) {}

    fn keep_rest(&mut self) {}
}
