//! What cannot be is refused, and what fails says where.

use std::time::Duration;

use flott::window::{DeltaTrigger, EventTimeSessionWindows, TumblingEventTimeWindows};

use crate::stream::{Row, timed};
use crate::support::{environment, failure};

#[test]
fn a_window_of_nothing_is_refused_before_the_job_runs() {
    let env = environment(2);
    timed(&env, &[(1, 2, 3)], false)
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::ZERO))
        .max(|row| &mut row.2)
        .discard();
    let error = env.execute("zero").unwrap_err().to_string();
    assert!(error.contains("the size of a window is 0ns"), "{error}");
}

#[test]
fn a_trigger_that_cannot_merge_is_refused_before_the_job_runs() {
    let env = environment(2);
    timed(&env, &[(1, 2, 3)], false)
        .key_by(|row| row.0)
        .window(EventTimeSessionWindows::with_gap(Duration::from_millis(5)))
        .trigger(DeltaTrigger::of(1.0, |old: &Row, new: &Row| {
            (new.2 - old.2) as f64
        }))
        .max(|row| &mut row.2)
        .discard();
    let error = env.execute("delta").unwrap_err().to_string();
    assert!(error.contains("implement `can_merge`"), "{error}");
}

#[test]
fn records_without_event_time_fail_the_job_with_what_to_do() {
    let env = environment(1);
    env.from_collection([(1_u8, 2_i64, 3_i64)])
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(5)))
        .max(|row| &mut row.2)
        .discard();
    let failure = failure(env.execute("untimed")).to_string();
    let expected = "Window(TumblingEventTimeWindows)', record 1: the record has no event time";
    assert!(failure.contains(expected), "{failure}");
}

#[test]
fn a_function_that_fails_is_named() {
    let env = environment(3);
    timed(&env, &[(1, 2, 3), (2, 3, 4)], false)
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(5)))
        .process_fn(|key, _, _, out| {
            if *key == 2 {
                return Err("no twos".into());
            }
            out.collect(*key);
            Ok(())
        })
        .discard();
    let failure = failure(env.execute("fails")).to_string();
    let expected = "operator 'Window(TumblingEventTimeWindows)': no twos";
    assert!(failure.contains(expected), "{failure}");
}

#[test]
fn a_function_that_panics_is_named() {
    let env = environment(3);
    timed(&env, &[(1, 2, 3), (2, 3, 4)], false)
        .key_by(|row| row.0)
        .window(TumblingEventTimeWindows::of(Duration::from_millis(5)))
        .apply(|key, _, _, out| {
            assert!(*key != 2, "no twos");
            out.collect(*key);
        })
        .discard();
    let failure = failure(env.execute("panics")).to_string();
    assert!(failure.contains("operator 'Window("), "{failure}");
    assert!(failure.contains("no twos"), "{failure}");
}
