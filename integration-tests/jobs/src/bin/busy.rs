//! Computes until it is cancelled: whoever samples its stacks finds the function below.

use std::hint::black_box;

use flott::prelude::*;

/// About a hundred microseconds of one processor.
#[inline(never)]
fn grind_for_the_flame_graph(number: i64) -> i64 {
    (0..50_000_i64).fold(number, |mixed, round| {
        black_box(mixed.wrapping_mul(6_364_136_223_846_793_005) ^ round)
    })
}

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get()?;
    env.from_sequence(1, i64::MAX / 2)
        .map(grind_for_the_flame_graph)
        .name("grind")
        .filter(|number| number % 2 == 0)
        .name("even")
        .discard();
    env.execute("busy")?;
    Ok(())
}
