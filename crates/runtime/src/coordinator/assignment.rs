//! Who was given which splits of one source.
//!
//! In STREAMING the splits of an attempt that is replaced go back to the enumerator. In BATCH a new
//! attempt of a subtask gets exactly what the one before it got, in the same order: others may have
//! read what that one wrote.

use std::collections::{BTreeMap, HashMap};

use flott_model::{CheckpointId, ExecutionAttemptId};
use flott_operators::TaskError;
use flott_operators::source::{
    Answer, AnyEnumerator, EncodedAssignment, EnumeratorContext, EnumeratorFactory, decode_message,
    encode_message,
};
use flott_protocol::message::Coordinate;
use serde::{Deserialize, Serialize};

/// What a subtask was given.
struct Given {
    id: String,
    split: Vec<u8>,
}

struct Subtask {
    attempt: ExecutionAttemptId,
    /// What its attempt was given and no complete checkpoint covers.
    given: Vec<Given>,
    /// How many it was given before those.
    covered: u64,
    /// BATCH: it was told that there is no more.
    ended: bool,
}

impl Subtask {
    fn new(attempt: ExecutionAttemptId) -> Self {
        Self {
            attempt,
            given: Vec::new(),
            covered: 0,
            ended: false,
        }
    }

    /// How many splits the attempt was given.
    fn count(&self) -> u64 {
        self.covered + self.given.len() as u64
    }

    /// Those from that number on.
    fn from(&self, number: u64) -> &[Given] {
        let at = usize::try_from(number.saturating_sub(self.covered)).unwrap_or(usize::MAX);
        self.given.get(at..).unwrap_or_default()
    }
}

/// A source in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SourceState {
    /// The enumerator; `None`: it had not been needed.
    enumerator: Option<Vec<u8>>,
    /// What subtasks had been given that is not in their own snapshots: for others.
    back: Vec<(u32, Vec<Vec<u8>>)>,
    /// Ids of splits that the enumerator may find and that were given before.
    skip: Vec<String>,
}

/// A checkpoint under way.
struct Mark {
    enumerator: Option<Vec<u8>>,
    /// By subtask: its attempt, what it had received at its barrier, what it had been given when the
    /// enumerator was asked.
    counts: BTreeMap<u32, (ExecutionAttemptId, u64, u64)>,
}

/// The state of one source. Pure but for the calls of the enumerator.
pub(super) struct Assignments {
    factory: EnumeratorFactory,
    context: EnumeratorContext,
    batch_mode: bool,
    enumerator: Option<Box<dyn AnyEnumerator>>,
    subtasks: BTreeMap<u32, Subtask>,
    /// What earlier enumerators gave: this one finds it again. Whether it has.
    taken: HashMap<String, bool>,
    /// An earlier coordinator gave splits of which nothing is known.
    incomplete: bool,
    /// What an enumerator is made of.
    base: Option<Vec<u8>>,
    /// By subtask: what it was given before that enumerator was stored, which does not find it again.
    before_base: BTreeMap<u32, (ExecutionAttemptId, u64)>,
    /// What the first enumerator is told to be free.
    back: Vec<(u32, Vec<Vec<u8>>)>,
    marks: BTreeMap<CheckpointId, Mark>,
}

impl Assignments {
    pub(super) fn new(
        factory: EnumeratorFactory,
        context: EnumeratorContext,
        batch_mode: bool,
    ) -> Self {
        Self {
            factory,
            context,
            batch_mode,
            enumerator: None,
            subtasks: BTreeMap::new(),
            taken: HashMap::new(),
            incomplete: false,
            base: None,
            before_base: BTreeMap::new(),
            back: Vec::new(),
            marks: BTreeMap::new(),
        }
    }

    /// As a checkpoint says.
    pub(super) fn restored(mut self, state: &[u8]) -> Result<Self, TaskError> {
        let state: SourceState = decode_message(state)?;
        self.base = state.enumerator;
        self.back = state.back;
        self.taken = state.skip.into_iter().map(|id| (id, false)).collect();
        Ok(self)
    }

    /// The state for a checkpoint, when all subtasks have had its barrier: `received` says what each
    /// had been given then. Those that are not named have nothing that others could want.
    pub(super) fn snapshot(
        &mut self,
        checkpoint: CheckpointId,
        received: &BTreeMap<ExecutionAttemptId, u64>,
    ) -> Result<Vec<u8>, TaskError> {
        let enumerator = match &mut self.enumerator {
            Some(enumerator) => Some(enumerator.snapshot()?),
            None => self.base.clone(),
        };
        let mut counts = BTreeMap::new();
        let mut back = if self.enumerator.is_some() {
            Vec::new()
        } else {
            self.back.clone()
        };
        for (subtask, known) in &self.subtasks {
            let at_barrier = received.get(&known.attempt).copied();
            let at_barrier = at_barrier.unwrap_or_else(|| known.count());
            counts.insert(*subtask, (known.attempt, at_barrier, known.count()));
            let beyond = known.from(at_barrier).iter();
            let splits: Vec<Vec<u8>> = beyond.map(|given| given.split.clone()).collect();
            if !splits.is_empty() {
                back.push((*subtask, splits));
            }
        }
        let not_found = self.taken.iter().filter(|(_, found)| !**found);
        let state = SourceState {
            enumerator: enumerator.clone(),
            back,
            skip: not_found.map(|(id, _)| id.clone()).collect(),
        };
        self.marks.insert(checkpoint, Mark { enumerator, counts });
        encode_message(&state)
    }

    /// A checkpoint is complete, or was given up: what it covers is nobody's any more.
    pub(super) fn checkpoint_ended(&mut self, checkpoint: CheckpointId, completed: bool) {
        let Some(mark) = self.marks.remove(&checkpoint) else {
            return;
        };
        if !completed {
            return;
        }
        self.marks.retain(|later, _| *later > checkpoint);
        self.base = mark.enumerator;
        self.before_base.clear();
        for (index, (attempt, received, given)) in mark.counts {
            self.before_base.insert(index, (attempt, given));
            let Some(subtask) = self.subtasks.get_mut(&index) else {
                continue;
            };
            if subtask.attempt == attempt {
                let covered = usize::try_from(received.saturating_sub(subtask.covered));
                let covered = covered.unwrap_or(usize::MAX).min(subtask.given.len());
                subtask.given.drain(..covered);
                subtask.covered += covered as u64;
            }
        }
    }

    /// After a coordinator that gave these answers.
    pub(super) fn after<'a>(
        mut self,
        journal: impl Iterator<Item = &'a Coordinate>,
        incomplete: bool,
    ) -> Result<Self, TaskError> {
        self.incomplete = incomplete;
        let mut namer = None;
        for entry in journal {
            let attempt: ExecutionAttemptId = entry.attempt.into();
            let batch_mode = self.batch_mode;
            let subtask = self.subtasks.entry(attempt.subtask);
            let subtask = subtask.or_insert(Subtask::new(attempt));
            if newer(attempt, subtask.attempt) {
                subtask.attempt = attempt;
                if !batch_mode {
                    subtask.given.clear();
                }
            }
            match decode_message(&entry.payload)? {
                Answer::Split(_, split) => {
                    let namer = match &namer {
                        Some(namer) => namer,
                        None => namer.insert((self.factory)(&self.context, None)?),
                    };
                    subtask.given.push(Given {
                        id: namer.split_id(&split)?,
                        split,
                    });
                }
                Answer::End(_) => subtask.ended = true,
                Answer::Wait(_) | Answer::MaxWatermark(_) | Answer::Failed { .. } => (),
            }
        }
        Ok(self)
    }

    /// The answer to an attempt that asks for its n-th split, and whether it belongs into the journal.
    /// `None` to an attempt that was replaced.
    pub(super) fn next_split(
        &mut self,
        attempt: ExecutionAttemptId,
        number: u64,
        host: &str,
    ) -> Option<(Answer, bool)> {
        let known = self
            .subtasks
            .get(&attempt.subtask)
            .map(|subtask| subtask.attempt);
        if known.is_some_and(|known| newer(known, attempt)) {
            return None;
        }
        let answered = self.answer(attempt, number, host);
        Some(answered.unwrap_or_else(|error| {
            // It may be in any state: the next one begins anew.
            self.forget_enumerator();
            (Answer::failed(&error), false)
        }))
    }

    /// The enumerator failed.
    pub(super) fn forget_enumerator(&mut self) {
        self.enumerator = None;
    }

    fn answer(
        &mut self,
        attempt: ExecutionAttemptId,
        number: u64,
        host: &str,
    ) -> Result<(Answer, bool), TaskError> {
        self.replace(attempt)?;
        let subtask = &self.subtasks[&attempt.subtask];
        let given = subtask.count();
        if number >= subtask.covered
            && let Some(again) = subtask.from(number).first()
        {
            return Ok((Answer::Split(number, again.split.clone()), false));
        }
        if self.incomplete && self.batch_mode {
            return Err(TaskError::fatal(
                "the worker that coordinated the sources is lost, and too many splits were assigned \
                 to remember them: run the job again, with fewer and larger files",
            ));
        }
        if number > given {
            return Err(TaskError::transient(
                "the worker that coordinated the sources is lost, and with it what it had assigned",
            ));
        }
        if subtask.ended {
            return Ok((Answer::End(given), false));
        }
        loop {
            match self.enumerator()?.next_split(attempt.subtask, host)? {
                EncodedAssignment::Split { id, split } => {
                    if let Some(seen) = self.taken.get_mut(&id) {
                        *seen = true;
                        continue;
                    }
                    let answer = Answer::Split(number, split.clone());
                    self.subtask(attempt).given.push(Given { id, split });
                    return Ok((answer, true));
                }
                EncodedAssignment::Wait(time) => {
                    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    return Ok((Answer::Wait(millis.max(1)), false));
                }
                EncodedAssignment::End => {
                    let batch_mode = self.batch_mode;
                    self.subtask(attempt).ended = batch_mode;
                    return Ok((Answer::End(given), batch_mode));
                }
            }
        }
    }

    /// If the attempt is new: what the one before it was given is free again (STREAMING), or its own
    /// (BATCH).
    fn replace(&mut self, attempt: ExecutionAttemptId) -> Result<(), TaskError> {
        let batch_mode = self.batch_mode;
        let subtask = self.subtask(attempt);
        if !newer(attempt, subtask.attempt) {
            return Ok(());
        }
        subtask.attempt = attempt;
        if batch_mode {
            return Ok(());
        }
        subtask.covered = 0;
        let given = std::mem::take(&mut subtask.given);
        let mut back = Vec::new();
        for given in given {
            let found_again = self.taken.remove(&given.id);
            // What an earlier enumerator gave, and this one has not found yet, it still will.
            if self.enumerator.is_some() && found_again.unwrap_or(true) {
                back.push(given.split);
            }
        }
        if let Some(enumerator) = &mut self.enumerator
            && !back.is_empty()
        {
            enumerator.add_splits_back(&back, attempt.subtask)?;
        }
        Ok(())
    }

    fn subtask(&mut self, attempt: ExecutionAttemptId) -> &mut Subtask {
        let subtask = self.subtasks.entry(attempt.subtask);
        subtask.or_insert(Subtask::new(attempt))
    }

    /// The enumerator; made anew if it failed. It finds again what others before it gave.
    fn enumerator(&mut self) -> Result<&mut dyn AnyEnumerator, TaskError> {
        if self.enumerator.is_none() {
            let mut enumerator = (self.factory)(&self.context, self.base.as_deref())?;
            for (subtask, splits) in &self.back {
                enumerator.add_splits_back(splits, *subtask)?;
            }
            self.enumerator = Some(enumerator);
            let before = &self.before_base;
            let given = self.subtasks.iter().flat_map(|(index, subtask)| {
                let before = before.get(index).filter(|(of, _)| *of == subtask.attempt);
                subtask.from(before.map_or(0, |(_, given)| *given))
            });
            let given = given.map(|given| (given.id.clone(), false));
            self.taken.extend(given);
        }
        match &mut self.enumerator {
            Some(enumerator) => Ok(enumerator.as_mut()),
            None => Err(TaskError::fatal("the source has no enumerator")),
        }
    }
}

/// Whether `a` is a later attempt of the subtask than `b`.
fn newer(a: ExecutionAttemptId, b: ExecutionAttemptId) -> bool {
    (a.epoch, a.attempt) > (b.epoch, b.attempt)
}

#[cfg(test)]
mod tests;
