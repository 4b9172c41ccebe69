//! Least, greatest, mean and percentiles of a quantity.

use flott_coordination::checkpoint::Summary;
use serde_json::{Value, json};

/// The percentiles that Flink tells, as parts of all values.
const PERCENTILES: [(&str, f64); 5] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p999", 0.999),
];

/// How the values of a quantity are distributed.
#[derive(Debug, Clone)]
pub(super) struct Distribution {
    minimum: u64,
    maximum: u64,
    average: u64,
    /// As [`PERCENTILES`]; `None` without values.
    percentiles: [Option<u64>; PERCENTILES.len()],
}

impl Distribution {
    pub(super) fn of_summary(summary: &Summary) -> Self {
        Self {
            minimum: summary.minimum,
            maximum: summary.maximum,
            average: summary.average(),
            percentiles: PERCENTILES.map(|(_, part)| summary.quantile(part)),
        }
    }

    pub(super) fn of_values(values: impl IntoIterator<Item = u64>) -> Self {
        let mut sorted: Vec<u64> = values.into_iter().collect();
        sorted.sort_unstable();
        let sum: u128 = sorted.iter().copied().map(u128::from).sum();
        let average = sum.checked_div(sorted.len() as u128).unwrap_or_default();
        let at = |part: f64| {
            // The number of subtasks is exact as a double.
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Self {
            minimum: sorted.first().copied().unwrap_or_default(),
            maximum: sorted.last().copied().unwrap_or_default(),
            average: u64::try_from(average).unwrap_or(u64::MAX),
            percentiles: PERCENTILES.map(|(_, part)| at(part)),
        }
    }

    /// Of a quantity that was 0 that many times.
    pub(super) fn of_zeros(count: u64) -> Self {
        Self::of_values((count > 0).then_some(0))
    }

    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({
            "min": self.minimum,
            "max": self.maximum,
            "avg": self.average,
        });
        for ((name, _), percentile) in PERCENTILES.iter().zip(self.percentiles) {
            // Flink's are floating-point numbers, and a word where there are no values.
            value[*name] = percentile.map_or(json!("NaN"), |number| json!(number as f64));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_extremes_a_mean_and_percentiles() {
        let value = Distribution::of_values((1..=1_000).rev()).to_json();
        let expected = json!({
            "min": 1, "max": 1_000, "avg": 500,
            "p50": 500.0, "p90": 900.0, "p95": 950.0, "p99": 990.0, "p999": 999.0,
        });
        assert_eq!(value, expected);
        let one = Distribution::of_values([7]).to_json();
        assert_eq!((&one["min"], &one["p50"]), (&json!(7), &json!(7.0)));
        assert_eq!(Distribution::of_zeros(3).to_json()["p99"], json!(0.0));
    }

    #[test]
    fn without_values_percentiles_are_no_numbers() {
        for none in [
            Distribution::of_values([]),
            Distribution::of_zeros(0),
            Distribution::of_summary(&Summary::default()),
        ] {
            let value = none.to_json();
            assert_eq!((&value["avg"], &value["p50"]), (&json!(0), &json!("NaN")));
        }
    }
}
