//! What the functions of one subtask share between calls: state, timers, the time.

use flott_record::Key;
use flott_state::cold::OperatorTiers;
use flott_state::{KeyedBackend, OperatorBackend, OperatorSnapshot, StateError};

use crate::checkpoint::cannot;
use crate::{OperatorCheckpoints, TaskClock, TaskError};

/// The state that holds the watermark.
const WATERMARK: &str = "watermark";

/// State, timers and time of one operator's subtask. Operators without key have `K = ()` and no
/// keyed state.
pub(crate) struct Host<K: Key> {
    pub(crate) keyed: KeyedBackend<K>,
    pub(crate) operator: OperatorBackend,
    pub(crate) clock: TaskClock,
    pub(crate) watermark: i64,
    /// BATCH: the timers of keys that have ended fire. New processing-time timers would never end,
    /// and in STREAMING the end of the input drops them too.
    pub(crate) ending: bool,
}

impl<K: Key> Host<K> {
    pub(crate) fn new(clock: TaskClock) -> Self {
        Self {
            keyed: KeyedBackend::new(),
            operator: OperatorBackend::new(),
            clock,
            watermark: i64::MIN,
            ending: false,
        }
    }

    /// Begins from the state of a checkpoint, if there is some; state that does not fit into memory
    /// goes to `tiers`.
    pub(crate) fn restore(
        &mut self,
        checkpoints: &OperatorCheckpoints,
        tiers: Option<OperatorTiers>,
    ) -> Result<(), TaskError> {
        let Some(restored) = checkpoints.restored() else {
            self.keyed = KeyedBackend::new().with_tiers(tiers);
            return Ok(());
        };
        let from = || -> Result<_, StateError> {
            let keyed = KeyedBackend::restored(restored)?;
            let watermarks = restored.value(WATERMARK)?.into_iter();
            let watermark = watermarks.map(|(_, watermark)| watermark).min();
            Ok((keyed, OperatorBackend::restored(restored), watermark))
        };
        let (keyed, operator, watermark) = from().map_err(|error| cannot("restored", &error))?;
        self.keyed = keyed.with_tiers(tiers);
        self.operator = operator;
        self.watermark = watermark.unwrap_or(i64::MIN);
        self.ask_for_time();
        Ok(())
    }

    /// Hands over all of it.
    pub(crate) fn snapshot(&mut self, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        snapshot.keyed(&mut self.keyed)?;
        snapshot.operator(&mut self.operator)?;
        // What is late stays late after a restore.
        if self.watermark != i64::MIN {
            snapshot.value(WATERMARK, &self.watermark)?;
        }
        Ok(())
    }

    /// Asks to be called when the next processing-time timer is due.
    pub(crate) fn ask_for_time(&mut self) {
        if let Some(at) = self.keyed.timers().processing_time.next_deadline() {
            self.clock.wake_at(at);
        }
    }
}

/// A row of one of two inputs.
pub(crate) enum Either<A, B> {
    First(A),
    Second(B),
}
