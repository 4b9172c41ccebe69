//! Slot sharing groups: which operators share slots, and what those slots must offer.

use std::collections::BTreeMap;

use flott_config::MemorySize;
use flott_model::ResourceProfile;

use crate::error::Error;

/// A slot sharing group: a name, and what each slot of the group must offer, if anything.
///
/// A slot takes one subtask of each task in its group. The slots of a group without resources are of
/// default size: a task executor's memory and cores, divided by its slots. Those of a group with
/// resources come from task executors of default size if a share of one is enough, and else from
/// containers that are made for them, one each. A group has one size: another one for the same name
/// makes the job fail to start.
///
/// Anything that names a group can be given in place of one: `"name"` is a group without resources,
/// or with those that [`register_slot_sharing_group`] gave to that name.
///
/// [`register_slot_sharing_group`]: crate::StreamExecutionEnvironment::register_slot_sharing_group
///
/// ```
/// use flott::SlotSharingGroup;
/// use flott::prelude::*;
///
/// # fn main() -> Result<(), flott::Error> {
/// let env = StreamExecutionEnvironment::get()?;
/// let heavy = SlotSharingGroup::new_builder("heavy")
///     .set_cpu_cores(0.5)
///     .set_task_heap_memory_mb(200)
///     .build()?;
/// env.from_sequence(1, 9)
///     .key_by(|n| n % 3)
///     .sum(|n| n)
///     .slot_sharing_group(heavy)
///     .print();
/// env.execute("with resources")?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSharingGroup {
    name: String,
    resources: Option<ResourceProfile>,
}

impl SlotSharingGroup {
    /// A group of that name; it has no resources until some are set.
    pub fn new_builder(name: impl Into<String>) -> SlotSharingGroupBuilder {
        SlotSharingGroupBuilder {
            name: name.into(),
            cpu_cores: None,
            task_heap: None,
            task_off_heap: None,
            managed: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Processor cores of each slot; `None`: no resources were set.
    pub fn cpu_cores(&self) -> Option<f64> {
        let resources = self.resources?;
        Some(f64::from(resources.cpu_millicores) / 1000.0)
    }

    /// Task heap memory of each slot; `None`: no resources were set.
    pub fn task_heap_memory(&self) -> Option<MemorySize> {
        let resources = self.resources?;
        Some(MemorySize::from_bytes(resources.task_heap_bytes))
    }

    /// Task off-heap memory of each slot; `None`: no resources were set.
    pub fn task_off_heap_memory(&self) -> Option<MemorySize> {
        let resources = self.resources?;
        Some(MemorySize::from_bytes(resources.task_off_heap_bytes))
    }

    /// Managed memory of each slot; `None`: no resources were set.
    pub fn managed_memory(&self) -> Option<MemorySize> {
        let resources = self.resources?;
        Some(MemorySize::from_bytes(resources.managed_bytes))
    }
}

impl From<&str> for SlotSharingGroup {
    fn from(name: &str) -> Self {
        Self::from(name.to_owned())
    }
}

impl From<String> for SlotSharingGroup {
    fn from(name: String) -> Self {
        let resources = None;
        Self { name, resources }
    }
}

impl From<&String> for SlotSharingGroup {
    fn from(name: &String) -> Self {
        Self::from(name.clone())
    }
}

impl From<&SlotSharingGroup> for SlotSharingGroup {
    fn from(group: &SlotSharingGroup) -> Self {
        group.clone()
    }
}

/// Says what each slot of a group must offer. With anything set, cores and task heap memory must be.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until build() is called"]
pub struct SlotSharingGroupBuilder {
    name: String,
    cpu_cores: Option<f64>,
    task_heap: Option<MemorySize>,
    task_off_heap: Option<MemorySize>,
    managed: Option<MemorySize>,
}

impl SlotSharingGroupBuilder {
    /// Processor cores, more than 0; rounded up to thousandths. A worker has as many task threads as the
    /// slots it holds have cores, each slot at least one; YARN is asked for whole cores.
    pub fn set_cpu_cores(mut self, cores: f64) -> Self {
        self.cpu_cores = Some(cores);
        self
    }

    /// Memory that the program's functions and their state allocate, more than 0.
    pub fn set_task_heap_memory(mut self, size: MemorySize) -> Self {
        self.task_heap = Some(size);
        self
    }

    /// As [`SlotSharingGroupBuilder::set_task_heap_memory`], in units of 1024 × 1024 bytes.
    pub fn set_task_heap_memory_mb(self, mebibytes: u32) -> Self {
        self.set_task_heap_memory(MemorySize::from_mebibytes(mebibytes.into()))
    }

    /// Memory that the program takes past the allocator, such as C libraries and mapped files; default
    /// 0. A native process has one memory: it adds to the container as the heap does.
    pub fn set_task_off_heap_memory(mut self, size: MemorySize) -> Self {
        self.task_off_heap = Some(size);
        self
    }

    /// As [`SlotSharingGroupBuilder::set_task_off_heap_memory`], in units of 1024 × 1024 bytes.
    pub fn set_task_off_heap_memory_mb(self, mebibytes: u32) -> Self {
        self.set_task_off_heap_memory(MemorySize::from_mebibytes(mebibytes.into()))
    }

    /// Memory that the engine uses for the group's tasks: the buffers in which BATCH collects what it
    /// writes to files, in equal parts for the tasks of the group; default 0, which leaves them the usual
    /// part of the slot.
    pub fn set_managed_memory(mut self, size: MemorySize) -> Self {
        self.managed = Some(size);
        self
    }

    /// As [`SlotSharingGroupBuilder::set_managed_memory`], in units of 1024 × 1024 bytes.
    pub fn set_managed_memory_mb(self, mebibytes: u32) -> Self {
        self.set_managed_memory(MemorySize::from_mebibytes(mebibytes.into()))
    }

    /// The group. Fails if only a part of the resources is set, or one is not positive.
    ///
    /// ```
    /// use flott::SlotSharingGroup;
    ///
    /// let error = SlotSharingGroup::new_builder("a").set_cpu_cores(2.0).build().unwrap_err();
    /// assert!(error.to_string().contains("task heap memory"));
    /// assert!(SlotSharingGroup::new_builder("a").build().is_ok(), "without resources");
    /// ```
    pub fn build(self) -> Result<SlotSharingGroup, Error> {
        let resources = match (self.cpu_cores, self.task_heap) {
            (None, None) if self.task_off_heap.is_none() && self.managed.is_none() => None,
            (Some(cores), Some(heap)) => Some(ResourceProfile {
                cpu_millicores: self.millicores(cores)?,
                task_heap_bytes: heap.bytes(),
                task_off_heap_bytes: self.task_off_heap.map_or(0, MemorySize::bytes),
                managed_bytes: self.managed.map_or(0, MemorySize::bytes),
            }),
            _ => {
                return Err(self
                    .wrong("cpu cores and task heap memory must both be set if any resource is"));
            }
        };
        if let Some(defect) = resources.and_then(|resources| resources.defect()) {
            return Err(self.wrong(defect));
        }
        let name = self.name;
        Ok(SlotSharingGroup { name, resources })
    }

    fn millicores(&self, cores: f64) -> Result<u32, Error> {
        let millicores = (cores * 1000.0).ceil();
        if millicores >= 1.0 && millicores <= f64::from(u32::MAX) {
            Ok(millicores as u32)
        } else {
            let message = format!("{cores} is no number of cpu cores: it must be more than 0");
            Err(self.wrong(&message))
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::Configuration(format!("slot sharing group '{}': {what}", self.name))
    }
}

/// What the program has said about groups so far.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    resources: BTreeMap<String, ResourceProfile>,
    /// The first group that was given two sizes.
    conflict: Option<String>,
}

impl Groups {
    /// Notes a group; its name. What contradicts an earlier word is told by [`Groups::resources`].
    pub(crate) fn note(&mut self, group: SlotSharingGroup) -> String {
        let SlotSharingGroup { name, resources } = group;
        if let Some(resources) = resources {
            let known = *self.resources.entry(name.clone()).or_insert(resources);
            if known != resources {
                self.conflict.get_or_insert_with(|| {
                    format!(
                        "slot sharing group '{name}' is to offer ({known}) and ({resources}): a group \
                         has one size; use a group of another name for the other one"
                    )
                });
            }
        }
        name
    }

    /// What each group must offer that says so.
    pub(crate) fn resources(&self) -> Result<BTreeMap<String, ResourceProfile>, Error> {
        match &self.conflict {
            None => Ok(self.resources.clone()),
            Some(conflict) => Err(Error::Configuration(conflict.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(name: &str, cores: f64, mebibytes: u32) -> Result<SlotSharingGroup, Error> {
        SlotSharingGroup::new_builder(name)
            .set_cpu_cores(cores)
            .set_task_heap_memory_mb(mebibytes)
            .build()
    }

    #[test]
    fn what_is_set_can_be_read() {
        let group = SlotSharingGroup::new_builder("a")
            .set_cpu_cores(1.2345)
            .set_task_heap_memory_mb(100)
            .set_task_off_heap_memory_mb(5)
            .set_managed_memory(MemorySize::from_bytes(7))
            .build()
            .unwrap();
        assert_eq!(group.name(), "a");
        assert_eq!(group.cpu_cores(), Some(1.235), "rounded up");
        assert_eq!(
            group.task_heap_memory(),
            Some(MemorySize::from_mebibytes(100))
        );
        assert_eq!(
            group.task_off_heap_memory(),
            Some(MemorySize::from_mebibytes(5))
        );
        assert_eq!(group.managed_memory(), Some(MemorySize::from_bytes(7)));
        let plain = SlotSharingGroup::from("a");
        assert_eq!(plain, SlotSharingGroup::new_builder("a").build().unwrap());
        assert_eq!((plain.cpu_cores(), plain.managed_memory()), (None, None));
    }

    #[test]
    fn half_a_size_and_nonsense_are_refused() {
        let wrong = |cores, mebibytes| sized("a", cores, mebibytes).unwrap_err().to_string();
        for cores in [0.0, -1.0, f64::NAN, f64::INFINITY, 5e6] {
            let message = wrong(cores, 1);
            assert!(message.contains("is no number of cpu cores"), "{message}");
            assert!(message.contains("slot sharing group 'a'"), "{message}");
        }
        assert!(wrong(1.0, 0).contains("task heap memory is not positive"));
        let managed_only = SlotSharingGroup::new_builder("a").set_managed_memory_mb(1);
        let message = managed_only.build().unwrap_err().to_string();
        assert!(message.contains("must both be set"), "{message}");
    }

    #[test]
    fn a_group_has_one_size() {
        let mut groups = Groups::default();
        groups.note(sized("a", 1.0, 100).unwrap());
        groups.note("a".into());
        groups.note(sized("a", 1.0, 100).unwrap());
        groups.note("b".into());
        assert_eq!(groups.resources().unwrap().len(), 1);
        groups.note(sized("a", 2.0, 100).unwrap());
        groups.note(sized("a", 3.0, 100).unwrap());
        let message = groups.resources().unwrap_err().to_string();
        let sizes = "(1 core, 100 MiB task heap) and (2 cores, 100 MiB task heap)";
        assert!(message.contains(sizes), "{message}");
    }
}
