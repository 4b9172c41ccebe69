//! Files on any file system: a source split by blocks, a sink whose files appear when the job is
//! done.

mod bucket;
mod commit;
mod encode;
mod fetch;
mod format;
mod part;
mod reader;
mod rolling;
mod sink;
mod source;
mod split;
mod upload;
mod writer;

pub use bucket::{
    BasePathBucketAssigner, BucketAssigner, DateTimeBucketAssigner, FunctionBucketAssigner,
};
pub use commit::{SubmissionStage, prepare_output};
pub use encode::{
    CsvEncoder, CsvEncoding, JsonLinesEncoder, JsonLinesEncoding, RecordEncoder, RecordFormat,
    TextEncoder, TextEncoding,
};
pub use format::{
    BlockDecoder, CsvDecoder, CsvFormat, FileFormat, Framing, JsonLinesFormat, LineDecoder,
    TextFormat,
};
pub use part::PartFile;
pub use reader::FileReader;
pub use rolling::{DefaultRollingPolicy, PartInfo, RollingPolicy};
pub use sink::FileSink;
pub use source::FileSource;
pub use split::{FileEnumerator, FileEnumeratorCheckpoint, FileSplit};
pub use writer::FileSinkWriter;

#[cfg(test)]
mod tests;
