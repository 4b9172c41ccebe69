//! Bids, counted per auction in windows of ten seconds of event time: a million bids per window.

use std::time::Duration;

use anyhow::Result;
use flott::prelude::*;
use flott::window::TumblingEventTimeWindows;
use serde::{Deserialize, Serialize};

use super::{Done, Setting, Tally, mix};

/// Different auctions.
pub(crate) const AUCTIONS: u64 = 100_000;
/// Length of a window, in milliseconds.
pub(crate) const WINDOW: i64 = 10_000;
const BIDS_PER_MS: u64 = 100;
const CHANNELS: [Str; 4] = [
    Str::const_new("Google"),
    Str::const_new("Facebook"),
    Str::const_new("Baidu"),
    Str::const_new("Apple"),
];

/// One of the benchmark's records: as large as such records are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bid {
    pub(crate) auction: u64,
    bidder: u64,
    price: u64,
    pub(crate) at_ms: i64,
    channel: Str,
}

/// A bid by its number.
#[inline(always)]
pub(crate) fn bid(number: u64) -> Bid {
    let random = mix(number) >> 1;
    Bid {
        auction: random % AUCTIONS,
        bidder: (random >> 20) % 1_000_000,
        price: (random >> 7) & 0xffff,
        at_ms: 1_700_000_000_000 + (number / BIDS_PER_MS) as i64,
        channel: CHANNELS[(random & 3) as usize].clone(),
    }
}

#[derive(Clone)]
struct Count;

impl AggregateFunction<Bid> for Count {
    type Accumulator = u64;
    type Output = u64;

    #[inline]
    fn create_accumulator(&self) -> u64 {
        0
    }

    #[inline]
    fn add(&self, count: &mut u64, _: Bid) {
        *count += 1;
    }

    #[inline]
    fn get_result(&self, count: &u64) -> u64 {
        *count
    }

    #[inline]
    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }
}

pub(crate) fn job(setting: &Setting<'_>) -> Result<Done> {
    let env = StreamExecutionEnvironment::get()?;
    env.set_parallelism(setting.parallelism);
    let tally = Tally::new();
    let mut count = tally.clone();
    env.from_sequence(1, i64::try_from(setting.events)?)
        .map(|number| bid(number as u64))
        .assign_timestamps_and_watermarks(
            WatermarkStrategy::for_monotonous_timestamps()
                .with_timestamp_assigner(|bid: &Bid, _| bid.at_ms),
        )
        .key_by(|bid| bid.auction)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(
            WINDOW.unsigned_abs(),
        )))
        .aggregate(Count)
        .map(move |bids| {
            count.add(bids * bids);
            bids
        })
        .discard();
    env.execute("tumbling count")?;
    Ok(tally.done())
}
