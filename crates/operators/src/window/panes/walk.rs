//! A walk through the rows of one window, which can stop at any row.

use std::ops::Range;

use flott_state::KeyedTable;

/// Which rows are walked through.
pub(super) enum Rows<K, V> {
    /// Not looked for yet.
    Unknown,
    /// Those of the pane at that position: panes neither come nor go during a walk.
    Pane(usize),
    /// Those of the pane that are not in memory, a part of the key groups after the other.
    Cold { pane: usize, part: Part<K, V> },
    /// Those of several panes, merged.
    Merged(KeyedTable<K, V>),
    /// The same where some are not in memory, a part of the key groups after the other.
    MergedParts {
        panes: Range<usize>,
        part: Part<K, V>,
    },
}

impl<K, V> Rows<K, V> {
    /// Whether there are rows of a part of the key groups.
    pub(super) fn has_part(&self) -> bool {
        match self {
            Self::Cold { part, .. } | Self::MergedParts { part, .. } => !part.rows.is_empty(),
            Self::Unknown | Self::Pane(_) | Self::Merged(_) => false,
        }
    }
}

/// The rows of some key groups, and the first group behind them.
pub(super) struct Part<K, V> {
    pub(super) rows: KeyedTable<K, V>,
    pub(super) next: u32,
}

impl<K, V> Part<K, V> {
    /// Before the first group.
    pub(super) fn before(first: u32) -> Self {
        Self {
            rows: KeyedTable::new(),
            next: first,
        }
    }
}

/// A walk through a window.
pub(super) struct Walk<K, V> {
    pub(super) start: i64,
    fires: bool,
    clears: bool,
    pub(super) rows: Rows<K, V>,
    /// The slot to go on with.
    pub(super) from: usize,
}

impl<K, V> Walk<K, V> {
    /// Through the window that begins at `start`.
    pub(super) fn new(start: i64, fires: bool, clears: bool) -> Self {
        Self {
            start,
            fires,
            clears,
            rows: Rows::Unknown,
            from: 0,
        }
    }

    /// The start of the window.
    pub(super) fn start(&self) -> i64 {
        self.start
    }

    /// Whether the function is called for each row.
    pub(super) fn fires(&self) -> bool {
        self.fires
    }

    /// Whether the function is told of each row that the window goes.
    pub(super) fn clears(&self) -> bool {
        self.clears
    }
}
