//! Windows of a keyed stream: which implementation serves, and how rows get into it.

use flott_network::Batch;
use flott_record::Record;
use flott_state::{OperatorSnapshot, StateError};

use super::emitter::Emitter;
use super::function::WindowFunction;
use super::general::Store;
use super::late::LateData;
use super::panes::PaneOperator;
use super::shell::{Shell, Windows};
use super::{Contents, Trigger, WindowAssigner};
use crate::blame::Site;
use crate::keyed::{KeySelector, take_hashes};
use crate::{BatchSink, Output, SubtaskContext, TaskError};

pub(super) const NO_EVENT_TIME: &str = "the record has no event time, but its window is one of \
     event time: assign timestamps and watermarks before, or use a window of processing time";

/// Which windows, when they fire, and what about late records.
pub struct WindowSpec<T, A: WindowAssigner<T>, R = <A as WindowAssigner<T>>::DefaultTrigger> {
    /// Which windows.
    pub assigner: A,
    /// When they fire; `None`: when they are complete, as the assigner says.
    pub trigger: Option<R>,
    /// What about late records.
    pub late: LateData<T>,
}

impl<T, A: WindowAssigner<T>, R: Clone> Clone for WindowSpec<T, A, R> {
    fn clone(&self) -> Self {
        Self {
            assigner: self.assigner.clone(),
            trigger: self.trigger.clone(),
            late: self.late.clone(),
        }
    }
}

impl<T: Record, A: WindowAssigner<T>> WindowSpec<T, A> {
    /// As the assigner says; nothing may be late.
    pub fn new(assigner: A) -> Self {
        Self {
            assigner,
            trigger: None,
            late: LateData::default(),
        }
    }
}

impl<T, A: WindowAssigner<T>, R: Trigger<T, A::Window>> WindowSpec<T, A, R> {
    /// Says what is wrong with the settings, if something is.
    pub fn check(&self) -> Result<(), String> {
        self.assigner.check()?;
        match &self.trigger {
            Some(trigger) if self.assigner.is_merging() && !trigger.can_merge() => Err(
                "windows that merge need a trigger that can merge too: use another trigger, or \
                 implement `can_merge` and `on_merge`"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The same windows with another trigger.
    pub fn with_trigger<R2>(self, trigger: R2) -> WindowSpec<T, A, R2> {
        WindowSpec {
            assigner: self.assigner,
            trigger: Some(trigger),
            late: self.late,
        }
    }
}

/// Makes the operator that serves these windows best.
pub fn keyed_windows<T, S, A, R, C, F>(
    context: &SubtaskContext,
    selector: S,
    spec: WindowSpec<T, A, R>,
    contents: C,
    function: F,
    output: Output<F::Out>,
) -> Result<Box<dyn BatchSink<T>>, TaskError>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    spec.check().map_err(TaskError::fatal)?;
    if A::PERIODIC
        && !F::EVICTS
        && spec.trigger.is_none()
        && let Some(periods) = spec.assigner.periods()
        && let Some(pane) = periods.pane()
        && (periods.is_tumbling() || !C::ORDERED)
    {
        let (late, panes) = (spec.late, (periods, pane));
        let parts = (selector, spec.assigner);
        return PaneOperator::boxed(context, parts, late, panes, contents, function, output);
    }
    match spec.trigger {
        Some(trigger) => {
            let spec = (spec.assigner, trigger, spec.late);
            WindowOperator::boxed(context, selector, spec, contents, function, output)
        }
        None => {
            let trigger = spec.assigner.default_trigger();
            let spec = (spec.assigner, trigger, spec.late);
            WindowOperator::boxed(context, selector, spec, contents, function, output)
        }
    }
}

/// Windows with an entry per key and window, for one subtask.
pub struct WindowOperator<T, S, A, R, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    selector: S,
    site: Site,
    store: Store<T, S::Key, A, R, C, F>,
}

impl<T, S, A, R, C, F> WindowOperator<T, S, A, R, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    /// The operator of one subtask: assigner, trigger, what about late records.
    pub fn boxed(
        context: &SubtaskContext,
        selector: S,
        spec: (A, R, LateData<T>),
        contents: C,
        function: F,
        output: Output<F::Out>,
    ) -> Result<Box<dyn BatchSink<T>>, TaskError> {
        let site = context.site();
        let store = Store::new(context, spec, contents, function, output)
            .map_err(|error| site.locate(error))?;
        let operator = Self {
            selector,
            site,
            store,
        };
        Ok(Box::new(Shell::new(operator, context)))
    }
}

impl<T, S, A, R, C, F> Windows for WindowOperator<T, S, A, R, C, F>
where
    T: Record,
    S: KeySelector<T>,
    A: WindowAssigner<T>,
    R: Trigger<T, A::Window>,
    C: Contents<T>,
    F: WindowFunction<T, S::Key, A::Window, C>,
{
    type Rows = Batch<T>;
    type Out = F::Out;

    fn rows(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let Self {
            selector,
            site,
            store,
        } = self;
        store.begin();
        let mut scope = site.scope();
        let mut hashes = take_hashes(batch, selector);
        store.fetch(selector, &batch.rows, &hashes)?;
        for ((row, timestamp), hash) in batch.drain().zip(&hashes) {
            scope.next();
            selector.with(&row, |key| store.set_key(*hash, key));
            if let Err(error) = store.add(row, timestamp) {
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
        self.store.proceed(&mut self.site)
    }

    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        self.store.snapshot(snapshot)
    }

    fn close(&mut self) -> Result<(), TaskError> {
        let closed = self.store.close();
        closed.map_err(|error| self.site.locate(error))
    }

    fn emitter(&mut self) -> &mut Emitter<F::Out> {
        self.store.emitter()
    }
}
