//! A source inside its task: asks for splits, drives the reader, keeps event time per split.

use std::collections::VecDeque;

use flott_network::{Batch, Control, NO_TIMESTAMP};

use super::{
    Answer, Coordination, Progress, Reader, ReaderContext, ReaderProgress, Request, Source,
    SourceReader, SourceSplit, decode_message,
};
use crate::checkpoint::cannot;
use crate::time::{EventTime, WatermarkAlignment, WatermarkStrategy};
use crate::{OperatorCheckpoints, SubtaskContext, TaskClock, TaskError};

/// A request that was not answered after so long is made again: a coordinator may have died with it.
const ASK_AGAIN_MS: i64 = 5_000;

/// The state that holds the splits of a subtask which are not finished.
const SPLITS: &str = "splits";

/// A split that is being read.
struct Active {
    id: String,
    part: usize,
}

/// What is known about the next split.
enum Next<S> {
    /// Nobody was asked yet.
    Unknown,
    /// Asked; to be asked again at that time.
    Asked(i64),
    /// Told to ask again at that time.
    Wait(i64),
    /// Here.
    Split(S),
    /// There is none.
    End,
}

impl<S> Next<S> {
    fn take_split(&mut self) -> Option<S> {
        match std::mem::replace(self, Self::Unknown) {
            Self::Split(split) => Some(split),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Keeps the subtask near the others of its group in event time.
struct Alignment {
    settings: WatermarkAlignment,
    /// Watermarks may go as far as that.
    allowed: i64,
    report_at: i64,
    /// The last watermark that was reported.
    reported: i64,
    ended: bool,
}

/// Drives the reader of one subtask.
pub struct SourceDriver<S: Source> {
    reader: S::Reader,
    coordination: Coordination,
    operator: u32,
    clock: TaskClock,
    checkpoints: OperatorCheckpoints,
    /// Those of a checkpoint that the reader has no room for yet.
    restored: VecDeque<S::Split>,
    next: Next<S::Split>,
    /// How many splits it was given so far.
    received: u64,
    active: Vec<Active>,
    /// Index of the split that was read last.
    current: usize,
    time: EventTime<S::Out>,
    alignment: Option<Alignment>,
    /// Parts of event time that must not be read now.
    paused: Vec<usize>,
    /// Whether the reader as a whole must not be read now.
    held: bool,
}

impl<S: Source> SourceDriver<S> {
    /// The source in one subtask. The interval is `pipeline.auto-watermark-interval` in milliseconds.
    pub fn new(
        source: &S,
        strategy: WatermarkStrategy<S::Out>,
        auto_watermark_interval_ms: i64,
        context: &SubtaskContext,
    ) -> Result<Self, TaskError> {
        let alignment = strategy.alignment().filter(|_| !context.batch_mode);
        let alignment = alignment.cloned().map(|settings| Alignment {
            settings,
            // A first batch says where this source begins; the group says how it goes on.
            allowed: NO_TIMESTAMP,
            report_at: context.clock.now(),
            reported: NO_TIMESTAMP,
            ended: false,
        });
        if let Some(alignment) = &alignment {
            context.clock.wake_at(alignment.report_at);
        }
        let checkpoints = context.checkpoints();
        let restored = match checkpoints.restored() {
            Some(restored) => restored.list(SPLITS),
            None => Ok(Vec::new()),
        };
        let next = if context.checkpoint.had_finished() {
            Next::End
        } else {
            Next::Unknown
        };
        Ok(Self {
            reader: source.create_reader(&ReaderContext::new(context))?,
            checkpoints,
            restored: restored.map_err(|error| cannot("restored", &error))?.into(),
            coordination: context.coordination.clone(),
            operator: context.operator.node,
            clock: context.clock.clone(),
            next,
            received: 0,
            active: Vec::new(),
            current: 0,
            time: EventTime::new(strategy, auto_watermark_interval_ms, context),
            alignment,
            paused: Vec::new(),
            held: false,
        })
    }

    /// The splits that are not finished, for a checkpoint.
    pub fn snapshot(&self) -> Vec<S::Split> {
        let mut splits = self.reader.snapshot();
        splits.extend(self.restored.iter().cloned());
        if let Next::Split(split) = &self.next {
            splits.push(split.clone());
        }
        splits
    }

    fn receive(&mut self) -> Result<(), TaskError> {
        while let Some(answer) = self.coordination.answer()? {
            match answer {
                Answer::Split(number, split) if number == self.received => {
                    let split: S::Split = decode_message(&split)?;
                    self.received += 1;
                    self.reader.prefetch(&split);
                    self.next = Next::Split(split);
                }
                // The answer to a question that was asked twice.
                Answer::Split(..) => (),
                Answer::Wait(millis) => {
                    if let Next::Asked(_) = self.next {
                        let millis = i64::try_from(millis).unwrap_or(i64::MAX);
                        let at = self.clock.now().saturating_add(millis);
                        self.next = Next::Wait(at);
                        self.clock.wake_at(at);
                    }
                }
                Answer::End(number) if number == self.received => self.next = Next::End,
                Answer::End(_) => (),
                Answer::MaxWatermark(allowed) => {
                    if let Some(alignment) = &mut self.alignment {
                        alignment.allowed = allowed;
                    }
                    self.align();
                }
                Answer::Failed { message, class } => return Err(class.error(message)),
            }
        }
        Ok(())
    }

    /// Gives the reader splits as long as it takes some, and asks for the one after them.
    fn supply(&mut self) -> Result<(), TaskError> {
        loop {
            self.receive()?;
            if self.active.len() < self.reader.max_splits() {
                let next = self.restored.pop_front().or_else(|| self.next.take_split());
                if let Some(split) = next {
                    self.active.push(Active {
                        id: split.split_id(),
                        part: self.time.add_split(),
                    });
                    self.reader.add_split(split)?;
                    continue;
                }
            }
            if let Next::Unknown = self.next {
                self.ask()?;
            }
            return Ok(());
        }
    }

    fn ask(&mut self) -> Result<(), TaskError> {
        let at = self.clock.now().saturating_add(ASK_AGAIN_MS);
        self.next = Next::Asked(at);
        self.clock.wake_at(at);
        self.coordination.next_split(self.operator, self.received)
    }

    /// Which of the active splits the last rows are of.
    fn current(&mut self) -> Result<usize, TaskError> {
        let Some(id) = self.reader.current_split() else {
            return match self.active.len() {
                1 => Ok(0),
                _ => Err(TaskError::user(
                    "the source's reader reads several splits and does not tell them apart: \
                     implement SourceReader::current_split",
                )),
            };
        };
        if self
            .active
            .get(self.current)
            .is_none_or(|split| split.id != id)
        {
            let at = self.active.iter().position(|split| split.id == id);
            self.current = at.ok_or_else(|| {
                TaskError::user(format!(
                    "the source's reader gives rows of split '{id}', which it was not given or has \
                     finished"
                ))
            })?;
        }
        Ok(self.current)
    }

    /// Decides what must wait for the others of the alignment group.
    fn align(&mut self) {
        let Some(allowed) = self.alignment.as_ref().map(|alignment| alignment.allowed) else {
            return;
        };
        let ahead = self
            .active
            .iter()
            .filter(|split| self.time.reached_by(split.part) > allowed);
        let parts: Vec<usize> = ahead.clone().map(|split| split.part).collect();
        let ids: Vec<String> = ahead.map(|split| split.id.clone()).collect();
        let several = self.active.len() > 1;
        if several && parts != self.paused && !self.reader.pause_splits(&ids) {
            let reached = self.time.reached();
            self.held = reached > allowed && reached != i64::MAX;
            self.paused = Vec::new();
        } else {
            self.held = !parts.is_empty() && parts.len() == self.active.len();
            self.paused = parts;
        }
        if let Some(alignment) = &mut self.alignment
            && self.held
            && alignment.reported == NO_TIMESTAMP
        {
            // The group does not know yet where this source begins: no need to wait with that.
            alignment.report_at = self.clock.now();
            self.clock.wake_at(alignment.report_at);
        }
    }

    fn report(&mut self, now: i64) -> Result<(), TaskError> {
        let Some(alignment) = &mut self.alignment else {
            return Ok(());
        };
        if alignment.ended {
            return Ok(());
        }
        if now >= alignment.report_at {
            alignment.report_at = now.saturating_add(alignment.settings.update_interval_ms);
            let watermark = self.time.reached();
            alignment.reported = watermark;
            self.tell_group(watermark)?;
        }
        if let Some(alignment) = &self.alignment {
            self.clock.wake_at(alignment.report_at);
        }
        Ok(())
    }

    fn tell_group(&self, watermark: i64) -> Result<(), TaskError> {
        let Some(alignment) = &self.alignment else {
            return Ok(());
        };
        let request = Request::Watermark {
            group: alignment.settings.group.clone(),
            watermark,
            max_drift_ms: alignment.settings.max_drift_ms,
        };
        self.coordination.request(self.operator, &request)
    }

    /// Nobody must wait for this subtask any more.
    fn leave_group(&mut self) -> Result<(), TaskError> {
        match &mut self.alignment {
            Some(alignment) if !alignment.ended => alignment.ended = true,
            Some(_) | None => return Ok(()),
        }
        self.tell_group(i64::MAX)
    }
}

impl<S: Source> Reader for SourceDriver<S> {
    type Out = S::Out;

    fn fill(&mut self, out: &mut Batch<S::Out>) -> Result<Progress, TaskError> {
        self.supply()?;
        if self.active.is_empty() {
            return match self.next {
                Next::End => {
                    self.leave_group()?;
                    Ok(Progress::End)
                }
                Next::Unknown | Next::Asked(_) | Next::Wait(_) | Next::Split(_) => {
                    Ok(Progress::Pending)
                }
            };
        }
        if self.held {
            // Woken by the group's answer to the next report.
            return Ok(Progress::Pending);
        }
        let progress = self.reader.fill(out)?;
        if out.is_empty() && progress != ReaderProgress::SplitFinished {
            return Ok(match progress {
                ReaderProgress::More => Progress::More,
                ReaderProgress::Pending | ReaderProgress::SplitFinished => Progress::Pending,
            });
        }
        let current = self.current()?;
        self.time.rows(self.active[current].part, out);
        if progress == ReaderProgress::SplitFinished {
            let split = self.active.remove(current);
            self.time.remove_split(split.part);
        }
        if self.alignment.is_some() {
            self.align();
        }
        Ok(match progress {
            ReaderProgress::Pending => Progress::Pending,
            ReaderProgress::More | ReaderProgress::SplitFinished => Progress::More,
        })
    }

    fn before(&mut self) -> Option<Control> {
        self.time.before()
    }

    fn controls(&mut self, out: &mut VecDeque<Control>) {
        self.time.controls(out);
    }

    fn end(&mut self, out: &mut VecDeque<Control>) {
        self.time.end(out);
    }

    fn snapshot(&mut self) -> Result<(), TaskError> {
        let splits = Self::snapshot(self);
        self.checkpoints.splits_received(self.received);
        self.checkpoints
            .snapshot(|snapshot| snapshot.list(SPLITS, &splits))
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        let (held, paused) = (self.held, &self.paused);
        self.time.tick(now, |part| held || paused.contains(&part));
        match self.next {
            Next::Asked(at) | Next::Wait(at) if now >= at => self.next = Next::Unknown,
            Next::Asked(at) | Next::Wait(at) => self.clock.wake_at(at),
            Next::Unknown | Next::Split(_) | Next::End => (),
        }
        self.report(now)
    }
}

#[cfg(test)]
mod tests;
