//! Accumulators of many subtasks: merging is independent of order and grouping, and bytes come back as values.

use flott_metrics::accumulators::{
    Accumulator, AccumulatorError, AccumulatorSnapshot, AverageAccumulator, DoubleCounter,
    Histogram, IntCounter, LIST_KIND, LongCounter, merge_all,
};
use proptest::prelude::*;
use std::sync::Mutex;

fn of<A: Accumulator>(values: impl IntoIterator<Item = A::Value>) -> A {
    let mut accumulator = A::default();
    values.into_iter().for_each(|value| accumulator.add(value));
    accumulator
}

fn merged<A: Accumulator>(mut left: A, right: A) -> A {
    left.merge(right);
    left
}

fn encoded<A: Accumulator>(accumulator: &A) -> Vec<u8> {
    let mut bytes = Vec::new();
    accumulator
        .encode(&mut bytes)
        .expect("numbers can be written");
    bytes
}

/// Three accumulators merge to the same whatever the order and the grouping; it is that of all values at once; and the way
/// over bytes changes nothing.
fn check<A: Accumulator>(parts: [Vec<A::Value>; 3])
where
    A::Value: Clone,
{
    let all: A = of(parts.iter().flatten().cloned());
    let [a, b, c] = parts.map(of::<A>);
    let expected = encoded(&all);
    let left = merged(merged(a.clone(), b.clone()), c.clone());
    let right = merged(a.clone(), merged(b.clone(), c.clone()));
    let back = merged(merged(c.clone(), b.clone()), a.clone());
    for result in [&left, &right, &back] {
        assert_eq!(encoded(result), expected);
    }
    let snapshots = [&b, &c, &a]
        .map(|part| AccumulatorSnapshot::of("x", part).expect("numbers can be written"));
    let [by_bytes] = merge_all(snapshots).try_into().expect("one name");
    assert_eq!(by_bytes.text, all.text());
    assert_eq!(by_bytes.parts.len(), 1);
    assert_eq!(encoded(&by_bytes.read::<A>().expect("own bytes")), expected);
}

fn parts<T: std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = [Vec<T>; 3]> {
    let some = prop::collection::vec(value, 0..20);
    [some.clone(), some.clone(), some]
}

proptest! {
    #[test]
    fn int_counters(parts in parts(any::<i32>())) {
        check::<IntCounter>(parts);
    }

    #[test]
    fn long_counters(parts in parts(any::<i64>())) {
        check::<LongCounter>(parts);
    }

    /// Numbers whose sums are exact: floating-point addition is only then associative.
    #[test]
    fn double_counters_and_averages(parts in parts((-1_000_000_i32..1_000_000).prop_map(|n| f64::from(n) / 8.0))) {
        check::<DoubleCounter>(parts.clone());
        check::<AverageAccumulator>(parts);
    }

    #[test]
    fn histograms(parts in parts(-5_i32..5)) {
        check::<Histogram>(parts);
    }

    #[test]
    fn foreign_bytes_are_an_error_or_a_value(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = IntCounter::decode(&bytes);
        let _ = LongCounter::decode(&bytes);
        let _ = DoubleCounter::decode(&bytes);
        let _ = AverageAccumulator::decode(&bytes);
        prop_assert_eq!(Histogram::decode(&bytes).is_ok(), bytes.len() % 12 == 0);
    }
}

#[test]
fn texts_are_those_of_flink() {
    assert_eq!(of::<LongCounter>([2_000_000]).text(), "2000000");
    assert_eq!(of::<DoubleCounter>([1.0, 2.0]).text(), "3.0");
    assert_eq!(of::<AverageAccumulator>([1.0, 2.0]).text(), "1.5");
    assert_eq!(AverageAccumulator::default().result(), 0.0);
    assert_eq!(of::<Histogram>([1, 5, 1]).text(), "{1=2, 5=1}");
}

#[test]
fn sums_wrap_at_the_ends_of_their_range() {
    assert_eq!(of::<IntCounter>([i32::MAX, 1]).result(), i32::MIN);
    assert_eq!(of::<LongCounter>([i64::MIN, -1]).result(), i64::MAX);
}

/// The largest number, of a user's.
#[derive(Default, Clone)]
struct Largest(u8);

impl Accumulator for Largest {
    type Value = u8;
    type Result = u8;
    type Cell = Mutex<Self>;

    fn add(&mut self, value: u8) {
        self.0 = self.0.max(value);
    }
    fn merge(&mut self, other: Self) {
        self.add(other.0);
    }
    fn result(&self) -> u8 {
        self.0
    }
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), AccumulatorError> {
        out.push(self.0);
        Ok(())
    }
    fn decode(bytes: &[u8]) -> Result<Self, AccumulatorError> {
        let first = bytes.first();
        first
            .map(|byte| Self(*byte))
            .ok_or_else(|| AccumulatorError::bytes::<Self>("no byte"))
    }
    fn text(&self) -> String {
        self.0.to_string()
    }
}

#[test]
fn a_users_accumulator_is_merged_by_who_reads_it() {
    let parts = [3, 9, 4].map(|value| AccumulatorSnapshot::of("max", &Largest(value)).unwrap());
    let [merged] = merge_all(parts).try_into().unwrap();
    assert_eq!((merged.parts.len(), merged.text.as_str()), (3, "3; 9; 4"));
    assert_eq!(merged.read::<Largest>().unwrap().result(), 9);
    let wrong = merged.read::<LongCounter>().err().unwrap();
    assert!(wrong.to_string().contains("Largest"), "{wrong}");
}

#[test]
fn lists_are_appended() {
    let list = |bytes: &[u8], text: &str| AccumulatorSnapshot {
        name: "l".into(),
        kind: LIST_KIND.into(),
        bytes: bytes.into(),
        text: text.into(),
        failure: None,
    };
    let [merged] = merge_all([list(b"ab", "[a, b]"), list(b"", "[]"), list(b"c", "[c]")])
        .try_into()
        .unwrap();
    assert_eq!(merged.parts, [b"abc"]);
    assert_eq!(merged.text, "[a, b, c]");
}

#[test]
fn two_types_under_one_name_and_unwritable_values_are_told_to_who_reads() {
    let int = AccumulatorSnapshot::of("x", &of::<IntCounter>([1])).unwrap();
    let long = AccumulatorSnapshot::of("x", &of::<LongCounter>([1])).unwrap();
    let [both] = merge_all([int.clone(), long]).try_into().unwrap();
    let error = both.read::<IntCounter>().unwrap_err().to_string();
    assert!(error.contains("LongCounter in others"), "{error}");
    let failed = AccumulatorSnapshot::failed("x", "IntCounter", "too big");
    for order in [[int.clone(), failed.clone()], [failed, int]] {
        let [merged] = merge_all(order).try_into().unwrap();
        let error = merged.read::<IntCounter>().unwrap_err().to_string();
        assert!(
            error.contains("too big") && merged.text == "too big",
            "{error}"
        );
    }
}

#[test]
fn a_long_text_is_shortened_and_the_value_is_not() {
    let numbers: Histogram = of(0..2_000);
    let snapshot = AccumulatorSnapshot::of("h", &numbers).unwrap();
    assert_eq!(snapshot.text.chars().count(), 4_097);
    let [merged] = merge_all([snapshot.clone(), snapshot]).try_into().unwrap();
    let result = merged.read::<Histogram>().unwrap().result();
    assert!(result.len() == 2_000 && result.values().all(|count| *count == 2));
}
