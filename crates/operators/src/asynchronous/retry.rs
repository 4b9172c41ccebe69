//! When an asynchronous call is tried again.

use std::sync::Arc;
use std::time::Duration;

use crate::process::BoxError;

type OnError = Arc<dyn Fn(&BoxError) -> bool + Send + Sync>;
type OnResult<Out> = Arc<dyn Fn(&[Out]) -> bool + Send + Sync>;

/// When the call for a record is tried again, and after which delay. By default after every error,
/// and after no result.
pub struct AsyncRetryStrategy<Out> {
    max_attempts: u32,
    initial: Duration,
    longest: Duration,
    multiplier: f64,
    on_error: OnError,
    on_result: OnResult<Out>,
}

impl<Out> Clone for AsyncRetryStrategy<Out> {
    fn clone(&self) -> Self {
        Self {
            on_error: Arc::clone(&self.on_error),
            on_result: Arc::clone(&self.on_result),
            ..*self
        }
    }
}

impl<Out> AsyncRetryStrategy<Out> {
    /// Up to `max_attempts` tries of a record in all, with the same delay between them.
    pub fn fixed_delay(max_attempts: u32, delay: Duration) -> Self {
        Self::exponential_backoff(max_attempts, delay, delay, 1.0)
    }

    /// Up to `max_attempts` tries of a record in all; the delay begins with `initial` and is
    /// multiplied after each try, up to `longest`.
    pub fn exponential_backoff(
        max_attempts: u32,
        initial: Duration,
        longest: Duration,
        multiplier: f64,
    ) -> Self {
        Self {
            max_attempts,
            initial,
            longest,
            multiplier,
            on_error: Arc::new(|_| true),
            on_result: Arc::new(|_| false),
        }
    }

    /// Tries again only after errors for which this holds.
    #[must_use]
    pub fn if_error(
        mut self,
        predicate: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Arc::new(predicate);
        self
    }

    /// Tries again also after results for which this holds. The result of the last try counts.
    #[must_use]
    pub fn if_result(mut self, predicate: impl Fn(&[Out]) -> bool + Send + Sync + 'static) -> Self {
        self.on_result = Arc::new(predicate);
        self
    }

    /// The delay before the try after `attempt` (from 1), if there is to be one.
    pub(crate) fn delay_after(
        &self,
        attempt: u32,
        outcome: &Result<Vec<Out>, BoxError>,
    ) -> Option<Duration> {
        let again = match outcome {
            Ok(result) => (self.on_result)(result),
            Err(error) => (self.on_error)(error),
        };
        (again && attempt < self.max_attempts).then(|| self.delay(attempt))
    }

    fn delay(&self, attempt: u32) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        // What is too much (or no number) for a duration is too much for `longest` as well.
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(self.longest)
            .min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<Vec<u32>, BoxError> {
        Err("no".into())
    }

    #[test]
    fn delays_grow_up_to_the_longest_and_tries_end() {
        let ms = Duration::from_millis;
        let strategy = AsyncRetryStrategy::exponential_backoff(6, ms(10), ms(100), 3.0);
        let delays: Vec<_> = (1..=6)
            .map(|attempt| strategy.delay_after(attempt, &failed()))
            .collect();
        let expected = [10, 30, 90, 100, 100].map(|n| Some(ms(n)));
        assert_eq!(delays[..5], expected);
        assert_eq!(delays[5], None);
        let fixed = AsyncRetryStrategy::fixed_delay(u32::MAX, ms(7));
        assert_eq!(fixed.delay_after(1_000_000, &failed()), Some(ms(7)));
        let wild = AsyncRetryStrategy::exponential_backoff(9, ms(10), ms(100), f64::INFINITY);
        assert_eq!(wild.delay_after(5, &failed()), Some(ms(100)));
    }

    #[test]
    fn predicates_decide() {
        let ms = Duration::from_millis;
        let strategy = AsyncRetryStrategy::fixed_delay(3, ms(1))
            .if_error(|error| error.to_string() == "busy")
            .if_result(|rows: &[u32]| rows.is_empty());
        assert_eq!(strategy.delay_after(1, &failed()), None);
        assert_eq!(strategy.delay_after(1, &Err("busy".into())), Some(ms(1)));
        assert_eq!(strategy.delay_after(1, &Ok(vec![])), Some(ms(1)));
        assert_eq!(strategy.delay_after(1, &Ok(vec![1])), None);
        assert_eq!(strategy.delay_after(3, &Ok(vec![])), None);
    }
}
