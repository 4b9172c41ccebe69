//! Top speeds against a walk through the list of each car.

use anyhow::Result;

use crate::program::{Example, Random};

const EVERY_METRES: u64 = 70;
const LAST_MS: u64 = 5_000;

struct Event {
    car: u64,
    kmh: u64,
    metres: u64,
    at_ms: u64,
}

fn events() -> Vec<Event> {
    let mut random = Random::new(7);
    let mut metres = [0; 5];
    (0..2_000)
        .map(|index| {
            let car = random.below(5);
            metres[car as usize] += random.below(40);
            Event {
                car,
                kmh: random.below(30),
                metres: metres[car as usize],
                at_ms: index * 300,
            }
        })
        .collect()
}

fn expected(events: &[Event]) -> Vec<String> {
    let mut lines = Vec::new();
    for car in 0..5 {
        let trip: Vec<_> = events.iter().filter(|event| event.car == car).collect();
        let mut fired_at = trip[0].metres;
        for (index, event) in trip.iter().enumerate() {
            if event.metres - fired_at <= EVERY_METRES {
                continue;
            }
            fired_at = event.metres;
            let since = event.at_ms.saturating_sub(LAST_MS);
            let window = trip[..=index]
                .iter()
                .filter(|seen| seen.at_ms > since || event.at_ms < LAST_MS);
            // Of equal speeds the first.
            let top = window.rev().max_by_key(|seen| seen.kmh);
            let top = top.expect("the window has at least the event that made it fire");
            lines.push(format!(
                "car {car}: {} km/h at {} m, {} ms",
                top.kmh, top.metres, top.at_ms
            ));
        }
    }
    lines.sort();
    lines
}

#[test]
fn top_speeds_are_those_of_the_trips() -> Result<()> {
    let events = events();
    let mut csv = String::from("car,kmh,metres,at_ms\n");
    for Event {
        car,
        kmh,
        metres,
        at_ms,
    } in &events
    {
        csv += &format!("{car},{kmh},{metres},{at_ms}\n");
    }
    let expected = expected(&events);
    assert!(expected.len() > 100, "{} results", expected.len());
    for parallelism in [1, 3] {
        let lines = Example::new("top-speed-windowing")?
            .parallelism(parallelism)
            .input("--input", &csv)?
            .args(["--every-metres", "70", "--last-seconds", "5"])
            .lines()?;
        assert_eq!(lines, expected);
    }
    Ok(())
}
