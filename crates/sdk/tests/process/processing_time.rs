//! Processing-time timers in a job that runs as long as it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flott::prelude::*;

use crate::support::{Collected, environment};

#[derive(Clone, Default)]
struct Soon {
    registered: ValueState<i64>,
    fired: Arc<AtomicBool>,
}

impl KeyedProcessFunction<u8, u8> for Soon {
    type Out = (i64, i64, bool);

    fn open(&mut self, cx: &mut KeyedRuntimeContext<'_, u8>) -> FunctionResult {
        self.registered = cx.value_state(ValueStateDescriptor::new("registered"))?;
        Ok(())
    }

    fn process_element(
        &mut self,
        _: u8,
        cx: &mut KeyedContext<'_, u8>,
        _: &mut Collector<'_, (i64, i64, bool)>,
    ) -> FunctionResult {
        if self.registered.value(cx).is_none() {
            let at = cx.current_processing_time() + 20;
            self.registered.update(cx, at);
            cx.timer_service().register_processing_time_timer(at);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        cx: &mut KeyedContext<'_, u8>,
        out: &mut Collector<'_, (i64, i64, bool)>,
    ) -> FunctionResult {
        let registered = self.registered.value(cx).copied().ok_or("registered")?;
        let in_time = cx.current_processing_time() >= timestamp
            && cx.time_domain() == Some(TimeDomain::ProcessingTime);
        out.collect((registered, timestamp, in_time));
        // Waits when the input ends: it is dropped.
        let late = timestamp + 3_600_000;
        cx.timer_service().register_processing_time_timer(late);
        self.fired.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn timers_fire_by_the_clock_and_are_dropped_at_the_end() {
    let env = environment(1);
    let function = Soon::default();
    let fired = Arc::clone(&function.fired);
    let records = env.from_collection([0_u8]).flat_map(move |_| {
        let (fired, begin) = (Arc::clone(&fired), Instant::now());
        let go_on =
            move || !fired.load(Ordering::SeqCst) && begin.elapsed() < Duration::from_secs(60);
        std::iter::repeat_with(|| 1_u8).take_while(move |_| go_on())
    });
    let out = Collected::from(records.key_by(|n| *n).process(function));
    env.execute("soon").unwrap();
    let out = out.take();
    assert_eq!(out.len(), 1);
    let (registered, fired, in_time) = out[0];
    assert_eq!((registered, in_time), (fired, true));
}
