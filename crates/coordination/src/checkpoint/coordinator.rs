//! The checkpoints of one job.

use super::settings::CheckpointSettings;
use super::stats::CheckpointStatistics;
use super::stored::Origin;

/// All that a job knows about its checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    statistics: CheckpointStatistics,
}

impl Checkpoints {
    pub(crate) fn new(_settings: CheckpointSettings, _origin: Origin) -> Self {
        Self {
            statistics: CheckpointStatistics::default(),
        }
    }

    pub(crate) fn statistics(&self) -> &CheckpointStatistics {
        &self.statistics
    }
}
