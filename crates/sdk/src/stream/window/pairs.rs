//! What is made of the records of two streams with one key in one window.

use flott_operators::Collector;
use flott_operators::keyed::KeySelector;
use flott_operators::window::{CoGroup, Evictor, Join, TaggedUnion, Trigger, WindowAssigner};
use flott_record::Record;

use super::join::{CoGrouped, Joined, JoinedWindows};
use crate::stream::DataStream;

impl<A, B, S1, S2, G, R, E> JoinedWindows<A, B, Joined, S1, S2, G, R, E>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<TaggedUnion<A, B>>,
    R: Trigger<TaggedUnion<A, B>, G::Window>,
    E: Evictor<TaggedUnion<A, B>, G::Window>,
{
    /// Makes a record of each pair. See [`DataStream::join`] for an example.
    pub fn apply<U, F>(self, mut function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&A, &B) -> U + Clone + Send + Sync + 'static,
    {
        self.flat_apply(move |one, two, out| out.collect(function(one, two)))
    }

    /// Makes any number of records of each pair.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([1, 2])
    ///     .join(env.from_collection([2, 3]))
    ///     .where_(|_| 0)
    ///     .equal_to(|_| 0)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(4))
    ///     .flat_apply(|left, right, out| {
    ///         if left != right {
    ///             out.collect((*left, *right));
    ///         }
    ///     })
    ///     .print_debug(); // (1, 2), (1, 3), (2, 3)
    /// # env.execute("flat_apply")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_apply<U, F>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&A, &B, &mut Collector<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.build("Join", Join::new(function))
    }
}

impl<A, B, S1, S2, G, R, E> JoinedWindows<A, B, CoGrouped, S1, S2, G, R, E>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<TaggedUnion<A, B>>,
    R: Trigger<TaggedUnion<A, B>, G::Window>,
    E: Evictor<TaggedUnion<A, B>, G::Window>,
{
    /// Calls `function(records of the first stream, records of the second, out)` when a window fires.
    /// See [`DataStream::co_group`] for an example.
    pub fn apply<U, F>(self, function: F) -> DataStream<U>
    where
        U: Record,
        F: FnMut(&[&A], &[&B], &mut Collector<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.build("CoGroup", CoGroup::new(function))
    }
}
