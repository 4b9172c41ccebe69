//! A naive model of timers and state per key, and random scripts for operator and model alike.

use std::collections::BTreeMap;

use proptest::prelude::*;

/// What a record asks its function to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Ask {
    /// Counts, and emits the count.
    Count,
    /// Registers an event-time timer so much later than the record.
    Event(i64),
    /// Deletes it.
    NoEvent(i64),
    /// Registers a processing-time timer so much later than now.
    Processing(i64),
    /// Deletes one at that time.
    NoProcessing(i64),
    /// Emits so many rows.
    Many(u16),
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Records with key and event time.
    Batch(Vec<(u8, i64, Ask)>),
    /// The watermark advances by so much.
    Watermark(i64),
    /// The clock advances by so much.
    Time(i64),
}

pub(super) fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        3 => Just(Ask::Count),
        3 => (-5..30_i64).prop_map(Ask::Event),
        1 => (-5..30_i64).prop_map(Ask::NoEvent),
        2 => (0..30_i64).prop_map(Ask::Processing),
        1 => (0..200_i64).prop_map(Ask::NoProcessing),
        1 => (1..3_000_u16).prop_map(Ask::Many),
    ]
}

pub(super) fn script() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..6_u8, 0..200_i64, ask());
    proptest::collection::vec(
        prop_oneof![
            3 => proptest::collection::vec(row, 0..12).prop_map(Step::Batch),
            1 => (1..25_i64).prop_map(Step::Watermark),
            1 => (1..25_i64).prop_map(Step::Time),
        ],
        0..40,
    )
}

/// What comes out: key, what happened, its time, the key's count.
pub(super) type Row = (u8, String, i64, u64);

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Domain {
    Event,
    Processing,
}

/// Registered timers in no order at all, each with the number of its registration.
#[derive(Default)]
pub(super) struct Model {
    timers: Vec<(Option<Domain>, i64, u64, u8)>,
    registered: u64,
    counts: BTreeMap<u8, u64>,
    pub(super) watermark: Option<i64>,
    pub(super) now: i64,
    pub(super) out: Vec<Row>,
    /// BATCH: no processing-time timers any more.
    ending: bool,
}

impl Model {
    fn count(&mut self, key: u8) -> u64 {
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count
    }

    fn register(&mut self, domain: Domain, time: i64, key: u8) {
        let known = self
            .timers
            .iter()
            .any(|timer| (timer.0, timer.1, timer.3) == (Some(domain), time, key));
        let ignored = self.ending && domain == Domain::Processing;
        if !(known || ignored) {
            self.registered += 1;
            self.timers.push((Some(domain), time, self.registered, key));
        }
    }

    fn delete(&mut self, domain: Domain, time: i64, key: u8) {
        self.timers
            .retain(|timer| (timer.0, timer.1, timer.3) != (Some(domain), time, key));
    }

    pub(super) fn record(&mut self, key: u8, at: i64, ask: Ask) {
        match ask {
            Ask::Count => {
                let count = self.count(key);
                self.out.push((key, "count".to_owned(), at, count));
            }
            Ask::Event(after) => self.register(Domain::Event, at + after, key),
            Ask::NoEvent(after) => self.delete(Domain::Event, at + after, key),
            Ask::Processing(after) => self.register(Domain::Processing, self.now + after, key),
            Ask::NoProcessing(time) => self.delete(Domain::Processing, time, key),
            Ask::Many(rows) => {
                for n in 0..rows {
                    self.out.push((key, "many".to_owned(), at, u64::from(n)));
                }
            }
        }
    }

    /// Fires the earliest timer of that kind that is due at `time`, if there is one.
    fn fire_one(&mut self, domain: Domain, time: i64) -> bool {
        let due = self
            .timers
            .iter()
            .filter(|timer| timer.0 == Some(domain) && timer.1 <= time)
            .min_by_key(|timer| (timer.1, timer.2))
            .copied();
        let Some((_, at, number, key)) = due else {
            return false;
        };
        self.timers.retain(|timer| timer.2 != number);
        let count = self.count(key);
        let text = match domain {
            Domain::Event => "event",
            Domain::Processing => "processing",
        };
        self.out.push((key, text.to_owned(), at, count));
        if count.is_multiple_of(3) && count < 60 {
            self.register(domain, at + 2, key);
        }
        if count.is_multiple_of(5) {
            self.delete(Domain::Event, at + 4, key);
            self.register(Domain::Processing, self.now + 5, key);
        }
        true
    }

    pub(super) fn advance(&mut self, watermark: i64) {
        self.watermark = Some(watermark);
        while self.fire_one(Domain::Event, watermark) {}
    }

    pub(super) fn time(&mut self, now: i64) {
        self.now = now;
        while self.fire_one(Domain::Processing, now) {}
    }

    /// BATCH: all keys so far have ended.
    pub(super) fn keys_end(&mut self) {
        self.ending = true;
        while self.fire_one(Domain::Event, i64::MAX) || self.fire_one(Domain::Processing, i64::MAX)
        {
        }
        self.ending = false;
        self.counts.clear();
        self.timers.clear();
    }
}
