//! Judges payments by limits that are broadcast.

use std::fmt;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

/// Somebody pays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Payment {
    pub(crate) id: u64,
    pub(crate) account: u64,
    pub(crate) category: String,
    pub(crate) cents: u64,
    pub(crate) at_ms: i64,
}

/// From that time on a payment of that category may be so large.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Limit {
    pub(crate) category: String,
    pub(crate) cents: u64,
    pub(crate) from_ms: i64,
}

/// A payment above the limit of its time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alert {
    payment: Payment,
    limit: u64,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Payment {
            id,
            account,
            category,
            cents,
            ..
        } = &self.payment;
        let limit = self.limit;
        write!(
            f,
            "payment {id} of account {account}: {cents} for {category}, {limit} allowed"
        )
    }
}

/// The limits of each category, in the order of their times.
pub(crate) fn limits() -> MapStateDescriptor<String, Vec<Limit>> {
    MapStateDescriptor::new("limits")
}

/// Compares payments with limits, when all limits that concern them have come.
#[derive(Clone, Default)]
pub(crate) struct Check {
    /// By time, until event time has come that far.
    waiting: MapState<i64, Vec<Payment>>,
    limits: BroadcastState<String, Vec<Limit>>,
}

impl Check {
    /// The limit that was the last to begin at that time or before.
    fn judge(
        &self,
        payment: Payment,
        cx: &KeyedReadOnlyContext<'_, u64>,
        out: &mut Collector<'_, Alert>,
    ) {
        let Some(limits) = self.limits.get(cx, &payment.category) else {
            return;
        };
        let begun = limits.partition_point(|limit| limit.from_ms <= payment.at_ms);
        if let Some(limit) = limits[..begun].last()
            && payment.cents > limit.cents
        {
            let limit = limit.cents;
            out.collect(Alert { payment, limit });
        }
    }
}

impl KeyedBroadcastProcessFunction<u64, Payment, Limit> for Check {
    type Out = Alert;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u64>) -> FunctionResult {
        self.waiting = cx.map_state(MapStateDescriptor::new("waiting"))?;
        self.limits = cx.broadcast_state(limits())?;
        Ok(())
    }

    fn process_element(
        &mut self,
        payment: Payment,
        cx: &mut KeyedReadOnlyContext<'_, u64>,
        out: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        let at = payment.at_ms;
        if at <= cx.current_watermark() {
            self.judge(payment, cx, out);
        } else {
            cx.timer_service().register_event_time_timer(at);
            self.waiting
                .get_or_insert_with(cx, at, Vec::new)
                .push(payment);
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        limit: Limit,
        cx: &mut KeyedBroadcastContext<'_, u64>,
        _: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        let category = limit.category.clone();
        let mut limits = self.limits.get(cx, &category).cloned().unwrap_or_default();
        let place = limits.partition_point(|known| known.from_ms <= limit.from_ms);
        limits.insert(place, limit);
        self.limits.put(cx, category, limits);
        Ok(())
    }

    fn on_timer(
        &mut self,
        now: i64,
        cx: &mut KeyedReadOnlyContext<'_, u64>,
        out: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        for payment in self.waiting.remove(cx, &now).unwrap_or_default() {
            self.judge(payment, cx, out);
        }
        Ok(())
    }
}
