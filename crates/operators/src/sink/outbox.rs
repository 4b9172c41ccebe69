//! From a writer inside a task to its I/O beside it: a bounded queue that never blocks the task.

use std::collections::VecDeque;
use std::future::Future;
use std::task::Poll;

use flott_network::Waker;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::TaskError;

/// The writer's side. Dropping it ends the [`Inbox`].
pub struct Outbox<T> {
    /// What did not fit into the queue.
    waiting: VecDeque<T>,
    /// `None`: nothing follows.
    sender: Option<mpsc::Sender<T>>,
    ended: oneshot::Receiver<Result<(), TaskError>>,
    done: bool,
}

impl<T: Send + 'static> Outbox<T> {
    pub(super) fn start<F>(
        capacity: usize,
        io: &tokio::runtime::Handle,
        task: Waker,
        run: impl FnOnce(Inbox<T>) -> F,
    ) -> Self
    where
        F: Future<Output = Result<(), TaskError>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let (end, ended) = oneshot::channel();
        let work = run(Inbox {
            receiver,
            task: task.clone(),
        });
        io.spawn(async move {
            // Dropped in the opposite order, also by a panic: who is woken finds the end.
            let _wake = WakeAtEnd(task);
            let end = end;
            let result = work.await;
            let _ = end.send(result);
        });
        Self {
            waiting: VecDeque::new(),
            sender: Some(sender),
            ended,
            done: false,
        }
    }

    /// Adds an item; [`Outbox::settle`] sends it.
    pub fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// Sends what fits into the queue. Whether nothing is left; if something is, the task will be
    /// woken. Fails with what the future behind the queue failed with.
    pub fn settle(&mut self) -> Result<bool, TaskError> {
        let Some(sender) = &self.sender else {
            return Ok(true);
        };
        while let Some(item) = self.waiting.pop_front() {
            match sender.try_send(item) {
                Ok(()) => (),
                Err(TrySendError::Full(item)) => {
                    self.waiting.push_front(item);
                    return Ok(false);
                }
                Err(TrySendError::Closed(item)) => {
                    self.waiting.push_front(item);
                    return self.ended_early().map(|()| false);
                }
            }
        }
        if sender.is_closed() {
            return self.ended_early().map(|()| false);
        }
        Ok(true)
    }

    /// Nothing follows: ready when the future behind the queue has ended well. Called until then.
    pub fn finish(&mut self) -> Result<Poll<()>, TaskError> {
        if self.done {
            return Ok(Poll::Ready(()));
        }
        if !self.settle()? {
            return Ok(Poll::Pending);
        }
        self.sender = None;
        match self.ended.try_recv() {
            Ok(result) => {
                self.done = true;
                result.map(Poll::Ready)
            }
            Err(TryRecvError::Empty) => Ok(Poll::Pending),
            Err(TryRecvError::Closed) => Err(given_up()),
        }
    }

    /// Why nobody takes items any more; `Ok` if that is not known yet, but will be told by a wake-up.
    fn ended_early(&mut self) -> Result<(), TaskError> {
        match self.ended.try_recv() {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) => Err(TaskError::transient("the output was closed too early")),
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Closed) => Err(given_up()),
        }
    }
}

fn given_up() -> TaskError {
    TaskError::transient("the output was given up: its I/O panicked, or the worker is stopping")
}

struct WakeAtEnd(Waker);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The side of the future.
pub struct Inbox<T> {
    receiver: mpsc::Receiver<T>,
    task: Waker,
}

impl<T> Inbox<T> {
    /// The next item, when there is one; `None`: nothing follows, because the writer has finished or
    /// was dropped.
    pub async fn recv(&mut self) -> Option<T> {
        let item = self.receiver.recv().await;
        // There is room.
        self.task.wake();
        item
    }

    /// Whether the writer has finished or was dropped; items may be left.
    pub fn is_closed(&self) -> bool {
        self.receiver.is_closed()
    }
}

/// Confirms something to a writer.
pub struct Confirm<R> {
    sender: oneshot::Sender<R>,
    task: Waker,
}

impl<R> Confirm<R> {
    pub(super) fn new(sender: oneshot::Sender<R>, task: Waker) -> Self {
        Self { sender, task }
    }

    /// Tells the result, and wakes the task.
    pub fn confirm(self, result: R) {
        let _ = self.sender.send(result);
        self.task.wake();
    }
}

/// What a writer waits for.
pub struct Confirmation<R>(oneshot::Receiver<R>);

impl<R> Confirmation<R> {
    pub(super) fn new(receiver: oneshot::Receiver<R>) -> Self {
        Self(receiver)
    }

    /// The result, once it is there; `None`: nobody will confirm, and [`Outbox::settle`] says why.
    pub fn poll(&mut self) -> Poll<Option<R>> {
        match self.0.try_recv() {
            Ok(result) => Poll::Ready(Some(result)),
            Err(TryRecvError::Empty) => Poll::Pending,
            Err(TryRecvError::Closed) => Poll::Ready(None),
        }
    }
}
