//! What the windows of a subtask begin from.

use flott_record::{Key, Record};
use flott_state::cold::{OperatorTiers, TieredTable};
use flott_state::{KeyedBackend, RestoredOperator, StateError, Timers};

use super::{CONTENTS, TIMERS, WATERMARK};
use crate::window::Window;

/// What a store begins from.
pub(super) struct Restored<K: Key, W: Window, V> {
    pub(super) table: TieredTable<K, Vec<V>>,
    pub(super) timers: Timers<K, W>,
    pub(super) state: KeyedBackend<K>,
    pub(super) watermark: i64,
}

impl<K: Key, W: Window, V: Record> Restored<K, W, V> {
    /// From a snapshot, if there is one. What does not fit into memory goes to `tiers`.
    pub(super) fn of(
        restored: Option<&RestoredOperator>,
        tiers: Option<OperatorTiers>,
    ) -> Result<Self, StateError> {
        let table = tiers.as_ref().map(|tiers| tiers.table(CONTENTS));
        let mut table = table.unwrap_or_default();
        let Some(restored) = restored else {
            return Ok(Self {
                table,
                timers: Timers::default(),
                state: KeyedBackend::new().with_tiers(tiers),
                watermark: i64::MIN,
            });
        };
        restored.tiered(CONTENTS, &mut table)?;
        let watermarks = restored.value(WATERMARK)?.into_iter();
        let watermark = watermarks.map(|(_, watermark)| watermark).min();
        Ok(Self {
            table,
            timers: restored.timers(TIMERS)?,
            state: KeyedBackend::restored(restored)?.with_tiers(tiers),
            watermark: watermark.unwrap_or(i64::MIN),
        })
    }
}
