//! Accumulators on their way: bytes of subtasks, merged where that needs no user code.

use std::collections::BTreeMap;

use super::{
    Accumulator, AccumulatorError, AverageAccumulator, DoubleCounter, Histogram, IntCounter,
    LIST_KIND, LongCounter,
};

/// Characters of an accumulator's text, at most: it is for people.
const MOST_TEXT: usize = 4_096;

/// One subtask's accumulator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccumulatorSnapshot {
    /// Its name.
    pub name: String,
    /// What [`Accumulator::kind`] says.
    pub kind: String,
    /// What [`Accumulator::encode`] wrote.
    pub bytes: Vec<u8>,
    /// What [`Accumulator::text`] says, shortened if it is very long.
    pub text: String,
    /// Why it could not be written, if so; then there are no bytes.
    pub failure: Option<String>,
}

impl AccumulatorSnapshot {
    /// The accumulator as it is. Fails if a value in it cannot be written.
    pub fn of<A: Accumulator>(name: &str, accumulator: &A) -> Result<Self, AccumulatorError> {
        let mut bytes = Vec::new();
        accumulator.encode(&mut bytes)?;
        Ok(Self {
            name: name.to_owned(),
            kind: A::kind(),
            bytes,
            text: shortened(accumulator.text()),
            failure: None,
        })
    }

    /// One that could not be written.
    pub fn failed(name: &str, kind: &str, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            bytes: Vec::new(),
            text: reason.to_owned(),
            failure: Some(reason.to_owned()),
        }
    }
}

/// An accumulator over all subtasks, as far as it can be merged without its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedAccumulator {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The bytes of accumulators that are still to be merged: one for the kinds of this crate, else one for each subtask.
    pub parts: Vec<Vec<u8>>,
    /// What the REST API shows.
    pub text: String,
    /// Why it cannot be read, if so.
    pub failure: Option<String>,
}

impl MergedAccumulator {
    /// The accumulator over all subtasks. Fails if it is of another kind or could not be written.
    pub fn read<A: Accumulator>(&self) -> Result<A, AccumulatorError> {
        if let Some(failure) = &self.failure {
            return Err(AccumulatorError::value::<A>(failure.clone()));
        }
        if self.kind != A::kind() {
            return Err(AccumulatorError::OtherKind {
                name: self.name.clone(),
                known: self.kind.clone(),
                wanted: A::kind(),
            });
        }
        let mut merged = A::default();
        for part in &self.parts {
            merged.merge(A::decode(part)?);
        }
        Ok(merged)
    }

    fn begin(first: AccumulatorSnapshot) -> Self {
        Self {
            name: first.name,
            kind: first.kind,
            // What could not be written is not there, rather than there and empty.
            parts: Vec::from_iter(first.failure.is_none().then_some(first.bytes)),
            text: first.text,
            failure: first.failure,
        }
    }

    fn add(&mut self, next: AccumulatorSnapshot) {
        if self.failure.is_some() {
            return;
        }
        if next.failure.is_some() {
            self.fail(next.text);
            return;
        }
        if self.kind != next.kind {
            let both = format!(
                "it is {} in some subtasks and {} in others; use one type for a name",
                self.kind, next.kind
            );
            self.fail(both);
            return;
        }
        let merged = match self.kind.as_str() {
            "IntCounter" => self.merge::<IntCounter>(&next),
            "LongCounter" => self.merge::<LongCounter>(&next),
            "DoubleCounter" => self.merge::<DoubleCounter>(&next),
            "AverageAccumulator" => self.merge::<AverageAccumulator>(&next),
            "Histogram" => self.merge::<Histogram>(&next),
            LIST_KIND => {
                self.append(next);
                Ok(())
            }
            _ => {
                self.text = shortened(format!("{}; {}", self.text, next.text));
                self.parts.push(next.bytes);
                Ok(())
            }
        };
        if let Err(error) = merged {
            self.fail(error.to_string());
        }
    }

    fn merge<A: Accumulator>(
        &mut self,
        next: &AccumulatorSnapshot,
    ) -> Result<(), AccumulatorError> {
        let mut merged: A = self.read()?;
        merged.merge(A::decode(&next.bytes)?);
        let mut bytes = Vec::new();
        merged.encode(&mut bytes)?;
        self.parts = vec![bytes];
        self.text = shortened(merged.text());
        Ok(())
    }

    /// Lists are elements one after another, in bytes as in text (`[a, b]`).
    fn append(&mut self, next: AccumulatorSnapshot) {
        if let Some(part) = self.parts.first_mut() {
            part.extend_from_slice(&next.bytes);
        }
        let inner = |text: &str| {
            let inner = text.strip_prefix('[').unwrap_or(text);
            inner.strip_suffix(']').unwrap_or(inner).to_owned()
        };
        let texts = [inner(&self.text), inner(&next.text)];
        let texts: Vec<&str> = texts
            .iter()
            .map(String::as_str)
            .filter(|one| !one.is_empty())
            .collect();
        self.text = shortened(format!("[{}]", texts.join(", ")));
    }

    fn fail(&mut self, reason: String) {
        self.parts.clear();
        self.text.clone_from(&reason);
        self.failure = Some(reason);
    }
}

/// Merges the accumulators of subtasks by name, in the order given; the result is in order of the names.
pub fn merge_all(
    snapshots: impl IntoIterator<Item = AccumulatorSnapshot>,
) -> Vec<MergedAccumulator> {
    let mut merged: BTreeMap<String, MergedAccumulator> = BTreeMap::new();
    for snapshot in snapshots {
        match merged.get_mut(&snapshot.name) {
            Some(known) => known.add(snapshot),
            None => {
                merged.insert(snapshot.name.clone(), MergedAccumulator::begin(snapshot));
            }
        }
    }
    merged.into_values().collect()
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MOST_TEXT) {
        text.truncate(end);
        text.push('…');
    }
    text
}
