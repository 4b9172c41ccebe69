//! The sending handle of a remote channel.

use std::sync::Arc;

use flott_model::CheckpointId;

use super::network::Shared;
use super::outbound::{OutChannel, OutLink};
use super::{DataFrame, NetworkError, RemoteMessage};
use crate::{Barrier, Control, QueueGauge};

/// Sends frames to one receiver in another worker. Dropping it closes the channel: without an end,
/// the receiver gets an error.
pub struct RemoteSender {
    shared: Arc<Shared>,
    link: Arc<OutLink>,
    channel: Arc<OutChannel>,
    bytes_sent: u64,
}

impl RemoteSender {
    pub(super) fn new(shared: Arc<Shared>, link: Arc<OutLink>, channel: Arc<OutChannel>) -> Self {
        Self {
            shared,
            link,
            channel,
            bytes_sent: 0,
        }
    }

    /// An empty buffer, a little larger than a frame. Send it as soon as it holds `frame_bytes`.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.shared.pool().get()
    }

    /// Sends rows: at once if there is credit, else when there is, in order.
    pub fn send(&mut self, frame: DataFrame) {
        self.bytes_sent += frame.payload.len() as u64;
        let limit = self.shared.settings().max_record_bytes;
        self.channel.flow().push(frame, limit);
        self.link.schedule(&self.channel);
    }

    /// Sends a control element, after everything sent before. It needs no credit of its own.
    pub fn control(&mut self, control: Control) {
        self.channel.flow().push_control(control);
        self.link.schedule(&self.channel);
    }

    /// Sends a barrier in front of all that waits for credit or for the link, which it gives.
    pub fn overtake(&mut self, barrier: Barrier) -> Vec<RemoteMessage> {
        let overtaken = self.channel.flow().overtake(barrier);
        self.link.schedule(&self.channel);
        overtaken
    }

    /// The barrier of a checkpoint that waits for credit or for the link waits no longer: gives what it
    /// was behind. `None` if it is on its way already.
    pub fn hurry(&mut self, checkpoint: CheckpointId) -> Option<Vec<RemoteMessage>> {
        let overtaken = self.channel.flow().hurry(checkpoint);
        self.link.schedule(&self.channel);
        overtaken
    }

    /// Payloads and control elements that wait for credit or for the link.
    pub fn waiting(&self) -> usize {
        self.channel.flow().waiting()
    }

    /// Whether credit covers everything sent. After `false` the task is woken when it does, and
    /// should send nothing more until then. The error is final.
    pub fn settle(&mut self) -> Result<bool, NetworkError> {
        self.channel.flow().settle()
    }

    /// What ended the channel, if something did.
    pub fn error(&self) -> Option<NetworkError> {
        self.channel.flow().error().cloned()
    }

    /// Tells what waits for credit or for the link.
    pub fn gauge(&self) -> QueueGauge {
        QueueGauge::outgoing(&self.channel, self.shared.settings().frame_bytes)
    }

    /// Bytes of payload given to `send` so far.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }
}

impl Drop for RemoteSender {
    fn drop(&mut self) {
        self.link.release(&self.channel);
    }
}

impl std::fmt::Debug for RemoteSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteSender")
            .field("bytes_sent", &self.bytes_sent)
            .finish_non_exhaustive()
    }
}
