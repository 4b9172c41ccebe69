//! One metric over several subtasks, jobs or task executors.

/// Figures over values, as Flink's aggregated metrics endpoints give them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Aggregate {
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The mean.
    pub avg: f64,
    /// The sum.
    pub sum: f64,
    /// How unevenly the values are spread, in percent: the mean distance from the mean, relative to the mean.
    pub skew: f64,
}

impl Aggregate {
    /// The figures of these values; `None` without any.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (first, count) = (*values.first()?, values.len() as f64);
        let sum: f64 = values.iter().sum();
        let avg = sum / count;
        let distance = values.iter().map(|value| (value - avg).abs()).sum::<f64>() / count;
        let skew = if avg == 0.0 {
            0.0
        } else {
            (100.0 * distance / avg.abs()).min(100.0)
        };
        Some(Self {
            min: values.iter().copied().fold(first, f64::min),
            max: values.iter().copied().fold(first, f64::max),
            avg,
            sum,
            skew,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures that a Flink 1.20 gave for these values.
    #[test]
    fn figures_equal_those_of_flink() {
        let of = |values: &[f64]| Aggregate::of(values).unwrap();
        let delays = of(&[6_000_000.0, 7_000_000.0]);
        assert_eq!(
            (delays.min, delays.max, delays.avg, delays.sum),
            (6e6, 7e6, 6.5e6, 1.3e7)
        );
        assert!((delays.skew - 7.6923076923076925).abs() < 1e-9);
        assert_eq!(of(&[0.0, 1.0]).skew, 100.0);
        assert_eq!(of(&[0.0, 0.0]).skew, 0.0);
        assert_eq!(Aggregate::of(&[]), None);
    }
}
