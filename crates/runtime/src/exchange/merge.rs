//! What the control elements of several channels mean together: the smallest watermark of those
//! that are not idle, barriers once all have come, the end once all have ended. In BATCH also: the
//! end of a range of keys once all channels with keys are through with it.

use std::collections::VecDeque;
use std::ops::Range;

use flott_model::CheckpointId;
use flott_network::{Barrier, Control};

/// What the head of a task is told, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A control element of all inputs together.
    Control(Control),
    /// The first of two inputs has ended.
    End1,
    /// The second of two inputs has ended.
    End2,
    /// The first barrier of a checkpoint that overtakes rows has come: the head is told it before any of
    /// the rows that wait.
    Overtake(Barrier),
}

#[derive(Debug)]
struct Channel {
    ended: bool,
    /// Its barrier has come, those of others have not.
    blocked: bool,
    idle: bool,
    /// BATCH: gives one range of keys after the other.
    keyed: bool,
    /// It gave all of the current range.
    range_over: bool,
    /// Because of that, or because what has no keys comes first: nothing is taken from it.
    waits: bool,
    /// Behind what was told already, since it was idle: does not count until it has caught up.
    behind: bool,
    /// A barrier overtakes rows, and this channel's has not come.
    awaited: bool,
    /// While it is awaited nothing is taken from this channel: enough of it was copied.
    held: bool,
    watermark: i64,
}

/// The control state of all channels of a task.
#[derive(Debug)]
pub(super) struct Merge {
    channels: Vec<Channel>,
    live: usize,
    blocked: usize,
    /// The newest barrier that has come on any channel.
    barrier: Option<Barrier>,
    /// The newest checkpoint whose barrier overtook rows here.
    overtaken: Option<CheckpointId>,
    /// The newest checkpoint that was given up: its barriers may still come.
    aborted: Option<CheckpointId>,
    /// Channels go on after their barrier: rows may count twice after a restore.
    at_least_once: bool,
    watermark: i64,
    idle: bool,
}

impl Merge {
    /// One channel per item, which says whether it gives one range of keys after the other. If some
    /// do, the others are read whole before: what they bring (a broadcast) is for all ranges.
    pub(super) fn with_keys(keyed: impl Iterator<Item = bool>) -> Self {
        let keyed: Vec<bool> = keyed.collect();
        let mut merge = Self::new(keyed.len());
        for (channel, keyed) in merge.channels.iter_mut().zip(keyed) {
            channel.keyed = keyed;
        }
        merge.hold_keys();
        merge
    }

    fn new(channels: usize) -> Self {
        let channel = || Channel {
            ended: false,
            blocked: false,
            idle: false,
            keyed: false,
            range_over: false,
            waits: false,
            behind: false,
            awaited: false,
            held: false,
            watermark: i64::MIN,
        };
        Self {
            channels: (0..channels).map(|_| channel()).collect(),
            live: channels,
            blocked: 0,
            barrier: None,
            overtaken: None,
            aborted: None,
            at_least_once: false,
            watermark: i64::MIN,
            idle: false,
        }
    }

    /// Channels that have had their barrier go on at once (`AT_LEAST_ONCE`).
    pub(super) fn go_on_after_barriers(&mut self) {
        self.at_least_once = true;
    }

    /// Whether a channel may deliver.
    #[inline(always)]
    pub(super) fn is_open(&self, channel: usize) -> bool {
        let channel = &self.channels[channel];
        let held = channel.held && channel.awaited;
        (!channel.blocked || self.at_least_once) && !channel.ended && !channel.waits && !held
    }

    /// The watermark of some of the channels by themselves.
    pub(super) fn watermark_of(&self, channels: Range<usize>) -> i64 {
        let channels = &self.channels[channels];
        let open = channels.iter().filter(|channel| !channel.ended);
        let active = open.clone().filter(|channel| !channel.idle);
        let smallest = active.map(|channel| channel.watermark).min();
        // What is idle holds nothing back; what has ended neither.
        let latest = || open.map(|channel| channel.watermark).max();
        smallest.or_else(latest).unwrap_or(i64::MAX)
    }

    pub(super) fn has_ended(&self, channel: usize) -> bool {
        self.channels[channel].ended
    }

    /// A control element of one channel; what it means for all is appended.
    pub(super) fn control(&mut self, index: usize, control: Control, events: &mut VecDeque<Event>) {
        let channel = &mut self.channels[index];
        match control {
            Control::Watermark(watermark) => {
                channel.watermark = channel.watermark.max(watermark);
                channel.idle = false;
                channel.behind &= channel.watermark < self.watermark;
                self.advance(events);
            }
            Control::Idle => {
                channel.idle = true;
                self.advance(events);
            }
            Control::Active => {
                channel.idle = false;
                channel.behind = channel.watermark < self.watermark;
                self.advance(events);
            }
            Control::Barrier(barrier) => self.barrier(index, barrier, events),
            Control::End => {
                channel.awaited = false;
                if !std::mem::replace(&mut channel.ended, true) {
                    self.live -= 1;
                }
                // A channel that ends counts as aligned, or its peers' barrier would wait for ever.
                self.align(events);
                self.end_range(events);
                self.hold_keys();
                self.advance(events);
                if self.live == 0 {
                    events.push_back(Event::Control(Control::End));
                }
            }
            Control::KeysEnd => {
                channel.range_over = channel.keyed;
                channel.waits |= channel.keyed;
                self.end_range(events);
            }
            Control::Marker(_) => events.push_back(Event::Control(control)),
        }
    }

    /// Channels with keys wait until those without have ended.
    fn hold_keys(&mut self) {
        let mut others = self.channels.iter().filter(|channel| !channel.keyed);
        let hold = others.any(|channel| !channel.ended);
        for channel in self.channels.iter_mut().filter(|channel| channel.keyed) {
            channel.waits = hold || channel.range_over;
        }
    }

    /// A range of keys ends when all channels with keys are through with it.
    fn end_range(&mut self, events: &mut VecDeque<Event>) {
        let mut keyed = self.channels.iter().filter(|channel| channel.keyed);
        let over = keyed.clone().any(|channel| channel.range_over);
        if !over || !keyed.all(|channel| channel.range_over || channel.ended) {
            return;
        }
        for channel in &mut self.channels {
            channel.range_over = false;
        }
        self.hold_keys();
        events.push_back(Event::Control(Control::KeysEnd));
    }

    fn advance(&mut self, events: &mut VecDeque<Event>) {
        let open = self.channels.iter().filter(|channel| !channel.ended);
        let idle = self.live > 0 && open.clone().all(|channel| channel.idle);
        let watermark = match self.live {
            0 => Some(i64::MAX),
            _ => open
                .filter(|channel| !channel.idle && !channel.behind)
                .map(|channel| channel.watermark)
                .min(),
        };
        if self.idle && !idle {
            events.push_back(Event::Control(Control::Active));
        }
        if let Some(watermark) = watermark
            && watermark > self.watermark
        {
            self.watermark = watermark;
            events.push_back(Event::Control(Control::Watermark(watermark)));
        }
        if idle && !self.idle {
            // What is idle holds nothing back: the latest of them counts for all.
            let latest = self.channels.iter().filter(|channel| !channel.ended);
            let latest = latest.map(|channel| channel.watermark).max();
            if let Some(latest) = latest.filter(|latest| *latest > self.watermark) {
                self.watermark = latest;
                events.push_back(Event::Control(Control::Watermark(latest)));
            }
            events.push_back(Event::Control(Control::Idle));
        }
        self.idle = idle;
    }

    fn barrier(&mut self, index: usize, barrier: Barrier, events: &mut VecDeque<Event>) {
        let overtakes = barrier.overtakes_at_once();
        if overtakes || self.overtaken >= Some(barrier.checkpoint) {
            self.overtake(Some(index), barrier, events);
            return;
        }
        let newest = self.barrier.map(|known| known.checkpoint);
        let older = newest.is_some_and(|newest| barrier.checkpoint < newest);
        if older || self.aborted == Some(barrier.checkpoint) {
            return; // Given up, or when the newer one came.
        }
        if newest != Some(barrier.checkpoint) {
            // Who waits for the one before waits in vain: it was given up on the way.
            self.release();
        }
        self.barrier = Some(barrier);
        let channel = &mut self.channels[index];
        if !std::mem::replace(&mut channel.blocked, true) {
            self.blocked += 1;
        }
        self.align(events);
    }

    /// A barrier that overtakes rows has come on a channel, or is begun here. Whether the channel has it
    /// now; false if it comes too late to mean something.
    pub(super) fn overtake(
        &mut self,
        index: Option<usize>,
        barrier: Barrier,
        events: &mut VecDeque<Event>,
    ) -> bool {
        let checkpoint = Some(barrier.checkpoint);
        if self.overtaken > checkpoint || self.aborted >= checkpoint {
            return false;
        }
        if self.overtaken < checkpoint {
            // What waits for an older one waits in vain; whoever waits for this one has it.
            let newest = self.barrier.map(|known| known.checkpoint);
            if newest > checkpoint {
                return false;
            }
            let aligned = newest == checkpoint;
            for channel in &mut self.channels {
                channel.awaited = !(channel.ended || aligned && channel.blocked);
                channel.held = false;
            }
            self.release();
            self.overtaken = checkpoint;
            self.barrier = Some(barrier);
            // Nothing follows the end.
            let end = Event::Control(Control::End);
            let before = events.iter().position(|event| *event == end);
            events.insert(before.unwrap_or(events.len()), Event::Overtake(barrier));
        }
        match index {
            Some(index) => std::mem::replace(&mut self.channels[index].awaited, false),
            None => true,
        }
    }

    /// A barrier overtakes rows, and this channel's has not come.
    pub(super) fn awaits(&self, channel: usize) -> bool {
        self.channels[channel].awaited
    }

    /// Takes nothing from this channel until its barrier has come, which is seen all the same.
    pub(super) fn hold(&mut self, channel: usize) {
        self.channels[channel].held = true;
    }

    /// Nothing more is to come on this channel for the barrier that overtakes.
    pub(super) fn has_come(&mut self, channel: usize) {
        self.channels[channel].awaited = false;
    }

    /// Some channel's barrier that overtakes rows has not come.
    pub(super) fn awaits_any(&self) -> bool {
        self.channels.iter().any(|channel| channel.awaited)
    }

    /// The checkpoint was given up: nobody waits for its barriers.
    pub(super) fn abort(&mut self, checkpoint: CheckpointId) {
        self.aborted = self.aborted.max(Some(checkpoint));
        if self.overtaken == Some(checkpoint) {
            for channel in &mut self.channels {
                channel.awaited = false;
            }
        }
        if self.barrier.map(|barrier| barrier.checkpoint) == Some(checkpoint) {
            self.release();
        }
    }

    /// The barrier that has come on some channels and not on others.
    #[inline(always)]
    pub(super) fn aligning(&self) -> Option<Barrier> {
        if self.blocked > 0 { self.barrier } else { None }
    }

    fn release(&mut self) {
        self.blocked = 0;
        for channel in &mut self.channels {
            channel.blocked = false;
        }
    }

    fn align(&mut self, events: &mut VecDeque<Event>) {
        let open = self.channels.iter().filter(|channel| !channel.ended);
        if self.blocked == 0 || { open }.any(|channel| !channel.blocked) {
            return;
        }
        self.release();
        events.extend(self.barrier.map(|it| Event::Control(Control::Barrier(it))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(merge: &mut Merge, channel: usize, control: Control) -> Vec<Control> {
        let mut events = VecDeque::new();
        merge.control(channel, control, &mut events);
        let controls = events.into_iter().map(|event| match event {
            Event::Control(control) => control,
            other => panic!("{other:?}"),
        });
        controls.collect()
    }

    #[test]
    fn idle_channels_hold_nobody_back() {
        let mut merge = Merge::new(2);
        assert_eq!(feed(&mut merge, 0, Control::Watermark(10)), []);
        assert_eq!(feed(&mut merge, 1, Control::Idle), [Control::Watermark(10)]);
        assert_eq!(
            feed(&mut merge, 0, Control::Watermark(20)),
            [Control::Watermark(20)]
        );
        // Back again, and behind: it must catch up before it counts.
        assert_eq!(feed(&mut merge, 1, Control::Active), []);
        assert_eq!(feed(&mut merge, 1, Control::Watermark(5)), []);
        assert_eq!(
            feed(&mut merge, 0, Control::Watermark(30)),
            [Control::Watermark(30)]
        );
        assert_eq!(feed(&mut merge, 1, Control::Watermark(31)), []);
        assert_eq!(
            feed(&mut merge, 0, Control::Watermark(40)),
            [Control::Watermark(31)]
        );
    }

    fn open(merge: &Merge) -> Vec<bool> {
        let channels = 0..merge.channels.len();
        channels.map(|channel| merge.is_open(channel)).collect()
    }

    fn barrier(checkpoint: u64) -> Control {
        Control::Barrier(Barrier::for_tests(checkpoint))
    }

    #[test]
    fn channels_wait_for_the_barriers_of_the_others() {
        let mut merge = Merge::new(3);
        assert_eq!(feed(&mut merge, 0, barrier(1)), []);
        assert_eq!(open(&merge), [false, true, true]);
        assert_eq!(feed(&mut merge, 2, barrier(1)), []);
        assert!(merge.aligning().is_some());
        assert_eq!(feed(&mut merge, 1, barrier(1)), [barrier(1)]);
        assert_eq!(open(&merge), [true, true, true]);
        assert!(merge.aligning().is_none());
    }

    #[test]
    fn the_end_of_a_channel_is_as_good_as_its_barrier() {
        let mut merge = Merge::new(2);
        assert_eq!(feed(&mut merge, 0, barrier(1)), []);
        assert_eq!(feed(&mut merge, 1, Control::End), [barrier(1)]);
        assert_eq!(feed(&mut merge, 0, barrier(2)), [barrier(2)]);
        // A channel that ends behind its barrier does not stand in for the other.
        let mut merge = Merge::new(3);
        assert_eq!(feed(&mut merge, 0, barrier(1)), []);
        assert_eq!(feed(&mut merge, 1, barrier(1)), []);
        merge.abort(CheckpointId(1));
        assert_eq!(feed(&mut merge, 0, Control::End), []);
        assert_eq!(feed(&mut merge, 1, barrier(2)), []);
        assert_eq!(feed(&mut merge, 2, barrier(2)), [barrier(2)]);
    }

    #[test]
    fn a_newer_barrier_ends_the_wait_for_one_that_was_given_up() {
        let mut merge = Merge::new(2);
        assert_eq!(feed(&mut merge, 0, barrier(1)), []);
        assert_eq!(feed(&mut merge, 1, barrier(2)), []);
        assert_eq!(open(&merge), [true, false]);
        assert_eq!(feed(&mut merge, 0, barrier(2)), [barrier(2)]);
        // A straggler of the old one.
        assert_eq!(feed(&mut merge, 1, barrier(1)), []);
        assert_eq!(open(&merge), [true, true]);
    }

    #[test]
    fn what_was_given_up_blocks_nobody() {
        let mut merge = Merge::new(2);
        assert_eq!(feed(&mut merge, 0, barrier(5)), []);
        merge.abort(CheckpointId(4));
        assert_eq!(open(&merge), [false, true]);
        merge.abort(CheckpointId(5));
        assert_eq!(open(&merge), [true, true]);
        // It was on its way.
        assert_eq!(feed(&mut merge, 1, barrier(5)), []);
        assert_eq!(open(&merge), [true, true]);
        assert_eq!(feed(&mut merge, 1, barrier(6)), []);
        assert_eq!(feed(&mut merge, 0, barrier(6)), [barrier(6)]);
    }

    #[test]
    fn at_least_once_stops_no_channel() {
        let mut merge = Merge::new(2);
        merge.go_on_after_barriers();
        assert_eq!(feed(&mut merge, 0, barrier(1)), []);
        assert_eq!(open(&merge), [true, true]);
        assert_eq!(feed(&mut merge, 1, barrier(1)), [barrier(1)]);
        assert_eq!(feed(&mut merge, 1, barrier(2)), []);
        assert_eq!(feed(&mut merge, 0, barrier(2)), [barrier(2)]);
    }

    #[test]
    fn ranges_of_keys_are_read_in_lockstep() {
        let mut merge = Merge::with_keys([true, true].into_iter());
        assert_eq!(feed(&mut merge, 0, Control::KeysEnd), []);
        assert_eq!(open(&merge), [false, true]);
        assert_eq!(feed(&mut merge, 1, Control::KeysEnd), [Control::KeysEnd]);
        assert_eq!(open(&merge), [true, true]);
        assert_eq!(feed(&mut merge, 1, Control::KeysEnd), []);
        // Nothing follows a channel's end: it is through with every range.
        assert_eq!(feed(&mut merge, 0, Control::End), [Control::KeysEnd]);
        assert_eq!(open(&merge), [false, true]);
        assert_eq!(
            feed(&mut merge, 1, Control::End),
            [Control::Watermark(i64::MAX), Control::End]
        );
    }

    #[test]
    fn what_has_no_keys_is_read_first() {
        let mut merge = Merge::with_keys([false, true, false].into_iter());
        assert_eq!(open(&merge), [true, false, true]);
        // Not said by such channels; if it is, it means nothing.
        assert_eq!(feed(&mut merge, 2, Control::KeysEnd), []);
        assert_eq!(feed(&mut merge, 2, Control::End), []);
        assert_eq!(open(&merge), [true, false, false]);
        assert_eq!(feed(&mut merge, 0, Control::End), []);
        assert_eq!(open(&merge), [false, true, false]);
        assert_eq!(feed(&mut merge, 1, Control::KeysEnd), [Control::KeysEnd]);
        assert_eq!(open(&merge), [false, true, false]);
    }

    #[test]
    fn each_input_has_a_watermark_by_itself() {
        let mut merge = Merge::new(3);
        feed(&mut merge, 0, Control::Watermark(10));
        assert_eq!(merge.watermark_of(0..2), i64::MIN);
        feed(&mut merge, 1, Control::Watermark(20));
        feed(&mut merge, 2, Control::Watermark(5));
        assert_eq!(merge.watermark_of(0..2), 10);
        assert_eq!(merge.watermark_of(2..3), 5);
        feed(&mut merge, 0, Control::Idle);
        assert_eq!(merge.watermark_of(0..2), 20, "it holds nothing back");
        feed(&mut merge, 1, Control::Idle);
        assert_eq!(merge.watermark_of(0..2), 20);
        feed(&mut merge, 2, Control::End);
        assert_eq!(merge.watermark_of(2..3), i64::MAX);
    }

    #[test]
    fn all_idle_is_told_with_the_latest_watermark() {
        let mut merge = Merge::new(2);
        feed(&mut merge, 0, Control::Watermark(7));
        assert_eq!(feed(&mut merge, 0, Control::Idle), []);
        assert_eq!(
            feed(&mut merge, 1, Control::Idle),
            [Control::Watermark(7), Control::Idle]
        );
        assert_eq!(
            feed(&mut merge, 1, Control::Watermark(9)),
            [Control::Active, Control::Watermark(9)]
        );
    }
}
