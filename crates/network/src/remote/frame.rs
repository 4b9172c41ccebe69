//! Frames as bytes: headers and the small bodies. No I/O, and no input makes it panic.
//!
//! ```text
//! body u32 | channel u32 | kind u8 | flags u8 | backlog u16 | rows u32 | sequence u32 | body
//! ```
//! Little endian. `body` counts what follows the header: the payload, and its CRC-32C if flagged.

use flott_model::{CheckpointId, EdgeId, Epoch, ExecutionAttemptId, SnapshotKind, VertexId};

use crate::{Barrier, ChannelId, Control, LatencyMarker, Overtakes};

pub(super) const HEADER_BYTES: usize = 20;
pub(super) const CHECKSUM_BYTES: usize = 4;
/// Channel number of frames that concern the whole link.
pub(super) const LINK: u32 = u32::MAX;
pub(super) const OPEN_BYTES: usize = 36;
pub(super) const MAX_ERROR_BYTES: usize = 1024;
const EVENT_BYTES: usize = 21;

/// Credit that a piece costs. The minimum stands for what queueing it costs beside its bytes.
pub(super) fn cost(payload: usize) -> u64 {
    const SMALLEST: u64 = 256;
    (payload as u64).max(SMALLEST)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows, or a piece of them. Needs credit.
    Data = 0,
    /// A control element.
    Event = 1,
    /// `rows` bytes more may be sent on the channel.
    Credit = 2,
    /// Gives a number to a channel.
    Open = 3,
    /// The handle at the other end is gone.
    Close = 4,
    Ping = 5,
    Pong = 6,
    /// Text: why a channel is refused, or why the link ends.
    Error = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Data,
            1 => Self::Event,
            2 => Self::Credit,
            3 => Self::Open,
            4 => Self::Close,
            5 => Self::Ping,
            6 => Self::Pong,
            7 => Self::Error,
            _ => return None,
        })
    }
}

pub(super) const HAS_TIMESTAMPS: u8 = 1;
/// More pieces of the same payload follow.
pub(super) const CONTINUED: u8 = 2;
pub(super) const CHECKSUM: u8 = 4;
const KNOWN_FLAGS: u8 = HAS_TIMESTAMPS | CONTINUED | CHECKSUM;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    #[error("a {kind:?} frame with a body of {bytes} bytes")]
    Length { kind: Kind, bytes: u32 },
    #[error("the checksum of a frame is wrong")]
    Checksum,
    #[error("an unknown event")]
    Event,
    #[error("an unreadable channel id")]
    Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes after the header.
    pub(super) body: u32,
    pub(super) channel: u32,
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// KiB that wait at the sender after this frame; saturates.
    pub(super) backlog: u16,
    pub(super) rows: u32,
    pub(super) sequence: u32,
}

impl Header {
    /// A header for a frame without a body.
    pub(super) fn new(kind: Kind, channel: u32) -> Self {
        Self {
            body: 0,
            channel,
            kind,
            flags: 0,
            backlog: 0,
            rows: 0,
            sequence: 0,
        }
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.body.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.channel.to_le_bytes());
        bytes[8] = self.kind as u8;
        bytes[9] = self.flags;
        bytes[10..12].copy_from_slice(&self.backlog.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.rows.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// Reads a header and checks that its kind may have such a body, before anything is allocated.
    pub(super) fn decode(
        bytes: &[u8; HEADER_BYTES],
        piece_bytes: usize,
    ) -> Result<Self, FrameError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Self {
            body: word(0),
            channel: word(4),
            kind: Kind::from_byte(bytes[8]).ok_or(FrameError::Kind(bytes[8]))?,
            flags: bytes[9],
            backlog: u16::from_le_bytes([bytes[10], bytes[11]]),
            rows: word(12),
            sequence: word(16),
        };
        if header.flags & !KNOWN_FLAGS != 0 {
            return Err(FrameError::Flags(header.flags));
        }
        let fits = match (header.body as usize).checked_sub(header.checksum_bytes()) {
            None => false,
            Some(payload) => match header.kind {
                Kind::Data => payload <= piece_bytes,
                Kind::Event => payload == EVENT_BYTES,
                Kind::Open => payload == OPEN_BYTES,
                Kind::Error => payload <= MAX_ERROR_BYTES,
                Kind::Credit | Kind::Close | Kind::Ping | Kind::Pong => payload == 0,
            },
        };
        if fits {
            Ok(header)
        } else {
            Err(FrameError::Length {
                kind: header.kind,
                bytes: header.body,
            })
        }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn checksum_bytes(&self) -> usize {
        if self.has(CHECKSUM) {
            CHECKSUM_BYTES
        } else {
            0
        }
    }

    /// Bytes of the payload. `decode` made sure that the body is not shorter than its checksum.
    pub(super) fn payload_bytes(&self) -> usize {
        (self.body as usize).saturating_sub(self.checksum_bytes())
    }

    /// The checksum of header and payload.
    pub(super) fn checksum(&self, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
        crc32c::crc32c_append(crc32c::crc32c(&self.encode()), payload).to_le_bytes()
    }

    /// Takes the checksum, if there is one, off the end of the body and compares it.
    pub(super) fn strip_checksum(&self, body: &mut Vec<u8>) -> Result<(), FrameError> {
        if !self.has(CHECKSUM) {
            return Ok(());
        }
        let (payload, found) = body
            .split_at_checked(self.payload_bytes())
            .ok_or(FrameError::Checksum)?;
        if found != self.checksum(payload) {
            return Err(FrameError::Checksum);
        }
        body.truncate(self.payload_bytes());
        Ok(())
    }
}

/// Appends a whole frame without rows. `header.body` and the checksum flag are set here.
pub(super) fn append(out: &mut Vec<u8>, mut header: Header, payload: &[u8], checksums: bool) {
    if checksums {
        header.flags |= CHECKSUM;
    }
    header.body = (payload.len() + header.checksum_bytes()) as u32;
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
    if checksums {
        out.extend_from_slice(&header.checksum(payload));
    }
}

/// Appends an error frame, cut to what a frame may carry.
pub(super) fn append_error(out: &mut Vec<u8>, channel: u32, message: &str, checksums: bool) {
    let mut end = message.len().min(MAX_ERROR_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let text = &message.as_bytes()[..end];
    append(out, Header::new(Kind::Error, channel), text, checksums);
}

pub(super) fn encode_event(control: Control) -> [u8; EVENT_BYTES] {
    let mut overtakes = 0;
    let (tag, value, vertex, subtask) = match control {
        Control::Watermark(time) => (0, time.to_le_bytes(), 0, 0),
        Control::Barrier(barrier) => {
            overtakes = barrier.overtakes.number();
            (
                1,
                barrier.checkpoint.0.to_le_bytes(),
                barrier.kind.number(),
                barrier.triggered_ms,
            )
        }
        Control::End => (2, [0; 8], 0, 0),
        Control::Idle => (3, [0; 8], 0, 0),
        Control::Active => (4, [0; 8], 0, 0),
        Control::Marker(marker) => (
            5,
            marker.emitted_ms.to_le_bytes(),
            marker.vertex,
            marker.subtask,
        ),
        Control::KeysEnd => (6, [0; 8], 0, 0),
    };
    let mut bytes = [tag; EVENT_BYTES];
    bytes[1..9].copy_from_slice(&value);
    bytes[9..13].copy_from_slice(&vertex.to_le_bytes());
    bytes[13..17].copy_from_slice(&subtask.to_le_bytes());
    bytes[17..].copy_from_slice(&overtakes.to_le_bytes());
    bytes
}

pub(super) fn decode_event(bytes: &[u8]) -> Result<Control, FrameError> {
    let bytes: &[u8; EVENT_BYTES] = bytes.try_into().map_err(|_| FrameError::Event)?;
    let (tag, rest) = bytes.split_first().ok_or(FrameError::Event)?;
    let value: [u8; 8] = rest[..8].try_into().map_err(|_| FrameError::Event)?;
    let word = |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
    match tag {
        0 => Ok(Control::Watermark(i64::from_le_bytes(value))),
        1 => Ok(Control::Barrier(Barrier {
            checkpoint: CheckpointId(u64::from_le_bytes(value)),
            kind: SnapshotKind::from_number(word(8)).ok_or(FrameError::Event)?,
            triggered_ms: word(12),
            overtakes: Overtakes::from_number(word(16)),
        })),
        2 => Ok(Control::End),
        3 => Ok(Control::Idle),
        4 => Ok(Control::Active),
        5 => Ok(Control::Marker(LatencyMarker {
            emitted_ms: i64::from_le_bytes(value),
            vertex: word(8),
            subtask: word(12),
        })),
        6 => Ok(Control::KeysEnd),
        _ => Err(FrameError::Event),
    }
}

pub(super) fn encode_channel(channel: &ChannelId) -> [u8; OPEN_BYTES] {
    let attempt =
        |id: &ExecutionAttemptId| [id.epoch.0, id.vertex.0, id.subtask, id.attempt].into_iter();
    let words = std::iter::once(channel.edge.0)
        .chain(attempt(&channel.source))
        .chain(attempt(&channel.target));
    let mut bytes = [0; OPEN_BYTES];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

pub(super) fn decode_channel(bytes: &[u8]) -> Result<ChannelId, FrameError> {
    let bytes: &[u8; OPEN_BYTES] = bytes.try_into().map_err(|_| FrameError::Open)?;
    let word = |index: usize| {
        let at = 4 * index;
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    };
    let attempt = |first: usize| ExecutionAttemptId {
        epoch: Epoch(word(first)),
        vertex: VertexId(word(first + 1)),
        subtask: word(first + 2),
        attempt: word(first + 3),
    };
    Ok(ChannelId {
        edge: EdgeId(word(0)),
        source: attempt(1),
        target: attempt(5),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECE: usize = 4096;

    proptest! {
        #[test]
        fn no_header_panics_and_accepted_ones_are_within_bounds(bytes: [u8; HEADER_BYTES]) {
            if let Ok(header) = Header::decode(&bytes, PIECE) {
                prop_assert!(header.payload_bytes() <= PIECE);
                prop_assert_eq!(header.encode(), bytes);
            }
        }

        #[test]
        fn near_misses_do_not_panic(kind in 0u8..9, flags in 0u8..8, body in 0u32..5000) {
            let mut bytes = Header::new(Kind::Data, 1).encode();
            bytes[0..4].copy_from_slice(&body.to_le_bytes());
            bytes[8] = kind;
            bytes[9] = flags;
            if let Ok(header) = Header::decode(&bytes, PIECE) {
                let mut short = vec![0; body as usize / 2];
                let _ = header.strip_checksum(&mut short);
            }
        }

        #[test]
        fn no_body_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(control) = decode_event(&bytes) {
                prop_assert_eq!(&encode_event(control)[..1], &bytes[..1]);
            }
            if let Ok(channel) = decode_channel(&bytes) {
                prop_assert_eq!(&encode_channel(&channel)[..], &bytes[..]);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            bit: prop::sample::Index,
        ) {
            let mut bytes = Vec::new();
            append(&mut bytes, Header::new(Kind::Data, 7), &payload, true);
            let check = |bytes: &[u8]| {
                let (head, body) = bytes.split_at(HEADER_BYTES);
                let header = Header::decode(head.try_into().unwrap(), PIECE)?;
                let mut body = body.to_vec();
                header.strip_checksum(&mut body).map(|()| (header, body))
            };
            let (header, body) = check(&bytes).unwrap();
            prop_assert_eq!(header.channel, 7);
            prop_assert_eq!(&body, &payload);
            // Only without the flag itself: then nobody looks for a checksum.
            let bit = bit.index(bytes.len() * 8);
            prop_assume!(bit != 9 * 8 + 2);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check(&bytes).is_err());
        }
    }

    #[test]
    fn events_round_trip() {
        for control in [
            Control::Watermark(i64::MIN),
            Control::Watermark(77),
            Control::Barrier(Barrier::for_tests(u64::MAX)),
            Control::Barrier(Barrier::new(
                CheckpointId(7),
                SnapshotKind::DrainWithSavepoint,
                -1,
            )),
            Control::Barrier(Barrier::for_tests(3).overtaking(Overtakes::AtOnce)),
            Control::Barrier(Barrier::for_tests(4).overtaking(Overtakes::AfterMs(250))),
            Control::Idle,
            Control::Active,
            Control::Marker(LatencyMarker {
                emitted_ms: -5,
                vertex: 3,
                subtask: u32::MAX,
            }),
            Control::KeysEnd,
            Control::End,
        ] {
            assert_eq!(decode_event(&encode_event(control)), Ok(control));
        }
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let mut out = Vec::new();
        append_error(&mut out, LINK, &"ü".repeat(MAX_ERROR_BYTES), false);
        let text = std::str::from_utf8(&out[HEADER_BYTES..]).unwrap();
        assert_eq!(text.len(), MAX_ERROR_BYTES);
    }
}
