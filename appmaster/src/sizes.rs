//! How large containers are: what YARN is asked for, and what their agents are told. Arithmetic only.

use flott_config::{Configuration, ExecutorMemory, executor_vcores, options};
use flott_hadoop::yarn::Resource;
use flott_model::ResourceProfile;

/// One kind of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContainerSize {
    /// What YARN is asked for.
    pub(crate) resource: Resource,
    /// The same memory in bytes, which its processes divide.
    pub(crate) memory_bytes: u64,
    /// How many slots it has.
    pub(crate) slots: u32,
}

/// Of containers for slots of that profile, one each; `None`: of default size. An error says why there
/// is no such size.
pub(crate) fn container_size(
    configuration: &Configuration,
    profile: Option<ResourceProfile>,
) -> Result<ContainerSize, String> {
    let (memory, vcores, slots) = match profile {
        None => (
            ExecutorMemory::configured(configuration),
            executor_vcores(configuration),
            configuration.get(&options::TASKMANAGER_NUMBER_OF_TASK_SLOTS),
        ),
        Some(profile) => {
            let memory = ExecutorMemory::for_tasks(configuration, profile.memory_bytes());
            let memory = memory.ok_or_else(|| {
                format!(
                    "no container is large enough for a slot that offers {profile} \
                     ({} and {} leave nothing for tasks)",
                    options::TASKMANAGER_MEMORY_NETWORK_FRACTION.key(),
                    options::TASKMANAGER_MEMORY_NETWORK_MAX.key()
                )
            })?;
            (memory, profile.whole_cores(), 1)
        }
    };
    let mebibytes = memory.process_bytes.div_ceil(1 << 20);
    Ok(ContainerSize {
        resource: Resource {
            memory_mb: i64::try_from(mebibytes).unwrap_or(i64::MAX),
            vcores: i32::try_from(vcores).unwrap_or(i32::MAX),
        },
        memory_bytes: memory.process_bytes,
        slots,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: &[(&str, &str)]) -> Configuration {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Configuration::from_map(settings.iter().map(own).collect()).unwrap()
    }

    #[test]
    fn of_default_size_as_configured_and_else_for_one_slot() {
        let configuration = with(&[
            ("taskmanager.memory.process.size", "600m"),
            ("taskmanager.numberOfTaskSlots", "3"),
        ]);
        let size = |memory_mb, vcores, slots| ContainerSize {
            resource: Resource { memory_mb, vcores },
            memory_bytes: (memory_mb as u64) << 20,
            slots,
        };
        assert_eq!(container_size(&configuration, None), Ok(size(600, 3, 3)));
        let profile = ResourceProfile {
            cpu_millicores: 1500,
            task_heap_bytes: 600 << 20,
            managed_bytes: 100 << 20,
            ..ResourceProfile::default()
        };
        let found = container_size(&configuration, Some(profile));
        assert_eq!(found, Ok(size(920, 2, 1)));
    }

    #[test]
    fn what_no_container_can_hold_is_said() {
        let configuration = with(&[
            ("taskmanager.memory.network.fraction", "1"),
            ("taskmanager.memory.network.max", "9223372036854775807"),
        ]);
        let profile = ResourceProfile {
            cpu_millicores: 1000,
            task_heap_bytes: 1,
            ..ResourceProfile::default()
        };
        let why = container_size(&configuration, Some(profile)).unwrap_err();
        assert!(why.contains("taskmanager.memory.network.fraction"), "{why}");
    }
}
