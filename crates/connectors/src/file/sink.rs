//! The sink that writes files.

use std::sync::Arc;

use flott_operators::TaskError;
use flott_operators::sink::api::{CommitContext, Sink, WriterContext};
use flott_operators::source::SubmissionContext;
use flott_record::Record;

use super::bucket::{BucketContext, Buckets, DateTimeBuckets};
use super::commit::{PendingFile, SubmissionStage, abandon_tree, commit_tree, prepare_output};
use super::encode::{CsvEncoding, JsonLinesEncoding, RecordFormat, TextEncoding};
use super::rolling::{FinishedFile, RollingPolicy, RollingWriter};

/// Writes files below a directory, on any file system. The directory must not exist, or be empty.
/// Files are hidden until the job is FINISHED; a job that fails leaves none.
///
/// ```
/// # use flott_connectors::file::{DateTimeBuckets, FileSink, RollingPolicy};
/// use std::time::Duration;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Sale { article: String, cents: u64 }
///
/// let lines = FileSink::text("/out/text", |n: &u64, line: &mut String| line.push_str(&n.to_string()));
/// let by_hour = FileSink::csv::<Sale>("/out/sales").bucket_by_event_time(DateTimeBuckets::Hourly);
/// let by_article = FileSink::json_lines::<Sale>("/out/articles")
///     .bucket_by(|sale, _| format!("article={}", sale.article))
///     .rolling(RollingPolicy::default().max_part_size(64 << 20).rollover_interval(Duration::from_secs(600)));
/// # let _ = (lines, by_hour, by_article);
/// ```
pub struct FileSink<In, F> {
    directory: String,
    format: F,
    buckets: Buckets<In>,
    policy: RollingPolicy,
}

impl FileSink<(), ()> {
    /// A line of text for each record: `format` appends it, the line end is added.
    pub fn text<In, F>(directory: &str, format: F) -> FileSink<In, TextEncoding<F>>
    where
        In: Record,
        F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
    {
        FileSink::new(directory, TextEncoding(format))
    }

    /// Comma-separated values with a header line in each file; for others, [`FileSink::new`] with a
    /// [`CsvEncoding`].
    pub fn csv<In: Record>(directory: &str) -> FileSink<In, CsvEncoding<In>> {
        FileSink::new(directory, CsvEncoding::new())
    }

    /// A JSON value in each line.
    pub fn json_lines<In: Record>(directory: &str) -> FileSink<In, JsonLinesEncoding> {
        FileSink::new(directory, JsonLinesEncoding)
    }
}

impl<In: Record, F: RecordFormat<In>> FileSink<In, F> {
    /// Files of that format, all in one directory, that roll as [`RollingPolicy::default`] says.
    pub fn new(directory: &str, format: F) -> Self {
        Self {
            directory: directory.to_owned(),
            format,
            buckets: Buckets::One,
            policy: RollingPolicy::default(),
        }
    }

    /// When a file is finished and the next one begun.
    #[must_use]
    pub fn rolling(mut self, policy: RollingPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// A directory for each day, hour or minute in which records come.
    #[must_use]
    pub fn bucket_by_processing_time(mut self, buckets: DateTimeBuckets) -> Self {
        self.buckets = Buckets::ByProcessingTime(buckets);
        self
    }

    /// A directory for each day, hour or minute of the records' event times. A record without one
    /// fails the job.
    #[must_use]
    pub fn bucket_by_event_time(mut self, buckets: DateTimeBuckets) -> Self {
        self.buckets = Buckets::ByEventTime(buckets);
        self
    }

    /// The directory that a function names for each record: a relative path; empty for the directory
    /// of the sink. Each has a file open in each subtask that writes to it.
    #[must_use]
    pub fn bucket_by<B>(mut self, bucket: B) -> Self
    where
        B: Fn(&In, &BucketContext) -> String + Send + Sync + 'static,
    {
        self.buckets = Buckets::Custom(Arc::new(bucket));
        self
    }
}

fn directory(prepared: &[u8]) -> String {
    String::from_utf8_lossy(prepared).into_owned()
}

impl<In: Record, F: RecordFormat<In>> Sink<In> for FileSink<In, F> {
    type Writer = RollingWriter<In, F>;

    fn prepare(&self, context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        let stage = if context.is_plan() {
            SubmissionStage::Plan
        } else if context.is_retry() {
            SubmissionStage::Retry
        } else {
            SubmissionStage::First
        };
        let prepared = prepare_output(context.files(), &self.directory, stage);
        context.block_on(prepared).map(String::into_bytes)
    }

    fn create_writer(&self, context: &WriterContext) -> Result<Self::Writer, TaskError> {
        Ok(RollingWriter::new(
            directory(context.prepared()),
            self.format.clone(),
            self.buckets.clone(),
            self.policy,
            context.clone(),
        ))
    }

    fn commit(
        &self,
        context: &CommitContext,
        committables: Vec<FinishedFile>,
    ) -> Result<(), TaskError> {
        let files: Vec<PendingFile> = committables.into_iter().map(Into::into).collect();
        let directory = directory(context.prepared());
        context.block_on(commit_tree(
            context.files(),
            &directory,
            context.operator(),
            &files,
        ))
    }

    fn abandon(&self, context: &CommitContext) -> Result<(), TaskError> {
        let directory = directory(context.prepared());
        context.block_on(abandon_tree(
            context.files(),
            &directory,
            context.operator(),
        ))
    }
}
