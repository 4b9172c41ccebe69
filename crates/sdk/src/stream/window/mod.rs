//! Windowed streams: which windows, when they fire, what is evicted, what is late. What is made of
//! the windows is in `functions`.

mod extremes;
mod functions;
mod join;
mod pairs;

use std::time::Duration;

use flott_operators::keyed::{ByRef, KeySelector};
use flott_operators::pipe::{Identity, Pipe};
use flott_operators::window::{
    CountEvictor, CountTrigger, Evictor, GlobalWindows, NoEvictor, PurgingTrigger, Trigger,
    WindowAssigner, WindowSpec,
};
use flott_operators::{OutputTag, TaskError};
use flott_record::Record;

use crate::graph::{OperatorInfo, StreamNode};
use crate::stream::{DataStream, KeyedStream};

pub use join::{CoGrouped, Joined, JoinedKeyed, JoinedStreams, JoinedWhere, JoinedWindows};

/// The one key of a stream that is not partitioned.
pub type AllKey<T> = ByRef<fn(&T) -> &(), ()>;

/// The windows of a stream that is not partitioned: [`WindowedStream`] with the key `()`, in one
/// subtask.
pub type AllWindowedStream<T, A, R, E, H, P> = WindowedStream<T, AllKey<T>, A, R, E, H, P>;

/// A keyed stream whose records are grouped into windows. Made by [`KeyedStream::window`].
pub struct WindowedStream<
    T,
    S,
    A,
    R = <A as WindowAssigner<T>>::DefaultTrigger,
    E = NoEvictor,
    H = T,
    P = Identity,
> where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    input: KeyedStream<T, S, H, P>,
    spec: WindowSpec<T, A, R>,
    evictor: E,
    /// In one subtask.
    all: bool,
}

impl<T, S, A, H, P> WindowedStream<T, S, A, A::DefaultTrigger, NoEvictor, H, P>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    fn new(input: KeyedStream<T, S, H, P>, assigner: A) -> Self {
        Self {
            input,
            spec: WindowSpec::new(assigner),
            evictor: NoEvictor,
            all: false,
        }
    }
}

/// What `count_window` makes.
type CountWindows<T, S, R, E, H, P> = WindowedStream<T, S, GlobalWindows, R, E, H, P>;

impl<T, S, H, P> KeyedStream<T, S, H, P>
where
    T: Record,
    S: KeySelector<T>,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Groups the records of each key into windows.
    ///
    /// Windows of event time need records with event times and watermarks
    /// ([`DataStream::assign_timestamps_and_watermarks`]); a record without one fails the job.
    /// Results get the last millisecond of their window as event time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///     .with_timestamp_assigner(|(at_ms, _): &(i64, u64), _| *at_ms);
    /// env.from_collection([(100, 7), (900, 3), (1_200, 5)])
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .key_by(|_| 0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .sum(|(_, n)| n)
    ///     .print_debug(); // (100, 10), (1200, 5)
    /// # env.execute("window")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn window<A: WindowAssigner<T>>(
        self,
        assigner: A,
    ) -> WindowedStream<T, S, A, A::DefaultTrigger, NoEvictor, H, P> {
        WindowedStream::new(self, assigner)
    }

    /// Groups the records of each key into windows of `size` records. Records of an unfinished window
    /// are not emitted. 0 counts as 1.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // For each rest the sums of three numbers: 1 + 3 + 5, 2 + 4 + 6.
    /// env.from_sequence(1, 9).key_by(|n| n % 2).count_window(3).sum(|n| n).print();
    /// # env.execute("count_window")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_window(
        self,
        size: u64,
    ) -> CountWindows<T, S, PurgingTrigger<CountTrigger>, NoEvictor, H, P> {
        self.window(GlobalWindows::create())
            .trigger(PurgingTrigger::of(CountTrigger::of(size)))
    }

    /// At every `slide`-th record of a key, groups its last `size` records. 0 counts as 1.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // The sum of the last three numbers, at every second one.
    /// env.from_sequence(1, 6).key_by(|_| 0).count_window_sliding(3, 2).sum(|n| n).print();
    /// # env.execute("count_window_sliding")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_window_sliding(
        self,
        size: u64,
        slide: u64,
    ) -> CountWindows<T, S, CountTrigger, CountEvictor, H, P> {
        self.window(GlobalWindows::create())
            .trigger(CountTrigger::of(slide))
            .evictor(CountEvictor::of(size.max(1)))
    }
}

impl<T, H, P> DataStream<T, H, P>
where
    T: Record,
    H: Record,
    P: Pipe<H, Out = T>,
{
    /// Groups all records into windows, in one subtask. Otherwise as [`KeyedStream::window`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::EventTimeSessionWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///     .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    /// env.from_collection([100, 150, 900])
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .window_all(EventTimeSessionWindows::with_gap(Duration::from_millis(200)))
    ///     .apply(|_, window, records, out| out.collect((window.start(), records.len() as u64)))
    ///     .print_debug(); // (100, 2), (900, 1)
    /// # env.execute("window_all")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn window_all<A: WindowAssigner<T>>(
        self,
        assigner: A,
    ) -> AllWindowedStream<T, A, A::DefaultTrigger, NoEvictor, H, P> {
        WindowedStream {
            all: true,
            ..WindowedStream::new(self.by_nothing(), assigner)
        }
    }

    /// Groups all records into windows of `size` records, in one subtask. Otherwise as
    /// [`KeyedStream::count_window`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 100).count_window_all(10).max(|n| n).print();
    /// # env.execute("count_window_all")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_window_all(
        self,
        size: u64,
    ) -> CountWindows<T, AllKey<T>, PurgingTrigger<CountTrigger>, NoEvictor, H, P> {
        WindowedStream {
            all: true,
            ..self.by_nothing().count_window(size)
        }
    }

    /// At every `slide`-th record, groups the last `size`, in one subtask. Otherwise as
    /// [`KeyedStream::count_window_sliding`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 100).count_window_all_sliding(10, 5).min(|n| n).print();
    /// # env.execute("count_window_all_sliding")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn count_window_all_sliding(
        self,
        size: u64,
        slide: u64,
    ) -> CountWindows<T, AllKey<T>, CountTrigger, CountEvictor, H, P> {
        WindowedStream {
            all: true,
            ..self.by_nothing().count_window_sliding(size, slide)
        }
    }

    fn by_nothing(self) -> KeyedStream<T, AllKey<T>, H, P> {
        KeyedStream::new(self, ByRef::new((|_: &T| &()) as fn(&T) -> &()))
    }
}

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
    /// Sets when windows fire, instead of when the assigner says. A trigger that cannot merge does not
    /// go with session windows: the job is then refused.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{DeltaTrigger, GlobalWindows, PurgingTrigger};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// // Whenever the counter of a car has grown by more than 50.
    /// let far = DeltaTrigger::of(50.0, |old: &(u32, i64), new: &(u32, i64)| (new.1 - old.1) as f64);
    /// env.from_collection([(1, 0), (1, 40), (1, 60), (1, 90)])
    ///     .key_by(|(car, _)| *car)
    ///     .window(GlobalWindows::create())
    ///     .trigger(PurgingTrigger::of(far))
    ///     .max(|(_, at)| at)
    ///     .print_debug(); // (1, 60)
    /// # env.execute("trigger")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn trigger<R2: Trigger<T, A::Window>>(
        self,
        trigger: R2,
    ) -> WindowedStream<T, S, A, R2, E, H, P> {
        WindowedStream {
            input: self.input,
            spec: self.spec.with_trigger(trigger),
            evictor: self.evictor,
            all: self.all,
        }
    }

    /// Drops records of a window before (or after) its function is called. The window then keeps all
    /// its records, even for `reduce` and `aggregate`.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountEvictor, CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 4)
    ///     .key_by(|_| 0)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .evictor(CountEvictor::of(3))
    ///     .apply(|_, _, last, out| out.collect(last.to_vec()))
    ///     .print_debug(); // [1, 2], [2, 3, 4]
    /// # env.execute("evictor")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<E2: Evictor<T, A::Window>>(
        self,
        evictor: E2,
    ) -> WindowedStream<T, S, A, R, E2, H, P> {
        WindowedStream {
            input: self.input,
            spec: self.spec,
            evictor,
            all: self.all,
        }
    }

    /// Keeps windows of event time for so long (in milliseconds, by the watermark) after they are
    /// complete: a record that comes meanwhile makes its window fire again. Default: none. Without
    /// effect in BATCH, where nothing is late.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// # let strategy = WatermarkStrategy::for_monotonous_timestamps()
    /// #     .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    /// env.from_collection([100, 1_500, 200])
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .key_by(|_| 0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .allowed_lateness(Duration::from_secs(60))
    ///     .apply(|_, window, records, out| out.collect((window.end(), records.len() as u64)))
    ///     .print_debug();
    /// # env.execute("allowed_lateness")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.spec.late = self.spec.late.allowed(lateness);
        self
    }

    /// Gives records that are too late for all their windows to a side output, to be read with
    /// [`DataStream::get_side_output`] from the stream that the windows make. Without it they are
    /// dropped, and counted as `numLateRecordsDropped`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// # let strategy = WatermarkStrategy::for_monotonous_timestamps()
    /// #     .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    /// let late = OutputTag::<i64>::new("late");
    /// let counts = env
    ///     .from_collection([100, 1_500, 200])
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .key_by(|_| 0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .side_output_late_data(&late)
    ///     .apply(|_, window, records, out| out.collect((window.end(), records.len() as u64)));
    /// counts.get_side_output(&late).print();
    /// counts.print_debug();
    /// # env.execute("side_output_late_data")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn side_output_late_data(mut self, tag: &OutputTag<T>) -> Self {
        self.spec.late = self.spec.late.to_side_output(tag.clone());
        self
    }
}

/// `Window(TumblingEventTimeWindows)`.
fn operator<A>(kind: &'static str) -> OperatorInfo {
    let full = std::any::type_name::<A>();
    let path = full.split('<').next().unwrap_or(full);
    let name = path.rsplit("::").next().unwrap_or(path);
    OperatorInfo::named(kind, format!("{kind}({name})"))
}

/// Has the job refused at submission, if something is wrong with its windows.
fn refuse(node: &mut StreamNode, checked: Result<(), String>) {
    if let Err(reason) = checked {
        node.prepare = Some(Box::new(move |_| {
            Box::pin(async move { Err(TaskError::fatal(reason)) })
        }));
    }
}
