//! What windows mean, computed naively: every record is kept with its windows, and every window is
//! looked at in every step. Shares no code with the operators.

use super::harness::{Fired, Row, Step};

/// Which windows a record belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Size, slide, offset.
    Periodic(i64, i64, i64),
    /// Gap.
    Session(i64),
    /// One window for all.
    Global,
}

/// When a window fires.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// When it is complete, and for each late record.
    Complete,
    /// At every so many-th record; and whether it forgets them then.
    Count(u64, bool),
    /// At multiples of an interval of event time, and when complete.
    Every(i64),
    /// When the value has grown by more than that.
    Grown(i64),
}

/// What is evicted, and whether after firing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Evict {
    Nothing,
    /// All but the last so many.
    AllBut(usize, bool),
    /// What is so much older than the newest.
    Older(i64, bool),
    /// What differs so much from the last.
    Far(i64, bool),
}

struct Open {
    key: u8,
    start: i64,
    /// The last time in it.
    last: i64,
    rows: Vec<Row>,
    count: u64,
    next: Option<i64>,
    grown_from: Option<i64>,
}

pub(super) struct Oracle {
    pub(super) kind: Kind,
    pub(super) when: When,
    pub(super) evict: Evict,
    pub(super) lateness: i64,
    open: Vec<Open>,
    watermark: i64,
    out: Vec<(Fired, i64)>,
    pub(super) late: Vec<Row>,
}

impl Oracle {
    pub(super) fn new(kind: Kind, when: When, evict: Evict, lateness: i64) -> Self {
        Self {
            kind,
            when,
            evict,
            lateness,
            open: Vec::new(),
            watermark: i64::MIN,
            out: Vec::new(),
            late: Vec::new(),
        }
    }

    /// What is emitted in each step.
    pub(super) fn run(&mut self, steps: &[Step]) -> Vec<Vec<(Fired, i64)>> {
        let mut all = Vec::new();
        for step in steps {
            match step {
                Step::Rows(rows) => rows.iter().for_each(|row| self.row(*row)),
                Step::Watermark(watermark) => self.advance(*watermark),
                Step::Time(_) | Step::KeysEnd | Step::End => {}
            }
            let mut emitted = std::mem::take(&mut self.out);
            emitted.sort();
            all.push(emitted);
        }
        all
    }

    fn gone(&self, last: i64) -> bool {
        !matches!(self.kind, Kind::Global) && last.saturating_add(self.lateness) <= self.watermark
    }

    fn windows_of(&self, time: i64) -> Vec<(i64, i64)> {
        match self.kind {
            Kind::Periodic(size, slide, offset) => (time - size - slide..=time)
                .filter(|start| (start - offset).rem_euclid(slide) == 0)
                .filter(|start| *start <= time && time < start + size)
                .map(|start| (start, start + size - 1))
                .collect(),
            Kind::Session(gap) => vec![(time, time + gap - 1)],
            Kind::Global => vec![(0, i64::MAX)],
        }
    }

    fn row(&mut self, row: Row) {
        let (key, time, _) = row;
        let mut taken = false;
        for (start, last) in self.windows_of(time) {
            let (start, last) = self.joined(key, start, last);
            if self.gone(last) {
                continue;
            }
            taken = true;
            let at = self.position(key, start, last);
            self.open[at].rows.push(row);
            self.after_row(at, row);
        }
        let too_late = time.saturating_add(self.lateness) <= self.watermark;
        if !taken && too_late && !matches!(self.kind, Kind::Global) {
            self.late.push(row);
        }
        self.open.retain(|open| {
            !open.rows.is_empty()
                || open.count > 0
                || open.next.is_some()
                || open.grown_from.is_some()
        });
    }

    /// Joins sessions of the key with a new one; its bounds then.
    fn joined(&mut self, key: u8, start: i64, last: i64) -> (i64, i64) {
        let (mut start, mut last) = (start, last);
        if !matches!(self.kind, Kind::Session(_)) {
            return (start, last);
        }
        let mut parts = Vec::new();
        loop {
            // Touching is enough: the end of a window is one behind its last time.
            let touching =
                |open: &Open| open.key == key && open.start <= last + 1 && start <= open.last + 1;
            let Some(at) = self.open.iter().position(touching) else {
                break;
            };
            let part = self.open.remove(at);
            start = start.min(part.start);
            last = last.max(part.last);
            parts.push(part);
        }
        if !parts.is_empty() {
            parts.sort_by_key(|part| part.start);
            let at = self.position(key, start, last);
            for part in parts {
                let whole = &mut self.open[at];
                whole.rows.extend(part.rows);
                whole.count += part.count;
                whole.next = match (whole.next, part.next) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        (start, last)
    }

    fn position(&mut self, key: u8, start: i64, last: i64) -> usize {
        let same = |open: &Open| (open.key, open.start, open.last) == (key, start, last);
        if let Some(at) = self.open.iter().position(same) {
            return at;
        }
        self.open.push(Open {
            key,
            start,
            last,
            rows: Vec::new(),
            count: 0,
            next: None,
            grown_from: None,
        });
        self.open.len() - 1
    }

    fn after_row(&mut self, at: usize, (_, time, value): Row) {
        let watermark = self.watermark;
        let open = &mut self.open[at];
        match self.when {
            When::Complete => {
                if open.last <= watermark {
                    self.fire(at);
                }
            }
            When::Count(most, purges) => {
                open.count += 1;
                if open.count >= most {
                    open.count = 0;
                    self.fire(at);
                    if purges {
                        self.open[at].rows.clear();
                    }
                }
            }
            When::Every(interval) => {
                if open.last <= watermark {
                    self.fire(at);
                } else if open.next.is_none() {
                    let next = (time.div_euclid(interval) + 1) * interval;
                    open.next = Some(next.min(open.last));
                }
            }
            When::Grown(by) => match open.grown_from {
                None => open.grown_from = Some(value),
                Some(from) if value - from > by => {
                    open.grown_from = Some(value);
                    self.fire(at);
                }
                Some(_) => {}
            },
        }
    }

    fn fire(&mut self, at: usize) {
        let (before, after) = match self.evict {
            Evict::Nothing => (false, false),
            Evict::AllBut(_, after) | Evict::Older(_, after) | Evict::Far(_, after) => {
                (!after, after)
            }
        };
        if before {
            self.do_evict(at);
        }
        let open = &self.open[at];
        if !open.rows.is_empty() {
            let mut values: Vec<i64> = open.rows.iter().map(|row| row.2).collect();
            values.sort_unstable();
            let (start, end) = match self.kind {
                Kind::Global => (0, 0),
                _ => (open.start, open.last + 1),
            };
            self.out.push(((open.key, start, end, values), open.last));
        }
        if after {
            self.do_evict(at);
        }
    }

    fn do_evict(&mut self, at: usize) {
        let rows = &mut self.open[at].rows;
        match self.evict {
            Evict::Nothing => {}
            Evict::AllBut(most, _) => {
                while rows.len() > most {
                    rows.remove(0);
                }
            }
            Evict::Older(than, _) => {
                let newest = rows.iter().map(|row| row.1).max().unwrap_or(0);
                rows.retain(|row| newest - row.1 < than);
            }
            Evict::Far(from, _) => {
                let last = rows.last().map_or(0, |row| row.2);
                rows.retain(|row| (last - row.2).abs() < from);
            }
        }
    }

    /// Event time goes on: all that happens on the way happens in order of time, window by window.
    fn advance(&mut self, watermark: i64) {
        let before = self.watermark;
        self.watermark = watermark;
        if matches!(self.kind, Kind::Global) {
            return;
        }
        for at in 0..self.open.len() {
            if let When::Every(interval) = self.when {
                while let Some(next) = self.open[at].next.filter(|next| *next <= watermark) {
                    let last = self.open[at].last;
                    if next >= last {
                        self.open[at].next = None;
                        break;
                    }
                    self.fire(at);
                    self.open[at].next = Some((next + interval).min(last));
                }
            }
            let last = self.open[at].last;
            let completes = matches!(self.when, When::Complete | When::Every(_));
            if completes && before < last && last <= watermark {
                self.fire(at);
            }
        }
        let gone: Vec<bool> = self.open.iter().map(|open| self.gone(open.last)).collect();
        let mut gone = gone.into_iter();
        self.open.retain(|_| gone.next() == Some(false));
    }
}
