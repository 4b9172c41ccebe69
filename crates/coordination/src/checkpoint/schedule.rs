//! When the next periodic checkpoint is due.

use std::time::Duration;

use crate::Timestamp;

/// The rhythm of periodic checkpoints.
#[derive(Debug)]
pub(super) struct Schedule {
    /// `None`: there are no periodic checkpoints.
    interval: Option<Duration>,
    min_pause: Duration,
    state: State,
    /// Number of the newest timer.
    timer: u64,
    /// When a checkpoint was complete last.
    completed: Option<Timestamp>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Not all tasks run, or a savepoint is the last act.
    Off,
    /// The newest timer tells when the next one is due.
    Waiting { due: Timestamp },
    /// Since then.
    Due { since: Timestamp },
}

/// A timer that is to be set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    pub(super) number: u64,
    pub(super) due: Timestamp,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>, min_pause: Duration) -> Self {
        Self {
            // More often than that is not possible anyway.
            interval: interval.map(|interval| interval.max(min_pause)),
            min_pause,
            state: State::Off,
            timer: 0,
            completed: None,
        }
    }

    /// All tasks run: the first one is due after an interval. Changes nothing if that is known.
    pub(super) fn start(&mut self, now: Timestamp) -> Option<Alarm> {
        let interval = self.interval.filter(|_| self.state == State::Off)?;
        Some(self.wait(now.saturating_add(interval)))
    }

    /// None is due until the next start.
    pub(super) fn stop(&mut self) {
        self.state = State::Off;
    }

    /// A timer has fired.
    pub(super) fn fired(&mut self, number: u64) {
        if let State::Waiting { due } = self.state
            && number == self.timer
        {
            self.state = State::Due { since: due };
        }
    }

    /// One was given up for no fault of its own: the next one takes its place at once.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        if let State::Waiting { .. } = self.state {
            self.state = State::Due { since: now };
        }
    }

    /// A checkpoint is complete: the pause begins.
    pub(super) fn completed(&mut self, now: Timestamp) {
        self.completed = Some(now);
    }

    pub(super) fn is_due(&self) -> bool {
        matches!(self.state, State::Due { .. })
    }

    /// One is due and could begin. It does, unless the pause is not over; then it is due afterwards.
    pub(super) fn begin(&mut self, now: Timestamp) -> (bool, Option<Alarm>) {
        let (State::Due { since }, Some(interval)) = (&self.state, self.interval) else {
            return (false, None);
        };
        let pause_ends = self
            .completed
            .map(|completed| completed.saturating_add(self.min_pause));
        if let Some(end) = pause_ends.filter(|end| *end > now) {
            return (false, Some(self.wait(end)));
        }
        // In the rhythm if it can be kept.
        let next = since.saturating_add(interval);
        let next = if next > now {
            next
        } else {
            now.saturating_add(interval)
        };
        (true, Some(self.wait(next)))
    }

    /// What is no periodic one is due at that time.
    pub(super) fn again(&mut self, due: Timestamp) -> Alarm {
        self.wait(due)
    }

    fn wait(&mut self, due: Timestamp) -> Alarm {
        self.timer += 1;
        self.state = State::Waiting { due };
        Alarm {
            number: self.timer,
            due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn alarm(number: u64, due: u64) -> Option<Alarm> {
        Some(Alarm {
            number,
            due: seconds(due),
        })
    }

    #[test]
    fn without_interval_nothing_is_due() {
        let mut schedule = Schedule::new(None, seconds(1));
        assert_eq!(schedule.start(seconds(5)), None);
        schedule.hurry(seconds(6));
        assert!(!schedule.is_due());
        assert_eq!(schedule.begin(seconds(7)), (false, None));
    }

    #[test]
    fn the_rhythm_is_kept_and_what_was_missed_is_not_made_up_for() {
        let mut schedule = Schedule::new(Some(seconds(10)), Duration::ZERO);
        assert_eq!(schedule.start(seconds(3)), alarm(1, 13));
        assert_eq!(schedule.start(seconds(4)), None, "it runs");
        schedule.fired(1);
        assert_eq!(schedule.begin(seconds(14)), (true, alarm(2, 23)));
        schedule.fired(1);
        assert!(!schedule.is_due(), "an old timer");
        schedule.fired(2);
        assert_eq!(schedule.begin(seconds(50)), (true, alarm(3, 60)));
    }

    #[test]
    fn the_pause_begins_with_a_completion() {
        let mut schedule = Schedule::new(Some(seconds(10)), seconds(4));
        schedule.start(seconds(0));
        schedule.fired(1);
        assert_eq!(schedule.begin(seconds(10)), (true, alarm(2, 20)));
        schedule.completed(seconds(18));
        schedule.fired(2);
        assert_eq!(schedule.begin(seconds(20)), (false, alarm(3, 22)));
        schedule.fired(3);
        assert_eq!(schedule.begin(seconds(22)), (true, alarm(4, 32)));
    }

    #[test]
    fn a_pause_longer_than_the_interval_is_the_interval() {
        let mut schedule = Schedule::new(Some(seconds(1)), seconds(5));
        assert_eq!(schedule.start(seconds(0)), alarm(1, 5));
    }

    #[test]
    fn a_stop_lasts_until_the_next_start() {
        let mut schedule = Schedule::new(Some(seconds(10)), Duration::ZERO);
        schedule.start(seconds(0));
        schedule.stop();
        schedule.fired(1);
        schedule.hurry(seconds(11));
        assert!(!schedule.is_due());
        assert_eq!(schedule.start(seconds(20)), alarm(2, 30));
        schedule.hurry(seconds(21));
        assert_eq!(schedule.begin(seconds(21)), (true, alarm(3, 31)));
    }
}
