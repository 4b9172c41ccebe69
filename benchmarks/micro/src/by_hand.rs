//! The loops by hand: one thread, no batches, nothing passed between tasks. They are what the machine can do.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::io::{BufRead, BufReader};

use anyhow::{Context, Result};

use crate::jobs::{Done, Setting, key, mix, tumbling, wordcount};

pub(crate) fn chain(setting: &Setting<'_>) -> Result<Done> {
    let mut done = Done {
        records: 0,
        checksum: 0,
    };
    for number in 1..=setting.events {
        let mixed = mix(number);
        if mixed.is_multiple_of(2) {
            done.records += 1;
            done.checksum = done.checksum.wrapping_add(mixed);
        }
    }
    Ok(done)
}

pub(crate) fn stages(setting: &Setting<'_>) -> Result<Done> {
    let mut checksum = 0_u64;
    for number in 1..=setting.events {
        checksum = checksum.wrapping_add(black_box(black_box(number + 1) + 1));
    }
    Ok(Done {
        records: setting.events,
        checksum,
    })
}

/// Sums by key, in one flat table with open addressing.
struct Sums {
    /// A key and its sum, which is never zero in a slot that is taken.
    slots: Vec<(u64, u64)>,
    shift: u32,
}

impl Sums {
    fn new(keys: u64) -> Self {
        let slots = (keys * 2).next_power_of_two();
        Self {
            slots: vec![(0, 0); slots as usize],
            shift: 64 - slots.ilog2(),
        }
    }

    #[inline(always)]
    fn add(&mut self, key: u64) -> u64 {
        let mut at = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize;
        loop {
            let slot = &mut self.slots[at];
            if slot.1 == 0 {
                slot.0 = key;
            }
            if slot.0 == key {
                slot.1 += 1;
                return slot.1;
            }
            at = (at + 1) % self.slots.len();
        }
    }
}

pub(crate) fn keyed<const KEYS: u64>(setting: &Setting<'_>) -> Result<Done> {
    let mut sums = Sums::new(KEYS);
    let mut checksum = 0_u64;
    for number in 1..=setting.events {
        checksum += black_box(sums.add(key(number, KEYS)));
    }
    Ok(Done {
        records: setting.events,
        checksum,
    })
}

/// The counts of one window in one flat table, emptied when the next window begins.
pub(crate) fn tumbling(setting: &Setting<'_>) -> Result<Done> {
    let mut done = Done {
        records: 0,
        checksum: 0,
    };
    let mut counts = Sums::new(tumbling::AUCTIONS);
    let mut fire = |counts: &mut Sums| {
        for slot in counts.slots.iter_mut().filter(|slot| slot.1 > 0) {
            done.records += 1;
            done.checksum += slot.1 * slot.1;
            *slot = (0, 0);
        }
    };
    let mut window = 0;
    for number in 1..=setting.events {
        let bid = black_box(tumbling::bid(number));
        if bid.at_ms / tumbling::WINDOW != window {
            window = bid.at_ms / tumbling::WINDOW;
            fire(&mut counts);
        }
        counts.add(bid.auction);
    }
    fire(&mut counts);
    Ok(done)
}

/// A quick hash of short words.
#[derive(Default)]
struct WordHasher(u64);

impl Hasher for WordHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word: [u8; 8] = chunk.try_into().expect("it is eight bytes long");
            self.add(u64::from_le_bytes(word));
        }
        let mut rest = [0; 8];
        rest[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.add(u64::from_le_bytes(rest));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

impl WordHasher {
    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// Words borrowed from the line; a word is allocated when it is first seen.
pub(crate) fn wordcount(setting: &Setting<'_>) -> Result<Done> {
    let file =
        std::fs::File::open(wordcount::input(setting.scratch)).context("opening the input")?;
    let mut input = BufReader::with_capacity(256 << 10, file);
    let mut counts: HashMap<Box<[u8]>, u64, BuildHasherDefault<WordHasher>> = HashMap::default();
    let mut done = Done {
        records: 0,
        checksum: 0,
    };
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).context("reading")? > 0 {
        line.make_ascii_lowercase();
        let is_between = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
        for word in line.split(is_between).filter(|word| !word.is_empty()) {
            let count = match counts.get_mut(word) {
                Some(count) => count,
                None => counts.entry(word.into()).or_default(),
            };
            *count += 1;
            done.records += 1;
            done.checksum += black_box(*count);
        }
        line.clear();
    }
    Ok(done)
}
