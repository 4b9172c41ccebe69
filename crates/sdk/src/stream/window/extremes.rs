//! Sums and extremes of windows.

use std::ops::AddAssign;

use flott_operators::keyed::extremes::{self, Ties};
use flott_operators::keyed::{KeySelector, Reduce};
use flott_operators::pipe::Pipe;
use flott_operators::window::{EmitResult, Evictor, Trigger, WindowAssigner};
use flott_record::Record;

use super::WindowedStream;
use crate::stream::DataStream;

impl<T, S, A, R, E, H, P> WindowedStream<T, S, A, R, E, H, P>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    E: Evictor<T, A::Window>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Adds up a field of the records of each window; the rest of the record is that of the window's
    /// first record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).key_by(|n| n % 2).count_window(2).sum(|n| n).print();
    /// # env.execute("sum")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sum<N, F>(self, field: F) -> DataStream<T>
    where
        N: AddAssign + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(extremes::sum(field)), EmitResult)
    }

    /// Keeps the smallest value of a field of the records of each window; the rest of the record is
    /// that of the window's first record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).key_by(|n| n % 2).count_window(2).min(|n| n).print();
    /// # env.execute("min")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(extremes::min(field)), EmitResult)
    }

    /// Keeps the largest value of a field of the records of each window; otherwise as
    /// [`min`](Self::min).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 9).key_by(|n| n % 2).count_window(2).max(|n| n).print();
    /// # env.execute("max")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd + Clone,
        F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(extremes::max(field)), EmitResult)
    }

    /// Keeps the record of each window with the smallest value of a field; of several the first.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([(1, 3), (2, 1)])
    ///     .key_by(|_| 0)
    ///     .count_window(2)
    ///     .min_by(|(_, n)| n)
    ///     .print_debug(); // (2, 1)
    /// # env.execute("min_by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn min_by<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(extremes::min_by(field, Ties::First)), EmitResult)
    }

    /// Keeps the record of each window with the largest value of a field; of several the first.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([(1, 3), (2, 8)])
    ///     .key_by(|_| 0)
    ///     .count_window(2)
    ///     .max_by(|(_, n)| n)
    ///     .print_debug(); // (2, 8)
    /// # env.execute("max_by")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn max_by<N, F>(self, field: F) -> DataStream<T>
    where
        N: PartialOrd,
        F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
    {
        self.folded(Reduce(extremes::max_by(field, Ties::First)), EmitResult)
    }
}
