//! The source that reads files.

use std::time::Duration;

use flott_operators::TaskError;
use flott_operators::source::{
    Boundedness, EnumeratorContext, ReaderContext, Source, SubmissionContext,
};
use flott_record::Record;

use super::format::{CsvFormat, FileFormat, Framing, JsonLinesFormat, TextFormat};
use super::reader::FileReader;
use super::split::{FileEnumerator, FileEnumeratorCheckpoint, FileSplit, Search, check_input};

/// Reads the records of a file, of all files below a directory, or of all that match a glob, on any
/// file system (`hdfs://…`, `file:///…`; without scheme: the default one). Hidden files (`.x`, `_x`)
/// are skipped. Large files are split by blocks where their format allows it.
///
/// ```
/// use std::time::Duration;
/// # use flott_connectors::file::FileSource;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Sale { article: String, cents: u64 }
///
/// let lines = FileSource::text("/data/text");
/// let sales = FileSource::csv::<Sale>("/data/sales/*.csv");
/// let growing = FileSource::json_lines::<Sale>("/data/incoming")
///     .monitor_continuously(Duration::from_secs(10));
/// # let _ = (lines, sales, growing);
/// ```
#[derive(Debug, Clone)]
pub struct FileSource<F> {
    uri: String,
    format: F,
    recursive: bool,
    interval: Option<Duration>,
}

impl FileSource<TextFormat> {
    /// Lines of text.
    pub fn text(uri: &str) -> Self {
        Self::new(uri, TextFormat)
    }

    /// Comma-separated values with a header line; for others, [`FileSource::new`] with a
    /// [`CsvFormat`].
    pub fn csv<T: Record>(uri: &str) -> FileSource<CsvFormat<T>> {
        FileSource::new(uri, CsvFormat::new())
    }

    /// A JSON value in each line.
    pub fn json_lines<T: Record>(uri: &str) -> FileSource<JsonLinesFormat<T>> {
        FileSource::new(uri, JsonLinesFormat::default())
    }
}

impl<F: FileFormat> FileSource<F> {
    /// Files of that format.
    pub fn new(uri: &str, format: F) -> Self {
        Self {
            uri: uri.to_owned(),
            format,
            recursive: true,
            interval: None,
        }
    }

    /// Only files directly in the directory.
    #[must_use]
    pub fn not_recursive(mut self) -> Self {
        self.recursive = false;
        self
    }

    /// Looks for new files again and again: the source never ends. A file is known by its name and
    /// read once, as long as it was when it was found; so files should appear complete, by a rename
    /// or under a hidden name first.
    #[must_use]
    pub fn monitor_continuously(mut self, interval: Duration) -> Self {
        self.interval = Some(interval.max(Duration::from_millis(1)));
        self
    }

    fn enumerator(&self, context: &EnumeratorContext) -> FileEnumerator {
        let prepared = String::from_utf8_lossy(context.prepared());
        let uri = if prepared.is_empty() {
            self.uri.clone()
        } else {
            prepared.into_owned()
        };
        let search = Search {
            splittable: self.format.framing() == Framing::Lines && !self.format.has_header(),
            recursive: self.recursive,
            interval: self.interval,
        };
        FileEnumerator::new(uri, search, context)
    }
}

impl<F: FileFormat> Source for FileSource<F> {
    type Out = F::Out;
    type Split = FileSplit;
    type Enumerator = FileEnumerator;
    type Reader = FileReader<F>;

    fn boundedness(&self) -> Boundedness {
        match self.interval {
            None => Boundedness::Bounded,
            Some(_) => Boundedness::ContinuousUnbounded,
        }
    }

    fn prepare(&self, context: &SubmissionContext) -> Result<Vec<u8>, TaskError> {
        let checked = check_input(context.files(), &self.uri, self.recursive);
        context.block_on(checked).map(String::into_bytes)
    }

    fn create_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(self.enumerator(context))
    }

    fn restore_enumerator(
        &self,
        context: &EnumeratorContext,
        checkpoint: FileEnumeratorCheckpoint,
    ) -> Result<Self::Enumerator, TaskError> {
        Ok(self.enumerator(context).restored(checkpoint))
    }

    fn create_reader(&self, context: &ReaderContext) -> Result<Self::Reader, TaskError> {
        Ok(FileReader::new(self.format.clone(), context.clone()))
    }
}
