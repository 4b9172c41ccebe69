//! Flink's metrics of the operators of a task, over the flows between them. Counting costs nothing per row: a flow is told
//! once per batch, and what two operators have in common is counted once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flott_metrics::LatencyStatistics;
use flott_model::OperatorUid;
use flott_operators::flow::{Flow, report_input, report_output};
use flott_operators::{SubtaskContext, TaskCounters};

use super::{Node, NodeFactory};

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

    fn rows(&self) -> impl Fn() -> i64 + Clone + Send + Sync + use<> {
        let feed = self.clone();
        move || {
            let rows = match &feed {
                Self::Channels(counters) => counters.sum(|one| &one.records_in),
                Self::Flow(flow) => flow.rows(),
            };
            rows.cast_signed()
        }
    }

    fn watermark(&self) -> impl Fn() -> i64 + Send + Sync + use<> {
        let feed = self.clone();
        move || feed.flow().watermark()
    }
}

/// Reports what goes into the operators of a node and what comes out of them. `context` is the node's.
pub(super) fn report_node(context: &SubtaskContext, node: &Node, feed: Option<&Feed>) {
    let output = Feed::Flow(Arc::clone(&context.flow));
    match (&*node.names, feed) {
        // It has no operators.
        ([], _) => {}
        ([_, _, ..], Some(feed)) => report_run(context, feed, &output),
        // An operator by itself is known by what is before it and behind it.
        (_, feed) => {
            if let Some(feed) = feed {
                report_input(&context.metrics, feed.rows(), feed.watermark());
            }
            if !node.outputs.is_empty() {
                report_output(&context.metrics, output.rows(), output.watermark());
            }
        }
    }
    if let Some(feed) = feed {
        read(context, &node.uids, feed);
    }
    match &node.factory {
        NodeFactory::Source(_) => report_source(context, &output),
        NodeFactory::TwoInputs(_) => report_two_inputs(context),
        NodeFactory::Operator { .. } => {}
    }
}

/// What Flink says of no lag.
const UNDEFINED: i64 = -1;

/// Reports what only sources have.
fn report_source(context: &SubtaskContext, output: &Feed) {
    let group = &context.metrics;
    group.counter_and_rate_over("numRecordsIn", output.rows());
    let counters = Arc::clone(&context.counters);
    group.gauge_with("sourceIdleTime", move || millis(counters.idle_for()));
    let counters = Arc::clone(&context.counters);
    group.gauge_with("currentEmitEventTimeLag", move || {
        counters.emit_lag.millis().unwrap_or(UNDEFINED)
    });
    let counters = Arc::clone(&context.counters);
    let (clock, watermark) = (context.clock.clone(), output.watermark());
    group.gauge_with("watermarkLag", move || match watermark() {
        i64::MIN | i64::MAX => UNDEFINED,
        // A source that has nothing to emit does not fall behind.
        watermark => clock.now() - millis(counters.idle_for()) - watermark,
    });
}

/// Reports the watermarks of the inputs by themselves.
fn report_two_inputs(context: &SubtaskContext) {
    for (input, name) in ["currentInput1Watermark", "currentInput2Watermark"]
        .into_iter()
        .enumerate()
    {
        let counters = Arc::clone(&context.counters);
        context.metrics.gauge_with(name, move || {
            counters.input_watermarks[input].load(Ordering::Relaxed)
        });
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Reports the operators that are fused with a writer, if there are any. `context` is the writer's.
pub(super) fn report_writer(context: &SubtaskContext, uids: &[OperatorUid], feed: &Feed) {
    report_run(context, feed, feed);
    read(context, uids, feed);
}

/// Has latency markers counted for each of these operators: they pass through all of a fused run in no time.
fn read(context: &SubtaskContext, uids: &[OperatorUid], feed: &Feed) {
    if context.latency_interval.is_none() {
        return;
    }
    for uid in uids {
        let registry = context.metrics.registry().clone();
        let reader = LatencyStatistics::new(registry, &uid.to_string(), context.subtask);
        feed.flow().read_by(reader);
    }
}

/// Reports each operator of a fused run. Rows between them are counted inside it; watermarks pass through it in no time, as
/// they come only when nothing waits in it.
fn report_run(context: &SubtaskContext, feed: &Feed, output: &Feed) {
    for (index, name) in context.names.iter().enumerate() {
        let group = context.metrics.registry().operator(name);
        let run = Arc::clone(&context.run);
        let rows = move || run.rows_in(index).cast_signed();
        report_input(&group, rows, feed.watermark());
        let run = Arc::clone(&context.run);
        let rows = move || run.rows_out(index).cast_signed();
        let is_last = index + 1 == context.names.len();
        let watermark = if is_last { output } else { feed };
        report_output(&group, rows, watermark.watermark());
    }
}
