//! A channel inside one process: a bounded single-producer ring of batches, and a ring that brings
//! emptied batches back, so that the steady state allocates nothing.
//!
//! What does not fit goes to the sender's overdraft; the task that owns the sender must not process
//! further input until [`LocalSender::settle`] says that it is empty.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flott_model::CheckpointId;
use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::{Barrier, Batch, Control, Overtakes, QueueGauge, QueueLoad, Room, Waker};

/// Emptied batches that a channel keeps for its sender. A burst needs more and allocates them; kept
/// for ever by each of thousands of channels, they would be most of the process.
const SPARE: usize = 2;

/// What travels in a channel.
#[derive(Debug)]
pub enum Message<T> {
    /// Rows.
    Rows(Batch<T>),
    /// A control element.
    Control(Control),
}

impl<T> Message<T> {
    /// Whether the receiver is to hear of it before it gets there.
    fn calls(&self) -> bool {
        match self {
            Self::Control(control) => control.calls(),
            Self::Rows(_) => false,
        }
    }

    fn is_barrier_of(&self, checkpoint: CheckpointId) -> bool {
        matches!(self, Self::Control(Control::Barrier(barrier)) if barrier.checkpoint == checkpoint)
    }
}

/// The lane of barriers that do not wait for the rows in front of them.
#[derive(Debug)]
struct Lane {
    /// Where the barrier is: so many messages of the ring are in front of it; [`NOWHERE`] without one.
    /// On a cache line that nobody writes to otherwise: looking at it is free.
    at: AtomicU64,
    // A mutex: held to put a barrier and to take it.
    barrier: Mutex<Option<Barrier>>,
}

const NOWHERE: u64 = u64::MAX;

impl Lane {
    fn barrier(&self) -> MutexGuard<'_, Option<Barrier>> {
        self.barrier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What both ends tell each other, and whoever looks. Each end writes to a cache line of its own.
#[derive(Debug)]
pub(crate) struct RingCounts {
    sender: SenderCounts,
    receiver: ReceiverCounts,
    capacity: u64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct SenderCounts {
    sent: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct ReceiverCounts {
    received: AtomicU64,
    /// True while the sender waits for room; the receiver then owes it a wake-up.
    starved: AtomicBool,
}

/// Adds 1 to what only one thread writes.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

impl RingCounts {
    /// Messages that the ring has room for.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What was sent and not received, of which no more than `most` counts.
    pub(crate) fn load(&self, most: u64) -> QueueLoad {
        let received = self.receiver.received.load(Ordering::Relaxed);
        let sent = self.sender.sent.load(Ordering::Relaxed);
        let waiting = sent.saturating_sub(received).min(most);
        QueueLoad {
            buffers: waiting,
            exclusive: Room {
                used: waiting as f64,
                all: self.capacity as f64,
            },
            ..QueueLoad::default()
        }
    }
}

/// The sending end.
pub struct LocalSender<T> {
    ring: Producer<Message<T>>,
    returned: Consumer<Batch<T>>,
    receiver: Waker,
    counts: Arc<RingCounts>,
    lane: Arc<Lane>,
    overdraft: VecDeque<Message<T>>,
}

/// The receiving end.
pub struct LocalReceiver<T> {
    ring: Consumer<Message<T>>,
    returned: Producer<Batch<T>>,
    sender: Waker,
    counts: Arc<RingCounts>,
    lane: Arc<Lane>,
}

/// Makes a channel for `capacity` messages between the tasks behind the two wakers.
pub fn local_channel<T>(
    capacity: usize,
    sender: Waker,
    receiver: Waker,
) -> (LocalSender<T>, LocalReceiver<T>) {
    let (ring, incoming) = RingBuffer::new(capacity);
    let (give_back, returned) = RingBuffer::new(SPARE);
    let counts = Arc::new(RingCounts {
        sender: SenderCounts::default(),
        receiver: ReceiverCounts::default(),
        capacity: capacity as u64,
    });
    let lane = Arc::new(Lane {
        at: AtomicU64::new(NOWHERE),
        barrier: Mutex::default(),
    });
    (
        LocalSender {
            ring,
            returned,
            receiver,
            counts: Arc::clone(&counts),
            lane: Arc::clone(&lane),
            overdraft: VecDeque::new(),
        },
        LocalReceiver {
            ring: incoming,
            returned: give_back,
            sender,
            counts,
            lane,
        },
    )
}

impl<T> LocalSender<T> {
    /// Sends a message, by way of the overdraft if the ring is full.
    pub fn send(&mut self, message: Message<T>) {
        count(&self.counts.sender.sent);
        if !self.overdraft.is_empty() {
            self.overdraft.push_back(message);
            return;
        }
        let calls = message.calls();
        match self.ring.push(message) {
            Ok(()) => self.tell(calls),
            Err(PushError::Full(message)) => self.overdraft.push_back(message),
        }
    }

    fn tell(&self, calls: bool) {
        if calls {
            self.receiver.call();
        } else {
            self.receiver.wake();
        }
    }

    /// Messages that found no room in the ring.
    pub fn overdraft(&self) -> usize {
        self.overdraft.len()
    }

    /// Sends a barrier in front of what has not found room in the ring, which it gives; the receiver
    /// hears of it at once.
    pub fn overtake(&mut self, barrier: Barrier) -> impl Iterator<Item = &Message<T>> {
        self.put(barrier);
        self.overdraft.iter()
    }

    /// The barrier of a checkpoint that waits for room waits no longer: gives what it was behind.
    /// `None` if it is in the ring already.
    pub fn hurry(&mut self, checkpoint: CheckpointId) -> Option<impl Iterator<Item = &Message<T>>> {
        let mut waiting = self.overdraft.iter();
        let at = waiting.position(|message| message.is_barrier_of(checkpoint))?;
        if let Some(Message::Control(Control::Barrier(barrier))) = self.overdraft.remove(at) {
            // It never gets into the ring.
            let sent = &self.counts.sender.sent;
            sent.store(sent.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
            self.put(barrier.overtaking(Overtakes::AtOnce));
        }
        Some(self.overdraft.iter().take(at))
    }

    fn put(&mut self, barrier: Barrier) {
        let sent = self.counts.sender.sent.load(Ordering::Relaxed);
        let mut lane = self.lane.barrier();
        *lane = Some(barrier);
        // Before anything that is behind it: whoever sees that in the ring sees this.
        let at = sent - self.overdraft.len() as u64;
        self.lane.at.store(at, Ordering::Release);
        drop(lane);
        self.receiver.call();
    }

    /// Moves the overdraft into the ring. True if nothing is left: there is room for more input.
    /// After false the sender's task is woken when there is room.
    pub fn settle(&mut self) -> bool {
        while let Some(message) = self.overdraft.pop_front() {
            let calls = message.calls();
            if let Err(PushError::Full(message)) = self.ring.push(message) {
                self.overdraft.push_front(message);
                // Announce first, look again second: the receiver looks in the other order.
                self.counts.receiver.starved.store(true, Ordering::SeqCst);
                std::sync::atomic::fence(Ordering::SeqCst);
                if self.ring.is_full() {
                    return false;
                }
                continue;
            }
            self.tell(calls);
        }
        true
    }

    /// An empty batch: one that came back, or a new one.
    pub fn buffer(&mut self, rows: usize) -> Batch<T> {
        self.returned
            .pop()
            .unwrap_or_else(|_| Batch::with_capacity(rows))
    }

    /// Tells how full the ring is, and the overdraft.
    pub fn gauge(&self) -> QueueGauge {
        QueueGauge::sent(&self.counts)
    }

    /// Whether the receiver is gone: what is sent is lost.
    pub fn is_abandoned(&self) -> bool {
        self.ring.is_abandoned()
    }
}

impl<T> LocalReceiver<T> {
    /// The next message, if there is one: a barrier that overtakes comes when what was in front of it in
    /// the ring has been received, unless it was taken before.
    pub fn receive(&mut self) -> Option<Message<T>> {
        // What the ring has is looked at first: a barrier in front of it is there then.
        let found = !self.ring.is_empty();
        if self.lane.at.load(Ordering::Acquire) <= self.received()
            && let Some((barrier, _)) = self.take_barrier()
        {
            return Some(Message::Control(Control::Barrier(barrier)));
        }
        if !found {
            return None;
        }
        let message = self.ring.pop().ok()?;
        let counts = &self.counts.receiver;
        count(&counts.received);
        // Pairs with the announcement in `settle`.
        std::sync::atomic::fence(Ordering::SeqCst);
        if counts.starved.load(Ordering::Relaxed) && counts.starved.swap(false, Ordering::SeqCst) {
            self.sender.wake();
        }
        Some(message)
    }

    /// Messages received so far.
    fn received(&self) -> u64 {
        self.counts.receiver.received.load(Ordering::Relaxed)
    }

    /// Takes the barrier that overtakes, and how many messages of the ring are in front of it.
    pub fn take_barrier(&mut self) -> Option<(Barrier, usize)> {
        let mut barrier = self.lane.barrier();
        let taken = barrier.take()?;
        let at = self.lane.at.swap(NOWHERE, Ordering::AcqRel);
        let ahead = at.saturating_sub(self.received());
        Some((taken, usize::try_from(ahead).unwrap_or(usize::MAX)))
    }

    /// Shows what the ring has now, in order; it stays there.
    pub fn look(&mut self, mut each: impl FnMut(&Message<T>)) {
        let there = self.ring.slots();
        if let Ok(chunk) = self.ring.read_chunk(there) {
            // The chunk is not committed: nothing is taken.
            let (first, second) = chunk.as_slices();
            first.iter().chain(second).for_each(&mut each);
        }
    }

    /// Tells how full the ring is.
    pub fn gauge(&self) -> QueueGauge {
        QueueGauge::received(&self.counts)
    }

    /// Gives an emptied batch back to the sender.
    pub fn recycle(&mut self, mut batch: Batch<T>) {
        batch.clear();
        let _ = self.returned.push(batch);
    }

    /// Whether the sender is gone and everything it sent was received.
    pub fn is_exhausted(&self) -> bool {
        self.ring.is_empty() && self.ring.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counted() -> (Waker, Arc<Count>) {
        let (waker, count) = (Waker::default(), Arc::new(Count::default()));
        waker.bind(Arc::clone(&count) as Arc<dyn Wake>);
        (waker, count)
    }

    #[test]
    fn overdraft_keeps_order_and_wakes_the_sender_when_room_appears() {
        let ((sender, woken_sender), (receiver, woken_receiver)) = (counted(), counted());
        let (mut tx, mut rx) = local_channel::<u32>(2, sender, receiver);
        for watermark in 0..5 {
            tx.send(Message::Control(Control::Watermark(watermark)));
        }
        assert!(!tx.settle());
        assert_eq!(woken_receiver.0.load(Ordering::SeqCst), 2);
        let mut seen = Vec::new();
        while seen.len() < 5 {
            while let Some(Message::Control(Control::Watermark(time))) = rx.receive() {
                seen.push(time);
            }
            tx.settle();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
        assert!(woken_sender.0.load(Ordering::SeqCst) >= 1);
        assert!(tx.settle());
    }

    #[test]
    fn emptied_batches_come_back() {
        let (mut tx, mut rx) = local_channel::<u64>(4, Waker::default(), Waker::default());
        let mut batch = tx.buffer(100);
        batch.push(1, NO_TIMESTAMP);
        let memory = batch.rows.as_ptr();
        tx.send(Message::Rows(batch));
        let Some(Message::Rows(batch)) = rx.receive() else {
            panic!("a batch was sent")
        };
        rx.recycle(batch);
        let again = tx.buffer(100);
        assert!(again.is_empty());
        assert_eq!(again.rows.as_ptr(), memory);
    }

    #[test]
    fn both_ends_tell_what_waits() {
        let (mut tx, mut rx) = local_channel::<u32>(2, Waker::default(), Waker::default());
        let (sent, received) = (tx.gauge(), rx.gauge());
        let told = || {
            let (sent, received) = (sent.load(), received.load());
            assert_eq!(sent.bytes + received.bytes, 0);
            let usage = (sent.room().usage(), received.room().usage());
            (sent.buffers, received.buffers, usage)
        };
        assert_eq!(told(), (0, 0, (0.0, 0.0)));
        tx.send(Message::Control(Control::Watermark(1)));
        assert_eq!(told(), (1, 1, (0.5, 0.5)));
        for watermark in 2..5 {
            tx.send(Message::Control(Control::Watermark(watermark)));
        }
        assert_eq!(told(), (4, 2, (1.0, 1.0)), "two are in the overdraft");
        while rx.receive().is_some() {
            tx.settle();
        }
        assert_eq!(told(), (0, 0, (0.0, 0.0)));
    }

    #[test]
    fn the_end_of_either_side_is_seen() {
        let (tx, rx) = local_channel::<u64>(4, Waker::default(), Waker::default());
        drop(tx);
        assert!(rx.is_exhausted());
        let (tx, rx) = local_channel::<u64>(4, Waker::default(), Waker::default());
        drop(rx);
        assert!(tx.is_abandoned());
    }

    fn watermark(time: i64) -> Message<u64> {
        Message::Control(Control::Watermark(time))
    }

    fn controls(rx: &mut LocalReceiver<u64>, most: usize) -> Vec<Control> {
        let all = std::iter::from_fn(|| rx.receive()).take(most);
        let controls = all.map(|message| match message {
            Message::Control(control) => control,
            Message::Rows(_) => panic!("nobody sent rows"),
        });
        controls.collect()
    }

    #[test]
    fn a_barrier_overtakes_what_has_no_room_and_is_known_at_once() {
        let receiver = Waker::default();
        let (mut tx, mut rx) = local_channel::<u64>(2, Waker::default(), receiver.clone());
        (0..5).for_each(|time| tx.send(watermark(time)));
        assert!(!receiver.take_call());
        let barrier = Barrier::for_tests(7).overtaking(Overtakes::AtOnce);
        assert_eq!(tx.overtake(barrier).count(), 3);
        assert!(receiver.take_call() && !receiver.take_call());
        let mut seen = Vec::new();
        rx.look(|message| seen.push(format!("{message:?}")));
        assert_eq!(seen.len(), 2);
        assert_eq!(rx.take_barrier(), Some((barrier, 2)));
        assert_eq!(rx.take_barrier(), None);
        assert_eq!(controls(&mut rx, 9), [0, 1].map(Control::Watermark));
        assert!(!tx.settle());
    }

    #[test]
    fn a_barrier_that_nobody_took_is_in_front_of_what_came_behind_it() {
        for received in 0..=2 {
            let (mut tx, mut rx) = local_channel::<u64>(4, Waker::default(), Waker::default());
            (0..2).for_each(|time| tx.send(watermark(time)));
            let before = controls(&mut rx, received);
            let barrier = Barrier::for_tests(7).overtaking(Overtakes::AtOnce);
            assert_eq!(tx.overtake(barrier).count(), 0);
            (2..4).for_each(|time| tx.send(watermark(time)));
            let all = [before, controls(&mut rx, 9)].concat();
            let [a, b, c, d] = [0, 1, 2, 3].map(Control::Watermark);
            assert_eq!(all, [a, b, Control::Barrier(barrier), c, d]);
        }
    }

    #[test]
    fn a_barrier_that_waits_for_room_can_be_hurried() {
        let receiver = Waker::default();
        let (mut tx, mut rx) = local_channel::<u64>(2, Waker::default(), receiver.clone());
        (0..3).for_each(|time| tx.send(watermark(time)));
        let barrier = Barrier::for_tests(7).overtaking(Overtakes::AfterMs(5));
        tx.send(Message::Control(Control::Barrier(barrier)));
        tx.send(watermark(3));
        assert_eq!(tx.gauge().load().buffers, 5);
        assert_eq!(tx.hurry(CheckpointId(7)).map(Iterator::count), Some(1));
        assert!(receiver.take_call());
        assert!(tx.hurry(CheckpointId(7)).is_none(), "it waits no longer");
        assert_eq!(tx.gauge().load().buffers, 4);
        let hurried = barrier.overtaking(Overtakes::AtOnce);
        let first = controls(&mut rx, 3);
        let [a, b, c, d] = [0, 1, 2, 3].map(Control::Watermark);
        assert_eq!(first, [a, b, Control::Barrier(hurried)]);
        assert!(tx.settle());
        assert_eq!(controls(&mut rx, 9), [c, d]);
    }

    use crate::NO_TIMESTAMP;
}
