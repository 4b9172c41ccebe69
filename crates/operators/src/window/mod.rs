//! Windows: records of a key, grouped by time or count, and what is made of each group.
//!
//! Two implementations of the same meaning. `panes` is for windows in equal steps that fire when
//! they are complete: one table per pane, no timer per key. `general` is for everything else: an
//! entry per key and window, timers, triggers, evictors, sessions. Both sit in a `shell`, which
//! lets them stop while there is no room downstream.

mod assigner;
mod contents;
mod emitter;
mod evictor;
mod function;
mod general;
mod join;
mod keyed;
mod late;
mod panes;
mod periods;
mod process;
mod session;
mod shell;
#[cfg(test)]
mod tests;
mod time;
mod trigger;

pub use assigner::{
    GlobalWindows, Merge, SlidingEventTimeWindows, SlidingProcessingTimeWindows,
    TumblingEventTimeWindows, TumblingProcessingTimeWindows, WindowAssigner, WindowAssignerContext,
};
pub use contents::{Contents, Elements, Folded, Listed, MergingFold, Single};
pub use evictor::{CountEvictor, DeltaEvictor, Evictor, EvictorContext, NoEvictor, TimeEvictor};
pub use function::{Apply, EmitResult, Evicting, Folding, Process, ProcessFn, WindowFunction};
pub use join::{CoGroup, CoWindowOperator, Join, TaggedUnion};
pub use keyed::{WindowOperator, WindowSpec, keyed_windows};
pub use late::LateData;
pub use panes::PaneOperator;
pub use periods::Periods;
pub use process::{ProcessWindowFunction, WindowContext, WindowRuntimeContext};
pub use session::{EventTimeSessionWindows, ProcessingTimeSessionWindows};
pub use time::{GlobalWindow, TimeWindow, Window};
pub use trigger::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, DeltaTrigger,
    EventTimeTrigger, NeverTrigger, ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext,
    TriggerResult,
};

pub use crate::process::{BoxError, FunctionResult};
