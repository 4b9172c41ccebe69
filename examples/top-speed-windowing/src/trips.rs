//! Trips of cars that change their speed at random: the same ones each time.

use crate::CarEvent;

/// All cars, second by second.
pub(crate) fn generate(cars: u32, seconds: u32) -> Vec<CarEvent> {
    let mut state: Vec<(u32, f64)> = vec![(50, 0.0); cars as usize];
    let mut events = Vec::new();
    for second in 0..seconds {
        for (car, (kmh, metres)) in (0..).zip(&mut state) {
            let faster = random((u64::from(second) << 32) | u64::from(car)).is_multiple_of(2);
            *kmh = if faster {
                (*kmh + 5).min(100)
            } else {
                kmh.saturating_sub(5)
            };
            *metres += f64::from(*kmh) / 3.6;
            events.push(CarEvent {
                car,
                kmh: *kmh,
                metres: metres.round(),
                at_ms: i64::from(second) * 1_000,
            });
        }
    }
    events
}

/// A number that looks random, the same for the same `n`.
fn random(n: u64) -> u64 {
    let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cars_drive_forward_and_each_trip_is_the_same() {
        let trips = generate(2, 100);
        assert_eq!(trips, generate(2, 100));
        for car in 0..2 {
            let metres: Vec<_> = trips.iter().filter(|event| event.car == car).collect();
            assert!(metres.is_sorted_by_key(|event| event.metres));
        }
    }
}
