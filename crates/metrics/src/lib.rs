//! Metrics and accumulators: what a task counts, under Flink's names.
//!
//! Metrics are handles on atomics: the task writes, a reporter reads when somebody asks. Nothing here
//! does I/O or knows a clock: the reporter says what time it is.

pub mod accumulators;
mod aggregate;
mod counter;
mod gauge;
mod group;
mod histogram;
mod latency;
mod meter;
mod name;
mod registry;
mod scope;
mod share;

pub use aggregate::Aggregate;
pub use counter::Counter;
pub use gauge::{Gauge, GaugeValue, MetricValue};
pub use group::MetricGroup;
pub use histogram::{Histogram, HistogramStatistics};
pub use latency::LatencyStatistics;
pub use meter::Meter;
pub use name::filter_name;
pub use registry::{MetricRegistry, MetricSample};
pub use scope::{ScopeFormat, ScopeVariables};
