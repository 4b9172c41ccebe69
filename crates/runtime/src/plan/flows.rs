//! Flink's metrics of the operators of a task, over the flows between them. Counting costs nothing per row: a flow is told
//! once per batch, and what two operators have in common is counted once.

use std::sync::Arc;

use flott_metrics::LatencyStatistics;
use flott_operators::flow::{Flow, report_input, report_output};
use flott_operators::{SubtaskContext, TaskCounters};

use super::Node;

/// What goes into an operator.
#[derive(Clone)]
pub(super) enum Feed {
    /// What comes out of the channels of the task.
    Channels(Arc<TaskCounters>),
    /// What the operator before it emits.
    Flow(Arc<Flow>),
}

impl Feed {
    fn flow(&self) -> &Flow {
        match self {
            Self::Channels(counters) => &counters.input,
            Self::Flow(flow) => flow,
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Self::Channels(counters) => counters.sum(|one| &one.records_in),
            Self::Flow(flow) => flow.rows(),
        }
    }

    fn report(&self, context: &SubtaskContext, operator: &str) {
        let group = context.metrics.registry().operator(operator);
        let (rows, watermark) = (self.clone(), self.clone());
        report_input(
            &group,
            move || rows.rows().cast_signed(),
            move || watermark.flow().watermark(),
        );
    }
}

/// Reports what goes into a node and what comes out of it. `context` is the node's.
pub(super) fn report_node(context: &SubtaskContext, node: &Node, feed: Option<&Feed>) {
    let Some(first) = node.names.first() else {
        return; // It has no operators.
    };
    if let Some(feed) = feed {
        feed.report(context, first);
        if context.latency_interval.is_some() {
            let registry = context.metrics.registry().clone();
            let id = node.operator.uid.to_string();
            let reader = LatencyStatistics::new(registry, &id, context.subtask);
            feed.flow().read_by(reader);
        }
    }
    if !node.outputs.is_empty() {
        report_output(&context.metrics, &context.flow);
    }
}

/// Reports what goes into the run that is fused with a writer, and what the writer sends. `context` is the writer's.
pub(super) fn report_writer(context: &SubtaskContext, feed: &Feed) {
    let (Some(first), Some(last)) = (context.names.first(), context.names.last()) else {
        return; // Nothing is fused: the operator before it is reported.
    };
    feed.report(context, first);
    let group = context.metrics.registry().operator(last);
    let writer = Arc::clone(&context.counters);
    group.counter_and_rate_over("numRecordsOut", move || {
        writer.sum(|one| &one.records_out).cast_signed()
    });
    let watermark = feed.clone();
    group.gauge_with("currentOutputWatermark", move || {
        watermark.flow().watermark()
    });
}
