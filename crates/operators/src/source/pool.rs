//! Splits on their way to subtasks: dealt out beforehand, and taken from others by who has none.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{Assignment, SourceSplit, SplitEnumerator};
use crate::TaskError;

/// The splits that are not assigned, for enumerators that know them beforehand. Every subtask has a
/// share of its own; who has read its share takes from the end of the largest other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPool<S> {
    shares: Vec<VecDeque<S>>,
    /// Whose share gets the next split that is added.
    next: usize,
    /// Whether the last split of a share is left to its subtask.
    reserved: bool,
}

impl<S> SplitPool<S> {
    /// For so many subtasks. The last split of each share is read by its own subtask only: all
    /// subtasks get something to do, however early the first one asks.
    pub fn new(parallelism: u32) -> Self {
        Self::with(parallelism, true)
    }

    /// For so many subtasks, where whoever asks first gets what there is: for inputs that grow.
    pub fn unreserved(parallelism: u32) -> Self {
        Self::with(parallelism, false)
    }

    fn with(parallelism: u32, reserved: bool) -> Self {
        Self {
            shares: (0..parallelism.max(1)).map(|_| VecDeque::new()).collect(),
            next: 0,
            reserved,
        }
    }

    /// Deals splits out, one to each subtask in turn.
    pub fn add(&mut self, splits: impl IntoIterator<Item = S>) {
        for split in splits {
            self.shares[self.next].push_back(split);
            self.next = (self.next + 1) % self.shares.len();
        }
    }

    /// Adds a split to the share of one subtask.
    pub fn add_to(&mut self, subtask: u32, split: S) {
        let at = subtask as usize % self.shares.len();
        self.shares[at].push_back(split);
    }

    /// Puts splits first in the share of the subtask that had them before.
    pub fn add_back(&mut self, splits: Vec<S>, subtask: u32) {
        let at = subtask as usize % self.shares.len();
        for split in splits.into_iter().rev() {
            self.shares[at].push_front(split);
        }
    }

    /// The next split of a subtask.
    pub fn next(&mut self, subtask: u32) -> Option<S> {
        let own = self.shares.get_mut(subtask as usize);
        if let Some(split) = own.and_then(VecDeque::pop_front) {
            return Some(split);
        }
        let largest = self.shares.iter_mut().max_by_key(|share| share.len())?;
        if largest.len() > usize::from(self.reserved) {
            largest.pop_back()
        } else {
            None
        }
    }

    /// Whether nothing is left to assign.
    pub fn is_empty(&self) -> bool {
        self.shares.iter().all(VecDeque::is_empty)
    }

    /// Number of splits that are not assigned.
    pub fn len(&self) -> usize {
        self.shares.iter().map(VecDeque::len).sum()
    }

    /// For another number of subtasks, as after a restore: shares beyond it are dealt out again.
    #[must_use]
    pub fn rescaled(mut self, parallelism: u32) -> Self {
        let parallelism = parallelism.max(1) as usize;
        self.next %= parallelism;
        let homeless: Vec<S> = if self.shares.len() > parallelism {
            self.shares.drain(parallelism..).flatten().collect()
        } else {
            Vec::new()
        };
        self.shares.resize_with(parallelism, VecDeque::new);
        self.add(homeless);
        self
    }
}

/// The enumerator of a source that knows all its splits when it begins.
pub struct StaticEnumerator<S> {
    pool: SplitPool<S>,
}

impl<S> StaticEnumerator<S> {
    /// Assigns what is in the pool.
    pub fn new(pool: SplitPool<S>) -> Self {
        Self { pool }
    }
}

impl<S: SourceSplit> SplitEnumerator for StaticEnumerator<S> {
    type Split = S;
    type Checkpoint = SplitPool<S>;

    fn next_split(&mut self, subtask: u32, _: &str) -> Result<Assignment<S>, TaskError> {
        Ok(self
            .pool
            .next(subtask)
            .map_or(Assignment::End, Assignment::Split))
    }

    fn add_splits_back(&mut self, splits: Vec<S>, subtask: u32) {
        self.pool.add_back(splits, subtask);
    }

    fn snapshot(&mut self) -> Result<SplitPool<S>, TaskError> {
        Ok(self.pool.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_none_takes_from_others_but_not_their_last() {
        let mut pool = SplitPool::new(2);
        pool.add(0..6);
        let first: Vec<i32> = std::iter::from_fn(|| pool.next(0)).collect();
        assert_eq!(first, [0, 2, 4, 5, 3]);
        assert_eq!(pool.next(1), Some(1));
        pool.add_back(vec![4, 5], 0);
        assert_eq!(pool.next(0), Some(4));
        assert_eq!(pool.next(1), None, "the last one stays with its subtask");
        assert_eq!(pool.len(), 1);
        let mut open = SplitPool::unreserved(2);
        open.add([7]);
        assert_eq!(open.next(1), Some(7));
    }

    #[test]
    fn another_number_of_subtasks_gets_the_same_splits() {
        for to in [1, 2, 3, 7] {
            let mut pool = SplitPool::new(3);
            pool.add(0..10);
            let mut pool = pool.rescaled(to);
            let mut all: Vec<i32> = (0..to)
                .flat_map(|subtask| std::iter::from_fn(|| pool.next(subtask)).collect::<Vec<_>>())
                .collect();
            all.sort_unstable();
            assert_eq!(all, (0..10).collect::<Vec<_>>());
        }
    }
}
