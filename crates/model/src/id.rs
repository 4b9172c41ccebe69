//! Newtypes for everything that is named, with their one textual form.

use std::fmt;
use std::str::FromStr;

/// A textual id could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}: {expected} expected")]
pub struct ParseIdError {
    what: &'static str,
    expected: &'static str,
    text: String,
}

fn parse_hex_128(what: &'static str, text: &str) -> Result<u128, ParseIdError> {
    let error = || ParseIdError {
        what,
        expected: "32 hexadecimal digits",
        text: text.to_owned(),
    };
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(error());
    }
    u128::from_str_radix(text, 16).map_err(|_| error())
}

/// 128-bit FNV-1a: stable across builds, which ids that outlive a process need.
fn fnv128(parts: &[&[u8]]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        // The length separates the parts: ("ab","c") differs from ("a","bc").
        for byte in (part.len() as u64).to_le_bytes().iter().chain(part.iter()) {
            hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }
    hash
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex_128($what, text).map(Self)
            }
        }
    };
}

hex_id!(
    /// A job, in Flink's form: 32 hexadecimal digits.
    JobId,
    "job id"
);
hex_id!(
    /// The stable identity of an operator, which savepoints are matched by.
    OperatorUid,
    "operator uid"
);

impl JobId {
    /// The id of the `execute_index`-th `execute()` of a program in a cluster. Derived, not drawn:
    /// a driver that runs again after a failure finds the same job.
    pub fn derive(cluster_id: &str, execute_index: u32) -> Self {
        Self(fnv128(&[
            b"job",
            cluster_id.as_bytes(),
            &execute_index.to_le_bytes(),
        ]))
    }
}

impl OperatorUid {
    /// The uid that a user gave with `.uid("…")`.
    pub fn explicit(uid: &str) -> Self {
        Self(fnv128(&[b"explicit", uid.as_bytes()]))
    }

    /// The generated uid: what feeds the operator, its kind, and its position among equals.
    pub fn generated(upstream: &[Self], kind: &str, position: u32) -> Self {
        let inputs: Vec<u8> = upstream
            .iter()
            .flat_map(|uid| uid.0.to_le_bytes())
            .collect();
        Self(fnv128(&[
            b"generated",
            &inputs,
            kind.as_bytes(),
            &position.to_le_bytes(),
        ]))
    }
}

/// A vertex of a job graph, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(pub u32);

/// An edge of a job graph, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u32);

/// The term of a JobManager: the application attempt on YARN. Only grows; older ones are fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

/// One life of a worker process; a newer one in the same container supersedes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// One execution of one subtask. Never reused, not even by a later JobManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionAttemptId {
    /// Term of the JobManager that created it.
    pub epoch: Epoch,
    /// The vertex.
    pub vertex: VertexId,
    /// Index of the subtask, from 0.
    pub subtask: u32,
    /// Number of the attempt within the epoch, from 0.
    pub attempt: u32,
}

impl fmt::Display for ExecutionAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "e{}_v{}_{}_{}",
            self.epoch.0, self.vertex.0, self.subtask, self.attempt
        )
    }
}

/// A container (YARN), or the process that stands for one (standalone, embedded).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A slot of a task executor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// The container that offers it.
    pub container: ContainerId,
    /// Its index there, from 0.
    pub index: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_are_stable_and_distinct() {
        let id = JobId::derive("application_1_0001", 0);
        assert_eq!(
            id.to_string(),
            JobId::derive("application_1_0001", 0).to_string()
        );
        assert_ne!(id, JobId::derive("application_1_0001", 1));
        assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
        assert_eq!(id.to_string().len(), 32);
    }

    #[test]
    fn bad_ids_say_what_is_expected() {
        for text in ["", "xyz", "+0000000000000000000000000000001", "0"] {
            let message = text.parse::<JobId>().unwrap_err().to_string();
            assert!(message.contains("32 hexadecimal digits"), "{message}");
        }
    }

    #[test]
    fn generated_uids_depend_on_each_input() {
        let source = OperatorUid::generated(&[], "source", 0);
        let map = OperatorUid::generated(&[source], "map", 0);
        assert_ne!(map, OperatorUid::generated(&[source], "map", 1));
        assert_ne!(map, OperatorUid::generated(&[source], "filter", 0));
        assert_ne!(map, OperatorUid::generated(&[], "map", 0));
        assert_ne!(OperatorUid::explicit("a"), OperatorUid::explicit("b"));
    }
}
