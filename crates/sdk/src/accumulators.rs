//! Accumulators: what all subtasks of a job add up, read from the result of `execute()`.

use std::fmt::Debug;
use std::sync::Mutex;

use flott_metrics::accumulators::LIST_KIND;
pub use flott_metrics::accumulators::{
    Accumulator, AccumulatorError, AccumulatorHandle, Accumulators, AverageAccumulator, Cell,
    DoubleCounter, Histogram, IntCounter, LongCounter,
};
use flott_record::{Record, codec};

/// Elements written out for people, at most.
const SHOWN: usize = 100;

/// Collects values; all of them travel to the JobManager and to the program, so it is for few.
///
/// The elements of one subtask keep their order; those of several come one subtask after the other, in no order to rely on.
///
/// ```
/// use flott::accumulators::{Accumulators, ListAccumulator};
///
/// let accumulators = Accumulators::default();
/// let bad = accumulators.get::<ListAccumulator<(u64, String)>>("bad lines")?;
/// bad.add((17, "no comma".to_owned()));
/// assert_eq!(bad.result(), [(17, "no comma".to_owned())]);
/// # Ok::<(), flott::accumulators::AccumulatorError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ListAccumulator<T>(Vec<T>);

impl<T> Default for ListAccumulator<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Record + Debug> Accumulator for ListAccumulator<T> {
    type Value = T;
    type Result = Vec<T>;
    type Cell = Mutex<Self>;

    fn kind() -> String {
        LIST_KIND.to_owned()
    }

    fn add(&mut self, value: T) {
        self.0.push(value);
    }

    fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn result(&self) -> Vec<T> {
        self.0.clone()
    }

    /// Elements one after another, each behind its length: merging lists is appending their bytes.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
        let mut element = Vec::new();
        for value in &self.0 {
            element.clear();
            codec::encode(value, &mut element)
                .map_err(|error| AccumulatorError::value::<Self>(error.to_string()))?;
            let length = u32::try_from(element.len())
                .map_err(|_| AccumulatorError::value::<Self>("it is larger than 4 GiB"))?;
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&element);
        }
        Ok(())
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, AccumulatorError> {
        let cut = || AccumulatorError::bytes::<Self>("they end inside an element");
        let mut values = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
            let length = u32::from_le_bytes(*length) as usize;
            let (mut element, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
            values.push(
                codec::decode(&mut element)
                    .map_err(|error| AccumulatorError::bytes::<Self>(error.to_string()))?,
            );
            bytes = rest;
        }
        Ok(Self(values))
    }

    fn text(&self) -> String {
        let shown = self.0.iter().take(SHOWN).map(|value| format!("{value:?}"));
        let more = (self.0.len() > SHOWN).then(|| format!("… {} in all", self.0.len()));
        let shown: Vec<String> = shown.chain(more).collect();
        format!("[{}]", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use flott_metrics::accumulators::{AccumulatorSnapshot, merge_all};
    use proptest::prelude::*;

    use super::*;

    type List = ListAccumulator<(u32, String)>;

    proptest! {
        #[test]
        fn lists_survive_the_way_and_merge_by_their_bytes(
            parts in prop::collection::vec(prop::collection::vec((any::<u32>(), ".{0,8}"), 0..8), 1..4)
        ) {
            let all: Vec<_> = parts.iter().flatten().cloned().collect();
            let snapshots = parts.into_iter().map(|part| {
                let list = ListAccumulator(part);
                AccumulatorSnapshot::of("l", &list).unwrap()
            });
            let merged = merge_all(snapshots).remove(0);
            prop_assert_eq!(merged.parts.len(), 1);
            prop_assert_eq!(merged.read::<List>().unwrap().result(), all);
        }

        #[test]
        fn foreign_bytes_are_an_error_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = List::decode(&bytes);
        }
    }

    #[test]
    fn cut_bytes_are_an_error() {
        let mut bytes = Vec::new();
        let list = ListAccumulator(vec![(1, "x".to_owned())]);
        list.encode(&mut bytes).unwrap();
        for length in 1..bytes.len() {
            assert!(List::decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_long_list_is_shown_in_part() {
        let list: ListAccumulator<u32> = ListAccumulator((0..150).collect());
        let text = list.text();
        assert!(
            text.starts_with("[0, 1, 2") && text.ends_with("99, … 150 in all]"),
            "{text}"
        );
    }
}
