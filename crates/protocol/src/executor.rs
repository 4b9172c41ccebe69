//! What an appmaster tells a task executor through its container's environment. No secrets: the
//! application secret is in the container's token file.

use prost::Message;

use crate::rpc::hex;

/// Environment variable with the [`ExecutorSpec`].
pub const EXECUTOR: &str = "FLOTT_EXECUTOR";

/// Everything a task executor must know that its container does not tell.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ExecutorSpec {
    /// `host:port` of the JobManager.
    #[prost(string, tag = "1")]
    pub job_manager: String,
    /// How many slots it offers.
    #[prost(uint32, tag = "2")]
    pub slots: u32,
    /// Container memory in bytes.
    #[prost(uint64, tag = "3")]
    pub memory_bytes: u64,
    /// Without a JobManager for that long it stops (`flott.jobmanager.lost-timeout`).
    #[prost(uint64, tag = "4")]
    pub job_manager_lost_timeout_ms: u64,
}

/// The variable's value is not an [`ExecutorSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of {EXECUTOR} cannot be read: {reason}")]
pub struct InvalidExecutorSpec {
    reason: String,
}

impl ExecutorSpec {
    /// The value for [`EXECUTOR`].
    pub fn to_variable(&self) -> String {
        hex(&self.encode_to_vec())
    }

    /// Reads the value of [`EXECUTOR`].
    pub fn from_variable(value: &str) -> Result<Self, InvalidExecutorSpec> {
        let invalid = |reason: String| InvalidExecutorSpec { reason };
        let bytes = crate::rpc::unhex(value).map_err(|error| invalid(error.to_string()))?;
        Self::decode(bytes.as_slice()).map_err(|error| invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_round_trips_and_rejects_other_text() {
        let spec = ExecutorSpec {
            job_manager: "host:1234".to_owned(),
            slots: 2,
            memory_bytes: 1 << 30,
            job_manager_lost_timeout_ms: 300_000,
        };
        assert_eq!(ExecutorSpec::from_variable(&spec.to_variable()), Ok(spec));
        for text in ["xyz", "0", "ff"] {
            let error = ExecutorSpec::from_variable(text).unwrap_err().to_string();
            assert!(error.contains(EXECUTOR), "{error}");
        }
    }
}
