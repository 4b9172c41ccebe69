//! How records move between tasks: typed rings inside a process, framed bytes with credits between
//! processes. Knows nothing of operators.

mod batch;
mod load;
mod local;
pub mod partition;
mod remote;
mod wake;

pub use batch::{Barrier, Batch, Control, LatencyMarker, NO_TIMESTAMP, Overtakes, batch_rows};
pub use load::{QueueGauge, QueueLoad, Room};
pub use local::{LocalReceiver, LocalSender, Message, local_channel};
pub use remote::{
    DataFrame, Network, NetworkError, NetworkSettings, NetworkStatistics, RemoteMessage,
    RemoteReceiver, RemoteSender,
};
pub use wake::{Wake, Waker};

use flott_model::{EdgeId, ExecutionAttemptId};

/// A channel by both its ends. Attempts are never reused, so channels are not either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId {
    /// The edge of the job graph.
    pub edge: EdgeId,
    /// The attempt that sends.
    pub source: ExecutionAttemptId,
    /// The attempt that receives.
    pub target: ExecutionAttemptId,
}
