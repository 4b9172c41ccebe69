//! The receiving half of a channel, without I/O: order, credit, pieces of large payloads.

use std::collections::VecDeque;

use super::budget::Budget;
use super::credit::{CreditAccount, Overrun};
use super::frame::{self, CONTINUED, HAS_TIMESTAMPS, Header};
use super::{DataFrame, NetworkError, RemoteMessage};
use crate::{Barrier, Control, QueueLoad};

/// Control elements that may wait in a channel. Watermarks are merged, so only a peer that floods
/// the channel with barriers gets there.
const MAX_QUEUED_EVENTS: usize = 1 << 16;

/// How a peer broke the rules of a channel.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlowError {
    #[error("frame {found} instead of {expected} on channel number {channel}")]
    Sequence {
        channel: u32,
        expected: u32,
        found: u32,
    },
    #[error("data without credit on channel number {channel}")]
    Overrun { channel: u32 },
    #[error("a record above the limit of {limit} bytes on channel number {channel}")]
    RecordTooLarge { channel: u32, limit: usize },
    #[error("a control element inside a record on channel number {channel}")]
    InsideRecord { channel: u32 },
    #[error("too many control elements on channel number {channel}")]
    TooManyEvents { channel: u32 },
}

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    /// Credit of its pieces that was not returned yet.
    held: u64,
}

#[derive(Debug)]
enum Queued {
    Data {
        frame: DataFrame,
        held: u64,
        large: bool,
    },
    Control(Control),
}

/// State of a channel at its receiver.
#[derive(Debug)]
pub(super) struct Inflow {
    pub(super) account: CreditAccount,
    max_record_bytes: usize,
    expected: u32,
    queue: VecDeque<Queued>,
    events: usize,
    /// Complete payloads in the queue that came in pieces.
    large: usize,
    partial: Option<Partial>,
    /// A barrier that overtakes has come, and was not told yet.
    barrier: Option<Barrier>,
    /// The end has arrived, though maybe it was not received yet.
    ended: bool,
    failed: Option<NetworkError>,
    /// The handle is gone.
    released: bool,
}

/// What was taken from a channel.
pub(super) enum Taken {
    Message(RemoteMessage),
    Nothing,
    Failed(NetworkError),
}

impl Inflow {
    pub(super) fn new(account: CreditAccount, max_record_bytes: usize) -> Self {
        Self {
            account,
            max_record_bytes,
            expected: 0,
            queue: VecDeque::new(),
            events: 0,
            large: 0,
            partial: None,
            barrier: None,
            ended: false,
            failed: None,
            released: false,
        }
    }

    /// What waits to be received, against the credit that the sender was given for it.
    pub(super) fn load(&self, buffer: usize) -> QueueLoad {
        if self.is_closed() {
            return QueueLoad::default();
        }
        let is_data = |queued: &&Queued| matches!(queued, Queued::Data { .. });
        let [exclusive, floating] = self.account.rooms(buffer);
        QueueLoad {
            buffers: self.queue.iter().filter(is_data).count() as u64,
            bytes: self.account.held(),
            exclusive,
            floating,
        }
    }

    fn check_sequence(&mut self, header: &Header) -> Result<(), FlowError> {
        if header.sequence != self.expected {
            return Err(FlowError::Sequence {
                channel: header.channel,
                expected: self.expected,
                found: header.sequence,
            });
        }
        self.expected = self.expected.wrapping_add(1);
        Ok(())
    }

    /// Takes in a piece. Gives back its buffer, if it was copied.
    pub(super) fn data(
        &mut self,
        header: &Header,
        piece: Vec<u8>,
        budget: &Budget,
    ) -> Result<Option<Vec<u8>>, FlowError> {
        let channel = header.channel;
        self.check_sequence(header)?;
        let cost = frame::cost(piece.len());
        self.account
            .charge(cost)
            .map_err(|Overrun| FlowError::Overrun { channel })?;
        let starving = self.queue.is_empty();
        self.account
            .observe(u64::from(header.backlog) * 1024, starving, budget);
        let continued = header.has(CONTINUED);
        if self.partial.is_none() && !continued {
            self.enqueue(header, piece, cost, false);
            return Ok(None);
        }
        let size = piece.len()
            + self
                .partial
                .as_ref()
                .map_or(0, |partial| partial.bytes.len());
        if size > self.max_record_bytes {
            return Err(FlowError::RecordTooLarge {
                channel,
                limit: self.max_record_bytes,
            });
        }
        let mut partial = self.partial.take().unwrap_or_else(|| Partial {
            bytes: Vec::new(),
            held: 0,
        });
        partial.bytes.extend_from_slice(&piece);
        partial.held += cost;
        if continued {
            // A payload may be larger than all credit, so its pieces give theirs back at once; but
            // not while another large one waits here, which bounds memory to one of them.
            if self.large == 0 {
                self.account
                    .release(std::mem::take(&mut partial.held), budget);
            }
            self.partial = Some(partial);
        } else {
            self.enqueue(header, partial.bytes, partial.held, true);
        }
        Ok(Some(piece))
    }

    fn enqueue(&mut self, header: &Header, payload: Vec<u8>, held: u64, large: bool) {
        self.large += usize::from(large);
        self.queue.push_back(Queued::Data {
            frame: DataFrame {
                payload,
                rows: header.rows,
                has_timestamps: header.has(HAS_TIMESTAMPS),
            },
            held,
            large,
        });
    }

    /// Takes in a control element.
    pub(super) fn event(&mut self, header: &Header, control: Control) -> Result<(), FlowError> {
        let channel = header.channel;
        self.check_sequence(header)?;
        if self.partial.is_some() {
            return Err(FlowError::InsideRecord { channel });
        }
        match (self.queue.back_mut(), control) {
            (Some(Queued::Control(last @ Control::Watermark(_))), Control::Watermark(_)) => {
                *last = control;
                return Ok(());
            }
            _ => self.queue.push_back(Queued::Control(control)),
        }
        self.events += 1;
        if let Control::Barrier(barrier) = control
            && barrier.overtakes_at_once()
        {
            self.barrier = Some(barrier);
        }
        self.ended |= control == Control::End;
        if self.events > MAX_QUEUED_EVENTS {
            return Err(FlowError::TooManyEvents { channel });
        }
        Ok(())
    }

    /// The barrier that overtakes, once, and how many messages are in front of it. It is received in its
    /// place all the same.
    pub(super) fn take_barrier(&mut self) -> Option<(Barrier, usize)> {
        let barrier = self.barrier.take()?;
        let is_it = |queued: &Queued| match queued {
            Queued::Control(control) => *control == Control::Barrier(barrier),
            Queued::Data { .. } => false,
        };
        let ahead = self.queue.iter().position(is_it)?;
        Some((barrier, ahead))
    }

    /// Shows what waits, in order.
    pub(super) fn look(&self, mut each: impl FnMut(Result<&DataFrame, Control>)) {
        for queued in &self.queue {
            match queued {
                Queued::Data { frame, .. } => each(Ok(frame)),
                Queued::Control(control) => each(Err(*control)),
            }
        }
    }

    /// The next message; its credit is free from now on.
    pub(super) fn take(&mut self, budget: &Budget) -> Taken {
        if let Some(error) = &self.failed {
            return Taken::Failed(error.clone());
        }
        match self.queue.pop_front() {
            None => Taken::Nothing,
            Some(Queued::Control(control)) => {
                self.events -= 1;
                Taken::Message(RemoteMessage::Control(control))
            }
            Some(Queued::Data { frame, held, large }) => {
                self.account.release(held, budget);
                if large {
                    self.large -= 1;
                    if self.large == 0
                        && let Some(partial) = &mut self.partial
                    {
                        self.account
                            .release(std::mem::take(&mut partial.held), budget);
                    }
                }
                Taken::Message(RemoteMessage::Data(frame))
            }
        }
    }

    /// The link or the sender is gone. True if the task must know: not if everything has arrived.
    pub(super) fn fail(&mut self, error: &NetworkError) -> bool {
        if self.ended || self.failed.is_some() {
            return false;
        }
        self.failed = Some(error.clone());
        self.discard();
        true
    }

    fn discard(&mut self) {
        self.queue = VecDeque::new();
        self.partial = None;
        self.events = 0;
        self.large = 0;
    }

    /// The handle is gone: the queue, and what its credit stood for, are free again.
    pub(super) fn release(&mut self, budget: &Budget) {
        self.released = true;
        self.discard();
        budget.give_back(self.account.total());
    }

    /// Whether nobody will take what arrives: the reader may have found the channel just before it
    /// was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.released || self.failed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Kind;
    use super::*;
    use crate::Barrier;

    struct Channel {
        flow: Inflow,
        budget: Budget,
        sequence: u32,
    }

    impl Channel {
        fn new(exclusive: u64) -> Self {
            let mut account = CreditAccount::new(exclusive, 0, 500);
            assert_eq!(u64::from(account.grant()), exclusive);
            Self {
                flow: Inflow::new(account, 5000),
                budget: Budget::new(0),
                sequence: 0,
            }
        }

        fn header(&mut self, kind: Kind) -> Header {
            let mut header = Header::new(kind, 1);
            header.sequence = self.sequence;
            self.sequence += 1;
            header
        }

        fn data(&mut self, bytes: usize, flags: u8) -> Result<Option<Vec<u8>>, FlowError> {
            let mut header = self.header(Kind::Data);
            header.flags = flags;
            self.flow.data(&header, vec![1; bytes], &self.budget)
        }

        fn event(&mut self, control: Control) -> Result<(), FlowError> {
            let header = self.header(Kind::Event);
            self.flow.event(&header, control)
        }

        fn take(&mut self) -> Option<RemoteMessage> {
            match self.flow.take(&self.budget) {
                Taken::Message(message) => Some(message),
                Taken::Nothing => None,
                Taken::Failed(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn pieces_are_put_together_and_free_their_credit_meanwhile() {
        let mut channel = Channel::new(2000);
        for _ in 0..4 {
            assert!(channel.data(1000, CONTINUED).unwrap().is_some());
            assert!(channel.take().is_none());
            assert_eq!(channel.flow.account.grant(), 1000);
        }
        channel.data(10, 0).unwrap();
        let Some(RemoteMessage::Data(frame)) = channel.take() else {
            panic!("the payload is complete")
        };
        assert_eq!(frame.payload.len(), 4010);
    }

    #[test]
    fn a_second_large_payload_keeps_its_credit_until_the_first_is_taken() {
        let mut channel = Channel::new(2000);
        channel.data(1000, CONTINUED).unwrap();
        channel.data(1000, 0).unwrap();
        assert_eq!(channel.flow.account.grant(), 1000);
        channel.data(900, CONTINUED).unwrap();
        assert_eq!(channel.flow.account.grant(), 0);
        assert_eq!(channel.flow.account.held(), 1900);
        assert!(channel.take().is_some());
        assert_eq!(channel.flow.account.grant(), 1900);
        channel.data(900, 0).unwrap();
        assert!(channel.take().is_some());
    }

    #[test]
    fn broken_rules_are_errors() {
        let mut channel = Channel::new(2000);
        channel.sequence = 1;
        assert!(matches!(
            channel.data(1, 0),
            Err(FlowError::Sequence { .. })
        ));
        let mut channel = Channel::new(2000);
        channel.data(1900, 0).unwrap();
        assert!(matches!(channel.data(1, 0), Err(FlowError::Overrun { .. })));
        let mut channel = Channel::new(20_000);
        channel.data(4000, CONTINUED).unwrap();
        assert!(matches!(
            channel.data(4000, 0),
            Err(FlowError::RecordTooLarge { .. })
        ));
        let mut channel = Channel::new(20_000);
        channel.data(4000, CONTINUED).unwrap();
        assert!(matches!(
            channel.event(Control::End),
            Err(FlowError::InsideRecord { .. })
        ));
    }

    #[test]
    fn events_are_bounded_and_watermarks_merge() {
        let mut channel = Channel::new(2000);
        for time in 0..100_000 {
            channel.event(Control::Watermark(time)).unwrap();
        }
        assert!(matches!(
            channel.take(),
            Some(RemoteMessage::Control(Control::Watermark(99_999)))
        ));
        assert!(channel.take().is_none());
        let flood = (0..=MAX_QUEUED_EVENTS as u64).find_map(|id| {
            channel
                .event(Control::Barrier(Barrier::for_tests(id)))
                .err()
        });
        assert_eq!(flood, Some(FlowError::TooManyEvents { channel: 1 }));
    }

    #[test]
    fn a_failure_after_the_end_does_not_matter() {
        let mut channel = Channel::new(2000);
        channel.data(10, 0).unwrap();
        channel.event(Control::End).unwrap();
        assert!(!channel.flow.fail(&NetworkError::ShutDown));
        assert!(matches!(channel.take(), Some(RemoteMessage::Data(_))));
        assert!(matches!(
            channel.take(),
            Some(RemoteMessage::Control(Control::End))
        ));
        let mut channel = Channel::new(2000);
        channel.data(10, 0).unwrap();
        assert!(channel.flow.fail(&NetworkError::ShutDown));
        assert!(matches!(
            channel.flow.take(&channel.budget),
            Taken::Failed(NetworkError::ShutDown)
        ));
    }
}
