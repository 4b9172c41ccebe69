//! What a request is answered with, as bytes: the same whether it comes from a file or from a socket.
//! No I/O, and no input makes it panic.
//!
//! A stream gives sub-partition after sub-partition in order, and each from all its producers. What
//! is in the data files travels as it is; checksums are checked and frames opened by the consumer.
//!
//! ```text
//! 1 ENTRY   producer u32 (position in the request) | sub-partition u32 | rows u64 | length u64 | frames
//! 2 NEXT    sub-partition u32, of which nothing follows
//! 3 END
//! 4 PING    the server still looks for more; never between the frames of an entry
//! 5 MISSING count u32 | positions u32 each; nothing follows
//! 6 DAMAGED producer u32 | length u16 | text; nothing follows
//! 7 FAILED  length u16 | text; nothing follows
//! ```

use super::frame::{self, Header};
use super::index::Entry;
use crate::DataFrame;

const ENTRY: u8 = 1;
const NEXT: u8 = 2;
const END: u8 = 3;
const PING: u8 = 4;
const MISSING: u8 = 5;
const DAMAGED: u8 = 6;
const FAILED: u8 = 7;

const ENTRY_BYTES: usize = 24;
const MAX_TEXT_BYTES: usize = 1024;
/// Largest number of producers of a request.
pub(super) const MAX_PRODUCERS: usize = 64 * 1024;

pub(super) fn append_entry(producer: u32, sub_partition: u32, entry: &Entry, out: &mut Vec<u8>) {
    out.push(ENTRY);
    out.extend_from_slice(&producer.to_le_bytes());
    out.extend_from_slice(&sub_partition.to_le_bytes());
    out.extend_from_slice(&entry.rows.to_le_bytes());
    out.extend_from_slice(&entry.length.to_le_bytes());
}

pub(super) fn append_next(sub_partition: u32, out: &mut Vec<u8>) {
    out.push(NEXT);
    out.extend_from_slice(&sub_partition.to_le_bytes());
}

pub(super) fn append_end(out: &mut Vec<u8>) {
    out.push(END);
}

pub(super) fn append_ping(out: &mut Vec<u8>) {
    out.push(PING);
}

pub(super) fn append_missing(producers: &[u32], out: &mut Vec<u8>) {
    out.push(MISSING);
    out.extend_from_slice(&(producers.len() as u32).to_le_bytes());
    for producer in producers {
        out.extend_from_slice(&producer.to_le_bytes());
    }
}

pub(super) fn append_damaged(producer: u32, reason: &str, out: &mut Vec<u8>) {
    out.push(DAMAGED);
    out.extend_from_slice(&producer.to_le_bytes());
    append_text(reason, out);
}

pub(super) fn append_failed(reason: &str, out: &mut Vec<u8>) {
    out.push(FAILED);
    append_text(reason, out);
}

fn append_text(text: &str, out: &mut Vec<u8>) {
    let mut end = text.len().min(MAX_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// What a stream says next. Producers are positions in the request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Rows of the current sub-partition.
    Rows(DataFrame),
    /// The sub-partition is over.
    Next(u32),
    End,
    Missing(Vec<u32>),
    /// What is wrong with a producer's partition.
    Damaged(u32, String),
    /// What is wrong with the server.
    Failed(String),
}

/// The entry that is being read.
#[derive(Debug, Clone, Copy)]
struct Current {
    producer: u32,
    rows: u64,
    bytes: u64,
}

/// Cuts a stream into elements.
#[derive(Debug)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
    start: usize,
    entry: Option<Current>,
    /// The sub-partition that is being read.
    sub_partition: u32,
    /// Behind the last one.
    end: u32,
    producers: u32,
    max_payload: usize,
}

/// The stream does not follow its rules.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Decoder {
    /// For a request of these sub-partitions of so many producers.
    pub(super) fn new(
        sub_partitions: &std::ops::Range<u32>,
        producers: u32,
        max_payload: usize,
    ) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            entry: None,
            sub_partition: sub_partitions.start,
            end: sub_partitions.end,
            producers,
            max_payload,
        }
    }

    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        if self.start == self.buffer.len() {
            self.start = 0;
            self.buffer = bytes;
            return;
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(&bytes);
    }

    /// What was pushed is not gone on with: this stands instead of the rest.
    pub(super) fn refused(&mut self, bytes: Vec<u8>) {
        self.start = 0;
        self.entry = None;
        self.buffer = bytes;
    }

    /// The next element, if enough was pushed for it.
    pub(super) fn next(&mut self) -> Result<Option<Element>, Unreadable> {
        loop {
            let Some(current) = self.entry else {
                match self.record()? {
                    Step::Short => return Ok(None),
                    Step::Again => continue,
                    Step::Element(element) => return Ok(Some(element)),
                }
            };
            if current.bytes > 0 {
                return Ok(self.frame(current));
            }
            self.entry = None;
            if current.rows > 0 {
                return Ok(Some(damaged(current, "rows are missing")));
            }
        }
    }

    fn frame(&mut self, current: Current) -> Option<Element> {
        let bytes = &self.buffer[self.start..];
        let cut_off = || Some(damaged(current, "a frame is cut off"));
        let Some((head, rest)) = bytes.split_first_chunk() else {
            if current.bytes < frame::HEADER_BYTES as u64 {
                return cut_off();
            }
            return None;
        };
        let header = match Header::decode(head, self.max_payload) {
            Ok(header) => header,
            Err(reason) => return Some(damaged(current, reason)),
        };
        let body_bytes = header.body_bytes();
        let length = frame::HEADER_BYTES + body_bytes;
        if current.bytes < length as u64 {
            return cut_off();
        }
        let body = rest.get(..body_bytes)?;
        let opened = match header.open(body) {
            Ok(opened) => opened,
            Err(reason) => return Some(damaged(current, reason)),
        };
        if header.sub_partition != self.sub_partition || current.rows < u64::from(header.rows) {
            return Some(damaged(current, "a frame is not where it belongs"));
        }
        self.start += length;
        self.entry = Some(Current {
            producer: current.producer,
            rows: current.rows - u64::from(header.rows),
            bytes: current.bytes - length as u64,
        });
        Some(Element::Rows(opened))
    }

    fn record(&mut self) -> Result<Step, Unreadable> {
        let mut input = Input(&self.buffer[self.start..]);
        let before = input.0.len();
        let Some(step) = self.parse(&mut input)? else {
            return Ok(Step::Short);
        };
        let read = before - input.0.len();
        self.start += read;
        Ok(match step {
            Parsed::Entry(current) => {
                self.entry = Some(current);
                Step::Again
            }
            Parsed::Ping => Step::Again,
            Parsed::Element(element) => {
                if let Element::Next(sub_partition) = element {
                    self.sub_partition = sub_partition + 1;
                }
                Step::Element(element)
            }
        })
    }

    /// None: more bytes are needed.
    fn parse(&self, input: &mut Input<'_>) -> Result<Option<Parsed>, Unreadable> {
        let Some(tag) = input.array::<1>() else {
            return Ok(None);
        };
        let parsed = match tag[0] {
            ENTRY => self.entry_record(input)?,
            NEXT => match input.u32() {
                Some(sub_partition) if sub_partition != self.sub_partition => {
                    return Err(Unreadable);
                }
                found => found.map(|found| Parsed::Element(Element::Next(found))),
            },
            END if self.sub_partition == self.end => Some(Parsed::Element(Element::End)),
            PING => Some(Parsed::Ping),
            MISSING => self.missing_record(input)?,
            DAMAGED => match (input.u32(), input.text()?) {
                (Some(producer), Some(text)) => {
                    self.check_producer(producer)?;
                    Some(Parsed::Element(Element::Damaged(producer, text)))
                }
                _ => None,
            },
            FAILED => input
                .text()?
                .map(|text| Parsed::Element(Element::Failed(text))),
            _ => return Err(Unreadable),
        };
        Ok(parsed)
    }

    fn entry_record(&self, input: &mut Input<'_>) -> Result<Option<Parsed>, Unreadable> {
        let Some(bytes) = input.array::<ENTRY_BYTES>() else {
            return Ok(None);
        };
        let mut fields = Input(&bytes);
        let producer = fields.u32().ok_or(Unreadable)?;
        let sub_partition = fields.u32().ok_or(Unreadable)?;
        let rows = fields.u64().ok_or(Unreadable)?;
        let length = fields.u64().ok_or(Unreadable)?;
        self.check_producer(producer)?;
        if sub_partition != self.sub_partition || sub_partition >= self.end {
            return Err(Unreadable);
        }
        Ok(Some(Parsed::Entry(Current {
            producer,
            rows,
            bytes: length,
        })))
    }

    fn missing_record(&self, input: &mut Input<'_>) -> Result<Option<Parsed>, Unreadable> {
        let Some(count) = input.u32() else {
            return Ok(None);
        };
        if count == 0 || count > self.producers {
            return Err(Unreadable);
        }
        let mut producers = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let Some(producer) = input.u32() else {
                return Ok(None);
            };
            self.check_producer(producer)?;
            producers.push(producer);
        }
        Ok(Some(Parsed::Element(Element::Missing(producers))))
    }

    fn check_producer(&self, producer: u32) -> Result<(), Unreadable> {
        if producer < self.producers {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }
}

enum Step {
    Short,
    Again,
    Element(Element),
}

enum Parsed {
    Entry(Current),
    Ping,
    Element(Element),
}

fn damaged(current: Current, reason: &str) -> Element {
    Element::Damaged(current.producer, reason.to_owned())
}

/// Takes numbers from the front of bytes; none if there are too few.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl Input<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<Option<String>, Unreadable> {
        let Some(length) = self.array().map(u16::from_le_bytes).map(usize::from) else {
            return Ok(None);
        };
        if length > MAX_TEXT_BYTES {
            return Err(Unreadable);
        }
        let Some((text, rest)) = self.0.split_at_checked(length) else {
            return Ok(None);
        };
        self.0 = rest;
        Ok(Some(String::from_utf8_lossy(text).into_owned()))
    }
}

#[cfg(test)]
mod tests;
