//! Files on any file system: a source split by blocks, a sink whose files appear when the job is
//! done.

mod commit;
mod fetch;
mod format;
mod reader;
mod source;
mod split;
mod writer;

pub use commit::{SubmissionStage, abandon_output, clean_directory, committer, prepare_output};
pub use format::{
    BlockDecoder, CsvDecoder, CsvFormat, FileFormat, Framing, JsonLinesFormat, LineDecoder,
    TextFormat,
};
pub use reader::FileReader;
pub use source::FileSource;
pub use split::{FileEnumerator, FileEnumeratorCheckpoint, FileSplit};
pub use writer::TextWriter;

#[cfg(test)]
mod tests;
