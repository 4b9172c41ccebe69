//! A bounded queue from I/O beside the task to the reader inside it.

use std::sync::Arc;

use flott_network::Waker;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

/// A queue of at most `capacity` items whose sending wakes the task.
pub fn handover<T: Send>(capacity: usize, task: Waker) -> (HandoverSender<T>, Handover<T>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    let sender = HandoverSender {
        sender,
        end: Arc::new(WakeAtEnd(task)),
    };
    (sender, Handover { receiver })
}

/// The sending side. When the last clone is dropped the reader finds the queue ended.
pub struct HandoverSender<T> {
    // Before the end: the queue is closed when the task is woken for that.
    sender: mpsc::Sender<T>,
    end: Arc<WakeAtEnd>,
}

impl<T> Clone for HandoverSender<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            end: Arc::clone(&self.end),
        }
    }
}

struct WakeAtEnd(Waker);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl<T: Send> HandoverSender<T> {
    /// Sends from a future, waiting for room. Whether anybody still reads.
    pub async fn send(&self, item: T) -> bool {
        let sent = self.sender.send(item).await.is_ok();
        self.end.0.wake();
        sent
    }

    /// Sends from a thread that may block, waiting for room. Whether anybody still reads.
    ///
    /// # Panics
    /// Inside a future.
    pub fn blocking_send(&self, item: T) -> bool {
        let sent = self.sender.blocking_send(item).is_ok();
        self.end.0.wake();
        sent
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until nobody reads any more.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// The reader's side.
pub struct Handover<T> {
    receiver: mpsc::Receiver<T>,
}

impl<T> Handover<T> {
    /// The next item, if there is one now.
    pub fn poll(&mut self) -> Handed<T> {
        match self.receiver.try_recv() {
            Ok(item) => Handed::Item(item),
            Err(TryRecvError::Empty) => Handed::Pending,
            Err(TryRecvError::Disconnected) => Handed::Ended,
        }
    }
}

/// What [`Handover::poll`] finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Handed<T> {
    /// This.
    Item(T),
    /// Nothing now; the task will be woken.
    Pending,
    /// Nothing ever again.
    Ended,
}
