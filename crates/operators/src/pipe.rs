//! Stateless operators, fused at compile time: all calls per row are static and inlined, the
//! dynamic call happens once per batch at either end.

mod counts;
mod emit;
mod filter;
mod flat_map;
mod link;
mod map;

pub use counts::RunCounts;
pub use emit::{Emitter, FlatMapInto};
pub use filter::{Filter, TryFilter};
pub use flat_map::{FlatMap, TryFlatMap};
pub use link::{PipeLink, PipeTo, Writer};
pub use map::{Map, TryMap};

use flott_record::Data;

use crate::Collect;

/// Takes the position of an operator in its run (from 1) and the rows that have left it so far.
pub type Report<'a> = &'a mut dyn FnMut(u32, u64);

/// A run of stateless operators: `In` enters, `Out` leaves. Cloned once per subtask.
pub trait Pipe<In>: Clone + Send + Sync + 'static {
    /// What leaves.
    type Out: Data;
    /// What the run keeps between calls: counters, and expansions that wait for room.
    type State: Default + Send + 'static;
    /// How many operators the run has.
    const OPERATORS: u32;
    /// Whether each row that enters gives exactly one row, at once and with the same event time.
    const ONE_TO_ONE: bool;

    /// Processes one row.
    fn each<C: Collect<Self::Out>>(
        &mut self,
        state: &mut Self::State,
        row: In,
        timestamp: i64,
        out: &mut C,
    );

    /// Goes on with what is parked, until nothing is or until there is no room.
    fn resume<C: Collect<Self::Out>>(&mut self, state: &mut Self::State, out: &mut C);

    /// Whether something waits for [`Pipe::resume`].
    fn is_parked(state: &Self::State) -> bool;

    /// Tells how many rows have left each operator, given how many entered the run; returns how many left the last one.
    fn report(state: &Self::State, rows: u64, report: Report<'_>) -> u64;
}

/// The empty run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Identity;

impl<T: Data> Pipe<T> for Identity {
    type Out = T;
    type State = ();
    const OPERATORS: u32 = 0;
    const ONE_TO_ONE: bool = true;

    #[inline(always)]
    fn each<C: Collect<T>>(&mut self, (): &mut (), row: T, timestamp: i64, out: &mut C) {
        out.collect(row, timestamp);
    }

    fn resume<C: Collect<T>>(&mut self, (): &mut (), _: &mut C) {}

    fn is_parked((): &()) -> bool {
        false
    }

    fn report((): &(), rows: u64, _: Report<'_>) -> u64 {
        rows
    }
}

/// A run whose last operator can be taken off, to give it settings of its own.
pub trait Detach<In>: Pipe<In> {
    /// What is before the last operator.
    type Before: Pipe<In, Out = Self::Between>;
    /// What flows between the two.
    type Between: Data;
    /// The last operator alone.
    type Last: Pipe<Self::Between, Out = Self::Out>;

    /// Takes the last operator off.
    fn detach(self) -> (Self::Before, Self::Last);
}

/// An empty run has no last operator: what is set then belongs to the operator before the run.
impl<T: Data> Detach<T> for Identity {
    type Before = Identity;
    type Between = T;
    type Last = Identity;

    fn detach(self) -> (Identity, Identity) {
        (Identity, Identity)
    }
}

#[cfg(test)]
mod tests;
