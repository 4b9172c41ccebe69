//! How long there was nothing.

/// Adds up the time in which no row came. Time in which the task could not run, because there was no
/// room downstream, does not count: it says nothing about the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleTimer {
    /// After so many milliseconds; `None`: never.
    limit: Option<i64>,
    /// A tick that comes later than this was held up.
    longest_tick: i64,
    silent: i64,
    last_tick: Option<i64>,
    came: bool,
}

impl IdleTimer {
    pub(super) fn new(limit: Option<i64>, tick: i64) -> Self {
        Self {
            limit,
            longest_tick: tick.saturating_mul(2),
            silent: 0,
            last_tick: None,
            came: false,
        }
    }

    /// A row came.
    pub(super) fn came(&mut self) {
        self.came = true;
    }

    /// Whether it has to be told the time.
    pub(super) fn runs(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.silent < limit || self.came)
    }

    /// It is not the input that is silent: it is not read.
    pub(super) fn held(&mut self, now: i64) {
        self.last_tick = Some(now);
    }

    /// Whether it has been silent for so long.
    pub(super) fn tick(&mut self, now: i64) -> bool {
        let since = now.saturating_sub(self.last_tick.unwrap_or(now));
        self.last_tick = Some(now);
        if std::mem::take(&mut self.came) {
            self.silent = 0;
        } else {
            self.silent = self
                .silent
                .saturating_add(since.clamp(0, self.longest_tick));
        }
        self.limit.is_some_and(|limit| self.silent >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_counts_and_being_held_up_does_not() {
        let mut timer = IdleTimer::new(Some(500), 100);
        assert!(!timer.tick(0));
        for now in [100, 200, 300, 400] {
            assert!(!timer.tick(now));
        }
        timer.came();
        assert!(!timer.tick(500), "a row came since");
        assert!(!timer.tick(60_000), "the task was held up");
        assert!(!timer.tick(60_200));
        assert!(timer.tick(60_300));
        assert!(!timer.runs());
        timer.came();
        assert!(timer.runs());
        assert!(!IdleTimer::new(None, 100).runs());
    }
}
