//! Windows over two streams: the records of both with one key and one window, together.

use std::marker::PhantomData;

use flott_network::Batch;
use flott_record::{Key, Record};
use flott_state::{KeyedBackend, OperatorSnapshot, StateError};
use serde::{Deserialize, Serialize};

use super::contents::{Contents, Listed};
use super::emitter::Emitter;
use super::function::{Fired, WindowFunction};
use super::general::Store;
use super::keyed::WindowSpec;
use super::shell::{OneOf, Shell, Windows};
use super::{Elements, Trigger, Window, WindowAssigner};
use crate::blame::Site;
use crate::keyed::{KeySelector, take_hashes};
use crate::{Collector, Output, SubtaskContext, TaskError, TwoInputSink};

/// A record of one of two streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaggedUnion<A, B> {
    /// Of the first stream.
    One(A),
    /// Of the second stream.
    Two(B),
}

/// Calls `function(rows of the first stream, rows of the second, out)`.
#[derive(Debug, Clone)]
pub struct CoGroup<F, U>(F, PhantomData<fn() -> U>);

impl<F, U> CoGroup<F, U> {
    /// Calls that function.
    pub fn new(function: F) -> Self {
        Self(function, PhantomData)
    }
}

impl<A, B, K, W, U, F> WindowFunction<TaggedUnion<A, B>, K, W, Listed> for CoGroup<F, U>
where
    A: Record,
    B: Record,
    K: Key,
    W: Window,
    U: Record,
    F: FnMut(&[&A], &[&B], &mut Collector<'_, U>) + Send + 'static,
{
    type Out = U;

    fn fire(
        &mut self,
        _: &mut Listed,
        elements: &mut Elements<TaggedUnion<A, B>>,
        fired: Fired<'_, K, W>,
        _: &mut KeyedBackend<K>,
        emitter: &mut Emitter<U>,
    ) -> Result<(), TaskError> {
        let (ones, twos) = apart(elements);
        let (mut out, _) = emitter.split(fired.window.max_timestamp());
        (self.0)(&ones, &twos, &mut out);
        Ok(())
    }
}

/// Calls `function(row of the first stream, row of the second, out)` for each pair.
#[derive(Debug, Clone)]
pub struct Join<F, U>(F, PhantomData<fn() -> U>);

impl<F, U> Join<F, U> {
    /// Calls that function.
    pub fn new(function: F) -> Self {
        Self(function, PhantomData)
    }
}

impl<A, B, K, W, U, F> WindowFunction<TaggedUnion<A, B>, K, W, Listed> for Join<F, U>
where
    A: Record,
    B: Record,
    K: Key,
    W: Window,
    U: Record,
    F: FnMut(&A, &B, &mut Collector<'_, U>) + Send + 'static,
{
    type Out = U;

    fn fire(
        &mut self,
        _: &mut Listed,
        elements: &mut Elements<TaggedUnion<A, B>>,
        fired: Fired<'_, K, W>,
        _: &mut KeyedBackend<K>,
        emitter: &mut Emitter<U>,
    ) -> Result<(), TaskError> {
        let (ones, twos) = apart(elements);
        let (mut out, _) = emitter.split(fired.window.max_timestamp());
        for one in &ones {
            for two in &twos {
                (self.0)(one, two, &mut out);
            }
        }
        Ok(())
    }
}

fn apart<A, B>(elements: &Elements<TaggedUnion<A, B>>) -> (Vec<&A>, Vec<&B>) {
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for element in elements.rows() {
        match element {
            TaggedUnion::One(row) => ones.push(row),
            TaggedUnion::Two(row) => twos.push(row),
        }
    }
    (ones, twos)
}

type Union<A, B> = TaggedUnion<A, B>;

/// Windows over two keyed streams, for one subtask.
pub struct CoWindowOperator<A, B, S1, S2, G, R, F>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<Union<A, B>>,
    R: Trigger<Union<A, B>, G::Window>,
    F: WindowFunction<Union<A, B>, S1::Key, G::Window, Listed>,
{
    selectors: (S1, S2),
    /// Of the first input, the second, and the timers.
    sites: [Site; 3],
    store: Store<Union<A, B>, S1::Key, G, R, Listed, F>,
    rows: PhantomData<fn() -> (A, B)>,
}

impl<A, B, S1, S2, G, R, F> CoWindowOperator<A, B, S1, S2, G, R, F>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<Union<A, B>>,
    R: Trigger<Union<A, B>, G::Window>,
    F: WindowFunction<Union<A, B>, S1::Key, G::Window, Listed>,
{
    /// The operator of one subtask. `contents` is timed where the function evicts.
    pub fn boxed(
        context: &SubtaskContext,
        selectors: (S1, S2),
        spec: WindowSpec<Union<A, B>, G, R>,
        trigger: R,
        contents: Listed,
        function: F,
        output: Output<F::Out>,
    ) -> Result<Box<dyn TwoInputSink<A, B>>, TaskError> {
        spec.check().map_err(TaskError::fatal)?;
        let sites = [
            context.site().of_input("first"),
            context.site().of_input("second"),
            context.site(),
        ];
        let spec = (spec.assigner, trigger, spec.late);
        let store = Store::new(context, spec, contents, function, output)
            .map_err(|error| sites[2].locate(error))?;
        let operator = Self {
            selectors,
            sites,
            store,
            rows: PhantomData,
        };
        Ok(Box::new(Shell::new(operator, context)))
    }
}

/// Adds a batch of one input.
fn add_all<T, U, K, S, G, R, C, F>(
    batch: &mut Batch<T>,
    selector: &S,
    tag: impl Fn(T) -> U,
    site: &mut Site,
    store: &mut Store<U, K, G, R, C, F>,
) -> Result<(), TaskError>
where
    U: Record,
    K: Key,
    S: KeySelector<T, Key = K>,
    G: WindowAssigner<U>,
    R: Trigger<U, G::Window>,
    C: Contents<U>,
    F: WindowFunction<U, K, G::Window, C>,
{
    store.begin();
    let mut scope = site.scope();
    let mut hashes = take_hashes(batch, selector);
    store.fetch(selector, &batch.rows, &hashes)?;
    for ((row, timestamp), hash) in batch.drain().zip(&hashes) {
        scope.next();
        selector.with(&row, |key| store.set_key(*hash, key));
        if let Err(error) = store.add(tag(row), timestamp) {
            return Err(scope.locate(error));
        }
    }
    drop(scope);
    hashes.clear();
    batch.hashes = hashes;
    store.make_room()?;
    store.ask_for_time();
    Ok(())
}

impl<A, B, S1, S2, G, R, F> Windows for CoWindowOperator<A, B, S1, S2, G, R, F>
where
    A: Record,
    B: Record,
    S1: KeySelector<A>,
    S2: KeySelector<B, Key = S1::Key>,
    G: WindowAssigner<Union<A, B>>,
    R: Trigger<Union<A, B>, G::Window>,
    F: WindowFunction<Union<A, B>, S1::Key, G::Window, Listed>,
{
    type Rows = OneOf<A, B>;
    type Out = F::Out;

    fn rows(&mut self, rows: &mut OneOf<A, B>) -> Result<(), TaskError> {
        let Self {
            selectors: (first, second),
            sites: [one, two, _],
            store,
            ..
        } = self;
        match rows {
            OneOf::First(batch) => add_all(batch, first, TaggedUnion::One, one, store),
            OneOf::Second(batch) => add_all(batch, second, TaggedUnion::Two, two, store),
        }
    }

    fn watermark(&mut self, watermark: i64) {
        self.store.watermark(watermark);
    }

    fn processing_time(&mut self, now: i64) {
        self.store.processing_time(now);
    }

    fn end_of_keys(&mut self) {
        self.store.end_of_keys();
    }

    fn proceed(&mut self) -> Result<bool, TaskError> {
        self.store.proceed(&mut self.sites[2])
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        self.store.snapshot(snapshot)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.store.close();
        closed.map_err(|error| self.sites[2].locate(error))
    }

    fn emitter(&mut self) -> &mut Emitter<F::Out> {
        self.store.emitter()
    }
}
