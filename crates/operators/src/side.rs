//! Side outputs: further streams of an operator, each under a tag.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use flott_network::Control;
use flott_record::{Data, Record};

use crate::flow::Flow;
use crate::{BatchSink, Output, TaskError};

/// Names a side output and its type. Use one tag (or clones of it) for writing and for reading.
pub struct OutputTag<T> {
    id: Arc<str>,
    types: PhantomData<fn() -> T>,
}

impl<T> OutputTag<T> {
    /// The tag of that name; names are per operator.
    pub fn new(id: &str) -> Self {
        Self {
            id: id.into(),
            types: PhantomData,
        }
    }

    /// The name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl<T> Clone for OutputTag<T> {
    fn clone(&self) -> Self {
        Self {
            id: Arc::clone(&self.id),
            types: PhantomData,
        }
    }
}

impl<T> fmt::Debug for OutputTag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutputTag({})", self.id)
    }
}

/// A side output whose type only its writer and its reader know.
pub trait AnySide: Send {
    /// Its tag.
    fn tag(&self) -> &str;
    /// The `Output<U>`.
    fn as_any(&mut self) -> &mut dyn Any;
    /// See [`Output`].
    fn hand_on(&mut self) -> Result<(), TaskError>;
    /// See [`Output`].
    fn control(&mut self, control: Control) -> Result<(), TaskError>;
    /// See [`Output`].
    fn time(&mut self, now: i64) -> Result<(), TaskError>;
    /// See [`Output`].
    fn flush(&mut self) -> Result<(), TaskError>;
    /// See [`Output`].
    fn settle(&mut self) -> Result<bool, TaskError>;
    /// Tells a flow what passes.
    fn count(&mut self, flow: Arc<Flow>);
}

struct Side<U> {
    tag: Arc<str>,
    output: Output<U>,
}

/// The side output of that tag, followed by `next`.
pub fn boxed<U: Record>(tag: &OutputTag<U>, next: Box<dyn BatchSink<U>>) -> Box<dyn AnySide> {
    Box::new(Side {
        tag: Arc::clone(&tag.id),
        output: Output::to(next),
    })
}

impl<U: Data> AnySide for Side<U> {
    fn tag(&self) -> &str {
        &self.tag
    }

    fn as_any(&mut self) -> &mut dyn Any {
        &mut self.output
    }

    fn hand_on(&mut self) -> Result<(), TaskError> {
        self.output.hand_on()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.output.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.output.settle()
    }

    fn count(&mut self, flow: Arc<Flow>) {
        self.output.count(flow);
    }
}
