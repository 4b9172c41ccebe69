//! Time as the cores see it, and the timers they ask for.

use std::collections::BTreeMap;

use flott_coordination::Timestamp;
use tokio::time::Instant;

/// Timers of one shell, ordered by when they are due.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    start: Instant,
    /// The number keeps timers of the same moment in order.
    waiting: BTreeMap<(Timestamp, u64), T>,
    next: u64,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            waiting: BTreeMap::new(),
            next: 0,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.start.elapsed()
    }

    pub(crate) fn schedule(&mut self, timer: T, due: Timestamp) {
        self.waiting.insert((due, self.next), timer);
        self.next += 1;
    }

    /// Waits for the next timer that is due; forever if there is none. Cancel-safe.
    pub(crate) async fn next(&mut self) -> T {
        let Some((&(due, _), _)) = self.waiting.first_key_value() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(self.start + due).await;
        let (_, timer) = self
            .waiting
            .pop_first()
            .expect("the first timer was just looked at");
        timer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn timers_fire_in_order_of_time_then_of_request() {
        let mut timers = Timers::new();
        for (name, millis) in [("late", 30), ("early", 10), ("early too", 10)] {
            timers.schedule(name, Duration::from_millis(millis));
        }
        assert_eq!(timers.next().await, "early");
        assert_eq!(timers.next().await, "early too");
        assert!(timers.now() >= Duration::from_millis(10));
        assert_eq!(timers.next().await, "late");
        assert!(timers.now() >= Duration::from_millis(30));
        let mut idle = Box::pin(timers.next());
        assert!(poll_once(&mut idle).await.is_none(), "nothing is due");
    }

    async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
        tokio::select! {
            biased;
            value = future => Some(value),
            () = std::future::ready(()) => None,
        }
    }
}
