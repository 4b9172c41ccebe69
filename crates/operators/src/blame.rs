//! Whose code is running, for the case that it panics or fails: the operator and the position of the
//! record in its input. Costs a counter per record; the rest happens only while a panic unwinds.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::TaskError;

thread_local! {
    /// Position in its fused run of the operator whose function panics, from 1; 0: not known.
    static OPERATOR: Cell<u32> = const { Cell::new(0) };
    /// What the innermost site said about the panic that unwinds.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Marks the run of one function of a fused run.
pub(crate) struct Function(u32);

impl Function {
    #[inline(always)]
    pub(crate) fn enter(index: u32) -> Self {
        Self(index)
    }

    #[inline(always)]
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Function {
    // Only reached by unwinding: `leave` forgets it.
    #[cold]
    fn drop(&mut self) {
        OPERATOR.set(self.0);
    }
}

/// The operators of one link of a chain, and how many records they were given.
#[derive(Debug)]
pub struct Site {
    names: Arc<[String]>,
    records: u64,
    /// Which of several inputs; empty if there is one.
    input: &'static str,
}

impl Site {
    /// For the operators of a fused run in order, or for one operator.
    pub fn new(names: Arc<[String]>) -> Self {
        Self {
            names,
            records: 0,
            input: "",
        }
    }

    /// For the records of one of several inputs, each of which counts its own.
    pub(crate) fn of_input(self, input: &'static str) -> Self {
        Self { input, ..self }
    }

    /// Records given so far.
    pub(crate) fn count(&self) -> u64 {
        self.records
    }

    /// Covers the processing of a batch (or of a timer). Call [`Scope::next`] for each record.
    #[inline]
    pub fn scope(&mut self) -> Scope<'_> {
        OPERATOR.set(0);
        let records = self.records;
        Scope {
            site: self,
            records,
            in_record: false,
            timer: None,
        }
    }

    /// As [`Site::scope`], for records only. Call [`Records::end`] when all is well.
    #[inline(always)]
    pub(crate) fn records(&mut self) -> Records<'_> {
        OPERATOR.set(0);
        let count = self.records;
        Records { site: self, count }
    }

    /// The code was left by a panic at that record. Takes the number, not a reference to where it is
    /// counted: for that, every record would be counted in memory.
    #[cold]
    #[inline(never)]
    fn unwound(&mut self, records: u64) {
        let scope = Scope {
            site: self,
            records,
            in_record: true,
            timer: None,
        };
        drop(scope);
    }

    /// Adds operator and record to the user's error.
    pub fn locate(&self, error: TaskError) -> TaskError {
        let place = self.describe(error.operator, Some(self.records));
        error.placed(&place)
    }

    /// As [`Site::locate`], for a record that was taken earlier.
    pub(crate) fn locate_at(&self, record: u64, error: TaskError) -> TaskError {
        let place = self.describe(error.operator, Some(record));
        error.placed(&place)
    }

    fn describe(&self, operator: u32, record: Option<u64>) -> String {
        let name = match (operator.checked_sub(1), self.names.len()) {
            (Some(index), _) => self.names.get(index as usize).cloned(),
            (None, 0) => None,
            (None, _) => Some(self.names.join(" -> ")),
        };
        let record = record.map_or(String::new(), |record| match self.input {
            "" => format!(", record {record}"),
            input => format!(", {input} input, record {record}"),
        });
        match name {
            Some(name) => format!("operator '{name}'{record}"),
            None => format!("exchange{record}"),
        }
    }
}

/// While a batch is processed.
pub struct Scope<'a> {
    site: &'a mut Site,
    records: u64,
    in_record: bool,
    /// When not in a record: the timer that fires.
    timer: Option<i64>,
}

impl Scope<'_> {
    /// The next record, counted from 1 since the start of the subtask's attempt.
    #[inline(always)]
    pub fn next(&mut self) {
        self.records += 1;
        self.in_record = true;
    }

    /// So many records were processed besides those told by [`Scope::next`].
    pub(crate) fn skip(&mut self, records: u64) {
        self.records += records;
    }

    /// The timer of that time, in milliseconds since the epoch, fires.
    #[inline(always)]
    pub(crate) fn at_timer(&mut self, timestamp: i64) {
        self.in_record = false;
        self.timer = Some(timestamp);
    }

    /// The number of the record, counted from 1.
    pub(crate) fn record(&self) -> u64 {
        self.records
    }

    /// Adds operator and record (or timer) to the user's error.
    pub fn locate(&self, error: TaskError) -> TaskError {
        let place = self.place(error.operator);
        error.placed(&place)
    }

    fn place(&self, operator: u32) -> String {
        let record = self.in_record.then_some(self.records);
        let mut place = self.site.describe(operator, record);
        if let (false, Some(timer)) = (self.in_record, self.timer) {
            place.push_str(&format!(", timer at {timer} ms"));
        }
        place
    }
}

impl Drop for Scope<'_> {
    #[inline]
    fn drop(&mut self) {
        self.site.records = self.records;
        if std::thread::panicking() {
            let place = self.place(OPERATOR.get());
            // The innermost is told first; those around it know less.
            PLACE.with_borrow_mut(|known| known.get_or_insert(place).len());
        }
    }
}

/// While the records of a batch are processed in a loop that has to be fast.
pub(crate) struct Records<'a> {
    site: &'a mut Site,
    count: u64,
}

impl Records<'_> {
    /// The next record, counted from 1 since the start of the subtask's attempt.
    #[inline(always)]
    pub(crate) fn next(&mut self) {
        self.count += 1;
    }

    /// The batch is done.
    #[inline(always)]
    pub(crate) fn end(self) {
        self.site.records = self.count;
        std::mem::forget(self);
    }
}

impl Drop for Records<'_> {
    // Only reached by unwinding: `end` forgets it.
    #[inline(always)]
    fn drop(&mut self) {
        self.site.unwound(self.count);
    }
}

/// Where the panic that was just caught on this thread happened, if it was in an operator.
pub fn take_place() -> Option<String> {
    OPERATOR.set(0);
    PLACE.take()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn site(names: &[&str]) -> Site {
        Site::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn the_innermost_panic_is_told_with_operator_and_record() {
        let (mut outer, mut inner) = (site(&["Map"]), site(&["Filter", "Flat Map"]));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut around = outer.scope();
            around.next();
            let mut scope = inner.scope();
            scope.next();
            scope.next();
            let _function = Function::enter(2);
            panic!("boom");
        }));
        assert!(caught.is_err());
        let place = take_place();
        assert_eq!(place.as_deref(), Some("operator 'Flat Map', record 2"));
        assert_eq!(take_place(), None);
    }

    #[test]
    fn inputs_and_timers_are_told() {
        let mut site = site(&["Co-Process"]).of_input("second");
        let mut scope = site.scope();
        scope.next();
        let error = scope.locate(TaskError::user("no"));
        assert_eq!(
            error.message,
            "operator 'Co-Process', second input, record 1: no"
        );
        scope.at_timer(70);
        let error = scope.locate(TaskError::user("no"));
        assert_eq!(error.message, "operator 'Co-Process', timer at 70 ms: no");
        drop(scope);
        let error = site.locate_at(5, TaskError::user("no"));
        assert_eq!(
            error.message,
            "operator 'Co-Process', second input, record 5: no"
        );
    }

    #[test]
    fn an_error_is_told_with_its_place_once() {
        let mut site = site(&["Map"]);
        let mut scope = site.scope();
        scope.next();
        let error = scope.locate(TaskError::user("no number"));
        assert_eq!(error.message, "operator 'Map', record 1: no number");
        let again = scope.locate(error.clone());
        assert_eq!(again, error);
    }
}
