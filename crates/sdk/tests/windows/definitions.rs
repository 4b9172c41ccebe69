//! Windows from their definitions, over all records at once.

use std::collections::BTreeMap;

use crate::stream::Row;

/// Key, window start, window end, values in order.
pub(crate) type Group = (u8, i64, i64, Vec<i64>);

fn finished(groups: BTreeMap<(u8, i64, i64), Vec<i64>>) -> Vec<Group> {
    let groups = groups.into_iter().map(|((key, start, end), mut values)| {
        values.sort_unstable();
        (key, start, end, values)
    });
    groups.collect()
}

/// Every record in each window of `size` that contains it; one begins every `slide`.
pub(crate) fn periodic(rows: &[Row], size: i64, slide: i64, offset: i64) -> Vec<Group> {
    let mut groups: BTreeMap<(u8, i64, i64), Vec<i64>> = BTreeMap::new();
    for (key, at, value) in rows {
        for start in at - size + 1..=*at {
            if (start - offset).rem_euclid(slide) == 0 {
                let group = groups.entry((*key, start, start + size)).or_default();
                group.push(*value);
            }
        }
    }
    finished(groups)
}

/// Records of a key in order of time, cut where more than `gap` passes.
pub(crate) fn sessions(rows: &[Row], gap: i64) -> Vec<Group> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    let mut groups: Vec<Group> = Vec::new();
    for (key, at, value) in rows {
        match groups.last_mut() {
            Some((of, _, end, values)) if *of == key && at <= *end => {
                *end = at + gap;
                values.push(value);
            }
            _ => groups.push((key, at, at + gap, vec![value])),
        }
    }
    for group in &mut groups {
        group.3.sort_unstable();
    }
    groups
}

/// The records of each key in order of arrival, `size` at a time; what is left over is not emitted.
pub(crate) fn counted(rows: &[Row], size: usize) -> Vec<(u8, Vec<i64>)> {
    let mut groups = Vec::new();
    for key in 0..=u8::MAX {
        let values: Vec<i64> = of_key(rows, key);
        groups.extend(values.chunks_exact(size).map(|group| (key, group.to_vec())));
    }
    groups.sort();
    groups
}

/// At every `slide`-th record of a key its last `size`.
pub(crate) fn counted_sliding(rows: &[Row], size: usize, slide: usize) -> Vec<(u8, Vec<i64>)> {
    let mut groups = Vec::new();
    for key in 0..=u8::MAX {
        let values: Vec<i64> = of_key(rows, key);
        for end in (slide..=values.len()).step_by(slide) {
            groups.push((key, values[end.saturating_sub(size)..end].to_vec()));
        }
    }
    groups.sort();
    groups
}

fn of_key(rows: &[Row], key: u8) -> Vec<i64> {
    let rows = rows.iter().filter(|row| row.0 == key);
    rows.map(|row| row.2).collect()
}
