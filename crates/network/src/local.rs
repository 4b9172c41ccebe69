//! A channel inside one process: a bounded single-producer ring of batches, and a ring that brings
//! emptied batches back, so that the steady state allocates nothing.
//!
//! What does not fit goes to the sender's overdraft; the task that owns the sender must not process
//! further input until [`LocalSender::settle`] says that it is empty.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use crate::{Batch, Control, QueueGauge, QueueLoad, Room, Waker};

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
    overdraft: VecDeque<Message<T>>,
}

/// The receiving end.
pub struct LocalReceiver<T> {
    ring: Consumer<Message<T>>,
    returned: Producer<Batch<T>>,
    sender: Waker,
    counts: Arc<RingCounts>,
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
    (
        LocalSender {
            ring,
            returned,
            receiver,
            counts: Arc::clone(&counts),
            overdraft: VecDeque::new(),
        },
        LocalReceiver {
            ring: incoming,
            returned: give_back,
            sender,
            counts,
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
        match self.ring.push(message) {
            Ok(()) => self.receiver.wake(),
            Err(PushError::Full(message)) => self.overdraft.push_back(message),
        }
    }

    /// Moves the overdraft into the ring. True if nothing is left: there is room for more input.
    /// After false the sender's task is woken when there is room.
    pub fn settle(&mut self) -> bool {
        while let Some(message) = self.overdraft.pop_front() {
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
            self.receiver.wake();
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
    /// The next message, if there is one.
    pub fn receive(&mut self) -> Option<Message<T>> {
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

    use crate::NO_TIMESTAMP;
}
