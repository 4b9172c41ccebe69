//! Folds the rows of each key into one value: STREAMING emits it after every row, BATCH once, when
//! all rows of the key have come.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::vec::Drain;

use flott_network::{Batch, Control};
use flott_record::Data;
use flott_state::cold::TieredTable;
use flott_state::{IntoRows, KeyedTable};

use super::{Fold, KeySelector, fetch_rows, prefetch_first, take_hashes};
use crate::blame::{Records, Site};
use crate::checkpoint::{cannot, unmoved};
use crate::{BatchSink, Collect, OperatorCheckpoints, Output, SubtaskContext, TaskError};

/// The state: the value of each key.
const VALUES: &str = "values";

/// The operator for the mode the job runs in.
pub fn keyed_fold<T, S, F>(
    context: &SubtaskContext,
    selector: S,
    fold: F,
    output: Output<F::Out>,
) -> Result<Box<dyn BatchSink<T>>, TaskError>
where
    T: Data,
    S: KeySelector<T>,
    F: Fold<T>,
{
    Ok(if context.batch_mode {
        Box::new(FinalFold::new(context, selector, fold, output))
    } else {
        Box::new(RunningFold::new(context, selector, fold, output)?)
    })
}

/// Emits the value of a key after each of its rows.
pub struct RunningFold<T, S: KeySelector<T>, F: Fold<T>> {
    selector: S,
    fold: F,
    table: TieredTable<S::Key, F::Value>,
    checkpoints: OperatorCheckpoints,
    output: Output<F::Out>,
    site: Site,
    input: PhantomData<fn(T)>,
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> RunningFold<T, S, F> {
    /// Folds the rows of each key, and emits to `output`.
    ///
    /// # Errors
    /// When the state it begins from cannot be read.
    pub fn new(
        context: &SubtaskContext,
        selector: S,
        fold: F,
        output: Output<F::Out>,
    ) -> Result<Self, TaskError> {
        let checkpoints = context.checkpoints();
        let mut table = context.table(VALUES);
        if let Some(restored) = checkpoints.restored() {
            let filled = restored.tiered(VALUES, &mut table);
            filled.map_err(|error| cannot("restored", &error))?;
        }
        Ok(Self {
            selector,
            fold,
            table,
            checkpoints,
            output,
            site: context.site(),
            input: PhantomData,
        })
    }
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> BatchSink<T> for RunningFold<T, S, F> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let Self {
            selector,
            fold,
            table,
            output,
            site,
            ..
        } = self;
        let mut hashes = take_hashes(batch, selector);
        fetch_rows(table, selector, &batch.rows, &hashes)?;
        let mut records = site.records();
        let mut rows = batch.rows.drain(..);
        let mut results = Results {
            rows: &mut rows,
            ahead: prefetch_first(table, &hashes),
            hashes: hashes.iter(),
            selector,
            fold,
            table,
            records: &mut records,
        };
        output.collect_all(&mut results, &batch.timestamps);
        records.end();
        drop(rows);
        batch.timestamps.clear();
        hashes.clear();
        batch.hashes = hashes;
        self.table.make_room().map_err(unmoved)?;
        self.output.hand_on()
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        if let Control::Barrier(_) = control {
            let table = &mut self.table;
            self.checkpoints
                .snapshot(|snapshot| snapshot.tiered(VALUES, table))?;
        }
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
}

/// Folds rows one by one, and gives the value of each row's key.
struct Results<'a, 's, 'r, T, S: KeySelector<T>, F: Fold<T>> {
    rows: &'a mut Drain<'r, T>,
    hashes: std::slice::Iter<'a, u64>,
    /// Hashes of rows further on, whose memory is to be asked for.
    ahead: std::slice::Iter<'a, u64>,
    selector: &'a S,
    fold: &'a mut F,
    table: &'a mut KeyedTable<S::Key, F::Value>,
    records: &'a mut Records<'s>,
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> Iterator for Results<'_, '_, '_, T, S, F> {
    type Item = F::Out;

    #[inline(always)]
    fn next(&mut self) -> Option<F::Out> {
        let (row, hash) = (self.rows.next()?, *self.hashes.next()?);
        self.records.next();
        if let Some(ahead) = self.ahead.next() {
            self.table.prefetch(*ahead);
        }
        let Self {
            selector,
            fold,
            table,
            ..
        } = self;
        // The key is part of the row, and the row is consumed: find first, change then.
        Some(match selector.with(&row, |key| table.get_mut(hash, key)) {
            Some(value) => {
                fold.add(value, row);
                fold.result(value)
            }
            None => {
                let key = selector.with(&row, Clone::clone);
                let value = fold.first(row);
                fold.result(table.insert_new(hash, key, value))
            }
        })
    }

    #[inline(always)]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> ExactSizeIterator for Results<'_, '_, '_, T, S, F> {}

/// A value with the latest event time of its rows.
#[derive(Clone)]
struct Latest<V> {
    value: V,
    timestamp: i64,
}

/// What is to be emitted yet.
enum Due<K, V> {
    Rows(IntoRows<K, Latest<V>>),
    Control(Control),
}

/// Emits the value of each key once, when all its rows have come; with the latest event time among
/// them. Watermarks wait for the end: rows of any time may follow until then.
pub struct FinalFold<T, S: KeySelector<T>, F: Fold<T>> {
    selector: S,
    fold: F,
    table: KeyedTable<S::Key, Latest<F::Value>>,
    due: VecDeque<Due<S::Key, F::Value>>,
    watermark: Option<i64>,
    output: Output<F::Out>,
    site: Site,
    input: PhantomData<fn(T)>,
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> FinalFold<T, S, F> {
    /// Folds the rows of each key, and emits to `output`.
    pub fn new(context: &SubtaskContext, selector: S, fold: F, output: Output<F::Out>) -> Self {
        Self {
            selector,
            fold,
            table: KeyedTable::new(),
            due: VecDeque::new(),
            watermark: None,
            output,
            site: context.site(),
            input: PhantomData,
        }
    }

    /// All rows of the keys in the table have come.
    fn complete(&mut self) {
        if !self.table.is_empty() {
            let rows = std::mem::take(&mut self.table).into_iter();
            self.due.push_back(Due::Rows(rows));
        }
    }

    /// Emits what is due until there is no room downstream.
    fn emit(&mut self) -> Result<(), TaskError> {
        while !self.output.is_full() {
            match self.due.front_mut() {
                None => break,
                Some(Due::Control(control)) => {
                    self.output.control(*control)?;
                    self.due.pop_front();
                }
                Some(Due::Rows(rows)) => {
                    let scope = self.site.scope();
                    for (_, _, row) in rows.by_ref() {
                        let result = self.fold.finish(row.value);
                        self.output.collect(result, row.timestamp);
                        if self.output.is_full() {
                            break;
                        }
                    }
                    drop(scope);
                    if rows.len() == 0 {
                        self.due.pop_front();
                    }
                }
            }
        }
        self.output.hand_on()
    }
}

impl<T: Data, S: KeySelector<T>, F: Fold<T>> BatchSink<T> for FinalFold<T, S, F> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<(), TaskError> {
        let Self {
            selector,
            fold,
            table,
            site,
            ..
        } = self;
        let mut scope = site.scope();
        let mut hashes = take_hashes(batch, selector);
        let mut ahead = prefetch_first(table, &hashes);
        for ((row, timestamp), hash) in batch.drain().zip(&hashes) {
            scope.next();
            if let Some(ahead) = ahead.next() {
                table.prefetch(*ahead);
            }
            let found = selector.with(&row, |key| table.find(*hash, key));
            match found.and_then(|position| table.at_mut(position)) {
                Some(latest) => {
                    fold.add(&mut latest.value, row);
                    latest.timestamp = latest.timestamp.max(timestamp);
                }
                None => {
                    let key = selector.with(&row, Clone::clone);
                    let value = fold.first(row);
                    table.insert_new(*hash, key, Latest { value, timestamp });
                }
            }
        }
        drop(scope);
        hashes.clear();
        batch.hashes = hashes;
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        match control {
            Control::Watermark(watermark) => {
                self.watermark = self.watermark.max(Some(watermark));
                return Ok(());
            }
            Control::KeysEnd => self.complete(),
            Control::End => {
                self.complete();
                let watermark = self.watermark.take().map(Control::Watermark);
                let last = watermark.into_iter().chain([Control::End]);
                self.due.extend(last.map(Due::Control));
            }
            Control::Idle | Control::Active | Control::Marker(_) | Control::Barrier(_) => {
                self.due.push_back(Due::Control(control));
            }
        }
        self.emit()
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.output.time(now)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        self.output.flush()
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        loop {
            if !self.output.settle()? {
                return Ok(false);
            }
            if self.due.is_empty() {
                return Ok(true);
            }
            self.emit()?;
        }
    }
}

#[cfg(test)]
mod tests;
