//! The engine's own threads: `execute()` may be called inside somebody else's tokio runtime.

use std::future::Future;

use crate::error::Error;

/// Threads of the runtime that serves control messages and file I/O of a worker.
const IO_THREADS: usize = 2;

/// Runs a future to its end on a thread of its own.
pub(crate) fn run<F>(future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("the system has a thread and an event queue left");
            runtime.block_on(future)
        });
        match thread.join() {
            Ok(output) => output,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Runs the future that `make` returns in a runtime with several threads, to its end.
pub(crate) fn run_threaded<F, R>(make: impl FnOnce() -> F + Send) -> Result<R, Error>
where
    F: Future<Output = R>,
    R: Send,
{
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| on_threads(make));
        match thread.join() {
            Ok(output) => output,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// As [`run_threaded`], on a thread that is nobody's runtime.
pub(crate) fn on_threads<F: Future>(make: impl FnOnce() -> F) -> Result<F::Output, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .max_blocking_threads(16)
        .thread_name("flott-io")
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()
        .map_err(|source| Error::Io {
            doing: "starting the engine's threads",
            source,
        })?;
    let output = runtime.block_on(make());
    // Blocking file calls that are left do not hold up the end of the job.
    runtime.shutdown_background();
    Ok(output)
}
