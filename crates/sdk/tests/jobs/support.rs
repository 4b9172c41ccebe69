//! What the tests of whole jobs share.

use std::path::Path;
use std::sync::{Arc, Mutex};

use flott::prelude::*;
use flott::{Error, Record};
use flott_model::Failure;

/// The environment of this process, which is the embedded one.
pub(crate) fn environment(parallelism: u32) -> StreamExecutionEnvironment {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_parallelism(parallelism);
    env
}

/// Collects records of a stream in this process.
pub(crate) struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Collected<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Record + Sync> Collected<T> {
    /// Ends the stream here.
    pub(crate) fn from(stream: DataStream<T>) -> Self {
        let collected = Self::default();
        let target = collected.clone();
        stream
            .map(move |record| {
                target.add(record.clone());
                record
            })
            .discard();
        collected
    }

    pub(crate) fn add(&self, record: T) {
        self.0.lock().unwrap().push(record);
    }

    /// In order of arrival.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn sorted(&self) -> Vec<T>
    where
        T: Ord,
    {
        let mut all = self.take();
        all.sort();
        all
    }
}

/// Runs the job and gives what is in `collected` afterwards, sorted.
pub(crate) fn run<T: Record + Sync + Ord>(
    env: &StreamExecutionEnvironment,
    collected: &Collected<T>,
) -> Vec<T> {
    env.execute("test").unwrap();
    collected.sorted()
}

/// The failure of a job that must fail.
pub(crate) fn failure(result: Result<JobExecutionResult, Error>) -> Failure {
    match result {
        Err(Error::Ended {
            failure: Some(failure),
            status,
            ..
        }) => {
            assert_eq!(status.to_string(), "FAILED");
            *failure
        }
        other => panic!("the job should have failed: {other:?}"),
    }
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Lines of the visible files of a directory, sorted.
pub(crate) fn lines(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names(directory) {
        if !name.starts_with('.') {
            let text = std::fs::read_to_string(directory.join(name)).unwrap();
            assert!(text.is_empty() || text.ends_with('\n'), "a line is cut");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
