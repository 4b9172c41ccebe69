//! Stateless operators: each one is fused with those before it.

use std::convert::Infallible;
use std::fmt::Display;

use flott_operators::pipe::{
    Emitter, Filter, FlatMap, FlatMapInto, Map, Pipe, TryFilter, TryFlatMap, TryMap,
};
use flott_record::{Data, Record};

use crate::graph::OperatorInfo;
use crate::stream::DataStream;

impl<T: Data, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Applies a function to each record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).map(|n| n * n).print();
    /// # env.execute("map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U, F>(self, function: F) -> DataStream<U, H, Map<P, F>>
    where
        U: Data,
        F: FnMut(T) -> U + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Map"), |before| {
            Map::new(before, function)
        })
    }

    /// Keeps the records for which a predicate holds.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 10).filter(|n| n % 2 == 0).print();
    /// # env.execute("filter")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter<F>(self, predicate: F) -> DataStream<T, H, Filter<P, F>>
    where
        F: FnMut(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Filter"), |before| {
            Filter::new(before, predicate)
        })
    }

    /// Replaces each record by any number of others: the items of whatever the function returns
    /// (a `Vec`, an `Option`, an iterator that computes them one by one). An iterator that finds no
    /// room downstream waits and goes on later: it may give millions of records.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).flat_map(|n| 0..n).print();
    /// # env.execute("flat_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<I, F>(self, function: F) -> DataStream<I::Item, H, FlatMap<P, F>>
    where
        I: IntoIterator,
        I::Item: Data,
        I::IntoIter: Send + 'static,
        F: FnMut(T) -> I + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            FlatMap::new(before, function)
        })
    }

    /// Applies a function that may fail to each record. An error fails the job; it names the operator,
    /// its subtask, and the record's position in the subtask's input.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1", "2"].map(String::from)).try_map(|text| text.parse::<i64>()).print();
    /// # env.execute("try_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_map<U, E, F>(self, function: F) -> DataStream<U, H, TryMap<P, F>>
    where
        U: Data,
        E: Display,
        F: FnMut(T) -> Result<U, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Map"), |before| {
            TryMap::new(before, function)
        })
    }

    /// Keeps the records for which a predicate that may fail holds. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1", "2"].map(String::from))
    ///     .try_filter(|text| text.parse::<i64>().map(|n| n > 1))
    ///     .print();
    /// # env.execute("try_filter")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_filter<E, F>(self, predicate: F) -> DataStream<T, H, TryFilter<P, F>>
    where
        E: Display,
        F: FnMut(&T) -> Result<bool, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Filter"), |before| {
            TryFilter::new(before, predicate)
        })
    }

    /// Replaces each record by any number of others, or fails. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["3".to_owned()]).try_flat_map(|text| text.parse::<i64>().map(|n| 0..n)).print();
    /// # env.execute("try_flat_map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_flat_map<I, E, F>(self, function: F) -> DataStream<I::Item, H, TryFlatMap<P, F>>
    where
        I: IntoIterator,
        I::Item: Data,
        I::IntoIter: Send + 'static,
        E: Display,
        F: FnMut(T) -> Result<I, E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            TryFlatMap::new(before, function)
        })
    }

    /// Replaces each record by what the function emits for it: it may borrow from the record and
    /// needs no collection. What one record emits is held in memory until the function returns; for
    /// very many records from one use [`DataStream::flat_map`] with an iterator.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["to be".to_owned()])
    ///     .flat_map_into(|line: String, out: &mut Emitter<'_, Str>| {
    ///         line.split(' ').for_each(|word| out.emit(Str::from(word)));
    ///     })
    ///     .print();
    /// # env.execute("flat_map_into")?;
    /// # Ok(())
    /// # }
    /// ```
    #[expect(
        clippy::type_complexity,
        reason = "the type of a closure cannot be named"
    )]
    pub fn flat_map_into<U, F>(
        self,
        mut function: F,
    ) -> DataStream<
        U,
        H,
        FlatMapInto<
            P,
            impl FnMut(T, &mut Emitter<'_, U>) -> Result<(), Infallible> + Clone + Send + Sync + 'static,
            U,
        >,
    >
    where
        U: Data,
        F: FnMut(T, &mut Emitter<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.try_flat_map_into(move |record, out: &mut Emitter<'_, U>| {
            function(record, out);
            Ok(())
        })
    }

    /// As [`DataStream::flat_map_into`], with a function that may fail. Errors as in
    /// [`DataStream::try_map`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["1 2".to_owned()])
    ///     .try_flat_map_into(|line: String, out: &mut Emitter<'_, i64>| {
    ///         for number in line.split(' ') {
    ///             out.emit(number.parse()?);
    ///         }
    ///         Ok::<(), std::num::ParseIntError>(())
    ///     })
    ///     .print();
    /// # env.execute("try_flat_map_into")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_flat_map_into<U, E, F>(self, function: F) -> DataStream<U, H, FlatMapInto<P, F, U>>
    where
        U: Data,
        E: Display,
        F: FnMut(T, &mut Emitter<'_, U>) -> Result<(), E> + Clone + Send + Sync + 'static,
    {
        self.fuse(OperatorInfo::new("Flat Map"), |before| {
            FlatMapInto::new(before, function)
        })
    }
}
