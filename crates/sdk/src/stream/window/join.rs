//! Two streams joined, or grouped together, by key and window. What is made of them is in `pairs`.

use std::marker::PhantomData;
use std::time::Duration;

use flott_operators::OutputTag;
use flott_operators::keyed::{ByValue, KeySelector};
use flott_operators::pipe::Pipe;
use flott_operators::window::{
    CoWindowOperator, Evicting, Evictor, LateData, Listed, NoEvictor, TaggedUnion, Trigger,
    WindowAssigner, WindowFunction, WindowSpec,
};
use flott_record::{Key, Record};

use super::{operator, refuse};
use crate::stream::DataStream;
use crate::stream::transform::{InputEdge, two_inputs};

/// Marks two streams to be joined: each pair of records.
pub struct Joined;

/// Marks two streams to be grouped together: all records of both.
pub struct CoGrouped;

/// Two streams to be joined or grouped together; next: [`where_`](Self::where_).
pub struct JoinedStreams<A, B, M, H1, P1, H2, P2>
where
    A: Record,
    B: Record,
    H1: Record,
    P1: Pipe<H1, Out = A>,
    H2: Record,
    P2: Pipe<H2, Out = B>,
{
    first: DataStream<A, H1, P1>,
    second: DataStream<B, H2, P2>,
    kind: PhantomData<M>,
}

/// Two streams of which the first has a key; next: [`equal_to`](Self::equal_to).
pub struct JoinedWhere<A, B, M, S, H2, P2>
where
    B: Record,
    H2: Record,
    P2: Pipe<H2, Out = B>,
{
    first: InputEdge,
    selector: S,
    second: DataStream<B, H2, P2>,
    kind: PhantomData<(fn() -> A, M)>,
}

/// Two streams with keys; next: [`window`](Self::window).
pub struct JoinedKeyed<A, B, M, S1, S2> {
    first: InputEdge,
    second: InputEdge,
    selectors: (S1, S2),
    kind: PhantomData<(fn() -> (A, B), M)>,
}

/// The windows of two streams; next: `apply`.
pub struct JoinedWindows<A, B, M, S1, S2, G, R, E>
where
    A: Record,
    B: Record,
    G: WindowAssigner<TaggedUnion<A, B>>,
{
    input: JoinedKeyed<A, B, M, S1, S2>,
    spec: WindowSpec<TaggedUnion<A, B>, G, R>,
    trigger: R,
    evictor: E,
}

impl<A, H1, P1> DataStream<A, H1, P1>
where
    A: Record,
    H1: Record,
    P1: Pipe<H1, Out = A>,
{
    /// Joins this stream with another one: each pair of records with one key in one window. A record
    /// without partner gives nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |rows: [(i64, &str); 2]| {
    ///     let rows = rows.map(|(at_ms, name)| (at_ms, name.to_owned()));
    ///     let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///         .with_timestamp_assigner(|(at_ms, _): &(i64, String), _| *at_ms);
    ///     env.from_collection(rows).assign_timestamps_and_watermarks(strategy)
    /// };
    /// let clicks = timed([(100, "ann"), (1_900, "bob")]);
    /// let sales = timed([(300, "ann"), (2_100, "bob")]);
    /// clicks
    ///     .join(sales)
    ///     .where_(|(_, name)| name.clone())
    ///     .equal_to(|(_, name)| name.clone())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .apply(|click, sale| (click.1.clone(), sale.0 - click.0))
    ///     .print_debug(); // ("ann", 200)
    /// # env.execute("join")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<B, H2, P2>(
        self,
        other: DataStream<B, H2, P2>,
    ) -> JoinedStreams<A, B, Joined, H1, P1, H2, P2>
    where
        B: Record,
        H2: Record,
        P2: Pipe<H2, Out = B>,
    {
        JoinedStreams {
            first: self,
            second: other,
            kind: PhantomData,
        }
    }

    /// Groups the records of this stream and of another one by key and window. The function gets the
    /// records of both; where one stream has none, those of the other alone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::TumblingEventTimeWindows;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |rows: [(i64, u32); 2]| {
    ///     let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///         .with_timestamp_assigner(|(at_ms, _): &(i64, u32), _| *at_ms);
    ///     env.from_collection(rows).assign_timestamps_and_watermarks(strategy)
    /// };
    /// timed([(100, 1), (200, 2)])
    ///     .co_group(timed([(300, 1), (400, 1)]))
    ///     .where_(|(_, id)| *id)
    ///     .equal_to(|(_, id)| *id)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .apply(|left, right, out| out.collect((left.len() as u64, right.len() as u64)))
    ///     .print_debug(); // (1, 2), (1, 0)
    /// # env.execute("co_group")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn co_group<B, H2, P2>(
        self,
        other: DataStream<B, H2, P2>,
    ) -> JoinedStreams<A, B, CoGrouped, H1, P1, H2, P2>
    where
        B: Record,
        H2: Record,
        P2: Pipe<H2, Out = B>,
    {
        JoinedStreams {
            first: self,
            second: other,
            kind: PhantomData,
        }
    }
}

impl<A, B, M, H1, P1, H2, P2> JoinedStreams<A, B, M, H1, P1, H2, P2>
where
    A: Record,
    B: Record,
    H1: Record,
    P1: Pipe<H1, Out = A>,
    H2: Record,
    P2: Pipe<H2, Out = B>,
{
    /// Computes the key of the first stream's records.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let (ids, names) = ([1_u32, 2], [(1_u32, "ann".to_owned()), (2, "bob".to_owned())]);
    /// env.from_collection(ids)
    ///     .join(env.from_collection(names))
    ///     .where_(|id| *id)
    ///     .equal_to(|(id, _)| *id)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|id, (_, name)| format!("{id} is {name}"))
    ///     .print();
    /// # env.execute("where_")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn where_<K: Key, F>(self, key: F) -> JoinedWhere<A, B, M, ByValue<F, K>, H2, P2>
    where
        F: Fn(&A) -> K + Clone + Send + Sync + 'static,
    {
        let keyed = self.first.key_by(key);
        JoinedWhere {
            selector: keyed.selector.clone(),
            first: keyed.into_input(),
            second: self.second,
            kind: PhantomData,
        }
    }
}

impl<A, B, M, S1, H2, P2> JoinedWhere<A, B, M, S1, H2, P2>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    H2: Record,
    P2: Pipe<H2, Out = B>,
{
    /// Computes the key of the second stream's records, of the same type as that of the first.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let (ids, names) = ([1_u32, 2], [(1_u32, "ann".to_owned()), (2, "bob".to_owned())]);
    /// env.from_collection(ids)
    ///     .join(env.from_collection(names))
    ///     .where_(|id| *id)
    ///     .equal_to(|(id, _)| *id)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|id, (_, name)| format!("{id} is {name}"))
    ///     .print();
    /// # env.execute("equal_to")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn equal_to<F>(self, key: F) -> JoinedKeyed<A, B, M, S1, ByValue<F, S1::Key>>
    where
        F: Fn(&B) -> S1::Key + Clone + Send + Sync + 'static,
    {
        let keyed = self.second.key_by(key);
        JoinedKeyed {
            selectors: (self.selector, keyed.selector.clone()),
            first: self.first,
            second: keyed.into_input(),
            kind: PhantomData,
        }
    }
}

impl<A, B, M, S1, S2> JoinedKeyed<A, B, M, S1, S2>
where
    A: Record,
    B: Record,
{
    /// Groups the records of both streams into windows; all of
    /// [`KeyedStream::window`](crate::KeyedStream::window) serve.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let (ids, names) = ([1_u32, 2], [(1_u32, "ann".to_owned()), (2, "bob".to_owned())]);
    /// env.from_collection(ids)
    ///     .join(env.from_collection(names))
    ///     .where_(|id| *id)
    ///     .equal_to(|(id, _)| *id)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|id, (_, name)| format!("{id} is {name}"))
    ///     .print();
    /// # env.execute("window of two streams")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn window<G>(
        self,
        assigner: G,
    ) -> JoinedWindows<A, B, M, S1, S2, G, G::DefaultTrigger, NoEvictor>
    where
        G: WindowAssigner<TaggedUnion<A, B>>,
    {
        JoinedWindows {
            input: self,
            trigger: assigner.default_trigger(),
            spec: WindowSpec::new(assigner),
            evictor: NoEvictor,
        }
    }
}

impl<A, B, M, S1, S2, G, R, E> JoinedWindows<A, B, M, S1, S2, G, R, E>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<TaggedUnion<A, B>>,
    R: Trigger<TaggedUnion<A, B>, G::Window>,
    E: Evictor<TaggedUnion<A, B>, G::Window>,
{
    /// Sets when windows fire; as [`WindowedStream::trigger`](super::WindowedStream::trigger).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([1, 2])
    ///     .co_group(env.from_collection([3, 4]))
    ///     .where_(|_| 0)
    ///     .equal_to(|_| 0)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(4))
    ///     .apply(|left, right, out| out.collect(left.len() * right.len()))
    ///     .print(); // 4
    /// # env.execute("trigger of co_group")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn trigger<R2>(self, trigger: R2) -> JoinedWindows<A, B, M, S1, S2, G, R2, E>
    where
        R2: Trigger<TaggedUnion<A, B>, G::Window>,
    {
        JoinedWindows {
            input: self.input,
            spec: self.spec.with_trigger(trigger.clone()),
            trigger,
            evictor: self.evictor,
        }
    }

    /// Drops records of a window before (or after) its function is called; as
    /// [`WindowedStream::evictor`](super::WindowedStream::evictor). It sees the records of both
    /// streams in one list.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use flott::window::{CountEvictor, CountTrigger, GlobalWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([1, 2])
    ///     .co_group(env.from_collection([3, 4]))
    ///     .where_(|_| 0)
    ///     .equal_to(|_| 0)
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(4))
    ///     .evictor(CountEvictor::of(3))
    ///     .apply(|left, right, out| out.collect(left.len() + right.len()))
    ///     .print(); // 3
    /// # env.execute("evictor of co_group")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<E2>(self, evictor: E2) -> JoinedWindows<A, B, M, S1, S2, G, R, E2>
    where
        E2: Evictor<TaggedUnion<A, B>, G::Window>,
    {
        JoinedWindows {
            input: self.input,
            spec: self.spec,
            trigger: self.trigger,
            evictor,
        }
    }

    /// Keeps windows for late records; as
    /// [`WindowedStream::allowed_lateness`](super::WindowedStream::allowed_lateness). Default: none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::{TaggedUnion, TumblingEventTimeWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |times: [i64; 2]| {
    ///     let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///         .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    ///     env.from_collection(times).assign_timestamps_and_watermarks(strategy)
    /// };
    /// let late = OutputTag::<TaggedUnion<i64, i64>>::new("late");
    /// let pairs = timed([100, 1_500])
    ///     .join(timed([200, 900]))
    ///     .where_(|_| 0)
    ///     .equal_to(|_| 0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .allowed_lateness(Duration::from_secs(5))
    ///     .side_output_late_data(&late)
    ///     .apply(|left, right| (*left, *right));
    /// pairs.get_side_output(&late).print_debug();
    /// pairs.print_debug(); // (100, 200), (100, 900)
    /// # env.execute("lateness of a join")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        self.with_late(|late| late.allowed(lateness))
    }

    /// Gives records that are too late to a side output, marked with the stream they are of.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # use flott::window::{TaggedUnion, TumblingEventTimeWindows};
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let timed = |times: [i64; 2]| {
    ///     let strategy = WatermarkStrategy::for_monotonous_timestamps()
    ///         .with_timestamp_assigner(|at_ms: &i64, _| *at_ms);
    ///     env.from_collection(times).assign_timestamps_and_watermarks(strategy)
    /// };
    /// let late = OutputTag::<TaggedUnion<i64, i64>>::new("late");
    /// let pairs = timed([100, 1_500])
    ///     .join(timed([200, 900]))
    ///     .where_(|_| 0)
    ///     .equal_to(|_| 0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(1)))
    ///     .allowed_lateness(Duration::from_secs(5))
    ///     .side_output_late_data(&late)
    ///     .apply(|left, right| (*left, *right));
    /// pairs.get_side_output(&late).print_debug();
    /// pairs.print_debug(); // (100, 200), (100, 900)
    /// # env.execute("late records of a join")?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn side_output_late_data(self, tag: &OutputTag<TaggedUnion<A, B>>) -> Self {
        self.with_late(|late| late.to_side_output(tag.clone()))
    }

    fn with_late(
        mut self,
        change: impl FnOnce(LateData<TaggedUnion<A, B>>) -> LateData<TaggedUnion<A, B>>,
    ) -> Self {
        self.spec.late = change(self.spec.late);
        self
    }

    pub(super) fn build<F>(self, kind: &'static str, function: F) -> DataStream<F::Out>
    where
        F: WindowFunction<TaggedUnion<A, B>, S1::Key, G::Window, Listed> + Clone + Sync,
    {
        let Self {
            input,
            spec,
            trigger,
            evictor,
        } = self;
        let checked = spec.check();
        let selectors = input.selectors;
        let operator = operator::<G>(kind);
        let stream = two_inputs(
            input.first,
            input.second,
            operator,
            move |context, output| {
                let (selectors, spec) = (selectors.clone(), spec.clone());
                let (trigger, function) = (trigger.clone(), function.clone());
                if E::EVICTS {
                    let contents = Listed::timed();
                    let function = Evicting::new(evictor.clone(), function);
                    CoWindowOperator::boxed(
                        context, selectors, spec, trigger, contents, function, output,
                    )
                } else {
                    let contents = Listed::untimed();
                    CoWindowOperator::boxed(
                        context, selectors, spec, trigger, contents, function, output,
                    )
                }
            },
        );
        stream
            .env
            .with_node(stream.from, |node| refuse(node, checked));
        stream
    }
}
