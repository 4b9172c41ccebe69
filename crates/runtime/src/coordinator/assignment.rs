//! Who was given which splits of one source.
//!
//! In STREAMING the splits of an attempt that is replaced go back to the enumerator. In BATCH a new
//! attempt of a subtask gets exactly what the one before it got, in the same order: others may have
//! read what that one wrote.

use std::collections::{BTreeMap, HashMap};

use flott_model::ExecutionAttemptId;
use flott_operators::TaskError;
use flott_operators::source::{
    Answer, AnyEnumerator, EncodedAssignment, EnumeratorContext, EnumeratorFactory, decode_message,
};
use flott_protocol::message::Coordinate;

/// What a subtask was given.
struct Given {
    id: String,
    split: Vec<u8>,
}

struct Subtask {
    attempt: ExecutionAttemptId,
    given: Vec<Given>,
    /// BATCH: it was told that there is no more.
    ended: bool,
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
            let subtask = self.subtasks.entry(attempt.subtask).or_insert(Subtask {
                attempt,
                given: Vec::new(),
                ended: false,
            });
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
        let given = subtask.given.len() as u64;
        if let Some(again) = usize::try_from(number)
            .ok()
            .and_then(|at| subtask.given.get(at))
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
        self.subtasks.entry(attempt.subtask).or_insert(Subtask {
            attempt,
            given: Vec::new(),
            ended: false,
        })
    }

    /// The enumerator; made anew if it failed. It finds again what others before it gave.
    fn enumerator(&mut self) -> Result<&mut dyn AnyEnumerator, TaskError> {
        if self.enumerator.is_none() {
            self.enumerator = Some((self.factory)(&self.context, None)?);
            let given = self.subtasks.values().flat_map(|subtask| &subtask.given);
            self.taken = given.map(|given| (given.id.clone(), false)).collect();
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
