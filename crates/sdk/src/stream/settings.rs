//! Settings of the last operator, which make it a node of its own.

use std::time::Duration;

use flott_operators::pipe::{Detach, Pipe};
use flott_record::Record;
use flott_runtime::BufferTimeout;

use crate::graph::Chaining;
use crate::slot_sharing::SlotSharingGroup;
use crate::stream::DataStream;

impl<T, H, P> DataStream<T, H, P>
where
    T: Record,
    H: Record,
    P: Detach<H> + Pipe<H, Out = T>,
    P::Between: Record,
{
    /// The number of subtasks of the last operator; default: that of the environment.
    ///
    /// # Panics
    /// If it is 0.
    pub fn set_parallelism(self, parallelism: u32) -> DataStream<T> {
        assert!(
            parallelism > 0,
            "the parallelism of an operator is at least 1"
        );
        let (env, from, first) = (self.env.clone(), self.from, self.operators.len() == 1);
        if first && env.is_pass_through(from) {
            // Directly behind an exchange: the exchange itself spreads over that many.
            env.with_node(from, |node| node.parallelism = parallelism);
        }
        self.detach_last(|node| node.parallelism = parallelism)
    }

    /// The number of key groups of the last operator's task: an upper bound of its parallelism.
    pub fn set_max_parallelism(self, max_parallelism: u32) -> DataStream<T> {
        self.detach_last(|node| node.max_parallelism = Some(max_parallelism))
    }

    /// Runs the last operator in a task of its own.
    pub fn disable_chaining(self) -> DataStream<T> {
        self.detach_last(|node| node.chaining = Chaining::Never)
    }

    /// Begins a new task with the last operator.
    pub fn start_new_chain(self) -> DataStream<T> {
        self.detach_last(|node| node.chaining = Chaining::Head)
    }

    /// The longest time that records of the last operator's task wait in a buffer that is not full;
    /// `None`: until it is full. Default: `execution.buffer-timeout.interval`.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3)
    ///     .map(|n| n * n)
    ///     .set_buffer_timeout(Some(Duration::from_millis(5)))
    ///     .rebalance()
    ///     .print();
    /// # env.execute("set_buffer_timeout")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_buffer_timeout(self, timeout: Option<Duration>) -> DataStream<T> {
        let timeout = timeout.map_or(BufferTimeout::Never, BufferTimeout::After);
        self.detach_last(|node| node.buffer_timeout = Some(timeout))
    }

    /// Puts the last operator and what follows it into slots of that group: a name, or a
    /// [`SlotSharingGroup`], which may also say what the slots must offer. Default: the group of what
    /// is before it if that is one, else `default`.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).slot_sharing_group("in").map(|n| n * n).slot_sharing_group("out").print();
    /// # env.execute("two groups")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn slot_sharing_group(self, group: impl Into<SlotSharingGroup>) -> DataStream<T> {
        let alone = self.detach_last(|_| ());
        alone.env.share_slots(alone.from, group.into());
        alone
    }
}
