//! The receiving handle of a remote channel.

use std::sync::Arc;

use super::inbound::InChannel;
use super::inflow::Taken;
use super::network::Shared;
use super::{DataFrame, NetworkError};
use crate::{Barrier, Control, QueueGauge};

/// What arrives by a remote channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteMessage {
    /// Encoded rows.
    Data(DataFrame),
    /// A control element.
    Control(Control),
}

/// Receives the frames of one sender in another worker. Dropping it closes the channel: before the
/// end, the sender gets an error.
pub struct RemoteReceiver {
    shared: Arc<Shared>,
    channel: Arc<InChannel>,
    bytes_received: u64,
    ended: bool,
}

impl RemoteReceiver {
    pub(super) fn new(shared: Arc<Shared>, channel: Arc<InChannel>) -> Self {
        Self {
            shared,
            channel,
            bytes_received: 0,
            ended: false,
        }
    }

    /// The next message, if there is one. Taking data gives its credit back to the sender. The error
    /// is final; what waited in the channel is lost with it.
    pub fn receive(&mut self) -> Result<Option<RemoteMessage>, NetworkError> {
        let taken = {
            let mut state = self.channel.state();
            let taken = state.flow.take(self.shared.budget());
            state.grant();
            taken
        };
        let message = match taken {
            Taken::Nothing => return Ok(None),
            Taken::Failed(error) => return Err(error),
            Taken::Message(message) => message,
        };
        match &message {
            RemoteMessage::Data(frame) => self.bytes_received += frame.payload.len() as u64,
            RemoteMessage::Control(control) => self.ended |= *control == Control::End,
        }
        Ok(Some(message))
    }

    /// Takes the barrier that overtakes, and how many messages are in front of it. It is received in its
    /// place all the same.
    pub fn take_barrier(&mut self) -> Option<(Barrier, usize)> {
        self.channel.state().flow.take_barrier()
    }

    /// Shows what waits here, in order: frames, and control elements as errors. It stays here. Senders
    /// wait meanwhile.
    pub fn look(&mut self, each: impl FnMut(Result<&DataFrame, Control>)) {
        self.channel.state().flow.look(each);
    }

    /// Gives a consumed payload's memory back.
    pub fn recycle(&mut self, payload: Vec<u8>) {
        self.shared.pool().put(payload);
    }

    /// Tells what waits here, against the credit that was granted.
    pub fn gauge(&self) -> QueueGauge {
        QueueGauge::incoming(&self.channel, self.shared.settings().frame_bytes)
    }

    /// Bytes of payload received so far.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received
    }

    /// Bytes of credit whose data waits here. Never more than `credit_bytes`.
    pub fn queued_bytes(&self) -> u64 {
        self.channel.state().flow.account.held()
    }

    /// All credit of the channel: its own share, and what it borrowed.
    pub fn credit_bytes(&self) -> u64 {
        self.channel.state().flow.account.total()
    }

    /// Whether the end was received.
    pub fn is_ended(&self) -> bool {
        self.ended
    }
}

impl Drop for RemoteReceiver {
    fn drop(&mut self) {
        // First the registry: from then on nothing can connect the channel to a link.
        self.shared.registry().close(&self.channel);
        let link = {
            let mut state = self.channel.state();
            state.flow.release(self.shared.budget());
            state.link.take()
        };
        if let Some((link, number)) = link {
            link.close_channel(number);
        }
    }
}

impl std::fmt::Debug for RemoteReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteReceiver")
            .field("channel", &self.channel.id)
            .field("bytes_received", &self.bytes_received)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
