//! Operators and exchanges: what flows where, in one container and in several.

use std::collections::BTreeMap;

use flott::Str;
use flott::prelude::*;

use crate::child;
use crate::support::{Collected, environment, run};

#[test]
fn chains_of_stateless_operators() {
    let env = environment(3);
    let out = Collected::from(
        env.from_sequence(1, 1_000)
            .map(|n| n * 2)
            .filter(|n| n % 3 == 0)
            .flat_map(|n| [n, -n])
            .flat_map(|n| (n > 0).then_some(n))
            .map(|n| format!("{n:05}"))
            .seal(),
    );
    let expected: Vec<String> = (1..=1_000)
        .map(|n| n * 2)
        .filter(|n| n % 3 == 0)
        .map(|n| format!("{n:05}"))
        .collect();
    assert_eq!(run(&env, &out), expected);
}

#[test]
fn one_record_may_become_very_many() {
    let env = environment(2);
    let env_out = env.from_collection([300_000_i64]).flat_map(|n| 0..n);
    let out = Collected::from(
        env_out
            .key_by(|n| n % 7)
            .reduce(|max, n| *max = n.max(*max)),
    );
    env.execute("expansion").unwrap();
    let mut largest: BTreeMap<i64, i64> = BTreeMap::new();
    let updates = out.take();
    assert_eq!(updates.len(), 300_000);
    for n in updates {
        largest
            .entry(n % 7)
            .and_modify(|max| *max = n.max(*max))
            .or_insert(n);
    }
    assert_eq!(largest.into_values().max(), Some(299_999));
}

#[test]
fn state_in_a_closure_belongs_to_its_subtask() {
    let env = environment(4);
    let mut seen = 0_u32;
    let out = Collected::from(
        env.from_sequence(1, 400)
            .map(move |_| {
                seen += 1;
                seen
            })
            .seal(),
    );
    let mut expected: Vec<u32> = (1..=100).cycle().take(400).collect();
    expected.sort_unstable();
    assert_eq!(run(&env, &out), expected);
}

#[test]
fn reduce_and_sum_emit_every_update() {
    let env = environment(4);
    let words = ["to", "be", "or", "not", "to", "be", "to"];
    let pairs = env.from_collection(words.map(|word| (Str::from(word), 1_u64)));
    let sums = Collected::from(pairs.clone().key_by_ref(|(word, _)| word).sum(|(_, n)| n));
    let longest = Collected::from(
        pairs
            .map(|(word, _)| word.to_string())
            .key_by(|word| word.len())
            .reduce(|all, word| *all = format!("{all} {word}")),
    );
    env.execute("updates").unwrap();
    let pair = |word: &str, n| (Str::from(word), n);
    assert_eq!(
        sums.sorted(),
        [
            pair("be", 1),
            pair("be", 2),
            pair("not", 1),
            pair("or", 1),
            pair("to", 1),
            pair("to", 2),
            pair("to", 3)
        ]
    );
    let last = longest
        .sorted()
        .into_iter()
        .max_by_key(String::len)
        .unwrap();
    assert_eq!(
        last, "to be or to be to",
        "one source: its order is kept per key"
    );
}

#[test]
fn a_reduction_may_change_the_key_of_its_record() {
    let env = environment(2);
    let out = Collected::from(
        env.from_collection([(1, 1), (1, 2), (1, 3)])
            .key_by(|(key, _)| *key)
            .reduce(|(key, sum), (_, n)| {
                *key = 100;
                *sum += n;
            }),
    );
    assert_eq!(run(&env, &out), [(1, 1), (100, 3), (100, 6)]);
}

#[test]
fn unions_of_streams_with_different_parallelism() {
    let env = environment(3);
    let a = env.from_collection([-1_i64, -2]);
    let b = env.from_sequence(1, 500);
    let c = env.from_sequence(501, 900).set_parallelism(2);
    let d = env
        .from_sequence(1_802, 2_000)
        .filter(|n| n % 2 == 0)
        .map(|n| n / 2)
        .set_parallelism(5);
    let (left, right, alone) = (
        Collected::from(a.clone().union([b.clone()])),
        Collected::from(b.clone().union([a.clone()])),
        Collected::from(c.clone().union([])),
    );
    let all = Collected::from(a.union([b, c, d]));
    env.execute("unions").unwrap();
    let expected = |end: i64| [-2, -1].into_iter().chain(1..=end).collect::<Vec<_>>();
    assert_eq!(all.sorted(), expected(1_000));
    assert_eq!(left.sorted(), expected(500));
    assert_eq!(right.sorted(), expected(500));
    assert_eq!(alone.sorted(), (501..=900).collect::<Vec<_>>());
}

#[test]
fn a_stream_united_with_itself_is_there_twice() {
    let env = environment(2);
    let numbers = env.from_sequence(1, 3);
    let out = Collected::from(numbers.clone().union([numbers]));
    assert_eq!(run(&env, &out), [1, 1, 2, 2, 3, 3]);
}

#[test]
fn a_sealed_stream_can_be_used_twice() {
    let env = environment(3);
    let squares: DataStream<i64> = env.from_sequence(1, 100).map(|n| n * n).seal();
    let even = Collected::from(squares.clone().filter(|n| n % 2 == 0).seal());
    let sums = Collected::from(squares.clone().key_by(|n| n % 2).sum(|n| n));
    let odd = Collected::from(squares.filter(|n| n % 2 == 1).rebalance());
    env.execute("tee").unwrap();
    let all: Vec<i64> = (1..=100).map(|n| n * n).collect();
    let of = |rest| {
        all.iter()
            .copied()
            .filter(|n| n % 2 == rest)
            .collect::<Vec<_>>()
    };
    assert_eq!(even.sorted(), of(0));
    assert_eq!(odd.sorted(), of(1));
    assert_eq!(sums.take().len(), 100);
}

/// The index of the subtask a record is in: the first record tells it to the closure's clone.
fn per_subtask(stream: DataStream<i64>) -> Collected<(u64, i64)> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut own = None;
    Collected::from(
        stream
            .map(move |n| {
                (
                    *own.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::SeqCst)),
                    n,
                )
            })
            .seal(),
    )
}

fn by_subtask(collected: &Collected<(u64, i64)>) -> Vec<Vec<i64>> {
    let mut subtasks: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (subtask, n) in collected.sorted() {
        subtasks.entry(subtask).or_default().push(n);
    }
    subtasks.into_values().collect()
}

/// Also run in several containers.
pub(crate) fn every_exchange() {
    let env = environment(4);
    let numbers = env.from_collection(1..=100_i64);
    let rebalanced = per_subtask(numbers.clone().rebalance());
    let broadcast = per_subtask(numbers.clone().broadcast());
    let global = per_subtask(env.from_sequence(1, 100).global());
    let keyed = per_subtask(
        numbers
            .clone()
            .key_by(|n| n % 40)
            .reduce(|last, n| *last = n),
    );
    let chained = Collected::from(numbers.rebalance().broadcast().global());
    env.execute("exchanges").unwrap();

    let all: Vec<i64> = (1..=100).collect();
    let rebalanced = by_subtask(&rebalanced);
    assert_eq!(rebalanced.iter().map(Vec::len).collect::<Vec<_>>(), [25; 4]);
    assert_eq!(by_subtask(&broadcast), vec![all.clone(); 4]);
    assert_eq!(by_subtask(&global), std::slice::from_ref(&all));
    let mut keys: Vec<i64> = Vec::new();
    let keyed = by_subtask(&keyed);
    assert!(keyed.len() > 1, "40 keys meet in one subtask");
    for subtask in &keyed {
        let mut own: Vec<i64> = subtask.iter().map(|n| n % 40).collect();
        own.sort_unstable();
        own.dedup();
        keys.extend(own);
    }
    keys.sort_unstable();
    assert_eq!(keys, (0..40).collect::<Vec<_>>(), "each key in one subtask");
    assert_eq!(chained.sorted(), all, "the last redistribution counts");
}

#[test]
fn exchanges_in_one_container() {
    every_exchange();
}

#[test]
fn exchanges_in_several_containers() {
    child::run("every-exchange", &[("taskmanager.numberOfTaskSlots", "1")]);
    child::run("every-exchange", &[("taskmanager.numberOfTaskSlots", "3")]);
}

#[test]
fn broadcast_to_operators_of_another_parallelism() {
    let env = environment(4);
    let numbers = env.from_sequence(1, 10).set_parallelism(1);
    let to_map = Collected::<i64>::default();
    let target = to_map.clone();
    numbers
        .clone()
        .broadcast()
        .map(move |n| {
            target.add(n);
            n
        })
        .set_parallelism(2)
        .discard();
    let shared = numbers.broadcast();
    let (two, three) = (Collected::<i64>::default(), Collected::<i64>::default());
    for (parallelism, collected) in [(2, two.clone()), (3, three.clone())] {
        shared
            .clone()
            .map(move |n| {
                collected.add(n);
                n
            })
            .set_parallelism(parallelism)
            .discard();
    }
    env.execute("broadcast").unwrap();
    assert_eq!(to_map.take().len(), 20, "one copy per subtask of the map");
    assert_eq!(two.take().len(), 20);
    assert_eq!(three.take().len(), 30);
}

#[test]
fn a_stream_without_sink_runs_to_its_end() {
    let env = environment(2);
    let seen = Collected::<i64>::default();
    let target = seen.clone();
    let _unused = env
        .from_sequence(1, 5_000)
        .map(move |n| {
            target.add(n);
            n
        })
        .seal();
    env.execute("no sink").unwrap();
    assert_eq!(seen.take().len(), 5_000);
}
