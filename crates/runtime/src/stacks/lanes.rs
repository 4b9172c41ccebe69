//! Functions whose names are digits: a call through some of them writes a number on the stack.

use std::hint::black_box;

/// Digits of a number.
const DIGITS: u32 = 3;
const BASE: u32 = 16;
/// How many numbers there are.
pub(super) const NUMBERS: u32 = BASE.pow(DIGITS);
/// What the full names of the functions have in common.
const MARK: &str = "::stacks::lanes::lane_";

macro_rules! lanes {
    ($($name:ident $digit:literal),*) => {
        $(
            /// Its body differs from the others', or the compiler would make them one; and the call is not its end, or its
            /// frame would be gone before the call.
            #[inline(never)]
            fn $name(work: &mut dyn FnMut()) {
                work();
                black_box::<u32>($digit);
            }
        )*
        const LANES: [fn(&mut dyn FnMut()); BASE as usize] = [$($name),*];
    };
}

lanes!(
    lane_0 0, lane_1 1, lane_2 2, lane_3 3, lane_4 4, lane_5 5, lane_6 6, lane_7 7,
    lane_8 8, lane_9 9, lane_a 10, lane_b 11, lane_c 12, lane_d 13, lane_e 14, lane_f 15
);

/// Runs something below the functions of that number's digits.
pub(super) fn run(number: u32, work: &mut dyn FnMut()) {
    let lane = |digit: u32| LANES[(number / BASE.pow(digit) % BASE) as usize];
    lane(2)(&mut || lane(1)(&mut || lane(0)(work)));
}

/// The number on a stack (the outermost frame first), and how many frames there are up to its last digit.
pub(super) fn find(frames: &[String]) -> Option<(u32, usize)> {
    let digits = frames.iter().enumerate().filter_map(|(at, name)| {
        let (_, digit) = name.split_once(MARK)?;
        // The closures between the digits are named after this file, too, but not after a lane.
        let digit = digit.chars().next()?.to_digit(BASE)?;
        Some((at, digit))
    });
    let digits: Vec<(usize, u32)> = digits.take(DIGITS as usize).collect();
    if digits.len() < DIGITS as usize {
        return None; // Sampled on the way in or out.
    }
    let number = digits
        .iter()
        .fold(0, |number, (_, digit)| number * BASE + digit);
    digits.last().map(|(at, _)| (number, at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_off_the_stack() {
        let stack = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let lane = |digit: &str| format!("flott_runtime{MARK}{digit}");
        let (a, zero, f) = (lane("a"), lane("0"), lane("f::h0123456789abcdef"));
        let frames = stack(&[
            "main",
            &a,
            "flott_runtime::stacks::lanes::run::{{closure}}",
            &zero,
            &f,
            "user",
        ]);
        assert_eq!(find(&frames), Some((0xa0f, 5)));
        assert_eq!(find(&stack(&["main", &a, &zero])), None);
        assert_eq!(find(&[]), None);
    }

    #[test]
    fn what_runs_in_a_lane_runs_once() {
        for number in [0, 1, 0x123, NUMBERS - 1] {
            let mut ran = 0;
            run(number, &mut || ran += 1);
            assert_eq!(ran, 1);
        }
    }
}
