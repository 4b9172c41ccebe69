//! Text files on any file system: a source split by blocks, a sink whose files appear when the job
//! is done.

mod commit;
mod fetch;
mod reader;
mod split;
mod writer;

pub use commit::{SubmissionStage, abandon_output, clean_directory, committer, prepare_output};
pub use reader::TextReader;
pub use split::{FileSplit, FileSplits, enumerate_splits};
pub use writer::TextWriter;

#[cfg(test)]
mod tests;
