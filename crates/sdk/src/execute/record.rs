//! What the workers of a later job need of the jobs before it: `main()` runs again there, and must see the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flott_model::{JobId, JobStatus, OnceValue};
use flott_protocol::program::{Collected, Frame, JobAccumulator, JobEnded, Snapshot};
use prost::Message;

use super::job::{Access, Job, status_of};
use crate::error::Error;

/// All records of a program together may have so many bytes: they travel with every job.
pub(super) const LARGEST: usize = 1 << 20;
/// The name under which what the program configured is shipped.
const CONFIGURED: &str = "flott.configured";

/// An `execute()` as it went.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExecutedJob {
    #[prost(string, tag = "1")]
    pub(crate) job: String,
    #[prost(bool, tag = "2")]
    pub(crate) detached: bool,
    /// How it ended, if that was known.
    #[prost(message, optional, tag = "3")]
    pub(crate) ended: Option<JobEnded>,
    /// Why it was not accepted.
    #[prost(string, tag = "4")]
    pub(crate) refused: String,
    /// Why it was not submitted.
    #[prost(string, tag = "5")]
    pub(crate) unsubmitted: String,
    /// The records that `main()` was given.
    #[prost(message, repeated, tag = "6")]
    pub(crate) frames: Vec<Frame>,
    /// There were no more.
    #[prost(bool, tag = "7")]
    pub(crate) over: bool,
    /// What it was told instead of records.
    #[prost(string, tag = "8")]
    pub(crate) failure: String,
}

/// How an `execute()` of this program went.
pub(crate) enum Executed {
    Job(Arc<Job>),
    /// It was not submitted, or not accepted.
    Not(Box<ExecutedJob>),
}

impl Executed {
    pub(crate) fn of(outcome: &Result<Arc<Job>, Error>) -> Self {
        let nothing = ExecutedJob::default();
        match outcome {
            Ok(job) => Self::Job(Arc::clone(job)),
            Err(Error::Refused(reason)) => Self::Not(Box::new(ExecutedJob {
                refused: reason.clone(),
                ..nothing
            })),
            Err(error) => Self::Not(Box::new(ExecutedJob {
                unsubmitted: error.to_string(),
                ..nothing
            })),
        }
    }
}

fn name(index: u32) -> String {
    format!("flott.execute.{index}")
}

/// The records of the jobs so far, to be shipped with the next one.
pub(crate) fn values(executed: &[Executed]) -> Result<Vec<OnceValue>, Error> {
    let too_large = |bytes: usize| {
        Error::Refused(format!(
            "what main() was given of the earlier jobs (results and collected records) has {bytes} bytes: main() runs again \
             in the workers of this job and must see the same there, but at most {LARGEST} bytes are shipped. Collect less, \
             write to files instead, or use one program for each job"
        ))
    };
    let mut values = Vec::with_capacity(executed.len());
    let mut bytes = 0;
    for (index, executed) in (0_u32..).zip(executed) {
        let record = match executed {
            Executed::Job(job) => job.record().map_err(too_large)?,
            Executed::Not(record) => ExecutedJob::clone(record),
        };
        let value = record.encode_to_vec();
        bytes += value.len();
        values.push(OnceValue {
            name: name(index),
            value,
        });
    }
    if bytes > LARGEST {
        return Err(too_large(bytes));
    }
    Ok(values)
}

/// An earlier `execute()` of the program, in a worker of a later one.
pub(super) fn replay(once: &[OnceValue], index: u32) -> Result<Arc<Job>, Error> {
    let damaged = |why: &str| {
        Error::Role(format!(
            "the record of execute() number {index} in the worker's description {why}"
        ))
    };
    let name = name(index);
    let value = once.iter().find(|value| value.name == name);
    let value = value.ok_or_else(|| damaged("is missing"))?;
    let record =
        ExecutedJob::decode(value.value.as_slice()).map_err(|error| damaged(&error.to_string()))?;
    if !record.refused.is_empty() {
        return Err(Error::Refused(record.refused));
    }
    if !record.unsubmitted.is_empty() {
        return Err(Error::Submission(record.unsubmitted));
    }
    let id: JobId = record.job.parse().map_err(|_| damaged("has no job id"))?;
    let detached = record.detached;
    Ok(Job::new(id, detached, Arc::new(record), None, false))
}

fn unknown() -> Error {
    Error::Role(
        "main() asks for something of an earlier job that it did not ask for where this job was submitted: what it does must \
         be the same everywhere"
            .to_owned(),
    )
}

impl Access for ExecutedJob {
    fn wait(&self) -> Result<JobEnded, Error> {
        self.ended.clone().ok_or_else(unknown)
    }

    fn ended(&self) -> Option<JobEnded> {
        self.ended.clone()
    }

    fn status(&self) -> Result<JobStatus, Error> {
        Ok(self.ended.as_ref().map_or(JobStatus::Running, status_of))
    }

    fn cancel(&self) -> Result<(), Error> {
        Ok(())
    }

    fn accumulators(&self) -> Result<Vec<JobAccumulator>, Error> {
        Ok(Vec::new())
    }

    fn snapshot(&self, _: Snapshot) -> Result<String, Error> {
        let why = "main() runs again in a worker: what the job is asked was asked before";
        Err(Error::Unanswered(why.to_owned()))
    }

    fn collected(&self, from: u64) -> Result<Collected, Error> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let frames = self.frames.get(from..).unwrap_or_default().to_vec();
        if frames.is_empty() && !self.over && self.failure.is_empty() {
            return Err(unknown());
        }
        let at_end = frames.is_empty();
        Ok(Collected {
            frames,
            over: at_end && self.over,
            failure: if at_end {
                self.failure.clone()
            } else {
                String::new()
            },
        })
    }
}

/// What the program configured: for each key, what was there before.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Configured {
    #[prost(btree_map = "string, string", tag = "1")]
    before: BTreeMap<String, String>,
    /// Keys that were not set.
    #[prost(string, repeated, tag = "2")]
    unset: Vec<String>,
}

impl Configured {
    pub(super) fn new(before: &BTreeMap<String, Option<String>>) -> Self {
        let (set, unset): (Vec<_>, Vec<_>) = before.iter().partition(|(_, value)| value.is_some());
        let set = set.into_iter();
        Self {
            before: set
                .filter_map(|(key, value)| Some((key.clone(), value.clone()?)))
                .collect(),
            unset: unset.into_iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    pub(super) fn value(&self) -> OnceValue {
        OnceValue {
            name: CONFIGURED.to_owned(),
            value: self.encode_to_vec(),
        }
    }

    /// What the program configured, among the values of a job.
    pub(super) fn find(once: &[OnceValue]) -> Self {
        let value = once.iter().find(|value| value.name == CONFIGURED);
        value
            .and_then(|value| Self::decode(value.value.as_slice()).ok())
            .unwrap_or_default()
    }

    /// The configuration before the program changed it.
    pub(super) fn undo(&self, configuration: &mut BTreeMap<String, String>) {
        for key in &self.unset {
            configuration.remove(key);
        }
        configuration.extend(self.before.clone());
    }

    /// The keys that the program set.
    pub(super) fn keys(&self) -> BTreeSet<String> {
        self.before.keys().chain(&self.unset).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(ended: Option<JobEnded>, frames: &[usize]) -> Box<ExecutedJob> {
        Box::new(ExecutedJob {
            job: JobId(7).to_string(),
            ended,
            frames: frames
                .iter()
                .map(|bytes| Frame {
                    rows: 1,
                    bytes: vec![1; *bytes],
                    last: false,
                })
                .collect(),
            over: true,
            ..ExecutedJob::default()
        })
    }

    #[test]
    fn what_was_seen_is_seen_again() {
        let ended = JobEnded {
            job: JobId(7).to_string(),
            status: JobStatus::Finished.number(),
            runtime_ms: 12,
            ..JobEnded::default()
        };
        let executed = [
            Executed::Not(job(Some(ended), &[3, 4])),
            Executed::of(&Err(Error::Refused("no room".to_owned()))),
            Executed::of(&Err(Error::Submission("no input".to_owned()))),
            Executed::Not(job(None, &[])),
        ];
        let values = values(&executed).unwrap();
        let first = replay(&values, 0).unwrap();
        assert_eq!(first.wait().unwrap().net_runtime.as_millis(), 12);
        assert_eq!(first.collected(0).unwrap().frames.len(), 2);
        assert_eq!(first.collected(1).unwrap().frames[0].bytes.len(), 4);
        assert!(first.collected(2).unwrap().over);
        let refused = |index| replay(&values, index).err().unwrap().to_string();
        assert_eq!(refused(1), "the job was not accepted: no room");
        assert_eq!(refused(2), "no input");
        assert!(refused(9).contains("is missing"));
        let running = replay(&values, 3).unwrap();
        assert_eq!(running.status().unwrap(), JobStatus::Running);
        assert!(
            running
                .wait()
                .unwrap_err()
                .to_string()
                .contains("same everywhere")
        );
    }

    #[test]
    fn too_much_is_refused_with_the_reason() {
        let half = || Executed::Not(job(None, &[LARGEST / 2]));
        assert!(values(&[half()]).is_ok());
        let message = values(&[half(), half()]).unwrap_err().to_string();
        assert!(message.contains("at most 1048576 bytes"), "{message}");
    }

    #[test]
    fn the_configuration_before_the_program_changed_it() {
        let before = BTreeMap::from([
            ("set".to_owned(), Some("old".to_owned())),
            ("new".to_owned(), None),
        ]);
        let value = Configured::new(&before).value();
        let found = Configured::find(&[value]);
        let mut configuration: BTreeMap<String, String> =
            [("set", "x"), ("new", "y"), ("other", "z")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        found.undo(&mut configuration);
        assert_eq!(configuration["set"], "old");
        assert_eq!(configuration.len(), 2);
        assert_eq!(found.keys().len(), 2);
    }
}
