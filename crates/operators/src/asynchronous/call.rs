//! One call: a future on the I/O threads, all its tries, and how its outcome comes back.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use flott_network::Waker;
use flott_record::Record;
use tokio::task::AbortHandle;

use super::{AsyncFunction, AsyncOptions, AsyncRetryStrategy};
use crate::SubtaskContext;
use crate::process::FunctionResult;

/// How a call ended.
pub(super) enum Outcome<Out> {
    Done(FunctionResult<Vec<Out>>),
    /// It took too long and was dropped.
    TimedOut,
}

/// Calls that have ended, on their way to the task.
pub(super) struct Ended<Out> {
    // A std mutex: held to add one outcome, or to take all.
    outcomes: Mutex<Vec<(u64, Outcome<Out>)>>,
    waker: Waker,
}

impl<Out> Ended<Out> {
    pub(super) fn new(waker: Waker) -> Arc<Self> {
        Arc::new(Self {
            outcomes: Mutex::default(),
            waker,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Outcome<Out>)>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves all to the end of `outcomes`.
    pub(super) fn take(&self, outcomes: &mut Vec<(u64, Outcome<Out>)>) {
        outcomes.append(&mut self.lock());
    }

    fn add(&self, number: u64, outcome: Outcome<Out>) {
        self.lock().push((number, outcome));
        self.waker.wake();
    }
}

/// A call under way; dropped, it is given up.
pub(super) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the call of that number.
pub(super) fn start<In, F>(
    function: &Arc<F>,
    options: &AsyncOptions<F::Out>,
    (number, input): (u64, In),
    ended: &Arc<Ended<F::Out>>,
    context: &SubtaskContext,
) -> Running
where
    In: Record,
    F: AsyncFunction<In>,
{
    let (function, ended) = (Arc::clone(function), Arc::clone(ended));
    let retry = options.retry.clone();
    // Not the clock of the task: a task that waits for room or capacity does not look at it.
    let timeout = options.timeout;
    let task = context.io.spawn(async move {
        let tries = unpanicked(tries(&*function, retry, input));
        let outcome = match tokio::time::timeout(timeout, tries).await {
            Ok(result) => Outcome::Done(result),
            Err(_) => Outcome::TimedOut,
        };
        ended.add(number, outcome);
    });
    Running(task.abort_handle())
}

async fn tries<In, F>(
    function: &F,
    retry: Option<AsyncRetryStrategy<F::Out>>,
    input: In,
) -> FunctionResult<Vec<F::Out>>
where
    In: Record,
    F: AsyncFunction<In>,
{
    let Some(retry) = retry else {
        return function.async_invoke(input).await;
    };
    let mut attempt = 1;
    loop {
        let outcome = function.async_invoke(input.clone()).await;
        match retry.delay_after(attempt, &outcome) {
            None => return outcome,
            Some(delay) => tokio::time::sleep(delay).await,
        }
        attempt += 1;
    }
}

/// A panic of the user's code becomes an error: the task must hear of it.
async fn unpanicked<Out>(
    call: impl Future<Output = FunctionResult<Vec<Out>>>,
) -> FunctionResult<Vec<Out>> {
    let mut call = pin!(call);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))).unwrap_or_else(|panic| {
            Poll::Ready(Err(format!(
                "the asynchronous call panicked: {}",
                text(&*panic)
            )
            .into()))
        })
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
