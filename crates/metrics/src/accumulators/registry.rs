//! The accumulators of a task, by name.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Accumulator, AccumulatorError, AccumulatorSnapshot, Cell};

/// Accumulators of a task, at most: their values are held in the JobManager.
const MOST_ACCUMULATORS: usize = 256;

/// What a subtask adds to. Clones add to the same accumulator, from any thread; adding to one of the counters is one
/// atomic addition.
pub struct AccumulatorHandle<A: Accumulator>(Arc<Held<A>>);

struct Held<A: Accumulator>(A::Cell);

impl<A: Accumulator> Clone for AccumulatorHandle<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Accumulator> fmt::Debug for AccumulatorHandle<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple(&A::kind())
            .field(&self.0.0.load().text())
            .finish()
    }
}

impl<A: Accumulator> AccumulatorHandle<A> {
    /// Adds a value.
    #[inline]
    pub fn add(&self, value: A::Value) {
        self.0.0.add(value);
    }

    /// Adds what was accumulated on the side, e.g. for a batch of rows.
    pub fn merge(&self, other: A) {
        self.0.0.merge(other);
    }

    /// What this subtask has accumulated.
    pub fn result(&self) -> A::Result {
        self.0.0.load().result()
    }
}

/// An accumulator without its type.
trait Stored: Send + Sync {
    fn kind(&self) -> String;
    fn snapshot(&self, name: &str) -> Result<AccumulatorSnapshot, AccumulatorError>;
    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<A: Accumulator> Stored for Held<A> {
    fn kind(&self) -> String {
        A::kind()
    }

    fn snapshot(&self, name: &str) -> Result<AccumulatorSnapshot, AccumulatorError> {
        AccumulatorSnapshot::of(name, &self.0.load())
    }

    fn any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The accumulators of one subtask. Clones are the same accumulators.
#[derive(Clone, Default)]
pub struct Accumulators(
    // A std mutex: held to add an accumulator, or for a copy of the list when a reporter reads.
    Arc<Mutex<BTreeMap<String, Arc<dyn Stored>>>>,
);

impl fmt::Debug for Accumulators {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.lock().keys()).finish()
    }
}

impl Accumulators {
    /// The accumulator of that name; a new one if there is none. Fails if the name stands for another type, or if the task
    /// has 256 accumulators already.
    pub fn get<A: Accumulator>(
        &self,
        name: &str,
    ) -> Result<AccumulatorHandle<A>, AccumulatorError> {
        let mut held = self.lock();
        let full = held.len() >= MOST_ACCUMULATORS;
        match held.entry(name.to_owned()) {
            Entry::Occupied(known) => {
                let other = || AccumulatorError::OtherKind {
                    name: name.to_owned(),
                    known: known.get().kind(),
                    wanted: A::kind(),
                };
                let same = Arc::clone(known.get()).any().downcast::<Held<A>>();
                same.map(AccumulatorHandle).map_err(|_| other())
            }
            Entry::Vacant(_) if full => Err(AccumulatorError::TooMany {
                name: name.to_owned(),
                limit: MOST_ACCUMULATORS,
            }),
            Entry::Vacant(free) => {
                let new = Arc::new(Held::<A>(A::Cell::default()));
                free.insert(Arc::clone(&new) as Arc<dyn Stored>);
                Ok(AccumulatorHandle(new))
            }
        }
    }

    /// A new accumulator of that name. Fails if there is one, or if the task has 256 already.
    pub fn add<A: Accumulator>(
        &self,
        name: &str,
    ) -> Result<AccumulatorHandle<A>, AccumulatorError> {
        if self.lock().contains_key(name) {
            return Err(AccumulatorError::Exists(name.to_owned()));
        }
        self.get(name)
    }

    /// Whether nothing was registered.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// All as they are, by name. One with a value that cannot be written says so in its stead.
    pub fn snapshot(&self) -> Vec<AccumulatorSnapshot> {
        let held: Vec<_> = self
            .lock()
            .iter()
            .map(|(name, stored)| (name.clone(), Arc::clone(stored)))
            .collect();
        let snapshots = held.iter().map(|(name, stored)| {
            stored.snapshot(name).unwrap_or_else(|error| {
                AccumulatorSnapshot::failed(name, &stored.kind(), &error.to_string())
            })
        });
        snapshots.collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn Stored>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DoubleCounter, IntCounter, LongCounter};
    use super::*;

    #[test]
    fn a_name_stands_for_one_accumulator_of_one_type() {
        let accumulators = Accumulators::default();
        assert!(accumulators.is_empty());
        let rows = accumulators.add::<LongCounter>("rows").unwrap();
        accumulators.get::<LongCounter>("rows").unwrap().add(5);
        rows.clone().add(1);
        assert_eq!(rows.result(), 6);
        let other = accumulators.get::<IntCounter>("rows").unwrap_err();
        assert!(other.to_string().contains("LongCounter"), "{other}");
        let again = accumulators.add::<LongCounter>("rows").unwrap_err();
        assert_eq!(again, AccumulatorError::Exists("rows".into()));
    }

    #[test]
    fn a_task_has_so_many_at_most() {
        let accumulators = Accumulators::default();
        for index in 0..MOST_ACCUMULATORS {
            accumulators.get::<IntCounter>(&index.to_string()).unwrap();
        }
        let one_more = accumulators.get::<IntCounter>("x").unwrap_err();
        assert!(matches!(one_more, AccumulatorError::TooMany { .. }));
        assert!(accumulators.get::<IntCounter>("7").is_ok());
    }

    #[test]
    fn threads_add_without_losing_anything() {
        let accumulators = Accumulators::default();
        let sum = accumulators.get::<DoubleCounter>("sum").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| sum.add(0.5)));
            }
        });
        assert_eq!(sum.result(), 2_000.0);
        assert_eq!(accumulators.snapshot()[0].text, "2000.0");
    }
}
