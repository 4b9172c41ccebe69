//! Functions that fail: the job fails, and says where.

use flott::prelude::*;

use crate::support::{environment, failure};

#[derive(Clone)]
struct Picky;

impl KeyedProcessFunction<i64, i64> for Picky {
    type Out = i64;

    fn process_element(
        &mut self,
        n: i64,
        cx: &mut KeyedContext<'_, i64>,
        _: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        if n < 0 {
            u8::try_from(n)?;
        }
        assert!(n != 13, "13 brings bad luck");
        cx.timer_service().register_event_time_timer(n);
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        _: &mut KeyedContext<'_, i64>,
        _: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        match timestamp {
            77 => Err("77 is too much".into()),
            _ => Ok(()),
        }
    }
}

fn fails_with(rows: &[i64], texts: &[&str]) {
    let env = environment(2);
    env.from_collection(rows.to_vec())
        .key_by(|_| 0)
        .process(Picky)
        .name("Picky")
        .discard();
    let failure = failure(env.execute("picky")).to_string();
    for text in texts {
        assert!(failure.contains(text), "'{text}' is not in: {failure}");
    }
}

#[test]
fn an_error_names_operator_subtask_and_record() {
    let text = "operator 'Picky', record 3: out of range integral type conversion attempted";
    fails_with(&[1, 2, -1], &[text, "/2)"]);
}

#[test]
fn a_panic_names_operator_subtask_and_record() {
    fails_with(
        &[13],
        &["operator 'Picky', record 1", "13 brings bad luck", "/2)"],
    );
}

#[test]
fn an_error_of_a_timer_names_the_timer() {
    fails_with(
        &[5, 77],
        &["operator 'Picky', timer at 77 ms: 77 is too much"],
    );
}
