//! What a process used so far: processor time and memory, as the system counts them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Processor time (user and system, all threads) of this process so far.
pub(crate) fn cpu_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("asking for the processor time")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// Most memory that was resident at once since the process began, in bytes. Not `ru_maxrss`: that one is inherited
/// from the process that started this one.
pub(crate) fn peak_resident() -> Result<u64> {
    status_field("VmHWM:")
}

fn status_field(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("reading the status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    let kib: u64 = kib
        .with_context(|| format!("{name} is not in the status"))?
        .parse()?;
    Ok(kib * 1024)
}

/// Processor and wall time of a piece of work.
pub(crate) fn timed<R>(work: impl FnOnce() -> Result<R>) -> Result<(R, Duration, Duration)> {
    let (cpu, wall) = (cpu_time()?, Instant::now());
    let result = work()?;
    let wall = wall.elapsed();
    Ok((result, cpu_time()?.saturating_sub(cpu), wall))
}
