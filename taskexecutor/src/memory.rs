//! The memory of a container: what its workers may use, and what all of its processes do use, summed as
//! the NodeManager sums it.

use std::collections::BTreeSet;

use flott_protocol::message::{MemoryUse, WorkerSpec};

/// Memory of a container that is not its workers': the agent's own.
const AGENT_BYTES: u64 = 32 << 20;

/// Tells a worker how large the container is, and which part of it belongs to the worker's slots.
pub(crate) fn allot(spec: &mut WorkerSpec, container_bytes: u64, slots: u32) {
    let held = spec.slots.len().max(1) as u64;
    let slot = container_bytes.saturating_sub(AGENT_BYTES) / u64::from(slots.max(1));
    spec.container_memory_bytes = container_bytes;
    spec.memory_bytes = slot.saturating_mul(held);
}

/// Samples the process tree below (and with) this process.
#[derive(Debug, Default)]
pub(crate) struct MemoryMeter {
    peak_resident_bytes: u64,
}

impl MemoryMeter {
    pub(crate) fn sample(&mut self) -> MemoryUse {
        let mut sum = used_by(std::process::id());
        self.peak_resident_bytes = self.peak_resident_bytes.max(sum.resident_bytes);
        sum.peak_resident_bytes = self.peak_resident_bytes;
        sum
    }
}

/// What a process and all that it started use. One that has ended uses nothing.
pub(crate) fn used_by(pid: u32) -> MemoryUse {
    let mut sum = MemoryUse::default();
    let mut waiting = vec![pid];
    let mut seen = BTreeSet::new();
    while let Some(pid) = waiting.pop() {
        if !seen.insert(pid) {
            continue;
        }
        // A process may end while it is looked at: then it counts as gone.
        if let Some((virtual_bytes, resident_bytes)) = memory_of(pid) {
            sum.virtual_bytes += virtual_bytes;
            sum.resident_bytes += resident_bytes;
            waiting.extend(children_of(pid));
        }
    }
    sum
}

/// Resident bytes of this process alone.
pub(crate) fn own_resident_bytes() -> u64 {
    memory_of(std::process::id()).map_or(0, |(_, resident_bytes)| resident_bytes)
}

/// Virtual and resident bytes.
fn memory_of(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    // A zombie has no memory, and no such lines.
    Some((kilobytes("VmSize:")? * 1024, kilobytes("VmRSS:")? * 1024))
}

fn children_of(pid: u32) -> Vec<u32> {
    // Children belong to the thread that started them.
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let mut children = Vec::new();
    for list in lists {
        children.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
    }
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_the_container_by_their_slots() {
        let mut spec = WorkerSpec {
            slots: vec![0, 2],
            ..WorkerSpec::default()
        };
        allot(&mut spec, 512 << 20, 3);
        assert_eq!(spec.container_memory_bytes, 512 << 20);
        assert_eq!(spec.memory_bytes, 320 << 20, "two thirds of 480 MiB");
        allot(&mut spec, 1, 0);
        assert_eq!(spec.memory_bytes, 0);
    }

    #[test]
    fn children_are_counted_and_the_peak_stays() {
        let mut meter = MemoryMeter::default();
        let alone = meter.sample();
        assert!(alone.resident_bytes > 0 && alone.virtual_bytes > alone.resident_bytes);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let children = children_of(std::process::id());
        let with_child = meter.sample();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(children.contains(&child.id()), "{children:?}");
        assert!(with_child.peak_resident_bytes >= with_child.resident_bytes);
        assert!(meter.sample().peak_resident_bytes >= with_child.peak_resident_bytes);
        assert!(
            memory_of(child.id()).is_none(),
            "a process that ended counts as gone"
        );
    }
}
