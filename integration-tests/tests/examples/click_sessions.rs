//! Sessions against clicks that are sorted first and cut at the gaps afterwards.

use anyhow::Result;

use crate::program::{Example, Random};

const GAP_MS: u64 = 100_000;

/// User, time, page.
type Click = (u64, u64, u64);

fn clicks() -> Vec<Click> {
    let mut random = Random::new(3);
    let mut clicks: Vec<Click> = (0..3_000)
        .map(|index| {
            let at = 1_000_000 + index * 4_000 + random.below(50_000);
            (random.below(40), at, random.below(9))
        })
        .collect();
    // Exactly a gap apart is one session still; a millisecond more is two.
    let last = 100_000_000;
    clicks.extend([
        (77, last, 1),
        (77, last + GAP_MS, 2),
        (77, last + 2 * GAP_MS + 1, 3),
    ]);
    clicks
}

fn expected(clicks: &[Click]) -> Vec<String> {
    let mut sorted = clicks.to_vec();
    sorted.sort_by_key(|(user, at, page)| (*user, *at, *page));
    let mut lines: Vec<String> = sorted
        .chunk_by(|(user, at, _), (next, then, _)| user == next && then - at <= GAP_MS)
        .map(|session| {
            let (user, start, first) = session[0];
            let (_, end, last) = session[session.len() - 1];
            let clicks = session.len();
            format!("u{user}: {clicks} clicks from {start} to {end}, /{first} to /{last}")
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn sessions_are_clicks_between_gaps() -> Result<()> {
    let clicks = clicks();
    let mut csv = String::from("user,page,at_ms\n");
    for (user, at, page) in &clicks {
        csv += &format!("u{user},/{page},{at}\n");
    }
    let expected = expected(&clicks);
    assert!(expected.len() > 200, "{} sessions", expected.len());
    for parallelism in [1, 3] {
        let lines = Example::new("click-sessions")?
            .parallelism(parallelism)
            .input("--input", &csv)?
            .args(["--gap", "100", "--disorder", "60"])
            .lines()?;
        assert_eq!(lines, expected);
    }
    Ok(())
}
