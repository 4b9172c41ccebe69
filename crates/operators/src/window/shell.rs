//! What all window operators have around them: they stop firing while there is no room downstream,
//! and whatever comes meanwhile waits in order.

use std::collections::VecDeque;

use flott_network::{Batch, Control};
use flott_record::Record;
use flott_state::{OperatorSnapshot, StateError};

use super::emitter::Emitter;
use crate::{BatchSink, OperatorCheckpoints, SubtaskContext, TaskError, TwoInputSink};

/// The windows of one operator.
pub(super) trait Windows: Send {
    /// What comes in at once.
    type Rows: Send;
    /// What is emitted.
    type Out: Record;

    /// Adds rows; nothing waits to be fired.
    fn rows(&mut self, rows: &mut Self::Rows) -> Result<(), TaskError>;

    /// The watermark has come: what it completes is to be fired by [`Windows::proceed`].
    fn watermark(&mut self, watermark: i64);

    /// Processing time has come so far: what is due is to be fired by [`Windows::proceed`].
    fn processing_time(&mut self, now: i64);

    /// BATCH: all rows of the keys so far have come. All windows are to be fired, then forgotten, by
    /// [`Windows::proceed`].
    fn end_of_keys(&mut self);

    /// Fires what is to be fired, until nothing is left (`true`) or there is no room.
    fn proceed(&mut self) -> Result<bool, TaskError>;

    /// A barrier follows: hands over the state. Nothing waits to be fired.
    fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError>;

    /// No row follows.
    fn close(&mut self) -> Result<(), TaskError>;

    fn emitter(&mut self) -> &mut Emitter<Self::Out>;
}

/// What waits until everything before it has been fired.
enum Waiting<R> {
    Rows(R),
    Control(Control),
}

/// A window operator as a link of a chain.
pub(super) struct Shell<S: Windows> {
    windows: S,
    checkpoints: OperatorCheckpoints,
    batch_mode: bool,
    /// The largest watermark that came.
    watermark: i64,
    /// Firing has stopped; the control that follows it.
    stopped: Option<Option<Control>>,
    waiting: VecDeque<Waiting<S::Rows>>,
    /// Processing time went on while other things were waiting.
    late_time: bool,
}

impl<S: Windows> Shell<S> {
    pub(super) fn new(windows: S, context: &SubtaskContext) -> Self {
        Self {
            windows,
            checkpoints: context.checkpoints(),
            batch_mode: context.batch_mode,
            watermark: i64::MIN,
            stopped: None,
            waiting: VecDeque::new(),
            late_time: false,
        }
    }

    fn is_busy(&self) -> bool {
        self.stopped.is_some() || !self.waiting.is_empty()
    }

    fn add(&mut self, rows: &mut S::Rows) -> Result<(), TaskError> {
        self.windows.rows(rows)?;
        self.windows.emitter().hand_on()
    }

    fn take(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            Control::Watermark(watermark) if watermark <= self.watermark => Ok(()),
            Control::Watermark(watermark) => {
                self.watermark = watermark;
                if self.batch_mode {
                    // Nothing is late: windows wait for the end of their keys.
                    return self.windows.emitter().control(control);
                }
                self.windows.watermark(watermark);
                self.fire(Some(control))
            }
            // For the head of the task, which this is.
            Control::KeysEnd => {
                self.windows.end_of_keys();
                self.fire(None)
            }
            Control::End => {
                if self.batch_mode {
                    self.windows.end_of_keys();
                }
                self.fire(Some(control))
            }
            Control::Barrier(_) => {
                let windows = &mut self.windows;
                self.checkpoints
                    .snapshot(|snapshot| windows.snapshot(snapshot))?;
                windows.emitter().control(control)
            }
            Control::Idle | Control::Active | Control::Marker(_) => {
                self.windows.emitter().control(control)
            }
        }
    }

    /// Fires, then passes `behind` on; now or, where there is no room, when there is.
    fn fire(&mut self, behind: Option<Control>) -> Result<(), TaskError> {
        if !self.windows.proceed()? {
            self.stopped = Some(behind);
            return self.windows.emitter().hand_on();
        }
        self.stopped = None;
        match behind {
            Some(control) => {
                if control == Control::End {
                    self.windows.close()?;
                }
                self.windows.emitter().control(control)
            }
            None => self.windows.emitter().hand_on(),
        }
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        if self.is_busy() {
            self.waiting.push_back(Waiting::Control(control));
            return Ok(());
        }
        self.take(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        if !self.batch_mode {
            self.windows.processing_time(now);
            if self.is_busy() {
                self.late_time = true;
            } else {
                self.fire(None)?;
            }
        }
        self.windows.emitter().time(now)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        loop {
            if !self.windows.emitter().settle()? {
                return Ok(false);
            }
            if let Some(behind) = self.stopped.take() {
                self.fire(behind)?;
                continue;
            }
            match self.waiting.pop_front() {
                None if std::mem::take(&mut self.late_time) => self.fire(None)?,
                None => return Ok(true),
                Some(Waiting::Control(control)) => self.take(control)?,
                Some(Waiting::Rows(mut rows)) => self.add(&mut rows)?,
            }
        }
    }
}

impl<T: Record, S: Windows<Rows = Batch<T>>> BatchSink<T> for Shell<S> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        if self.is_busy() {
            self.waiting.push_back(Waiting::Rows(std::mem::take(batch)));
            return Ok(());
        }
        self.add(batch)
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.windows.emitter().flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.settle()
    }
}

/// A batch of one of two inputs.
pub(super) enum OneOf<A, B> {
    First(Batch<A>),
    Second(Batch<B>),
}

impl<A, B, S> TwoInputSink<A, B> for Shell<S>
where
    A: Record,
    B: Record,
    S: Windows<Rows = OneOf<A, B>>,
{
    fn batch1(&mut self, batch: &mut Batch<A>) -> Result<(), TaskError> {
        let mut rows = OneOf::First(std::mem::take(batch));
        if self.is_busy() {
            self.waiting.push_back(Waiting::Rows(rows));
            return Ok(());
        }
        self.add(&mut rows)?;
        // The memory of the batch is its sender's.
        if let OneOf::First(rows) = rows {
            *batch = rows;
        }
        Ok(())
    }

    fn batch2(&mut self, batch: &mut Batch<B>) -> Result<(), TaskError> {
        let mut rows = OneOf::Second(std::mem::take(batch));
        if self.is_busy() {
            self.waiting.push_back(Waiting::Rows(rows));
            return Ok(());
        }
        self.add(&mut rows)?;
        if let OneOf::Second(rows) = rows {
            *batch = rows;
        }
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.control(control)
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.windows.emitter().flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        self.settle()
    }
}
