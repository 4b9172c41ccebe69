//! The sending half of a channel, without I/O: what waits, what credit allows, what goes next.

use std::collections::VecDeque;
use std::ops::{Deref, Range};
use std::sync::Arc;

use flott_model::CheckpointId;

use super::frame::{self, CONTINUED, HAS_TIMESTAMPS, Header, Kind};
use super::{DataFrame, NetworkError, RemoteMessage};
use crate::{Barrier, Control, Overtakes, QueueLoad, Room};

/// Bytes of a piece: a whole payload, or a part of one that is larger than a frame.
#[derive(Debug)]
pub(super) enum Piece {
    Whole(Vec<u8>),
    Part(Arc<Vec<u8>>, Range<usize>),
}

impl Deref for Piece {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Part(bytes, range) => &bytes[range.clone()],
        }
    }
}

#[derive(Debug)]
enum Item {
    Data { piece: Piece, rows: u32, flags: u8 },
    Event(Control),
    Close,
}

/// An item as the receiver would get it; a payload in pieces counts with its first one.
fn saved(item: &Item) -> Option<RemoteMessage> {
    match item {
        Item::Data { piece, rows, flags } => {
            let payload = match piece {
                Piece::Whole(bytes) => bytes.clone(),
                Piece::Part(bytes, range) if range.start == 0 => bytes.to_vec(),
                Piece::Part(..) => return None,
            };
            Some(RemoteMessage::Data(DataFrame {
                payload,
                rows: *rows,
                has_timestamps: flags & HAS_TIMESTAMPS != 0,
            }))
        }
        Item::Event(control) => Some(RemoteMessage::Control(*control)),
        Item::Close => None,
    }
}

/// What the writer shall write for a channel.
#[derive(Debug)]
pub(super) enum Outgoing {
    Open,
    Data(Header, Piece),
    Event(Header, Control),
    Close(Header),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Queued,
    Taken,
}

/// State of a channel at its sender.
#[derive(Debug)]
pub(super) struct Outflow {
    number: u32,
    piece_bytes: usize,
    open_taken: bool,
    /// The receiver gave credit: it exists, and takes events as well.
    accepted: bool,
    queue: VecDeque<Item>,
    /// Credit that the queue needs.
    queued: u64,
    credit: u64,
    /// Some pieces of a payload were taken, and others were not.
    inside: bool,
    sequence: u32,
    end: End,
    /// The handle is gone.
    released: bool,
    /// The task waits for credit.
    starved: bool,
    /// It had to wait since the last piece.
    held_up: bool,
    failed: Option<NetworkError>,
    /// In the link's list of channels that have something to write.
    pub(super) scheduled: bool,
}

impl Outflow {
    pub(super) fn new(number: u32, piece_bytes: usize) -> Self {
        Self {
            number,
            piece_bytes,
            open_taken: false,
            accepted: false,
            queue: VecDeque::new(),
            queued: 0,
            credit: 0,
            inside: false,
            sequence: 0,
            end: End::NotYet,
            released: false,
            starved: false,
            held_up: false,
            failed: None,
            scheduled: false,
        }
    }

    /// Appends a payload, in pieces if it is larger than a frame.
    pub(super) fn push(&mut self, frame: DataFrame, max_record_bytes: usize) {
        if self.failed.is_some() {
            return;
        }
        let DataFrame {
            payload,
            rows,
            has_timestamps,
        } = frame;
        if payload.len() > max_record_bytes {
            self.fail(&NetworkError::RecordTooLarge {
                bytes: payload.len(),
                limit: max_record_bytes,
            });
            return;
        }
        let flags = if has_timestamps { HAS_TIMESTAMPS } else { 0 };
        if payload.len() <= self.piece_bytes {
            self.push_piece(Piece::Whole(payload), rows, flags);
            return;
        }
        let payload = Arc::new(payload);
        for start in (0..payload.len()).step_by(self.piece_bytes) {
            let end = payload.len().min(start + self.piece_bytes);
            let more = if end < payload.len() { CONTINUED } else { 0 };
            let piece = Piece::Part(Arc::clone(&payload), start..end);
            self.push_piece(piece, rows, flags | more);
        }
    }

    fn push_piece(&mut self, piece: Piece, rows: u32, flags: u8) {
        self.queued += frame::cost(piece.len());
        self.queue.push_back(Item::Data { piece, rows, flags });
    }

    /// Appends a control element. A watermark replaces one that still waits right before it.
    pub(super) fn push_control(&mut self, control: Control) {
        if self.failed.is_some() {
            return;
        }
        if control == Control::End {
            self.end = End::Queued;
        }
        match (self.queue.back_mut(), control) {
            (Some(Item::Event(last @ Control::Watermark(_))), Control::Watermark(_)) => {
                *last = control;
            }
            _ => self.queue.push_back(Item::Event(control)),
        }
    }

    /// Puts a barrier in front of everything that waits, which it gives; only the rest of a payload that
    /// is half on its way goes before it.
    pub(super) fn overtake(&mut self, barrier: Barrier) -> Vec<RemoteMessage> {
        self.put(barrier, self.queue.len())
    }

    /// The barrier of a checkpoint that waits is put in front like [`Outflow::overtake`] does. `None` if
    /// it waits no longer.
    pub(super) fn hurry(&mut self, checkpoint: CheckpointId) -> Option<Vec<RemoteMessage>> {
        let of = |item: &Item| match item {
            Item::Event(Control::Barrier(barrier)) if barrier.checkpoint == checkpoint => {
                Some(*barrier)
            }
            _ => None,
        };
        let mut items = self.queue.iter().enumerate();
        let (at, barrier) = items.find_map(|(at, item)| Some((at, of(item)?)))?;
        self.queue.remove(at);
        Some(self.put(barrier.overtaking(Overtakes::AtOnce), at))
    }

    /// Puts a barrier to the front; the first so many items are what it has in front of it.
    fn put(&mut self, barrier: Barrier, items: usize) -> Vec<RemoteMessage> {
        if self.failed.is_some() {
            return Vec::new();
        }
        let is_last =
            |item: &Item| matches!(item, Item::Data { flags, .. } if flags & CONTINUED == 0);
        let begun = match self.inside {
            true => self.queue.iter().position(is_last).map_or(0, |at| at + 1),
            false => 0,
        };
        let overtaken = self.queue.iter().take(items).skip(begun);
        let saved = overtaken.filter_map(saved).collect();
        let event = Item::Event(Control::Barrier(barrier));
        self.queue.insert(begun, event);
        saved
    }

    /// What waits for credit or for the link, against the credit there is. What waits without credit fills all room.
    pub(super) fn load(&self, buffer: usize) -> QueueLoad {
        let is_data = |item: &&Item| matches!(item, Item::Data { .. });
        QueueLoad {
            buffers: self.queue.iter().filter(is_data).count() as u64,
            bytes: self.queued,
            exclusive: Room::of_bytes(self.queued, self.credit.max(self.queued), buffer),
            floating: Room::default(),
        }
    }

    /// Items that wait.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Whether the task may go on; if not, it is to be woken.
    pub(super) fn settle(&mut self) -> Result<bool, NetworkError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let settled = self.is_settled();
        self.starved = !settled;
        self.held_up |= !settled;
        Ok(settled)
    }

    fn is_settled(&self) -> bool {
        self.queue.is_empty() || (self.accepted && self.queued <= self.credit)
    }

    /// More credit arrived. True if the task waits for that.
    pub(super) fn add_credit(&mut self, bytes: u32) -> bool {
        self.accepted = true;
        self.credit = self.credit.saturating_add(u64::from(bytes));
        self.starved && self.is_settled() && {
            self.starved = false;
            true
        }
    }

    /// Whether `next` would give something.
    pub(super) fn has_next(&self) -> bool {
        if !self.open_taken {
            return self.failed.is_none() && !self.is_finished();
        }
        match self.queue.front() {
            None => false,
            Some(Item::Data { piece, .. }) => {
                self.accepted && frame::cost(piece.len()) <= self.credit
            }
            Some(Item::Event(_)) => self.accepted,
            Some(Item::Close) => true,
        }
    }

    /// What is to be written now.
    pub(super) fn next(&mut self) -> Option<Outgoing> {
        if !self.has_next() {
            return None;
        }
        if !self.open_taken {
            self.open_taken = true;
            return Some(Outgoing::Open);
        }
        Some(match self.queue.pop_front()? {
            Item::Data { piece, rows, flags } => {
                let cost = frame::cost(piece.len());
                self.queued -= cost;
                self.credit -= cost;
                self.inside = flags & CONTINUED != 0;
                let mut header = self.header(Kind::Data);
                header.rows = rows;
                header.flags = flags;
                header.backlog = self.backlog();
                Outgoing::Data(header, piece)
            }
            Item::Event(control) => {
                if control == Control::End {
                    self.end = End::Taken;
                }
                Outgoing::Event(self.header(Kind::Event), control)
            }
            Item::Close => Outgoing::Close(Header::new(Kind::Close, self.number)),
        })
    }

    fn header(&mut self, kind: Kind) -> Header {
        let mut header = Header::new(kind, self.number);
        header.sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        header
    }

    /// KiB for which there is no credit; at least 1 if the task had to wait since the last piece.
    fn backlog(&mut self) -> u16 {
        let waiting = self.queued.saturating_sub(self.credit).div_ceil(1024);
        let held_up = std::mem::take(&mut self.held_up);
        u16::try_from(waiting)
            .unwrap_or(u16::MAX)
            .max(u16::from(held_up))
    }

    /// The link or the receiver is gone. True if the task must know: not after the end was written.
    pub(super) fn fail(&mut self, error: &NetworkError) -> bool {
        if self.failed.is_some() || self.end == End::Taken {
            return false;
        }
        self.failed = Some(error.clone());
        self.queue.clear();
        self.queued = 0;
        true
    }

    pub(super) fn error(&self) -> Option<&NetworkError> {
        self.failed.as_ref()
    }

    /// The handle is gone. What precedes a queued end still goes out; otherwise the rest is
    /// worthless and the receiver is told.
    pub(super) fn release(&mut self) {
        self.released = true;
        if self.end == End::NotYet || self.failed.is_some() {
            self.queue.clear();
            self.queued = 0;
            if self.open_taken {
                self.queue.push_back(Item::Close);
            }
        }
    }

    /// Whether nothing will ever be written for the channel again.
    pub(super) fn is_finished(&self) -> bool {
        self.released && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Barrier;

    fn data(bytes: usize) -> DataFrame {
        DataFrame {
            payload: vec![7; bytes],
            rows: 1,
            has_timestamps: false,
        }
    }

    fn kinds(flow: &mut Outflow) -> String {
        std::iter::from_fn(|| flow.next())
            .map(|outgoing| match outgoing {
                Outgoing::Open => 'o',
                Outgoing::Data(header, _) if header.has(CONTINUED) => 'c',
                Outgoing::Data(..) => 'd',
                Outgoing::Event(_, Control::End) => 'e',
                Outgoing::Event(..) => 'w',
                Outgoing::Close(_) => 'x',
            })
            .collect()
    }

    #[test]
    fn nothing_but_open_before_the_first_credit() {
        let mut flow = Outflow::new(1, 1000);
        flow.push_control(Control::Watermark(1));
        flow.push(data(500), 9999);
        assert_eq!(kinds(&mut flow), "o");
        assert!(!flow.settle().unwrap());
        assert!(flow.add_credit(1000));
        assert!(flow.settle().unwrap());
        assert_eq!(kinds(&mut flow), "wd");
    }

    #[test]
    fn control_needs_no_credit_but_keeps_its_place() {
        let mut flow = Outflow::new(1, 1000);
        flow.add_credit(1000);
        flow.push(data(900), 9999);
        flow.push_control(Control::Barrier(Barrier::for_tests(1)));
        flow.push(data(900), 9999);
        flow.push_control(Control::Barrier(Barrier::for_tests(2)));
        assert_eq!(kinds(&mut flow), "odw");
        assert!(!flow.settle().unwrap());
        assert!(!flow.add_credit(100), "not enough yet");
        assert_eq!(kinds(&mut flow), "");
        assert!(flow.add_credit(700));
        assert_eq!(kinds(&mut flow), "dw");
        assert!(flow.settle().unwrap());
    }

    #[test]
    fn a_barrier_that_overtakes_goes_before_all_but_the_rest_of_a_payload() {
        let mut flow = Outflow::new(1, 1000);
        flow.push(data(2500), 9999);
        flow.push(data(20), 9999);
        flow.push_control(Control::Watermark(7));
        flow.push(data(1500), 9999);
        flow.add_credit(1000);
        assert_eq!(kinds(&mut flow), "oc", "credit for one piece");
        let barrier = Barrier::for_tests(1).overtaking(Overtakes::AtOnce);
        let overtaken = flow.overtake(barrier);
        let sizes = overtaken.iter().map(|message| match message {
            RemoteMessage::Data(frame) => frame.payload.len(),
            RemoteMessage::Control(control) => {
                assert_eq!(*control, Control::Watermark(7));
                0
            }
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [20, 0, 1500]);
        flow.add_credit(10_000);
        assert_eq!(kinds(&mut flow), "cdwdwcd");
    }

    #[test]
    fn a_barrier_between_payloads_can_be_hurried() {
        let mut flow = Outflow::new(1, 1000);
        flow.push(data(900), 9999);
        let waits = Barrier::for_tests(4).overtaking(Overtakes::AfterMs(10));
        flow.push_control(Control::Barrier(waits));
        flow.push(data(900), 9999);
        assert_eq!(flow.hurry(CheckpointId(3)), None);
        let overtaken = flow.hurry(CheckpointId(4)).expect("it waits");
        assert_eq!(overtaken, [RemoteMessage::Data(data(900))]);
        flow.add_credit(1);
        let first: Vec<_> = std::iter::from_fn(|| flow.next()).collect();
        let at_once = waits.overtaking(Overtakes::AtOnce);
        assert!(
            matches!(&first[..], [Outgoing::Open, Outgoing::Event(_, Control::Barrier(it))] if *it == at_once),
            "{first:?}"
        );
        assert_eq!(flow.hurry(CheckpointId(4)), None, "it is on its way");
    }

    #[test]
    fn what_waits_without_credit_fills_all_room() {
        let mut flow = Outflow::new(1, 1000);
        assert_eq!(flow.load(500), QueueLoad::default());
        flow.push_control(Control::Barrier(Barrier::for_tests(1)));
        flow.push(data(900), 9999);
        let told = flow.load(500);
        let cost = frame::cost(900);
        assert_eq!((told.buffers, told.bytes), (1, cost));
        assert_eq!(told.room().usage(), 1.0);
        flow.add_credit(4000);
        let told = flow.load(500);
        assert_eq!(told.room().usage(), cost as f64 / 4000.0);
        assert_eq!(told.room().all, 8.0);
        assert_eq!(kinds(&mut flow), "owd");
        assert_eq!(flow.load(500).room().used, 0.0);
    }

    #[test]
    fn a_large_payload_goes_in_pieces_as_credit_allows() {
        let mut flow = Outflow::new(1, 1000);
        flow.add_credit(2000);
        flow.push(data(2500), 9999);
        assert_eq!(kinds(&mut flow), "occ");
        flow.add_credit(500);
        assert_eq!(kinds(&mut flow), "d");
        flow.push(data(10_000), 9999);
        assert!(matches!(
            flow.settle(),
            Err(NetworkError::RecordTooLarge {
                bytes: 10_000,
                limit: 9999
            })
        ));
    }

    #[test]
    fn watermarks_that_wait_are_merged() {
        let mut flow = Outflow::new(1, 1000);
        for time in 0..1000 {
            flow.push_control(Control::Watermark(time));
        }
        flow.push_control(Control::Barrier(Barrier::for_tests(1)));
        flow.push_control(Control::Watermark(1000));
        flow.add_credit(1000);
        assert_eq!(kinds(&mut flow), "owww");
    }

    #[test]
    fn release_sends_what_precedes_the_end_and_otherwise_closes() {
        let mut flow = Outflow::new(1, 1000);
        assert_eq!(kinds(&mut flow), "o");
        flow.push(data(500), 9999);
        flow.push_control(Control::End);
        flow.release();
        assert!(!flow.is_finished());
        flow.add_credit(1000);
        assert_eq!(kinds(&mut flow), "de");
        assert!(flow.is_finished());
        assert!(!flow.fail(&NetworkError::ShutDown), "the end was written");

        let mut flow = Outflow::new(1, 1000);
        assert_eq!(kinds(&mut flow), "o");
        flow.push(data(500), 9999);
        flow.release();
        assert_eq!(kinds(&mut flow), "x");
        assert!(flow.is_finished());
    }

    #[test]
    fn backlog_is_announced_in_kib() {
        let mut flow = Outflow::new(1, 4096);
        flow.add_credit(4096);
        for _ in 0..3 {
            flow.push(data(4096), 9999);
        }
        assert!(matches!(flow.next(), Some(Outgoing::Open)));
        let Some(Outgoing::Data(header, _)) = flow.next() else {
            panic!("there was credit for one piece")
        };
        assert_eq!((header.backlog, header.sequence), (8, 0));
        assert!(!flow.settle().unwrap());
        flow.add_credit(8192);
        let Some(Outgoing::Data(header, _)) = flow.next() else {
            panic!("there was credit for both")
        };
        assert_eq!((header.backlog, header.sequence), (1, 1), "it had to wait");
    }
}
