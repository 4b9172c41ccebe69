//! What a slot must offer, and which slot sharing groups say so.

use std::fmt;

const MEBIBYTE: u64 = 1 << 20;

/// What one slot must offer. Two needs are the same if all of it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Message)]
pub struct ResourceProfile {
    /// Processor cores, in thousandths; at least 1.
    #[prost(uint32, tag = "1")]
    pub cpu_millicores: u32,
    /// Memory that the user's code allocates, in bytes; at least 1.
    #[prost(uint64, tag = "2")]
    pub task_heap_bytes: u64,
    /// Memory that the user's code takes past the allocator (mapped files, C libraries), in bytes.
    #[prost(uint64, tag = "3")]
    pub task_off_heap_bytes: u64,
    /// Memory that the engine may use for the tasks beyond its network buffers, in bytes.
    #[prost(uint64, tag = "4")]
    pub managed_bytes: u64,
}

impl ResourceProfile {
    /// All of its memory: a native process has one heap, whatever is kept there.
    pub fn memory_bytes(&self) -> u64 {
        self.task_heap_bytes
            .saturating_add(self.task_off_heap_bytes)
            .saturating_add(self.managed_bytes)
    }

    /// Whole cores that hold it; at least 1.
    pub fn whole_cores(&self) -> u32 {
        self.cpu_millicores.div_ceil(1000).max(1)
    }

    /// Why nothing can be run by it, if so.
    pub fn defect(&self) -> Option<&'static str> {
        if self.cpu_millicores == 0 {
            Some("its cpu cores are not positive")
        } else if self.task_heap_bytes == 0 {
            Some("its task heap memory is not positive")
        } else {
            None
        }
    }
}

impl fmt::Display for ResourceProfile {
    /// `1.5 cores, 700 MiB task heap`, and what else is not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cores, heap) = (self.cpu_millicores, Bytes(self.task_heap_bytes));
        let unit = if cores == 1000 { "core" } else { "cores" };
        write!(f, "{} {unit}, {heap} task heap", f64::from(cores) / 1000.0)?;
        if self.task_off_heap_bytes > 0 {
            write!(f, ", {} task off-heap", Bytes(self.task_off_heap_bytes))?;
        }
        if self.managed_bytes > 0 {
            write!(f, ", {} managed", Bytes(self.managed_bytes))?;
        }
        Ok(())
    }
}

struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(MEBIBYTE) {
            write!(f, "{} MiB", self.0 / MEBIBYTE)
        } else {
            write!(f, "{} bytes", self.0)
        }
    }
}

/// A slot sharing group whose slots must offer something. One that is not named takes any slot of
/// default size.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GroupResources {
    /// Name of the group, as vertices give it.
    #[prost(string, tag = "1")]
    pub group: String,
    /// What each of its slots must offer.
    #[prost(message, required, tag = "2")]
    pub profile: ResourceProfile,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_says_what_it_asks_for() {
        let mut profile = ResourceProfile {
            cpu_millicores: 1500,
            task_heap_bytes: 700 * MEBIBYTE,
            ..ResourceProfile::default()
        };
        assert_eq!(profile.to_string(), "1.5 cores, 700 MiB task heap");
        assert_eq!(profile.whole_cores(), 2);
        profile.cpu_millicores = 2000;
        profile.managed_bytes = 5;
        profile.task_off_heap_bytes = MEBIBYTE;
        assert_eq!(
            profile.to_string(),
            "2 cores, 700 MiB task heap, 1 MiB task off-heap, 5 bytes managed"
        );
        assert_eq!(profile.whole_cores(), 2);
        assert_eq!(profile.memory_bytes(), 701 * MEBIBYTE + 5);
        assert_eq!(profile.defect(), None);
    }

    #[test]
    fn nothing_runs_without_a_processor_or_memory() {
        let profile = ResourceProfile::default();
        assert!(profile.defect().unwrap().contains("cpu cores"));
        let profile = ResourceProfile {
            cpu_millicores: 1,
            ..profile
        };
        assert!(profile.defect().unwrap().contains("heap"));
        let most = ResourceProfile {
            task_heap_bytes: u64::MAX,
            managed_bytes: 1,
            ..profile
        };
        assert_eq!(most.memory_bytes(), u64::MAX, "no overflow");
        assert_eq!(most.whole_cores(), 1);
    }
}
