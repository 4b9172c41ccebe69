//! Side outputs: further streams of one operator.

use flott_operators::OutputTag;
use flott_record::Record;

use crate::stream::DataStream;

impl<T: Record> DataStream<T> {
    /// The records that the operator which made this stream emitted under that tag (with
    /// `cx.output`, or as late records). Use one tag, or clones of it, for writing and for reading.
    ///
    /// Side outputs are also how a stream is split: one operator, one stream for each kind of record.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let odd = OutputTag::<i64>::new("odd");
    /// let tag = odd.clone();
    /// let even = env.from_sequence(1, 10).process_fn(move |n, cx, out| {
    ///     if n % 2 == 0 {
    ///         out.collect(n);
    ///     } else {
    ///         cx.output(&tag, n);
    ///     }
    ///     Ok(())
    /// });
    /// even.get_side_output(&odd).map(|n| format!("{n} is odd")).print();
    /// even.map(|n| format!("{n} is even")).print();
    /// # env.execute("split")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_side_output<U: Record>(&self, tag: &OutputTag<U>) -> DataStream<U> {
        self.side_output(tag)
    }
}
