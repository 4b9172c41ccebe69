//! Sinks without their types, as the graph of a program holds them. What may block runs on threads
//! of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use flott_filesystem::FileSystems;
use flott_record::{Record, codec};

use super::api::Sink;
use super::{CommitStage, CommitterContext};
use crate::TaskError;
use crate::source::SubmissionContext;

/// Makes outputs visible, with each checkpoint and at the end of the job; possibly again after a
/// failure in the middle: committing what is committed already succeeds.
pub type AnyCommitter = Arc<
    dyn Fn(
            Arc<FileSystems>,
            CommitStage,
            Vec<Vec<u8>>,
        ) -> Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>
        + Send
        + Sync,
>;

/// The committer of a sink. `context` is asked when it runs, in the runtime where it runs.
pub fn any_committer<In: Record, S: Sink<In>>(
    sink: Arc<S>,
    context: impl Fn(Arc<FileSystems>) -> CommitterContext + Send + Sync + 'static,
) -> AnyCommitter {
    Arc::new(move |files, stage, committables| {
        let (sink, context) = (Arc::clone(&sink), context(files).at(stage));
        Box::pin(off_thread("committer", move || {
            commit::<In, S>(&sink, &context, &committables)
        }))
    })
}

fn commit<In: Record, S: Sink<In>>(
    sink: &S,
    context: &CommitterContext,
    committables: &[Vec<u8>],
) -> Result<(), TaskError> {
    let committables: Vec<_> = committables
        .iter()
        .map(|bytes| codec::decode(&mut bytes.as_slice()))
        .collect::<Result<_, _>>()
        .map_err(|error| TaskError::fatal(format!("a committable cannot be read: {error}")))?;
    match sink.create_committer(context)? {
        Some(mut committer) => committer.commit(committables),
        None if committables.is_empty() => Ok(()),
        None => Err(TaskError::user(
            "the writers of a sink gave committables, but it has no committer: implement \
             Sink::create_committer, or return nothing from SinkWriter::prepare_commit",
        )),
    }
}

/// Has the sink look at its target when the job is submitted.
pub async fn prepare<In: Record, S: Sink<In>>(
    sink: Arc<S>,
    context: SubmissionContext,
) -> Result<Vec<u8>, TaskError> {
    off_thread("check", move || sink.prepare(&context)).await
}

/// Has the sink remove what a job left that did not finish.
pub async fn abandon<In: Record, S: Sink<In>>(
    sink: Arc<S>,
    context: CommitterContext,
) -> Result<(), TaskError> {
    off_thread("clean-up", move || sink.abandon(&context)).await
}

async fn off_thread<R: Send + 'static>(
    what: &'static str,
    run: impl FnOnce() -> Result<R, TaskError> + Send + 'static,
) -> Result<R, TaskError> {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.unwrap_or_else(|error| {
        Err(TaskError::user(format!(
            "the {what} of a sink panicked: {error}"
        )))
    })
}
