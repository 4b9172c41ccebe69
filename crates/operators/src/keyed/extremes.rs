//! The reductions by one field: sum, smallest, largest.

use std::ops::AddAssign;

/// Whether the record that has come takes the place of the one that is kept, when their fields are
/// equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// The first of equal records stays.
    First,
    /// The last of equal records stays.
    Last,
}

/// Adds up a field; the rest of the record is the first one's.
pub fn sum<T, N, F>(field: F) -> impl Fn(&mut T, T) + Clone + Send + Sync + 'static
where
    N: AddAssign + Clone,
    F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
{
    move |kept, mut row| {
        let addend = field(&mut row).clone();
        *field(kept) += addend;
    }
}

/// Keeps the smallest value of a field; the rest of the record is the first one's.
pub fn min<T, N, F>(field: F) -> impl Fn(&mut T, T) + Clone + Send + Sync + 'static
where
    N: PartialOrd + Clone,
    F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
{
    move |kept, mut row| {
        let (value, kept) = (field(&mut row), field(kept));
        if value < kept {
            kept.clone_from(value);
        }
    }
}

/// Keeps the largest value of a field; the rest of the record is the first one's.
pub fn max<T, N, F>(field: F) -> impl Fn(&mut T, T) + Clone + Send + Sync + 'static
where
    N: PartialOrd + Clone,
    F: Fn(&mut T) -> &mut N + Clone + Send + Sync + 'static,
{
    move |kept, mut row| {
        let (value, kept) = (field(&mut row), field(kept));
        if value > kept {
            kept.clone_from(value);
        }
    }
}

/// Keeps the record with the smallest value of a field.
pub fn min_by<T, N, F>(field: F, ties: Ties) -> impl Fn(&mut T, T) + Clone + Send + Sync + 'static
where
    N: PartialOrd,
    F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
{
    move |kept, row| {
        let (value, present) = (field(&row), field(kept));
        if value < present || ties == Ties::Last && value == present {
            *kept = row;
        }
    }
}

/// Keeps the record with the largest value of a field.
pub fn max_by<T, N, F>(field: F, ties: Ties) -> impl Fn(&mut T, T) + Clone + Send + Sync + 'static
where
    N: PartialOrd,
    F: Fn(&T) -> &N + Clone + Send + Sync + 'static,
{
    move |kept, row| {
        let (value, present) = (field(&row), field(kept));
        if value > present || ties == Ties::Last && value == present {
            *kept = row;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name and value: the name tells which record is kept.
    type Row = (&'static str, i64);

    const ROWS: [Row; 6] = [("a", 3), ("b", 1), ("c", 7), ("d", 1), ("e", 7), ("f", 4)];

    fn updates(reduce: impl Fn(&mut Row, Row)) -> Vec<Row> {
        let mut kept = ROWS[0];
        let mut updates = vec![kept];
        for row in &ROWS[1..] {
            reduce(&mut kept, *row);
            updates.push(kept);
        }
        updates
    }

    #[test]
    fn a_field_changes_and_the_rest_is_the_first_records() {
        let all = |values: [i64; 6]| values.map(|value| ("a", value)).to_vec();
        assert_eq!(
            updates(sum(|row: &mut Row| &mut row.1)),
            all([3, 4, 11, 12, 19, 23])
        );
        assert_eq!(
            updates(min(|row: &mut Row| &mut row.1)),
            all([3, 1, 1, 1, 1, 1])
        );
        assert_eq!(
            updates(max(|row: &mut Row| &mut row.1)),
            all([3, 3, 7, 7, 7, 7])
        );
    }

    #[test]
    fn the_whole_record_changes() {
        let names = |rows: Vec<Row>| rows.into_iter().map(|row| row.0).collect::<String>();
        fn field(row: &Row) -> &i64 {
            &row.1
        }
        assert_eq!(names(updates(min_by(field, Ties::First))), "abbbbb");
        assert_eq!(names(updates(min_by(field, Ties::Last))), "abbddd");
        assert_eq!(names(updates(max_by(field, Ties::First))), "aacccc");
        assert_eq!(names(updates(max_by(field, Ties::Last))), "aaccee");
    }

    #[test]
    fn what_cannot_be_compared_is_passed_over() {
        let mut kept = 2.0;
        min(|row: &mut f64| row)(&mut kept, f64::NAN);
        max(|row: &mut f64| row)(&mut kept, f64::NAN);
        min_by(|row: &f64| row, Ties::Last)(&mut kept, f64::NAN);
        assert_eq!(kept, 2.0);
        min(|row: &mut f64| row)(&mut kept, 1.0);
        assert_eq!(kept, 1.0);
    }
}
