//! Waiting for a condition with a deadline, the only way these tests wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const POLL: Duration = Duration::from_millis(100);

/// Polls until `attempt` gives a value. Its error is final; `None` means "not yet".
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt().with_context(|| format!("waiting for {what}"))? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(POLL);
    }
}

/// Polls until `condition` holds.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    wait_for(what, limit, || Ok(condition()?.then_some(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_once_there_is_one() {
        let mut calls = 0;
        let value = wait_for("the third call", Duration::from_secs(10), || {
            calls += 1;
            Ok((calls == 3).then_some("here"))
        });
        assert_eq!(value.unwrap(), "here");
    }

    #[test]
    fn says_what_never_came_and_what_went_wrong() {
        let never = wait_until("rain", Duration::ZERO, || Ok(false)).unwrap_err();
        assert_eq!(format!("{never:#}"), "waited 0ns in vain for rain");
        let broken = wait_until("rain", Duration::ZERO, || bail!("no sky")).unwrap_err();
        assert_eq!(format!("{broken:#}"), "waiting for rain: no sky");
    }
}
