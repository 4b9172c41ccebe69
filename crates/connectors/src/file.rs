//! Files on any file system: a source split by blocks, a sink whose files appear when the job is
//! done.

mod bucket;
mod commit;
mod encode;
mod fetch;
mod format;
mod reader;
mod rolling;
mod sink;
mod source;
mod split;
mod writer;

pub use bucket::{BucketContext, DateTimeBuckets};
pub use commit::{SubmissionStage, abandon_output, clean_directory, committer, prepare_output};
pub use encode::{
    CsvEncoder, CsvEncoding, JsonLinesEncoder, JsonLinesEncoding, RecordEncoder, RecordFormat,
    TextEncoder, TextEncoding,
};
pub use format::{
    BlockDecoder, CsvDecoder, CsvFormat, FileFormat, Framing, JsonLinesFormat, LineDecoder,
    TextFormat,
};
pub use reader::FileReader;
pub use rolling::{FinishedFile, RollingPolicy, RollingWriter};
pub use sink::FileSink;
pub use source::FileSource;
pub use split::{FileEnumerator, FileEnumeratorCheckpoint, FileSplit};
pub use writer::TextWriter;

#[cfg(test)]
mod tests;
