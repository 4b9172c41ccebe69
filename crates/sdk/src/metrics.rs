//! Metrics of a program's own: counters, gauges, meters and histograms, in the groups of their operators.

pub use flott_metrics::{
    Counter, Gauge, GaugeValue, Histogram, HistogramStatistics, Meter, MetricGroup, MetricRegistry,
    MetricValue,
};
