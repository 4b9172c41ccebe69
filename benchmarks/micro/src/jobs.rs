//! The jobs, as a user writes them.

pub(crate) mod chain;
pub(crate) mod keyed;
pub(crate) mod stages;
pub(crate) mod tumbling;
pub(crate) mod wordcount;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a job or a loop is told.
pub(crate) struct Setting<'a> {
    pub(crate) events: u64,
    pub(crate) parallelism: u32,
    /// For inputs that several runs read.
    pub(crate) scratch: &'a Path,
}

/// What came out, so that both sides can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Done {
    /// Records at the end of the pipeline.
    pub(crate) records: u64,
    /// Something that depends on all of them.
    pub(crate) checksum: u64,
}

/// Counts the records that pass through each copy of an operator, and adds up when the copies end.
pub(crate) struct Tally {
    total: Arc<[AtomicU64; 2]>,
    own: [u64; 2],
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            total: Arc::default(),
            own: [0; 2],
        }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, value: u64) {
        self.own[0] += 1;
        self.own[1] = self.own[1].wrapping_add(value);
    }

    /// Without a branch: what is measured is the job.
    #[inline(always)]
    pub(crate) fn add_if(&mut self, value: u64, counts: bool) {
        self.own[0] += u64::from(counts);
        self.own[1] = self.own[1].wrapping_add(value * u64::from(counts));
    }

    /// After the job.
    pub(crate) fn done(&self) -> Done {
        let [records, checksum] = &*self.total;
        Done {
            records: records.load(Ordering::SeqCst),
            checksum: checksum.load(Ordering::SeqCst),
        }
    }
}

impl Clone for Tally {
    fn clone(&self) -> Self {
        Self {
            total: Arc::clone(&self.total),
            own: [0; 2],
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        for (total, own) in self.total.iter().zip(self.own) {
            total.fetch_add(own, Ordering::SeqCst);
        }
    }
}

/// A number that looks random.
#[inline(always)]
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One of so many keys, at random.
#[inline(always)]
pub(crate) fn key(number: u64, keys: u64) -> u64 {
    ((mix(number) >> 32) * keys) >> 32
}
