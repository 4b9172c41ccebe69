//! What is suspicious, with state and timers per account.

use std::fmt;

use flott::prelude::*;
use serde::{Deserialize, Serialize};

/// Less than that is tiny: 1.00.
const TINY_CENTS: u64 = 100;
/// So much is large: 500.00.
const LARGE_CENTS: u64 = 50_000;
/// How long a tiny payment is suspicious.
const SUSPICIOUS_MS: i64 = 60_000;

/// A payment from an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Larger for what was booked later.
    pub(crate) id: u64,
    pub(crate) account: u64,
    pub(crate) cents: u64,
    pub(crate) at_ms: i64,
}

/// A large payment right behind a tiny one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alert {
    account: u64,
    tiny: u64,
    large: u64,
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            tiny,
            large,
        } = self;
        write!(
            f,
            "account {account}: transaction {large} after transaction {tiny}"
        )
    }
}

/// Puts the transactions of an account in order, and judges them.
#[derive(Clone)]
pub(crate) struct Detector {
    /// What has come, by its time, until event time has come that far.
    waiting: MapState<i64, Vec<Transaction>>,
    /// The transaction before, if it was tiny and not long ago.
    tiny: ValueState<Transaction>,
    late: OutputTag<Transaction>,
}

impl Detector {
    pub(crate) fn new(late: &OutputTag<Transaction>) -> Self {
        Self {
            waiting: MapState::default(),
            tiny: ValueState::default(),
            late: late.clone(),
        }
    }
}

impl KeyedProcessFunction<u64, Transaction> for Detector {
    type Out = Alert;

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u64>) -> FunctionResult {
        self.waiting = cx.map_state(MapStateDescriptor::new("waiting"))?;
        self.tiny = cx.value_state(ValueStateDescriptor::new("tiny"))?;
        Ok(())
    }

    fn process_element(
        &mut self,
        transaction: Transaction,
        cx: &mut KeyedContext<'_, u64>,
        _: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        let at = transaction.at_ms;
        if at <= cx.current_watermark() {
            cx.output(&self.late, transaction);
            return Ok(());
        }
        cx.timer_service().register_event_time_timer(at);
        self.waiting
            .get_or_insert_with(cx, at, Vec::new)
            .push(transaction);
        Ok(())
    }

    /// There is a timer for each time at which something happened, and for the time at which
    /// something is no longer suspicious: often both, so none may be deleted for one reason.
    fn on_timer(
        &mut self,
        now: i64,
        cx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, Alert>,
    ) -> FunctionResult {
        let tiny = self.tiny.value(cx);
        if tiny.is_some_and(|tiny| tiny.at_ms + SUSPICIOUS_MS <= now) {
            self.tiny.clear(cx);
        }
        let mut due = self.waiting.remove(cx, &now).unwrap_or_default();
        due.sort_unstable_by_key(|transaction| transaction.id);
        for transaction in due {
            if let Some(tiny) = self.tiny.take(cx)
                && transaction.cents >= LARGE_CENTS
            {
                out.collect(Alert {
                    account: transaction.account,
                    tiny: tiny.id,
                    large: transaction.id,
                });
            }
            if transaction.cents < TINY_CENTS {
                self.tiny.update(cx, transaction);
                cx.timer_service()
                    .register_event_time_timer(now + SUSPICIOUS_MS);
            }
        }
        Ok(())
    }
}
