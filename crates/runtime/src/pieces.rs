//! Hands a batch to a chain in pieces of about a millisecond each. A batch of rows that the user's
//! code takes long for would otherwise hold up what waits for the end of a poll: the flush that
//! `execution.buffer-timeout` promises, other tasks, and the cancellation.

use std::time::{Duration, Instant};

use flott_network::Batch;
use flott_operators::{BatchSink, TaskError};

/// A piece should not take longer.
const PIECE: Duration = Duration::from_millis(1);
/// Rows of the first piece, when nothing is known about the code.
const FIRST: usize = 64;
/// More rows than any batch or frame has.
const MOST: usize = 1 << 16;

pub(crate) struct Pieces<T> {
    rest: Batch<T>,
    piece: Batch<T>,
    size: usize,
}

impl<T> Pieces<T> {
    pub(crate) fn new(rest: Batch<T>) -> Self {
        Self {
            rest,
            piece: Batch::default(),
            size: FIRST,
        }
    }

    /// Whether everything was handed over.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is handed over next; to be filled when it is empty.
    pub(crate) fn batch(&mut self) -> &mut Batch<T> {
        &mut self.rest
    }

    /// Rows that were handed over and not begun with come back, in front.
    pub(crate) fn take_back(&mut self, head: &mut dyn BatchSink<T>) {
        head.take_back(&mut self.rest);
    }

    /// Hands over the next piece.
    pub(crate) fn feed(&mut self, head: &mut dyn BatchSink<T>) -> Result<(), TaskError> {
        self.feed_to(|batch| head.batch(batch))
    }

    /// Hands the next piece to `take`.
    pub(crate) fn feed_to(
        &mut self,
        take: impl FnOnce(&mut Batch<T>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let begin = Instant::now();
        let rows = self.rest.len().min(self.size);
        if rows == self.rest.len() {
            take(&mut self.rest)?;
            self.rest.clear();
        } else {
            self.cut(rows);
            take(&mut self.piece)?;
            self.piece.clear();
        }
        self.adapt(rows, begin.elapsed());
        Ok(())
    }

    fn cut(&mut self, rows: usize) {
        let (rest, piece) = (&mut self.rest, &mut self.piece);
        piece.rows.extend(rest.rows.drain(..rows));
        // Both are empty, or as long as the rows.
        let times = rows.min(rest.timestamps.len());
        piece.timestamps.extend(rest.timestamps.drain(..times));
        let hashes = rows.min(rest.hashes.len());
        piece.hashes.extend(rest.hashes.drain(..hashes));
    }

    fn adapt(&mut self, rows: usize, took: Duration) {
        if took > PIECE {
            let fits = rows as f64 * PIECE.as_secs_f64() / took.as_secs_f64();
            self.size = (fits as usize).max(1);
        } else if rows == self.size && took < PIECE / 2 {
            self.size = (self.size * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use flott_network::{Control, NO_TIMESTAMP};

    use super::*;

    /// A row, its time, its hash.
    type Seen = (u64, Option<i64>, Option<u64>);

    /// Takes so long for each row, and keeps what it gets.
    struct Slow(Duration, Arc<Mutex<Vec<Vec<Seen>>>>);

    impl BatchSink<u64> for Slow {
        fn batch(&mut self, batch: &mut Batch<u64>) -> Result<(), TaskError> {
            let seen = batch.rows.iter().enumerate().map(|(at, row)| {
                let until = Instant::now() + self.0;
                while Instant::now() < until {}
                let time = batch.timestamps.get(at).copied();
                (*row, time, batch.hashes.get(at).copied())
            });
            self.1.lock().unwrap().push(seen.collect());
            Ok(())
        }
        fn control(&mut self, _: Control) -> Result<(), TaskError> {
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

    fn pieces(per_row: Duration, rows: u64, timed: bool, hashed: bool) -> Vec<Vec<Seen>> {
        let mut sink = Slow(per_row, Arc::default());
        let mut pieces = Pieces::new(Batch::default());
        for row in 0..rows {
            let time = if timed { row as i64 } else { NO_TIMESTAMP };
            pieces.batch().push(row, time);
            if hashed {
                pieces.batch().hashes.push(row + 1);
            }
        }
        while !pieces.is_empty() {
            pieces.feed(&mut sink).unwrap();
        }
        sink.1.lock().unwrap().clone()
    }

    #[test]
    fn slow_code_gets_single_rows_in_the_end() {
        let given = pieces(Duration::from_micros(1_500), 70, true, true);
        assert_eq!(given[0].len(), FIRST);
        assert!(given[1..].iter().all(|piece| piece.len() == 1), "{given:?}");
    }

    #[test]
    fn pieces_make_up_the_batch() {
        for (timed, hashed) in [(false, false), (true, false), (false, true), (true, true)] {
            let all = pieces(Duration::ZERO, 1_000, timed, hashed).concat();
            let expected = (0..1_000).map(|row| {
                let time = timed.then_some(row as i64);
                (row, time, hashed.then_some(row + 1))
            });
            assert_eq!(all, expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_size_follows_the_time_that_rows_take() {
        let mut pieces = Pieces::<u64>::new(Batch::default());
        for _ in 0..30 {
            pieces.adapt(pieces.size, Duration::from_micros(10));
        }
        assert_eq!(pieces.size, MOST);
        pieces.adapt(1_000, PIECE * 10);
        assert_eq!(pieces.size, 100);
        pieces.adapt(50, Duration::from_micros(10));
        assert_eq!(
            pieces.size, 100,
            "a small batch says nothing about larger ones"
        );
        pieces.adapt(1, PIECE * 1_000);
        assert_eq!(pieces.size, 1);
    }
}
