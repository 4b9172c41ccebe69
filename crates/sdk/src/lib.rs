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

pub mod accumulators;
mod client;
mod collect;
mod environment;
mod error;
mod execute;
mod graph;
pub mod metrics;
pub mod sink;
mod slot_sharing;
pub mod source;
pub mod state;
mod stream;
pub mod text;
pub mod time;

pub use client::{JobAccumulators, JobClient};
pub use collect::CollectedRecords;
pub use environment::StreamExecutionEnvironment;
pub use error::Error;
pub use execute::JobExecutionResult;
pub use flott_config::{MemorySize, RuntimeExecutionMode};
pub use flott_filesystem::FileSystems;
pub use flott_model::{JobId, JobStatus};
pub use flott_operators::asynchronous::{AsyncFunction, AsyncOptions, AsyncRetryStrategy};
pub use flott_operators::join::{JoinContext, ProcessJoinFunction};
pub use flott_operators::pipe::Emitter;
pub use flott_operators::process::{
    BoxError, BroadcastContext, BroadcastProcessFunction, CoProcessFunction, FunctionResult,
    KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedCoProcessFunction, KeyedContext,
    KeyedProcessFunction, KeyedReadOnlyContext, KeyedRuntimeContext, KeyedStateKeys,
    ProcessContext, ProcessFunction, ReadOnlyContext, RuntimeContext, TimerService,
};
pub use flott_operators::{Collector, OutputTag, TaskError};
pub use flott_protocol::environment::Role;
pub use flott_record::{Data, Key, Record, Str};
pub use flott_state::AggregateFunction;
pub use slot_sharing::{SlotSharingGroup, SlotSharingGroupBuilder};
pub use stream::{
    AsyncDataStream, BoundedIntervalJoined, BroadcastConnectedStream, BroadcastStream,
    ConnectedStreams, IntervalJoined, KeyedBroadcastConnectedStream, KeyedConnectedStreams,
};
pub use stream::{DataStream, DataStreamSink, KeyedStream};

pub mod window {
    //! Windows: assigners, triggers, evictors, functions over windows. A [`WindowedStream`] is made by
    //! [`KeyedStream::window`](crate::KeyedStream::window) and
    //! [`DataStream::window_all`](crate::DataStream::window_all).

    pub use flott_operators::window::{
        ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountEvictor, CountTrigger,
        DeltaEvictor, DeltaTrigger, Elements, EventTimeSessionWindows, EventTimeTrigger, Evictor,
        EvictorContext, GlobalWindow, GlobalWindows, Merge, NeverTrigger, NoEvictor,
        ProcessWindowFunction, ProcessingTimeSessionWindows, ProcessingTimeTrigger, PurgingTrigger,
        SlidingEventTimeWindows, SlidingProcessingTimeWindows, TaggedUnion, TimeEvictor,
        TimeWindow, Trigger, TriggerContext, TriggerResult, TumblingEventTimeWindows,
        TumblingProcessingTimeWindows, Window, WindowAssigner, WindowAssignerContext,
        WindowContext, WindowRuntimeContext,
    };

    pub use crate::stream::window::{
        AllKey, AllWindowedStream, CoGrouped, Joined, JoinedKeyed, JoinedStreams, JoinedWhere,
        JoinedWindows, WindowedStream,
    };
}

/// What most programs need.
pub mod prelude {
    pub use crate::{
        AsyncDataStream, AsyncFunction, AsyncOptions, AsyncRetryStrategy, BroadcastContext,
        BroadcastProcessFunction, CoProcessFunction, FunctionResult, JoinContext,
        KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedCoProcessFunction, KeyedContext,
        KeyedProcessFunction, KeyedReadOnlyContext, KeyedRuntimeContext, ProcessContext,
        ProcessFunction, ProcessJoinFunction, ReadOnlyContext, RuntimeContext,
    };
    // State and its descriptors.
    pub use crate::state::{
        AggregatingState, AggregatingStateDescriptor, BroadcastState, ListState,
        ListStateDescriptor, MapState, MapStateDescriptor, OperatorListState, ReducingState,
        ReducingStateDescriptor, StateTtlConfig, TimeDomain, ValueState, ValueStateDescriptor,
    };
    pub use crate::time::WatermarkStrategy;
    pub use crate::{
        AggregateFunction, Collector, DataStream, DataStreamSink, Emitter, JobExecutionResult,
        KeyedStream, OutputTag, RuntimeExecutionMode, Str, StreamExecutionEnvironment,
    };
}
