//! The panes of one subtask, in order of time, and how far their windows have fired.

use std::collections::VecDeque;
use std::ops::Range;

use flott_record::hash::{key_group, stable_hash};
use flott_record::{Key, Record};
use flott_state::cold::{OperatorTiers, TieredTable};
use flott_state::{KeyedTable, OperatorSnapshot, RestorePlace, RestoredOperator, StateError};

use super::walk::{Part, Rows, Walk};
use crate::SubtaskContext;
use crate::window::periods::Periods;

/// States: the panes by their start, and how far windows have fired.
const PANES: &str = "panes";
const REACHED: &str = "reached";

struct Pane<K, V> {
    start: i64,
    /// The last time in it.
    last: i64,
    /// Some of its windows have fired.
    fired: bool,
    rows: TieredTable<K, V>,
}

/// Where panes are, and whose.
pub(super) struct Place {
    /// Where rows are kept that do not fit into memory; `None`: all do.
    tiers: Option<OperatorTiers>,
    /// The key groups of the subtask, of how many.
    groups: Range<u32>,
    max_parallelism: u32,
}

impl Place {
    pub(super) fn of(context: &SubtaskContext, tiers: Option<OperatorTiers>) -> Self {
        let (of, all) = (context.parallelism, context.max_parallelism);
        let place = RestorePlace::new(context.subtask, of, all, of);
        Self {
            tiers,
            groups: place.key_groups,
            max_parallelism: all,
        }
    }

    fn table<K: Key, V: Record>(&self) -> TieredTable<K, V> {
        let tiers = self.tiers.as_ref();
        tiers.map_or_else(TieredTable::default, |tiers| tiers.table(PANES))
    }

    /// How many key groups are looked at together where not all rows are in memory.
    fn step(&self, parts: u32) -> u32 {
        (self.groups.len() as u32).div_ceil(parts).max(1)
    }
}

/// The cold rows of a pane are walked through in so many parts; those of several panes, which are
/// merged and for each of which the rows in memory are looked through, in fewer.
const PARTS: u32 = 128;
const MERGED_PARTS: u32 = 16;

/// Panes with rows.
pub(super) struct PaneStore<K, V> {
    place: Place,
    periods: Periods,
    length: i64,
    panes: VecDeque<Pane<K, V>>,
    /// The pane that got the last row.
    hot: usize,
    /// All windows that end at this time or before have fired.
    fired: i64,
    /// The same for windows that have gone, where the function wants to know.
    cleared: i64,
    /// Nothing is to be done before this time; `i64::MAX`: there is nothing to do.
    next: i64,
    /// The table of a pane that has gone: its memory is used again.
    spare: Option<TieredTable<K, V>>,
}

impl<K: Key, V: Record> PaneStore<K, V> {
    pub(super) fn new(place: Place, periods: Periods, length: i64) -> Self {
        Self {
            place,
            periods,
            length,
            panes: VecDeque::new(),
            hot: 0,
            fired: i64::MIN,
            cleared: i64::MIN,
            next: i64::MAX,
            spare: None,
        }
    }

    pub(super) fn periods(&self) -> Periods {
        self.periods
    }

    /// The rows of the pane of the last row, if the time is in it and none of its windows has fired.
    #[inline(always)]
    pub(super) fn open_at(&mut self, timestamp: i64) -> Option<&mut KeyedTable<K, V>> {
        let pane = self.panes.get_mut(self.hot)?;
        let is_hot = pane.start <= timestamp && timestamp <= pane.last && !pane.fired;
        is_hot.then_some(&mut pane.rows)
    }

    /// The last time of the last window of a time.
    pub(super) fn last_end(&self, timestamp: i64) -> i64 {
        let start = self.periods.last_start(timestamp);
        self.periods.max_timestamp(start)
    }

    /// Makes the pane of a time the hot one; all windows that end at `reached` have fired.
    pub(super) fn open(&mut self, timestamp: i64, reached: i64) {
        let start = self.periods.pane_start(self.length, timestamp);
        let at = match self.panes.binary_search_by(|pane| pane.start.cmp(&start)) {
            Ok(at) => at,
            Err(at) => {
                let end = self.first_end(start);
                let rows = self.spare.take();
                let pane = Pane {
                    start,
                    last: start.saturating_add(self.length - 1),
                    fired: end <= reached,
                    rows: rows.unwrap_or_else(|| self.place.table()),
                };
                self.panes.insert(at, pane);
                // If some of its windows have fired, it is soon found out what comes next.
                self.next = self.next.min(end.max(reached));
                at
            }
        };
        self.hot = at;
    }

    /// The rows of the hot pane, and whether some of its windows have fired.
    pub(super) fn hot(&mut self) -> (bool, &mut KeyedTable<K, V>) {
        let pane = &mut self.panes[self.hot];
        (pane.fired, &mut pane.rows)
    }

    /// Whether rows may be elsewhere than in memory.
    pub(super) fn is_tiered(&self) -> bool {
        self.place.tiers.is_some()
    }

    /// A row of that time and key comes soon: what its pane has of the key is fetched if it is not in
    /// memory.
    pub(super) fn want(&mut self, timestamp: i64, hash: u64, key: &K) -> Result<(), StateError> {
        let start = self.periods.pane_start(self.length, timestamp);
        match self.panes.binary_search_by(|pane| pane.start.cmp(&start)) {
            Ok(at) => self.panes[at].rows.want(hash, key),
            Err(_) => Ok(()),
        }
    }

    /// Fetches what is wanted.
    pub(super) fn fetch(&mut self) -> Result<(), StateError> {
        let mut panes = self.panes.iter_mut();
        panes.try_for_each(|pane| pane.rows.fetch())
    }

    /// Moves rows out of memory that do not fit there. Not during a walk.
    pub(super) fn make_room(&mut self) -> Result<(), StateError> {
        if !self.is_tiered() {
            return Ok(());
        }
        let mut panes = self.panes.iter_mut();
        panes.try_for_each(|pane| pane.rows.make_room())
    }

    /// The last time of the first window of the pane that begins there.
    fn first_end(&self, start: i64) -> i64 {
        let first = self.periods.first_start_reaching(start.saturating_sub(1));
        self.periods.max_timestamp(first)
    }

    /// The first window of the pane that begins there which ends after `after`.
    fn unfired(&self, start: i64, after: i64) -> Option<i64> {
        let containing = self.periods.first_start_reaching(start.saturating_sub(1));
        let candidate = containing.max(self.periods.first_start_reaching(after));
        let last = self.periods.last_start(start);
        let more = candidate <= last && self.periods.max_timestamp(candidate) > after;
        more.then_some(candidate)
    }

    /// The panes of a window, by position.
    fn of_window(&self, start: i64) -> std::ops::Range<usize> {
        let end = self.periods.max_timestamp(start);
        let first = self.panes.partition_point(|pane| pane.start < start);
        let behind = self.panes.partition_point(|pane| pane.start <= end);
        first..behind
    }

    fn first_after(&self, after: i64) -> Option<i64> {
        let starts = self
            .panes
            .iter()
            .filter_map(|pane| self.unfired(pane.start, after));
        starts.min()
    }

    /// The start of the first window that has not fired and ends at `reached` or before.
    pub(super) fn next_to_fire(&self, reached: i64) -> Option<i64> {
        let start = self.first_after(self.fired)?;
        (self.periods.max_timestamp(start) <= reached).then_some(start)
    }

    /// The start of the first window that has not been cleared and is gone.
    pub(super) fn next_to_clear(&self, is_gone: impl Fn(i64) -> bool) -> Option<i64> {
        let start = self.first_after(self.cleared)?;
        is_gone(self.periods.max_timestamp(start)).then_some(start)
    }

    pub(super) fn walk(&self, start: i64, fires: bool, clears: bool) -> Walk<K, V> {
        Walk::new(start, fires, clears)
    }

    /// Finds the rows of a walk that begins.
    pub(super) fn prepare(&mut self, walk: &mut Walk<K, V>, mut merge: impl FnMut(&mut V, V)) {
        if !matches!(walk.rows, Rows::Unknown) {
            return;
        }
        let window = self.of_window(walk.start);
        let mut panes = self.panes.range(window.clone());
        let Some(first) = panes.next() else {
            return;
        };
        if panes.len() == 0 {
            walk.rows = Rows::Pane(window.start);
            return;
        }
        if self
            .panes
            .range(window.clone())
            .any(|pane| pane.rows.has_cold())
        {
            let part = Part::before(self.place.groups.start);
            walk.rows = Rows::MergedParts {
                panes: window,
                part,
            };
            return;
        }
        let mut merged = first.rows.clone();
        for pane in panes {
            for (hash, key, value) in pane.rows.iter() {
                match merged.get_mut(hash, key) {
                    Some(present) => merge(present, value.clone()),
                    None => {
                        merged.insert_new(hash, key.clone(), value.clone());
                    }
                }
            }
        }
        walk.rows = Rows::Merged(merged);
    }

    /// Behind the last row: brings the walk to rows that were not in memory. Whether there are any.
    pub(super) fn advance(
        &self,
        walk: &mut Walk<K, V>,
        merge: impl FnMut(&mut V, V),
    ) -> Result<bool, StateError> {
        walk.from = 0;
        match &mut walk.rows {
            Rows::Unknown | Rows::Merged(_) => return Ok(false),
            Rows::Pane(at) => {
                let at = *at;
                let Some(pane) = self.panes.get(at).filter(|pane| pane.rows.has_cold()) else {
                    return Ok(false);
                };
                let mut part = Part::before(self.place.groups.start);
                self.next_cold(pane, &mut part)?;
                walk.rows = Rows::Cold { pane: at, part };
            }
            Rows::Cold { pane, part } => {
                if let Some(pane) = self.panes.get(*pane) {
                    self.next_cold(pane, part)?;
                }
            }
            Rows::MergedParts { panes, part } => {
                self.next_merged(panes.clone(), part, merge)?;
            }
        }
        Ok(walk.rows.has_part())
    }

    /// The next cold rows of a pane.
    fn next_cold(&self, pane: &Pane<K, V>, part: &mut Part<K, V>) -> Result<(), StateError> {
        part.rows.clear();
        let step = self.place.step(PARTS);
        while part.rows.is_empty() && part.next < self.place.groups.end {
            let groups = part.next..part.next + step;
            part.next = groups.end;
            pane.rows.each_cold_row(groups, |key, value| {
                part.rows.insert_new(stable_hash(&key), key, value);
            })?;
        }
        Ok(())
    }

    /// The next rows of several panes, merged.
    fn next_merged(
        &self,
        panes: Range<usize>,
        part: &mut Part<K, V>,
        mut merge: impl FnMut(&mut V, V),
    ) -> Result<(), StateError> {
        part.rows.clear();
        let step = self.place.step(MERGED_PARTS);
        let all = self.place.max_parallelism;
        while part.rows.is_empty() && part.next < self.place.groups.end {
            let groups = part.next..part.next + step;
            part.next = groups.end;
            for pane in self.panes.range(panes.clone()) {
                let rows = &mut part.rows;
                let mut add = |hash, key: K, value: V| match rows.get_mut(hash, &key) {
                    Some(present) => merge(present, value),
                    None => {
                        rows.insert_new(hash, key, value);
                    }
                };
                for (hash, key, value) in pane.rows.iter() {
                    if groups.contains(&key_group(hash, all)) {
                        add(hash, key.clone(), value.clone());
                    }
                }
                pane.rows.each_cold_row(groups.clone(), |key, value| {
                    add(stable_hash(&key), key, value);
                })?;
            }
        }
        Ok(())
    }

    /// The next row of a walk.
    #[inline]
    pub(super) fn step<'a>(
        &'a mut self,
        walk: &'a mut Walk<K, V>,
    ) -> Option<(u64, &'a K, &'a mut V)> {
        let rows = match &mut walk.rows {
            Rows::Unknown => return None,
            Rows::Merged(rows)
            | Rows::Cold {
                part: Part { rows, .. },
                ..
            }
            | Rows::MergedParts {
                part: Part { rows, .. },
                ..
            } => rows,
            Rows::Pane(at) => &mut *self.panes.get_mut(*at)?.rows,
        };
        let (slot, hash, key, value) = rows.next_row(walk.from)?;
        walk.from = slot + 1;
        Some((hash, key, value))
    }

    /// A walk is done.
    pub(super) fn walked(&mut self, walk: Walk<K, V>) {
        let end = self.periods.max_timestamp(walk.start);
        if walk.fires() {
            self.fired = self.fired.max(end);
        }
        if walk.clears() {
            self.cleared = self.cleared.max(end);
        }
    }

    /// There was nothing to do at `reached`.
    #[inline]
    pub(super) fn pass(&mut self, reached: i64) {
        self.fired = self.fired.max(reached);
    }

    /// All windows that end at `reached` or before have fired.
    pub(super) fn all_fired(&mut self, reached: i64) {
        self.fired = self.fired.max(reached);
        let periods = self.periods;
        for pane in self.panes.iter_mut().filter(|pane| !pane.fired) {
            let first = periods.first_start_reaching(pane.start.saturating_sub(1));
            pane.fired = periods.max_timestamp(first) <= reached;
        }
    }

    /// Drops the panes of which all windows have fired, are gone and, if that matters, cleared.
    pub(super) fn forget(&mut self, clearing: bool, is_gone: impl Fn(i64) -> bool) {
        while let Some(pane) = self.panes.front() {
            let end = self.last_end(pane.start);
            if end > self.fired || !is_gone(end) || (clearing && end > self.cleared) {
                break;
            }
            if let Some(pane) = self.panes.pop_front() {
                self.hot = usize::MAX;
                let mut rows = pane.rows;
                rows.clear();
                let spare = self.spare.as_ref();
                if spare.is_none_or(|spare| rows.allocated_bytes() > spare.allocated_bytes()) {
                    self.spare = Some(rows);
                }
            }
        }
    }

    /// Finds out when there is something to do next.
    pub(super) fn note_next(&mut self, reached: i64, until: impl Fn(i64) -> i64) {
        let fire = self.first_after(self.fired);
        let fire = fire.map(|start| self.periods.max_timestamp(start));
        // Windows that have fired are looked at again when the first of them goes.
        let go = self.panes.iter().filter(|pane| pane.fired);
        let go = go.map(|pane| until(self.first_unforgotten(pane.start, reached, &until)));
        self.next = fire.into_iter().chain(go).min().unwrap_or(i64::MAX);
    }

    /// The end of the first window of a pane that is not gone.
    fn first_unforgotten(&self, start: i64, reached: i64, until: &impl Fn(i64) -> i64) -> i64 {
        let first = self.periods.first_start_reaching(start.saturating_sub(1));
        let last = self.periods.last_start(start);
        let mut at = first;
        while at < last && until(self.periods.max_timestamp(at)) <= reached {
            at = at.saturating_add(self.periods.slide());
        }
        self.periods.max_timestamp(at)
    }

    /// Whether something is to be done at `reached`.
    pub(super) fn is_due(&self, reached: i64) -> bool {
        self.next <= reached
    }

    /// When something is to be done.
    pub(super) fn next(&self) -> Option<i64> {
        Some(self.next).filter(|next| *next != i64::MAX)
    }

    /// The value of a key in a window.
    pub(super) fn merged(
        &mut self,
        start: i64,
        hash: u64,
        key: &K,
        mut merge: impl FnMut(&mut V, V),
    ) -> Result<Option<V>, StateError> {
        let mut merged: Option<V> = None;
        for pane in self.panes.range_mut(self.of_window(start)) {
            pane.rows.load(hash, key)?;
            let Some(value) = pane.rows.get(hash, key) else {
                continue;
            };
            match &mut merged {
                Some(merged) => merge(merged, value.clone()),
                None => merged = Some(value.clone()),
            }
        }
        Ok(merged)
    }

    /// Hands over the panes, and how far their windows have fired.
    pub(super) fn snapshot(
        &mut self,
        reached: i64,
        snapshot: &mut OperatorSnapshot,
    ) -> Result<(), StateError> {
        let panes = self.panes.iter_mut();
        snapshot.tiered_tables(PANES, panes.map(|pane| (pane.start, &mut pane.rows)))?;
        if reached == i64::MIN {
            return Ok(());
        }
        snapshot.value(REACHED, &[reached, self.fired, self.cleared])
    }

    /// Takes over the panes of a checkpoint. The time that was reached: what is late stays late, and
    /// no window fires twice.
    pub(super) fn restore(&mut self, restored: &RestoredOperator) -> Result<i64, StateError> {
        let mut panes = restored.tiered_tables(PANES, |_: &i64| self.place.table())?;
        panes.sort_unstable_by_key(|(start, _)| *start);
        let all: Vec<(u32, [i64; 3])> = restored.value(REACHED)?;
        // All subtasks have seen the same watermarks before the barrier.
        let least = |at: usize| all.iter().map(|(_, times)| times[at]).min();
        let reached = least(0).unwrap_or(i64::MIN);
        self.fired = least(1).unwrap_or(i64::MIN);
        self.cleared = least(2).unwrap_or(i64::MIN);
        for (start, rows) in panes {
            self.panes.push_back(Pane {
                start,
                last: start.saturating_add(self.length - 1),
                fired: self.first_end(start) <= reached,
                rows,
            });
        }
        self.hot = usize::MAX;
        Ok(reached)
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.panes.clear();
        self.hot = 0;
        (self.fired, self.cleared) = (i64::MIN, i64::MIN);
        self.next = i64::MAX;
    }
}
