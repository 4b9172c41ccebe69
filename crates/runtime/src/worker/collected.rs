//! Records that the tasks of this worker collect for the program.

use flott_model::ExecutionAttemptId;
use flott_operators::{ResultFrame, ResultPort};
use flott_protocol::message::CollectedFrame;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Gives tasks their way to the program.
#[derive(Clone)]
pub(super) struct Collects(
    // Bounded by the sinks: each sends no more than the program takes, and a window.
    UnboundedSender<CollectedFrame>,
);

impl Collects {
    pub(super) fn new() -> (Self, UnboundedReceiver<CollectedFrame>) {
        let (sender, frames) = unbounded_channel();
        (Self(sender), frames)
    }

    pub(super) fn of_task(&self, attempt: ExecutionAttemptId) -> ResultPort {
        let frames = self.0.clone();
        ResultPort::new(move |frame| {
            let ResultFrame {
                sequence,
                rows,
                bytes,
                last,
            } = frame;
            // Nobody wants it when the worker ends.
            let _ = frames.send(CollectedFrame {
                attempt: attempt.into(),
                sequence,
                rows,
                bytes,
                last,
            });
        })
    }
}
