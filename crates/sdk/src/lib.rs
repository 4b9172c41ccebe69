//! Flott's DataStream API: typed streams on Hadoop YARN, in one executable that plays every role.
//!
//! ```no_run
//! use flott::prelude::*;
//!
//! fn main() -> Result<(), flott::Error> {
//!     let env = StreamExecutionEnvironment::get()?;
//!     env.read_text_file("hdfs:///data/text")
//!         .flat_map(|line: String| flott::text::words(line).map(|word| (word, 1_u64)))
//!         .key_by_ref(|(word, _)| word)
//!         .sum(|(_, count)| count)
//!         .write_text("hdfs:///out/wordcount", |(word, count), line| {
//!             line.push_str(word);
//!             line.push(' ');
//!             line.push_str(&count.to_string());
//!         });
//!     env.execute("WordCount")?;
//!     Ok(())
//! }
//! ```
//!
//! `main()` runs wherever the job runs: at the client or in the appmaster to build the graph, and
//! again in every worker to find the code. What it reads outside (clock, environment, files) must
//! be the same everywhere: take it through [`StreamExecutionEnvironment::once`].

#![warn(missing_docs)]

mod environment;
mod error;
mod execute;
mod graph;
mod stream;
pub mod text;

pub use environment::StreamExecutionEnvironment;
pub use error::Error;
pub use execute::JobExecutionResult;
pub use flott_operators::pipe::Emitter;
pub use flott_operators::{Collector, OutputTag};
pub use flott_protocol::environment::Role;
pub use flott_record::{Data, Key, Record, Str};
pub use flott_state::AggregateFunction;
pub use stream::{DataStream, DataStreamSink, KeyedStream};

/// What most programs need.
pub mod prelude {
    pub use crate::{
        AggregateFunction, Collector, DataStream, DataStreamSink, Emitter, JobExecutionResult, KeyedStream, OutputTag, Str,
        StreamExecutionEnvironment,
    };
}
