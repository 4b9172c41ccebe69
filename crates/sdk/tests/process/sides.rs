//! Side outputs: a stream split in three, each part processed further.

use flott::prelude::*;

use crate::support::{Collected, environment};

#[test]
fn a_stream_is_split_into_side_outputs_of_different_types() {
    let env = environment(3);
    let (words, unread) = (
        OutputTag::<String>::new("words"),
        OutputTag::<u8>::new("unread"),
    );
    let tag = words.clone();
    let thirds = env.from_sequence(1, 3_000).process_fn(move |n, cx, out| {
        match n % 3 {
            0 => out.collect(n),
            1 => cx.output(&tag, format!("{:03}", n % 100)),
            _ => cx.output(&unread, 1),
        }
        Ok(())
    });
    let words = thirds.get_side_output(&words);
    let twice = Collected::from(words.clone().rebalance().map(|word| word + "!").seal());
    let counts = words.map(|word| (word, 1_u64)).key_by_ref(|(word, _)| word);
    let counts = Collected::from(counts.sum(|(_, n)| n));
    let main = Collected::from(thirds.map(|n| n / 3).set_parallelism(2));
    env.execute("split").unwrap();
    assert_eq!(main.sorted(), (1..=1_000).collect::<Vec<i64>>());
    let expected: Vec<String> = (1..=3_000_i64)
        .filter(|n| n % 3 == 1)
        .map(|n| format!("{:03}!", n % 100))
        .collect();
    let mut sorted = expected.clone();
    sorted.sort();
    assert_eq!(twice.sorted(), sorted);
    let counts = counts.take();
    assert_eq!(counts.len(), 1_000);
    assert_eq!(counts.iter().filter(|(_, n)| *n == 10).count(), 100);
}

#[test]
fn side_outputs_of_a_keyed_function_with_timers() {
    #[derive(Clone)]
    struct Last(OutputTag<(i64, i64)>);
    impl KeyedProcessFunction<i64, i64> for Last {
        type Out = i64;
        fn process_element(
            &mut self,
            n: i64,
            cx: &mut KeyedContext<'_, i64>,
            out: &mut Collector<'_, i64>,
        ) -> FunctionResult {
            cx.timer_service().register_event_time_timer(i64::MAX - n);
            out.collect(n);
            Ok(())
        }
        fn on_timer(
            &mut self,
            timestamp: i64,
            cx: &mut KeyedContext<'_, i64>,
            _: &mut Collector<'_, i64>,
        ) -> FunctionResult {
            let key = *cx.current_key();
            cx.output(&self.0, (key, i64::MAX - timestamp));
            Ok(())
        }
    }
    let env = environment(4);
    let tag = OutputTag::new("timers");
    let main = env
        .from_sequence(0, 9_999)
        .key_by(|n| n % 10)
        .process(Last(tag.clone()));
    let timers = Collected::from(main.get_side_output(&tag));
    let main = Collected::from(main);
    env.execute("timers").unwrap();
    assert_eq!(main.sorted(), (0..10_000).collect::<Vec<i64>>());
    let mut expected: Vec<(i64, i64)> = (0..10_000).map(|n| (n % 10, n)).collect();
    expected.sort_unstable();
    assert_eq!(timers.sorted(), expected);
}
