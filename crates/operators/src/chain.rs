//! The erased boundary between operators of one task: one dynamic call per batch.

use flott_network::{Batch, Control};
use flott_record::Data;

use crate::TaskError;

/// The rest of a chain, seen from the operator before it.
pub trait BatchSink<T>: Send {
    /// Takes all rows and leaves the batch empty; the buffer stays the caller's. Called only after
    /// `settle` said that there is room.
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError>;

    /// Takes a control element, in order with the rows. Called only after `settle` said that there
    /// is room.
    fn control(&mut self, control: Control) -> Result<(), TaskError>;

    /// Processing time has reached `now` (milliseconds since the epoch): does what is due, and
    /// passes it on. Whoever waits for a time asks [`crate::TaskClock::wake_at`] for it each time.
    fn time(&mut self, now: i64) -> Result<(), TaskError>;

    /// Sends what is buffered on its way.
    fn flush(&mut self) -> Result<(), TaskError>;

    /// Goes on with what was kept back for want of room; whether nothing is kept back and there is
    /// room for another batch. After `false` the task is woken when there may be.
    fn settle(&mut self) -> Result<bool, TaskError>;

    /// Gives back rows that were taken and not begun with, for want of room, in front of those in the
    /// batch: a snapshot counts them as not taken.
    fn take_back(&mut self, batch: &mut Batch<T>) {
        let _ = batch;
    }
}

/// The head of a task with two inputs. All calls but the two of the rows mean the same as in
/// [`BatchSink`]; control elements are those of both inputs merged: the smaller watermark, barriers
/// once both have come, the end once both have ended.
pub trait TwoInputSink<A, B>: Send {
    /// Rows of the first input.
    fn batch1(&mut self, batch: &mut Batch<A>) -> Result<(), TaskError>;

    /// Rows of the second input.
    fn batch2(&mut self, batch: &mut Batch<B>) -> Result<(), TaskError>;

    /// See [`BatchSink::control`].
    fn control(&mut self, control: Control) -> Result<(), TaskError>;

    /// The first input has ended; the second may go on.
    fn end1(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// The second input has ended; the first may go on.
    fn end2(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    /// See [`BatchSink::time`].
    fn time(&mut self, now: i64) -> Result<(), TaskError>;

    /// See [`BatchSink::flush`].
    fn flush(&mut self) -> Result<(), TaskError>;

    /// See [`BatchSink::settle`].
    fn settle(&mut self) -> Result<bool, TaskError>;
}

/// Gives every row to each of several chains.
pub struct Tee<T> {
    targets: Vec<Box<dyn BatchSink<T>>>,
    copy: Batch<T>,
}

impl<T: Data> Tee<T> {
    /// A tee into these chains.
    pub fn new(targets: Vec<Box<dyn BatchSink<T>>>) -> Self {
        Self {
            targets,
            copy: Batch::default(),
        }
    }
}

impl<T: Data> BatchSink<T> for Tee<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let Some((last, others)) = self.targets.split_last_mut() else {
            batch.clear();
            return Ok(());
        };
        for target in others {
            self.copy.rows.extend(batch.rows.iter().cloned());
            self.copy.timestamps.extend_from_slice(&batch.timestamps);
            target.batch(&mut self.copy)?;
            self.copy.clear();
        }
        last.batch(batch)
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.targets
            .iter_mut()
            .try_for_each(|target| target.control(control))
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.targets
            .iter_mut()
            .try_for_each(|target| target.time(now))
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.targets
            .iter_mut()
            .try_for_each(|target| target.flush())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        let mut room = true;
        for target in &mut self.targets {
            room &= target.settle()?;
        }
        Ok(room)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A chain end that keeps what it gets.

    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone)]
    pub(crate) struct Keep<T>(
        pub(crate) Arc<Mutex<Vec<(T, i64)>>>,
        pub(crate) Arc<Mutex<Vec<Control>>>,
    );

    impl<T> Default for Keep<T> {
        fn default() -> Self {
            Self(Arc::default(), Arc::default())
        }
    }

    impl<T: Data> Keep<T> {
        pub(crate) fn rows(&self) -> Vec<T> {
            self.0
                .lock()
                .unwrap()
                .iter()
                .map(|(row, _)| row.clone())
                .collect()
        }
    }

    impl<T: Data> BatchSink<T> for Keep<T> {
        fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
            self.0.lock().unwrap().extend(batch.drain());
            Ok(())
        }
        fn control(&mut self, control: Control) -> Result<(), TaskError> {
            self.1.lock().unwrap().push(control);
            Ok(())
        }
        fn time(&mut self, _: i64) -> Result<(), TaskError> {
            Ok(())
        }
        fn flush(&mut self) -> Result<(), TaskError> {
            Ok(())
        }
        fn settle(&mut self) -> Result<bool, TaskError> {
            Ok(true)
        }
    }

    /// A chain end with room for one batch or control element, until somebody makes room.
    #[derive(Clone)]
    pub(crate) struct Narrow<T>(Arc<Mutex<NarrowState<T>>>);

    struct NarrowState<T> {
        queued: usize,
        most: usize,
        rows: Vec<T>,
        rows_before_control: Vec<u64>,
    }

    impl<T> Default for Narrow<T> {
        fn default() -> Self {
            Self(Arc::new(Mutex::new(NarrowState {
                queued: 0,
                most: 0,
                rows: Vec::new(),
                rows_before_control: Vec::new(),
            })))
        }
    }

    impl<T: Data> Narrow<T> {
        pub(crate) fn make_room(&self) {
            self.0.lock().unwrap().queued = 0;
        }
        /// The most elements that were ever waiting.
        pub(crate) fn most(&self) -> usize {
            self.0.lock().unwrap().most
        }
        pub(crate) fn rows(&self) -> Vec<T> {
            self.0.lock().unwrap().rows.clone()
        }
        /// How many rows had come before each control element.
        pub(crate) fn rows_before_control(&self) -> Vec<u64> {
            self.0.lock().unwrap().rows_before_control.clone()
        }
        fn take(&self) {
            let mut state = self.0.lock().unwrap();
            state.queued += 1;
            state.most = state.most.max(state.queued);
        }
    }

    impl<T: Data> BatchSink<T> for Narrow<T> {
        fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
            self.take();
            let rows = batch.drain().map(|(row, _)| row);
            self.0.lock().unwrap().rows.extend(rows);
            Ok(())
        }
        fn control(&mut self, _: Control) -> Result<(), TaskError> {
            self.take();
            let mut state = self.0.lock().unwrap();
            let rows = state.rows.len() as u64;
            state.rows_before_control.push(rows);
            Ok(())
        }
        fn time(&mut self, _: i64) -> Result<(), TaskError> {
            Ok(())
        }
        fn flush(&mut self) -> Result<(), TaskError> {
            Ok(())
        }
        fn settle(&mut self) -> Result<bool, TaskError> {
            Ok(self.0.lock().unwrap().queued == 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::Keep, *};

    #[test]
    fn a_tee_gives_each_row_to_every_target() {
        let (left, right) = (Keep::default(), Keep::default());
        let mut tee = Tee::new(vec![Box::new(left.clone()), Box::new(right.clone())]);
        let mut batch = Batch::with_capacity(2);
        batch.push("a", 7);
        batch.push("b", 8);
        tee.batch(&mut batch).unwrap();
        tee.control(Control::End).unwrap();
        assert!(batch.is_empty());
        for kept in [left, right] {
            assert_eq!(*kept.0.lock().unwrap(), [("a", 7), ("b", 8)]);
            assert_eq!(*kept.1.lock().unwrap(), [Control::End]);
        }
    }
}
