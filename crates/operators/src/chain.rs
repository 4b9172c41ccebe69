//! The erased boundary between operators of one task: one dynamic call per batch.

use flott_network::{Batch, Control};
use flott_record::Data;

use crate::TaskError;

/// The rest of a chain, seen from the operator before it.
pub trait BatchSink<T>: Send {
    /// Processes the rows and leaves the batch empty; the buffer stays the caller's.
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError>;

    /// Takes a control element, in order with the rows.
    fn control(&mut self, control: Control) -> Result<(), TaskError>;

    /// Sends what is buffered on its way.
    fn flush(&mut self) -> Result<(), TaskError>;

    /// Whether there is room for another batch. After `false` the task is woken when there is.
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
        fn flush(&mut self) -> Result<(), TaskError> {
            Ok(())
        }
        fn settle(&mut self) -> Result<bool, TaskError> {
            Ok(true)
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
