//! How large a task executor's container is, and how its memory is divided. Pure arithmetic on the
//! configuration; who asks for containers and who runs in them must come to the same numbers.

use crate::configuration::Configuration;
use crate::memory_size::MemorySize;
use crate::options::{
    TASKMANAGER_MEMORY_MANAGED_FRACTION, TASKMANAGER_MEMORY_MANAGED_SIZE,
    TASKMANAGER_MEMORY_NETWORK_FRACTION, TASKMANAGER_MEMORY_NETWORK_MAX,
    TASKMANAGER_MEMORY_NETWORK_MIN, TASKMANAGER_MEMORY_PROCESS_SIZE,
    TASKMANAGER_NUMBER_OF_TASK_SLOTS, YARN_CONTAINERS_VCORES,
};

const MEBIBYTE: u64 = 1 << 20;
/// The agent, and what a worker needs before it has a task.
const FRAMEWORK_BYTES: u64 = 64 * MEBIBYTE;
/// What an allocator keeps, stacks, file buffers: at least that much, …
const LEAST_OVERHEAD_BYTES: u64 = 64 * MEBIBYTE;
/// … and one part in so many of the container.
const OVERHEAD_PARTS: u64 = 20;
/// No machine has more; a search that comes so far has no end.
const MOST_BYTES: u64 = 1 << 50;

/// The parts of a container's memory, in bytes. They add up to the whole unless that is less than
/// what the fixed parts take; then nothing is left for tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutorMemory {
    /// The whole: what YARN is asked for.
    pub process_bytes: u64,
    /// Of Flott's own processes.
    pub framework_bytes: u64,
    /// Reserve for what no part counts.
    pub overhead_bytes: u64,
    /// Of network buffers (`taskmanager.memory.network.*`).
    pub network_bytes: u64,
    /// Of tasks: heap, off-heap and managed memory of all slots.
    pub task_bytes: u64,
}

impl ExecutorMemory {
    /// Of a container that has that much.
    pub fn of(configuration: &Configuration, process_bytes: u64) -> Self {
        let overhead_bytes = (process_bytes / OVERHEAD_PARTS).max(LEAST_OVERHEAD_BYTES);
        let network_bytes = network_bytes(configuration, process_bytes);
        let fixed = FRAMEWORK_BYTES
            .saturating_add(overhead_bytes)
            .saturating_add(network_bytes);
        Self {
            process_bytes,
            framework_bytes: FRAMEWORK_BYTES,
            overhead_bytes,
            network_bytes,
            task_bytes: process_bytes.saturating_sub(fixed),
        }
    }

    /// Of a container of default size (`taskmanager.memory.process.size`).
    pub fn configured(configuration: &Configuration) -> Self {
        let process = configuration.get(&TASKMANAGER_MEMORY_PROCESS_SIZE);
        Self::of(configuration, process.bytes())
    }

    /// The part of the tasks' memory that is managed (`taskmanager.memory.managed.*`).
    pub fn managed_bytes(&self, configuration: &Configuration) -> u64 {
        let managed = match configuration.get(&TASKMANAGER_MEMORY_MANAGED_SIZE) {
            Some(size) => size.bytes(),
            None => {
                let fraction = configuration
                    .get(&TASKMANAGER_MEMORY_MANAGED_FRACTION)
                    .get();
                let whole = self.process_bytes.saturating_sub(self.overhead_bytes);
                (whole as f64 * fraction) as u64
            }
        };
        managed.min(self.task_bytes)
    }

    /// Of the smallest container, in whole mebibytes, whose tasks can have that much. `None` if none is
    /// large enough: the fractions of the other parts leave nothing.
    pub fn for_tasks(configuration: &Configuration, task_bytes: u64) -> Option<Self> {
        let mut process: u64 = 0;
        // From below: every part grows with the whole, so the first size that suffices is the least.
        loop {
            let memory = Self::of(configuration, process);
            let needed = memory
                .overhead_bytes
                .saturating_add(memory.network_bytes)
                .saturating_add(FRAMEWORK_BYTES)
                .saturating_add(task_bytes);
            if needed <= process {
                return Some(memory);
            }
            if needed > MOST_BYTES {
                return None;
            }
            process = needed.next_multiple_of(MEBIBYTE);
        }
    }
}

fn network_bytes(configuration: &Configuration, process_bytes: u64) -> u64 {
    let fraction = configuration
        .get(&TASKMANAGER_MEMORY_NETWORK_FRACTION)
        .get();
    let least = configuration.get(&TASKMANAGER_MEMORY_NETWORK_MIN).bytes();
    let most = configuration.get(&TASKMANAGER_MEMORY_NETWORK_MAX).bytes();
    let share = MemorySize::from_bytes((process_bytes as f64 * fraction) as u64).bytes();
    share.max(least).min(most.max(least))
}

/// Virtual cores of a container of default size (`yarn.containers.vcores`; by default one for each
/// slot).
pub fn executor_vcores(configuration: &Configuration) -> u32 {
    match u32::try_from(configuration.get(&YARN_CONTAINERS_VCORES)) {
        Ok(vcores) if vcores > 0 => vcores,
        _ => configuration.get(&TASKMANAGER_NUMBER_OF_TASK_SLOTS).max(1),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with(settings: &[(&str, &str)]) -> Configuration {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let settings: BTreeMap<_, _> = settings.iter().map(own).collect();
        Configuration::from_map(settings).unwrap()
    }

    #[test]
    fn the_parts_add_up() {
        let memory = ExecutorMemory::configured(&with(&[]));
        let mebibytes = |bytes| MemorySize::from_mebibytes(bytes).bytes();
        let expected = ExecutorMemory {
            process_bytes: mebibytes(512),
            framework_bytes: mebibytes(64),
            overhead_bytes: mebibytes(64),
            network_bytes: mebibytes(64),
            task_bytes: mebibytes(320),
        };
        assert_eq!(memory, expected);
        let large = ExecutorMemory::of(&with(&[]), mebibytes(20_000));
        assert_eq!(large.network_bytes, mebibytes(1024), "the configured most");
        assert_eq!(large.overhead_bytes, mebibytes(1000));
        assert_eq!(large.task_bytes, mebibytes(20_000 - 1024 - 1000 - 64));
        let tiny = ExecutorMemory::of(&with(&[]), mebibytes(100));
        assert_eq!(tiny.task_bytes, 0, "nothing is left");
    }

    #[test]
    fn managed_memory_is_a_part_of_that_of_tasks() {
        let managed = |settings: &[(&str, &str)], process: u64| {
            let configuration = with(settings);
            let memory = ExecutorMemory::of(&configuration, process << 20);
            memory.managed_bytes(&configuration) >> 20
        };
        assert_eq!(managed(&[], 1024), 384);
        let size = ("taskmanager.memory.managed.size", "100m");
        assert_eq!(managed(&[size], 1024), 100);
        assert_eq!(managed(&[size], 200), 8, "tasks have no more");
    }

    #[test]
    fn the_smallest_container_that_suffices() {
        let memory = ExecutorMemory::for_tasks(&with(&[]), 700 << 20).unwrap();
        // 700 + 64 + 64 + a tenth of the whole for the network.
        assert_eq!(memory.process_bytes >> 20, 920);
        let greedy = with(&[
            ("taskmanager.memory.network.fraction", "0.97"),
            ("taskmanager.memory.network.max", "9223372036854775807"),
        ]);
        assert_eq!(ExecutorMemory::for_tasks(&greedy, 1 << 30), None);
        assert_eq!(ExecutorMemory::for_tasks(&with(&[]), u64::MAX), None);
    }

    #[test]
    fn cores_are_those_configured_or_one_for_each_slot() {
        let slots = ("taskmanager.numberOfTaskSlots", "3");
        assert_eq!(executor_vcores(&with(&[slots])), 3);
        let vcores = ("yarn.containers.vcores", "2");
        assert_eq!(executor_vcores(&with(&[slots, vcores])), 2);
    }

    proptest::proptest! {
        #[test]
        fn it_suffices_and_less_would_not(
            tasks in 0_u64..1 << 40,
            fraction in 0.0_f64..0.9,
            least in 0_u64..1 << 12,
        ) {
            let configuration = with(&[
                ("taskmanager.memory.network.fraction", &fraction.to_string()),
                ("taskmanager.memory.network.min", &format!("{least}m")),
            ]);
            let memory = ExecutorMemory::for_tasks(&configuration, tasks).unwrap();
            proptest::prop_assert!(memory.task_bytes >= tasks);
            proptest::prop_assert_eq!(memory.process_bytes % MEBIBYTE, 0);
            let less = ExecutorMemory::of(&configuration, memory.process_bytes - MEBIBYTE);
            proptest::prop_assert!(less.task_bytes < tasks || less.process_bytes
                < less.framework_bytes + less.overhead_bytes + less.network_bytes);
        }
    }
}
