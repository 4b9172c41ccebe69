//! Timers: each fires once, at its time, for its key and namespace.

mod slots;

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_record::Key;
use flott_record::hash::stable_hash;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use self::slots::{Slots, shared_slot};
use crate::SubKey;

/// No slot: the end of a list.
const NONE: u32 = u32::MAX;

/// Places in the index kept when the last timer has gone.
const KEPT: usize = 1024;

/// A timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer<K, N = ()> {
    /// When it fires, in milliseconds since the epoch.
    pub timestamp: i64,
    /// Stable hash of the key.
    pub hash: u64,
    /// Whose timer it is.
    pub key: K,
    /// What it is for: a window, say.
    pub namespace: N,
}

/// Which time a timer waits for. Stored with timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeDomain {
    /// The watermark.
    EventTime,
    /// The clock of the machine.
    ProcessingTime,
}

/// The timers of one operator's subtask in both kinds of time.
#[derive(Debug, Clone)]
pub struct Timers<K, N = ()> {
    /// Due when the watermark reaches them.
    pub event_time: TimerQueue<K, N>,
    /// Due when the clock reaches them.
    pub processing_time: TimerQueue<K, N>,
}

impl<K, N> Default for Timers<K, N> {
    fn default() -> Self {
        Self {
            event_time: TimerQueue::default(),
            processing_time: TimerQueue::default(),
        }
    }
}

impl<K: Key, N: SubKey> Timers<K, N> {
    /// The timers of one kind of time.
    #[inline]
    pub fn of(&mut self, domain: TimeDomain) -> &mut TimerQueue<K, N> {
        match domain {
            TimeDomain::EventTime => &mut self.event_time,
            TimeDomain::ProcessingTime => &mut self.processing_time,
        }
    }

    /// Removes all timers.
    pub fn clear(&mut self) {
        self.event_time.clear();
        self.processing_time.clear();
    }

    /// The timers as they are now, for another thread to read while they come and go.
    pub(crate) fn snapshot(&mut self) -> TimersSnapshot<K, N> {
        TimersSnapshot {
            event_time: self.event_time.snapshot(),
            processing_time: self.processing_time.snapshot(),
        }
    }
}

/// Timers at one moment.
pub(crate) struct TimersSnapshot<K, N> {
    event_time: QueueSnapshot<K, N>,
    processing_time: QueueSnapshot<K, N>,
}

impl<K: Key, N: SubKey> TimersSnapshot<K, N> {
    /// Domain, timestamp, hash, key, namespace; those of one domain in the order in which they fire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (TimeDomain, i64, u64, &K, &N)> {
        let queues = [
            (TimeDomain::EventTime, &self.event_time),
            (TimeDomain::ProcessingTime, &self.processing_time),
        ];
        queues.into_iter().flat_map(|(domain, queue)| {
            let timers = queue.iter();
            timers.map(move |(at, hash, key, namespace)| (domain, at, hash, key, namespace))
        })
    }

    /// Bytes of the slots, without what keys and namespaces point to.
    pub(crate) fn allocated_bytes(&self) -> usize {
        let queues = [&self.event_time, &self.processing_time];
        let parts = queues.into_iter().flat_map(|queue| &queue.parts);
        let slots = parts.map(|part| part.capacity());
        slots.sum::<usize>() * size_of::<Slot<K, N>>()
    }
}

struct QueueSnapshot<K, N> {
    parts: Vec<Arc<Vec<Slot<K, N>>>>,
}

impl<K, N> QueueSnapshot<K, N> {
    /// In the order in which they fire.
    fn iter(&self) -> impl Iterator<Item = (i64, u64, &K, &N)> {
        let slots = self.parts.iter().flat_map(|part| part.iter());
        let heads = slots.filter(|slot| slot.before == NONE && slot.owner.is_some());
        let mut heads: Vec<_> = heads.collect();
        heads.sort_unstable_by_key(|slot| slot.timestamp);
        heads.into_iter().flat_map(|head| {
            let timers =
                std::iter::successors(Some(head), |slot| shared_slot(&self.parts, slot.after));
            timers.filter_map(|slot| {
                let (key, namespace) = slot.owner.as_ref()?;
                Some((slot.timestamp, slot.hash, key, namespace))
            })
        })
    }
}

#[derive(Debug, Clone)]
struct Slot<K, N> {
    timestamp: i64,
    hash: u64,
    /// Neighbours in the list of the timestamp; `after` of a free slot is the next free one.
    before: u32,
    after: u32,
    owner: Option<(K, N)>,
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

/// What the index keeps of a timer: the table needs no look at the slots to grow.
#[derive(Debug, Clone, Copy)]
struct Indexed {
    place: u32,
    slot: u32,
}

/// Timers in the order of their timestamps; those of one timestamp in the order of registration.
///
/// There is one timer per (timestamp, key, namespace). Registering and deleting cost a search among
/// the different timestamps, not among the timers, and deleted timers leave nothing behind.
///
/// ```
/// use flott_state::TimerQueue;
///
/// let mut timers = TimerQueue::<String, i64>::default();
/// let (a, b) = ("a".to_owned(), "b".to_owned());
/// assert!(timers.register(200, 1, &a, &0));
/// assert!(timers.register(100, 2, &b, &0));
/// assert!(!timers.register(200, 1, &a, &0), "it is registered already");
/// assert_eq!(timers.next_deadline(), Some(100));
///
/// let due = timers.pop_due(150).expect("b is due");
/// assert_eq!((due.timestamp, due.key), (100, b));
/// assert_eq!(timers.pop_due(150), None);
/// assert!(timers.delete(200, 1, &a, &0));
/// assert!(timers.is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct TimerQueue<K, N = ()> {
    slots: Slots<Slot<K, N>>,
    free: u32,
    times: BTreeMap<i64, Ends>,
    index: HashTable<Indexed>,
}

impl<K, N> Default for TimerQueue<K, N> {
    fn default() -> Self {
        Self {
            slots: Slots::default(),
            free: NONE,
            times: BTreeMap::new(),
            index: HashTable::new(),
        }
    }
}

/// Where the index has a timer: 32 well mixed bits.
#[inline]
fn place<N: SubKey>(timestamp: i64, hash: u64, namespace: &N) -> u32 {
    let inside = if const { size_of::<N>() == 0 } {
        0
    } else {
        stable_hash(namespace).rotate_left(17)
    };
    let mixed = hash
        ^ inside
        ^ timestamp
            .cast_unsigned()
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let product = u128::from(mixed) * 0xD1B5_4A32_D192_ED03;
    ((product >> 64) as u32) ^ (product as u32)
}

/// The table wants 64 bits: the low ones as they are, the top ones from all of them.
#[inline]
fn widen(place: u32) -> u64 {
    u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl<K: Key, N: SubKey> TimerQueue<K, N> {
    /// Number of timers.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The earliest timestamp: when the next timer is due.
    #[inline]
    pub fn next_deadline(&self) -> Option<i64> {
        self.times
            .first_key_value()
            .map(|(timestamp, _)| *timestamp)
    }

    #[inline]
    fn find(&self, place: u32, timestamp: i64, hash: u64, key: &K, namespace: &N) -> Option<u32> {
        self.index
            .find(widen(place), |indexed| {
                indexed.place == place && {
                    let slot = self.slots.get(indexed.slot);
                    slot.timestamp == timestamp
                        && slot.hash == hash
                        && slot
                            .owner
                            .as_ref()
                            .is_some_and(|(owner, inside)| owner == key && inside == namespace)
                }
            })
            .map(|indexed| indexed.slot)
    }

    /// Registers a timer at `timestamp`, in milliseconds since the epoch, for a key with its stable
    /// hash and a namespace. `false` if that timer is registered already. One in the past is due at
    /// once.
    pub fn register(&mut self, timestamp: i64, hash: u64, key: &K, namespace: &N) -> bool {
        let place = place(timestamp, hash, namespace);
        if self.find(place, timestamp, hash, key, namespace).is_some() {
            return false;
        }
        let number = self.fill(Slot {
            timestamp,
            hash,
            before: NONE,
            after: NONE,
            owner: Some((key.clone(), namespace.clone())),
        });
        let indexed = Indexed {
            place,
            slot: number,
        };
        self.index
            .insert_unique(widen(place), indexed, |indexed| widen(indexed.place));
        let ends = self.times.entry(timestamp).or_insert(Ends {
            first: number,
            last: NONE,
        });
        let last = std::mem::replace(&mut ends.last, number);
        if last != NONE {
            self.slots.get_mut(last).after = number;
            self.slots.get_mut(number).before = last;
        }
        true
    }

    /// Puts a slot where there is room, and returns its number.
    fn fill(&mut self, slot: Slot<K, N>) -> u32 {
        if self.free == NONE {
            let number = u32::try_from(self.slots.len()).unwrap_or(NONE);
            assert!(number != NONE, "a subtask has less than 4 billion timers");
            self.slots.push(slot);
            return number;
        }
        let number = self.free;
        let place = self.slots.get_mut(number);
        self.free = place.after;
        *place = slot;
        number
    }

    /// Deletes a timer. `false` if there is no such timer.
    pub fn delete(&mut self, timestamp: i64, hash: u64, key: &K, namespace: &N) -> bool {
        let place = place(timestamp, hash, namespace);
        let Some(number) = self.find(place, timestamp, hash, key, namespace) else {
            return false;
        };
        self.take_out(place, number);
        true
    }

    /// Takes out the next timer with a timestamp of at most `time`.
    pub fn pop_due(&mut self, time: i64) -> Option<Timer<K, N>> {
        let (timestamp, ends) = self.times.first_key_value()?;
        if *timestamp > time {
            return None;
        }
        let number = ends.first;
        let slot = self.slots.get(number);
        let (_, namespace) = slot.owner.as_ref()?;
        let place = place(slot.timestamp, slot.hash, namespace);
        self.take_out(place, number)
    }

    fn take_out(&mut self, place: u32, number: u32) -> Option<Timer<K, N>> {
        let found = self
            .index
            .find_entry(widen(place), |indexed| indexed.slot == number);
        if let Ok(entry) = found {
            entry.remove();
        }
        let slot = self.slots.get_mut(number);
        let (timestamp, hash, before, after) = (slot.timestamp, slot.hash, slot.before, slot.after);
        let owner = slot.owner.take();
        slot.after = std::mem::replace(&mut self.free, number);
        self.unlink(timestamp, before, after);
        if self.index.is_empty() {
            self.clear();
        }
        owner.map(|(key, namespace)| Timer {
            timestamp,
            hash,
            key,
            namespace,
        })
    }

    fn unlink(&mut self, timestamp: i64, before: u32, after: u32) {
        if before != NONE {
            self.slots.get_mut(before).after = after;
        }
        if after != NONE {
            self.slots.get_mut(after).before = before;
        }
        if before == NONE && after == NONE {
            self.times.remove(&timestamp);
        } else if before == NONE || after == NONE {
            let ends = self.times.get_mut(&timestamp);
            let ends = ends.expect("a timestamp with timers has a list of them");
            if before == NONE {
                ends.first = after;
            } else {
                ends.last = before;
            }
        }
    }

    /// All timers in the order in which they fire: timestamp, stable hash of the key (from which its
    /// key group follows), key, namespace.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u64, &K, &N)> {
        self.times.values().flat_map(move |ends| {
            let next = |number: u32| (number != NONE).then_some(number);
            std::iter::successors(next(ends.first), move |number| {
                next(self.slots.get(*number).after)
            })
            .filter_map(|number| {
                let slot = self.slots.get(number);
                let (key, namespace) = slot.owner.as_ref()?;
                Some((slot.timestamp, slot.hash, key, namespace))
            })
        })
    }

    fn snapshot(&mut self) -> QueueSnapshot<K, N> {
        QueueSnapshot {
            parts: self.slots.share(),
        }
    }

    /// Removes all timers, and gives most of the memory back.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.free = NONE;
        self.times.clear();
        self.index.clear();
        self.index.shrink_to(KEPT, |indexed| widen(indexed.place));
    }
}
