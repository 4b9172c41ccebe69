//! In which order one thread runs its tasks.
//!
//! Downstream first: what a task woke runs before anything else, so rows are consumed while they
//! are in cache and little is in flight; sources run when nothing else is left. Two rules keep that
//! from starving anybody: what waited for [`PATIENCE`] goes first, and so does, now and then,
//! whatever has waited longest.

use std::collections::VecDeque;
use std::time::Duration;

/// A task that waited longer goes first. Nanoseconds, as all times here.
const PATIENCE: u64 = Duration::from_millis(5).as_nanos() as u64;
/// Of so many pops, one at most brings new rows in because a source grew old: when everybody is
/// old, what is in flight must still drain faster than sources add to it.
const AGED_SOURCES: u32 = 4;
/// Of so many pops, one takes what waited longest, however short that was.
const FAIRNESS: u32 = 256;

/// What is queued, and since when.
struct Entry<T> {
    task: T,
    since: u64,
}

/// Why a task is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Something came for it.
    Woken,
    /// It has more to do, and has had its turn.
    Again,
}

/// The tasks of a thread that are ready to run.
pub(super) struct RunQueue<T> {
    /// Woken last in front; at the back what waited longest, or had its turn already.
    consumers: VecDeque<Entry<T>>,
    /// The oldest in front.
    sources: VecDeque<Entry<T>>,
    pops: u32,
    /// Pops since a source went first because it was old.
    since_aged_source: u32,
}

impl<T> Default for RunQueue<T> {
    fn default() -> Self {
        Self {
            consumers: VecDeque::new(),
            sources: VecDeque::new(),
            pops: 0,
            since_aged_source: AGED_SOURCES,
        }
    }
}

impl<T> RunQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.consumers.len() + self.sources.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.sources.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.consumers.clear();
        self.sources.clear();
    }

    pub(super) fn push(&mut self, task: T, is_source: bool, why: Why, now: u64) {
        let entry = Entry { task, since: now };
        match (is_source, why) {
            (true, _) => self.sources.push_back(entry),
            (false, Why::Woken) => self.consumers.push_front(entry),
            (false, Why::Again) => self.consumers.push_back(entry),
        }
    }

    /// The task to run next.
    pub(super) fn pop(&mut self, now: u64) -> Option<T> {
        self.pops = self.pops.wrapping_add(1);
        self.since_aged_source = self.since_aged_source.saturating_add(1);
        let fair = self.pops.is_multiple_of(FAIRNESS);
        let (source, consumer) = (self.oldest_source(), self.oldest_consumer());
        let Some(consumer) = consumer else {
            return take(self.sources.pop_front());
        };
        if let Some(source) = source
            && source < consumer
            && (fair || is_old(source, now) && self.since_aged_source >= AGED_SOURCES)
        {
            self.since_aged_source = 0;
            return take(self.sources.pop_front());
        }
        if fair || is_old(consumer, now) {
            take(self.consumers.pop_back())
        } else {
            take(self.consumers.pop_front())
        }
    }

    /// A task for a thread that has none itself, if one has waited at least so long. Sources first:
    /// what they produce then runs over there, too, as far as its tasks are idle.
    pub(super) fn steal(&mut self, now: u64, waited: u64) -> Option<T> {
        let is_due = |since: u64| now.saturating_sub(since) >= waited;
        if self.oldest_source().is_some_and(is_due) {
            take(self.sources.pop_front())
        } else if self.oldest_consumer().is_some_and(is_due) {
            take(self.consumers.pop_back())
        } else {
            None
        }
    }

    /// Whether something has waited at least so long.
    pub(super) fn has_waited(&self, now: u64, waited: u64) -> bool {
        let oldest = [self.oldest_consumer(), self.oldest_source()];
        let mut oldest = oldest.into_iter().flatten();
        oldest.any(|since| now.saturating_sub(since) >= waited)
    }

    fn oldest_source(&self) -> Option<u64> {
        self.sources.front().map(|entry| entry.since)
    }

    fn oldest_consumer(&self) -> Option<u64> {
        self.consumers.back().map(|entry| entry.since)
    }
}

fn take<T>(entry: Option<Entry<T>>) -> Option<T> {
    entry.map(|entry| entry.task)
}

fn is_old(since: u64, now: u64) -> bool {
    now.saturating_sub(since) > PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Tasks are named; those in capitals are sources.
    fn queue(entries: &[(&'static str, Why, u64)]) -> RunQueue<&'static str> {
        let mut queue = RunQueue::default();
        for (name, why, now) in entries {
            push(&mut queue, name, *why, *now);
        }
        queue
    }

    fn push(queue: &mut RunQueue<&'static str>, name: &'static str, why: Why, now: u64) {
        let is_source = name.starts_with(|first: char| first.is_ascii_uppercase());
        queue.push(name, is_source, why, now);
    }

    fn drain(queue: &mut RunQueue<&'static str>, now: u64) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop(now)).collect()
    }

    use Why::{Again, Woken};

    #[test]
    fn what_was_woken_last_runs_first_and_sources_last() {
        let mut queue = queue(&[
            ("A", Again, 0),
            ("B", Woken, 1),
            ("map", Woken, 2),
            ("again", Again, 3),
            ("sink", Woken, 4),
        ]);
        assert_eq!(queue.len(), 5);
        assert_eq!(drain(&mut queue, 5), ["sink", "map", "again", "A", "B"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_waited_for_five_milliseconds_goes_first() {
        let waiting = [("A", Again, 0), ("old", Woken, MS), ("new", Woken, 2 * MS)];
        assert_eq!(drain(&mut queue(&waiting), 5 * MS), ["new", "old", "A"]);
        assert_eq!(drain(&mut queue(&waiting), 5 * MS + 1), ["A", "new", "old"]);
        assert_eq!(drain(&mut queue(&waiting), 6 * MS + 1), ["A", "old", "new"]);
        let older = [("old", Woken, 0), ("A", Again, 1), ("new", Woken, 2 * MS)];
        assert_eq!(drain(&mut queue(&older), 6 * MS), ["old", "A", "new"]);
    }

    #[test]
    fn when_everybody_is_old_consumers_get_three_turns_of_four() {
        let mut queue = RunQueue::default();
        for _ in 0..100 {
            push(&mut queue, "A", Again, 0);
        }
        let now = 6 * MS;
        let mut sources = 0;
        for _ in 0..40 {
            push(&mut queue, "map", Woken, now);
            sources += u32::from(queue.pop(now) == Some("A"));
        }
        assert_eq!(sources, 10);
    }

    #[test]
    fn chains_that_are_never_idle_let_a_source_through_at_once_in_a_while() {
        let mut queue = queue(&[("A", Again, 0)]);
        let mut turns = 0;
        loop {
            turns += 1;
            push(&mut queue, "map", Woken, turns);
            if queue.pop(turns) == Some("A") {
                break;
            }
        }
        assert_eq!(turns, u64::from(FAIRNESS));
    }

    #[test]
    fn a_consumer_at_the_bottom_of_the_pile_gets_its_turn() {
        let mut queue = queue(&[("bottom", Woken, 0)]);
        let mut now = 0;
        loop {
            now += MS / 2;
            push(&mut queue, "busy", Woken, now);
            if queue.pop(now) == Some("bottom") {
                break;
            }
        }
        assert_eq!(now, 5 * MS + MS / 2);
    }

    #[test]
    fn only_what_has_waited_is_stolen() {
        let mut queue = queue(&[("map", Woken, 20), ("A", Again, 10), ("sink", Woken, 30)]);
        assert!(!queue.has_waited(59, 50));
        assert_eq!(queue.steal(59, 50), None);
        assert!(queue.has_waited(60, 50));
        assert_eq!(queue.steal(70, 50), Some("A"));
        assert_eq!(queue.steal(70, 50), Some("map"));
        assert_eq!(queue.steal(70, 50), None);
        assert_eq!(queue.steal(70, 0), Some("sink"));
        queue.clear();
        assert_eq!(queue.steal(70, 0), None);
    }
}
