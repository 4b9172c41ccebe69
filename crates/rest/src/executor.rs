//! Answers about a task executor: how large it is, how that is divided, and who has its slots. Memory
//! that only a JVM has is 0.

use flott_config::{Configuration, ExecutorMemory, executor_vcores};
use flott_jobmanager::{AllocatedSlot, ExecutorSnapshot};
use flott_model::ResourceProfile;
use serde_json::{Value, json};

use crate::job::now;

const MEBIBYTE: u64 = 1 << 20;

/// An entry of `/taskmanagers`.
pub(crate) fn summary(executor: &ExecutorSnapshot, configuration: &Configuration) -> Value {
    let size = Size::of(executor, configuration);
    let memory = &executor.memory;
    json!({
        "id": executor.container,
        "path": executor.host,
        "dataPort": -1,
        "jmxPort": -1,
        "timeSinceLastHeartbeat": now().saturating_sub(executor.silent_ms),
        "slotsNumber": executor.slots,
        "freeSlots": executor.free_slots,
        "totalResource": size.part(executor.slots, executor.slots),
        "freeResource": size.part(executor.free_slots, executor.slots),
        "hardware": {
            "cpuCores": size.cores,
            "physicalMemory": executor.memory_bytes,
            "freeMemory": executor.memory_bytes.saturating_sub(memory.resident_bytes),
            "managedMemory": size.profile.managed_bytes,
        },
        "memoryConfiguration": {
            "frameworkHeap": size.memory.framework_bytes,
            "taskHeap": size.profile.task_heap_bytes,
            "frameworkOffHeap": 0,
            "taskOffHeap": size.profile.task_off_heap_bytes,
            "networkMemory": size.memory.network_bytes,
            "managedMemory": size.profile.managed_bytes,
            "jvmMetaspace": 0,
            "jvmOverhead": size.memory.overhead_bytes,
            "totalFlinkMemory": executor.memory_bytes.saturating_sub(size.memory.overhead_bytes),
            "totalProcessMemory": executor.memory_bytes,
        },
        "flott-memory": {
            "resident": memory.resident_bytes,
            "virtual": memory.virtual_bytes,
            "peak-resident": memory.peak_resident_bytes,
        },
    })
}

/// `/taskmanagers/:id`.
pub(crate) fn details(executor: &ExecutorSnapshot, configuration: &Configuration) -> Value {
    let size = Size::of(executor, configuration);
    let slot = |slot: &AllocatedSlot| {
        let resource = match &slot.profile {
            Some(profile) => resource(profile, 0),
            None => size.part(1, executor.slots),
        };
        json!({ "jobId": slot.job.to_string(), "resource": resource })
    };
    let slots: Vec<Value> = executor.allocated.iter().map(slot).collect();
    let mut details = summary(executor, configuration);
    details["allocatedSlots"] = slots.into();
    details
}

/// How large an executor is.
struct Size {
    cores: u32,
    memory: ExecutorMemory,
    /// What all of its slots offer together.
    profile: ResourceProfile,
}

impl Size {
    fn of(executor: &ExecutorSnapshot, configuration: &Configuration) -> Self {
        let memory = match executor.memory_bytes {
            // Of an embedded one: it has what the machine has, and no parts.
            0 => ExecutorMemory {
                process_bytes: 0,
                framework_bytes: 0,
                overhead_bytes: 0,
                network_bytes: 0,
                task_bytes: 0,
            },
            bytes => ExecutorMemory::of(configuration, bytes),
        };
        let cores = match &executor.profile {
            Some(profile) => profile.whole_cores(),
            None if executor.memory_bytes == 0 => executor.slots,
            None => executor_vcores(configuration),
        };
        let asked = executor.profile.unwrap_or_default();
        let beside_heap = asked
            .task_off_heap_bytes
            .saturating_add(asked.managed_bytes);
        let profile = ResourceProfile {
            cpu_millicores: cores.saturating_mul(1000),
            // What was rounded up is heap, too.
            task_heap_bytes: memory.task_bytes.saturating_sub(beside_heap),
            ..asked
        };
        Self {
            cores,
            memory,
            profile,
        }
    }

    /// What some of all slots have.
    fn part(&self, some: u32, all: u32) -> Value {
        let all = u64::from(all.max(1));
        let part = |whole: u64| whole * u64::from(some) / all;
        let cpu_millicores = part(self.profile.cpu_millicores.into());
        let profile = ResourceProfile {
            cpu_millicores: u32::try_from(cpu_millicores).unwrap_or(u32::MAX),
            task_heap_bytes: part(self.profile.task_heap_bytes),
            task_off_heap_bytes: part(self.profile.task_off_heap_bytes),
            managed_bytes: part(self.profile.managed_bytes),
        };
        resource(&profile, part(self.memory.network_bytes))
    }
}

/// In whole mebibytes, as Flink says it.
fn resource(profile: &ResourceProfile, network_bytes: u64) -> Value {
    json!({
        "cpuCores": f64::from(profile.cpu_millicores) / 1000.0,
        "taskHeapMemory": profile.task_heap_bytes / MEBIBYTE,
        "taskOffHeapMemory": profile.task_off_heap_bytes / MEBIBYTE,
        "managedMemory": profile.managed_bytes / MEBIBYTE,
        "networkMemory": network_bytes / MEBIBYTE,
        "extendedResources": {},
    })
}

#[cfg(test)]
mod tests {
    use flott_model::JobId;

    use super::*;

    fn executor(memory_mb: u64, slots: u32, profile: Option<ResourceProfile>) -> ExecutorSnapshot {
        ExecutorSnapshot {
            container: "c".to_owned(),
            host: "h".to_owned(),
            slots,
            free_slots: 1,
            profile,
            allocated: Vec::new(),
            memory_bytes: memory_mb * MEBIBYTE,
            memory: Default::default(),
            silent_ms: 0,
        }
    }

    fn shown(resource: &Value) -> Vec<f64> {
        let keys = [
            "cpuCores",
            "taskHeapMemory",
            "managedMemory",
            "networkMemory",
        ];
        keys.map(|key| resource[key].as_f64().unwrap()).to_vec()
    }

    #[test]
    fn slots_of_default_size_share_what_there_is() {
        let settings = [("taskmanager.numberOfTaskSlots".to_owned(), "2".to_owned())];
        let configuration = Configuration::from_map(settings.into()).unwrap();
        let mut executor = executor(512, 2, None);
        let small = ResourceProfile {
            cpu_millicores: 250,
            task_heap_bytes: 50 * MEBIBYTE,
            ..ResourceProfile::default()
        };
        let job = JobId(7);
        executor.allocated = [None, Some(small)]
            .map(|profile| AllocatedSlot { job, profile })
            .into();
        let details = details(&executor, &configuration);
        assert_eq!(shown(&details["totalResource"]), [2.0, 320.0, 0.0, 64.0]);
        assert_eq!(shown(&details["freeResource"]), [1.0, 160.0, 0.0, 32.0]);
        let slots = &details["allocatedSlots"];
        assert_eq!(slots[0]["jobId"], job.to_string());
        assert_eq!(shown(&slots[0]["resource"]), [1.0, 160.0, 0.0, 32.0]);
        assert_eq!(shown(&slots[1]["resource"]), [0.25, 50.0, 0.0, 0.0]);
        let memory = &details["memoryConfiguration"];
        assert_eq!(memory["totalFlinkMemory"], 448 * MEBIBYTE);
        assert_eq!(memory["jvmOverhead"], 64 * MEBIBYTE);
    }

    #[test]
    fn one_that_was_made_for_a_slot_offers_what_that_asks_for() {
        let profile = ResourceProfile {
            cpu_millicores: 1500,
            task_heap_bytes: 600 * MEBIBYTE,
            managed_bytes: 100 * MEBIBYTE,
            ..ResourceProfile::default()
        };
        let summary = summary(&executor(920, 1, Some(profile)), &Configuration::default());
        assert_eq!(shown(&summary["totalResource"]), [2.0, 600.0, 100.0, 92.0]);
        assert_eq!(summary["hardware"]["cpuCores"], 2);
        let embedded = super::summary(&executor(0, 3, None), &Configuration::default());
        assert_eq!(shown(&embedded["totalResource"]), [3.0, 0.0, 0.0, 0.0]);
    }
}
