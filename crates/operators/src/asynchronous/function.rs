//! What the user gives: the function that makes futures, and how they are run.

use std::future::Future;
use std::marker::PhantomData;
use std::time::Duration;

use flott_record::Record;

use super::AsyncRetryStrategy;
use crate::process::{BoxError, FunctionResult, RuntimeContext};

/// Calls something outside for each record, and emits what comes back. Many calls of one subtask
/// are under way at once.
///
/// The futures run on the process's I/O threads (a tokio runtime): they may await anything, and must
/// not block. Each subtask works with a clone of its own, which all its calls share.
pub trait AsyncFunction<In>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Called once in each subtask before its first record: makes clients, for example.
    ///
    /// # Errors
    /// Fail the task.
    fn open(&mut self, cx: &mut RuntimeContext<'_>) -> FunctionResult {
        let _ = cx;
        Ok(())
    }

    /// The call for one record: what it returns is emitted, with the record's event time. It may be
    /// written as `async fn`. After an error the record is tried again if the strategy of the
    /// options says so.
    ///
    /// # Errors
    /// Fail the task, if the record is not tried again.
    fn async_invoke(
        &self,
        input: In,
    ) -> impl Future<Output = FunctionResult<Vec<Self::Out>>> + Send;

    /// What is emitted for a record whose call, with all tries, took too long. The call has been
    /// dropped.
    ///
    /// # Errors
    /// Fail the task, which is what happens by default.
    fn timeout(&self, input: In) -> FunctionResult<Vec<Self::Out>> {
        let _ = input;
        Err("the asynchronous call did not finish within its timeout".into())
    }

    /// Called when the input has ended and all calls with it, not when the task fails or is
    /// cancelled.
    ///
    /// # Errors
    /// Fail the task.
    fn close(&self) -> FunctionResult {
        Ok(())
    }
}

/// A closure that returns a future of one record, as an [`AsyncFunction`].
pub struct AsyncFn<F, Out> {
    function: F,
    types: PhantomData<fn() -> Out>,
}

impl<F, Out> AsyncFn<F, Out> {
    /// The closure as a function.
    pub fn new(function: F) -> Self {
        Self {
            function,
            types: PhantomData,
        }
    }
}

impl<F: Clone, Out> Clone for AsyncFn<F, Out> {
    fn clone(&self) -> Self {
        Self::new(self.function.clone())
    }
}

impl<In, Out, F, Fut, E> AsyncFunction<In> for AsyncFn<F, Out>
where
    In: Send,
    Out: Record,
    F: Fn(In) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Out, E>> + Send,
    E: Into<BoxError>,
{
    type Out = Out;

    fn async_invoke(&self, input: In) -> impl Future<Output = FunctionResult<Vec<Out>>> + Send {
        let call = (self.function)(input);
        async move { call.await.map(|out| vec![out]).map_err(Into::into) }
    }
}

/// How asynchronous calls are run.
pub struct AsyncOptions<Out> {
    pub(crate) timeout: Duration,
    pub(crate) capacity: usize,
    pub(crate) retry: Option<AsyncRetryStrategy<Out>>,
}

impl<Out> Clone for AsyncOptions<Out> {
    fn clone(&self) -> Self {
        Self {
            timeout: self.timeout,
            capacity: self.capacity,
            retry: self.retry.clone(),
        }
    }
}

impl<Out> AsyncOptions<Out> {
    /// Calls that may take so long, all tries of a record together; up to 100 at once in each
    /// subtask, each tried once. `Duration::MAX`: as long as they like.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            capacity: 100,
            retry: None,
        }
    }

    /// How many records of each subtask may be under way at once, at least 1; default: 100. When
    /// there are so many, the subtask takes no further records.
    #[must_use]
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity.max(1);
        self
    }

    /// When a record is tried again; default: never.
    #[must_use]
    pub fn retry(mut self, strategy: AsyncRetryStrategy<Out>) -> Self {
        self.retry = Some(strategy);
        self
    }
}
