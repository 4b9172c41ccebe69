//! Event time in the middle of a stream.

use flott_operators::pipe::Pipe;
use flott_operators::time::{AssignTimestamps, WatermarkStrategy};
use flott_record::Record;

use crate::graph::OperatorInfo;
use crate::stream::DataStream;

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Gives the records event times and makes watermarks of them, as the strategy says. Watermarks
    /// that come from before this operator are dropped, except the one at the end of the input. The
    /// operator has as many subtasks as the stream, each with a watermark of its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(2))
    ///     .with_timestamp_assigner(|(at_ms, _): &(i64, String), _| *at_ms);
    /// env.from_collection([(1_000, "a".to_owned()), (500, "b".to_owned())])
    ///     .assign_timestamps_and_watermarks(strategy)
    ///     .print_debug();
    /// # env.execute("assign_timestamps_and_watermarks")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn assign_timestamps_and_watermarks(self, strategy: WatermarkStrategy<T>) -> DataStream<T> {
        let interval = self.env.auto_watermark_interval_ms();
        let operator = OperatorInfo::new("Timestamps/Watermarks");
        self.transform(operator, move |context, output| {
            let operator = AssignTimestamps::new(strategy.clone(), interval, output, context);
            Ok(Box::new(operator))
        })
    }
}
