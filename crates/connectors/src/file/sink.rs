//! The sink that writes files.

use std::marker::PhantomData;

use flott_operators::TaskError;
use flott_operators::sink::api::{Committer, Sink};
use flott_operators::sink::{CommitterContext, SinkContext, SinkRecordContext};
use flott_operators::source::SubmissionContext;
use flott_record::Record;

use super::bucket::{BasePathBucketAssigner, BucketAssigner, FunctionBucketAssigner};
use super::commit::{Output, SubmissionStage, prepare_output};
use super::encode::{CsvEncoding, JsonLinesEncoding, RecordFormat, TextEncoding};
use super::part::{PartFile, PartNames};
use super::rolling::{DefaultRollingPolicy, RollingPolicy};
use super::writer::{FileSinkWriter, Settings};

/// Writes files below a directory, on any file system. The directory must not exist, or be empty.
/// Files are hidden until the checkpoint behind their last record is complete, without checkpoints until
/// the job is FINISHED: each record is seen exactly once. With each checkpoint a file is finished.
///
/// ```
/// # use flott_connectors::file::{DateTimeBucketAssigner, DefaultRollingPolicy, FileSink, TextEncoding};
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Sale { article: String, cents: u64 }
///
/// let numbers = TextEncoding::new(|n: &u64, line: &mut String| line.push_str(&n.to_string()));
/// let numbers = FileSink::for_row_format("/out/numbers", numbers)
///     .with_rolling_policy(DefaultRollingPolicy::by_size(64 << 20))
///     .with_part_suffix(".txt");
/// let by_hour = FileSink::csv::<Sale>("/out/sales")
///     .with_bucket_assigner(DateTimeBucketAssigner::by_event_time("yyyy-MM-dd--HH"));
/// let by_article = FileSink::json_lines::<Sale>("/out/articles")
///     .with_buckets(|sale, _| format!("article={}", sale.article));
/// # let _ = (numbers, by_hour, by_article);
/// ```
#[derive(Debug)]
pub struct FileSink<In, F, B = BasePathBucketAssigner, P = DefaultRollingPolicy> {
    directory: String,
    format: F,
    buckets: B,
    policy: P,
    names: PartNames,
    input: PhantomData<fn(In)>,
}

impl FileSink<(), ()> {
    /// A line of text for each record: `format` appends it, the line end is added.
    pub fn text<In, F>(directory: &str, format: F) -> FileSink<In, TextEncoding<F>>
    where
        In: Record,
        F: FnMut(&In, &mut String) + Clone + Send + Sync + 'static,
    {
        FileSink::for_row_format(directory, TextEncoding::new(format))
    }

    /// Comma-separated values, in each file after a header line if records are structs; for others,
    /// [`FileSink::for_row_format`] with a [`CsvEncoding`].
    pub fn csv<In: Record>(directory: &str) -> FileSink<In, CsvEncoding<In>> {
        FileSink::for_row_format(directory, CsvEncoding::new())
    }

    /// A JSON value in each line.
    pub fn json_lines<In: Record>(directory: &str) -> FileSink<In, JsonLinesEncoding> {
        FileSink::for_row_format(directory, JsonLinesEncoding)
    }
}

impl<In: Record, F: RecordFormat<In>> FileSink<In, F> {
    /// Files of that format, all in one directory, that roll as [`DefaultRollingPolicy::default`] says.
    pub fn for_row_format(directory: &str, format: F) -> Self {
        Self {
            directory: directory.to_owned(),
            format,
            buckets: BasePathBucketAssigner,
            policy: DefaultRollingPolicy::default(),
            names: PartNames::default(),
            input: PhantomData,
        }
    }
}

impl<In: Record, F, B, P> FileSink<In, F, B, P> {
    /// Which directory below that of the sink a record goes to. Each subtask has a file open in each
    /// directory that it writes to.
    #[must_use]
    pub fn with_bucket_assigner<A: BucketAssigner<In>>(self, buckets: A) -> FileSink<In, F, A, P> {
        FileSink {
            directory: self.directory,
            format: self.format,
            buckets,
            policy: self.policy,
            names: self.names,
            input: PhantomData,
        }
    }

    /// The directory that a function names for each record, as [`BucketAssigner::assign`] says.
    #[must_use]
    pub fn with_buckets<A>(self, bucket: A) -> FileSink<In, F, FunctionBucketAssigner<A>, P>
    where
        A: Fn(&In, &SinkRecordContext) -> String + Clone + Send + Sync + 'static,
    {
        self.with_bucket_assigner(FunctionBucketAssigner(bucket))
    }

    /// When a file is finished and the next one begun; default: [`DefaultRollingPolicy::default`].
    #[must_use]
    pub fn with_rolling_policy<R: RollingPolicy<In>>(self, policy: R) -> FileSink<In, F, B, R> {
        FileSink {
            directory: self.directory,
            format: self.format,
            buckets: self.buckets,
            policy,
            names: self.names,
            input: PhantomData,
        }
    }

    /// Beginning of the names of the files; default: `part`. It must not end with a number.
    #[must_use]
    pub fn with_part_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.names.prefix);
        self
    }

    /// End of the names of the files, such as `.csv`; default: none.
    #[must_use]
    pub fn with_part_suffix(mut self, suffix: &str) -> Self {
        suffix.clone_into(&mut self.names.suffix);
        self
    }

    fn output(&self, context: &CommitterContext) -> Output {
        Output {
            directory: directory(context.prepared()),
            names: self.names.clone(),
            operator: context.operator(),
        }
    }
}

fn directory(prepared: &[u8]) -> String {
    String::from_utf8_lossy(prepared).into_owned()
}

impl<In, F, B, P> Sink<In> for FileSink<In, F, B, P>
where
    In: Record,
    F: RecordFormat<In>,
    B: BucketAssigner<In>,
    P: RollingPolicy<In>,
{
    type Writer = FileSinkWriter<In, F, B, P>;

    fn prepare(&self, context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        self.names.check()?;
        self.buckets
            .check()
            .map_err(|why| TaskError::user(format!("output '{}': {why}", self.directory)))?;
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

    fn create_writer(&self, context: &SinkContext) -> Result<Self::Writer, TaskError> {
        if context.prepared().is_empty() {
            return Err(TaskError::fatal(
                "the output directory was not fixed at submission",
            ));
        }
        let settings = Settings {
            format: self.format.clone(),
            buckets: self.buckets.clone(),
            policy: self.policy.clone(),
            names: self.names.clone(),
        };
        let directory = directory(context.prepared());
        Ok(FileSinkWriter::new(directory, settings, context))
    }

    fn create_committer(
        &self,
        context: &CommitterContext,
    ) -> Result<Option<Box<dyn Committer<PartFile>>>, TaskError> {
        let (output, context) = (self.output(context), context.clone());
        Ok(Some(Box::new(move |parts: Vec<PartFile>| {
            context.block_on(output.commit(context.files(), context.stage(), parts))
        })))
    }

    fn abandon(&self, context: &CommitterContext) -> Result<(), TaskError> {
        context.block_on(self.output(context).abandon(context.files()))
    }
}
