//! What follows a failure: the restart strategies.

use std::collections::VecDeque;
use std::time::Duration;

use flott_model::{Failure, FailureClass};

use super::message::RestartStrategy;
use super::phase::Then;
use crate::Timestamp;

/// How often a job was restarted, and what its strategy remembers of that.
#[derive(Debug)]
pub(super) struct Restarts {
    strategy: RestartStrategy,
    seed: u64,
    count: u32,
    /// Of failure-rate: when the latest restarts were decided on, oldest first.
    recent: VecDeque<Timestamp>,
    /// Of exponential-delay: restarts since the pause was the first one.
    backoff: u32,
    /// When the latest restart was to happen.
    due: Option<Timestamp>,
}

impl Restarts {
    pub(super) fn new(strategy: RestartStrategy, seed: u64) -> Self {
        Self {
            strategy,
            seed,
            count: 0,
            recent: VecDeque::new(),
            backoff: 0,
            due: None,
        }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// What the class of a failure and the strategy say. A restart counts from then on.
    pub(super) fn verdict(&mut self, now: Timestamp, failure: &Failure) -> Then {
        if failure.class() == FailureClass::Fatal {
            return Then::Fail { remark: None };
        }
        match self.pause(now) {
            Ok(pause) => {
                let not_before = now.saturating_add(pause);
                self.count += 1;
                self.due = Some(not_before);
                Then::Restart { not_before }
            }
            Err(remark) => Then::Fail {
                remark: Some(remark),
            },
        }
    }

    /// The pause before the next restart, or why there is none.
    fn pause(&mut self, now: Timestamp) -> Result<Duration, String> {
        match self.strategy {
            RestartStrategy::None => Err("no restart: restart-strategy.type is none".to_owned()),
            RestartStrategy::FixedDelay { attempts, .. } if self.count >= attempts => {
                Err(self.exhausted("fixed-delay"))
            }
            RestartStrategy::FixedDelay { delay, .. } => Ok(delay),
            RestartStrategy::FailureRate {
                maximum,
                interval,
                delay,
            } => {
                self.recent
                    .retain(|restart| now.saturating_sub(*restart) <= interval);
                if self.recent.len() >= maximum as usize {
                    let rate = format!("more than {maximum} within {interval:?}");
                    return Err(format!("{}: {rate}", self.exhausted("failure-rate")));
                }
                self.recent.push_back(now);
                Ok(delay)
            }
            RestartStrategy::ExponentialDelay { .. } => self.backoff(now),
        }
    }

    fn backoff(&mut self, now: Timestamp) -> Result<Duration, String> {
        let RestartStrategy::ExponentialDelay {
            initial,
            maximum,
            multiplier,
            reset_threshold,
            jitter,
            attempts,
        } = self.strategy
        else {
            return Ok(Duration::ZERO);
        };
        let calm = self.due.map(|due| now.saturating_sub(due));
        if calm.is_none_or(|calm| calm >= reset_threshold) {
            self.backoff = 0;
        }
        if self.backoff >= attempts {
            return Err(self.exhausted("exponential-delay"));
        }
        let grown = initial.as_secs_f64() * multiplier.powf(f64::from(self.backoff));
        let spread = grown.min(maximum.as_secs_f64()) * (1.0 + jitter * self.chance());
        self.backoff += 1;
        // Clamped before it becomes a duration: the power may be infinite.
        let seconds = spread.clamp(initial.as_secs_f64(), maximum.max(initial).as_secs_f64());
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Between -1 and 1; another one for each restart.
    fn chance(&self) -> f64 {
        let mut mixed = self
            .seed
            .wrapping_add(u64::from(self.count).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper 53 bits are exact in a double.
        let unit = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
        unit.mul_add(2.0, -1.0)
    }

    fn exhausted(&self, strategy: &str) -> String {
        let restarts = self.count;
        let plural = if restarts == 1 { "" } else { "s" };
        format!("restart strategy {strategy} exhausted after {restarts} restart{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(restarts: &mut Restarts, second: u64) -> Result<Duration, String> {
        let now = Duration::from_secs(second);
        let failure = Failure::new(FailureClass::Transient, "lost");
        match restarts.verdict(now, &failure) {
            Then::Restart { not_before } => Ok(not_before - now),
            Then::Fail { remark } => Err(remark.unwrap()),
            Then::Cancel => unreachable!("nobody cancels"),
        }
    }

    fn exponential(jitter: f64, attempts: u32, seed: u64) -> Restarts {
        let strategy = RestartStrategy::ExponentialDelay {
            initial: SECOND,
            maximum: 10 * SECOND,
            multiplier: 2.0,
            reset_threshold: 100 * SECOND,
            jitter,
            attempts,
        };
        Restarts::new(strategy, seed)
    }

    #[test]
    fn nothing_forgives_what_is_fatal() {
        let mut restarts = exponential(0.0, 100, 0);
        let failure = Failure::new(FailureClass::Fatal, "another graph");
        let verdict = restarts.verdict(Duration::ZERO, &failure);
        assert_eq!(verdict, Then::Fail { remark: None });
        assert_eq!(restarts.count(), 0);
    }

    #[test]
    fn fixed_delay_counts_all_restarts() {
        let strategy = RestartStrategy::FixedDelay {
            attempts: 2,
            delay: 5 * SECOND,
        };
        let mut restarts = Restarts::new(strategy, 0);
        assert_eq!(fail(&mut restarts, 0), Ok(5 * SECOND));
        assert_eq!(fail(&mut restarts, 100_000), Ok(5 * SECOND));
        let remark = fail(&mut restarts, 200_000).unwrap_err();
        assert_eq!(
            remark,
            "restart strategy fixed-delay exhausted after 2 restarts"
        );
    }

    #[test]
    fn failure_rate_forgets_what_is_old() {
        let strategy = RestartStrategy::FailureRate {
            maximum: 2,
            interval: 60 * SECOND,
            delay: SECOND,
        };
        let mut restarts = Restarts::new(strategy, 0);
        for second in [0, 10, 61, 71, 130] {
            assert_eq!(fail(&mut restarts, second), Ok(SECOND), "{second}");
        }
        let remark = fail(&mut restarts, 130).unwrap_err();
        assert_eq!(
            remark,
            "restart strategy failure-rate exhausted after 5 restarts: more than 2 within 60s"
        );
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_begin_anew_after_calm() {
        let mut restarts = exponential(0.0, u32::MAX, 0);
        let mut now = 0;
        for pause in [1, 2, 4, 8, 10, 10] {
            assert_eq!(fail(&mut restarts, now), Ok(pause * SECOND));
            now += 50;
        }
        // The latest restart was at 260 s.
        assert_eq!(fail(&mut restarts, 359), Ok(10 * SECOND), "99 s of calm");
        assert_eq!(fail(&mut restarts, 469), Ok(SECOND), "100 s of calm");
        assert_eq!(fail(&mut restarts, 471), Ok(2 * SECOND));
    }

    #[test]
    fn attempts_count_until_the_pause_begins_anew() {
        let mut restarts = exponential(0.0, 2, 0);
        assert!(fail(&mut restarts, 0).is_ok());
        assert!(fail(&mut restarts, 10).is_ok());
        assert!(fail(&mut restarts, 200).is_ok(), "after calm");
        assert!(fail(&mut restarts, 210).is_ok());
        let remark = fail(&mut restarts, 220).unwrap_err();
        assert_eq!(
            remark,
            "restart strategy exponential-delay exhausted after 4 restarts"
        );
    }

    #[test]
    fn jitter_comes_from_the_seed_and_stays_in_its_bounds() {
        let pauses = |seed| {
            let mut restarts = exponential(0.5, u32::MAX, seed);
            let pauses = (0..20).map(|number| fail(&mut restarts, number * 20).unwrap());
            pauses.collect::<Vec<Duration>>()
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
        for seed in 0..100 {
            let pauses = pauses(seed);
            assert!(
                pauses
                    .iter()
                    .all(|pause| (SECOND..=10 * SECOND).contains(pause))
            );
            assert!((SECOND..3 * SECOND).contains(&pauses[1]), "{:?}", pauses[1]);
        }
    }

    #[test]
    fn a_power_beyond_all_numbers_is_the_longest_pause() {
        let mut restarts = exponential(0.1, u32::MAX, 3);
        for number in 0..3_000 {
            let pause = fail(&mut restarts, number * 11).unwrap();
            assert!(pause <= 10 * SECOND);
        }
    }
}
