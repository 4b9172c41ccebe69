//! Asynchronous functions on streams.

use std::future::Future;

use flott_operators::asynchronous::{AsyncFn, AsyncFunction, AsyncOptions, AsyncOrder, async_wait};
use flott_operators::pipe::Pipe;
use flott_operators::process::BoxError;
use flott_record::Record;

use crate::graph::OperatorInfo;
use crate::stream::DataStream;

/// Applies asynchronous functions to streams.
///
/// ```
/// # use flott::prelude::*;
/// # use std::time::Duration;
/// #[derive(Clone)]
/// struct Lookup;
///
/// impl AsyncFunction<u64> for Lookup {
///     type Out = String;
///
///     async fn async_invoke(&self, id: u64) -> FunctionResult<Vec<String>> {
///         // Here a database would be asked.
///         Ok(vec![format!("user {id}")])
///     }
///
///     fn timeout(&self, id: u64) -> FunctionResult<Vec<String>> {
///         Ok(vec![format!("user {id}, whose name takes too long")])
///     }
/// }
///
/// # fn main() -> Result<(), flott::Error> {
/// # let env = StreamExecutionEnvironment::get()?;
/// let ids = env.from_collection([1_u64, 2, 3]);
/// let options = AsyncOptions::new(Duration::from_secs(5)).capacity(20);
/// AsyncDataStream::ordered_wait(ids, Lookup, options).print();
/// # env.execute("async")?;
/// # Ok(())
/// # }
/// ```
pub struct AsyncDataStream(());

impl AsyncDataStream {
    /// Emits results in the order of the records. See [`AsyncDataStream`] for an example.
    pub fn ordered_wait<T, H, P, F>(
        stream: DataStream<T, H, P>,
        function: F,
        options: AsyncOptions<F::Out>,
    ) -> DataStream<F::Out>
    where
        T: Record,
        H: Record,
        P: Pipe<H, Out = T>,
        F: AsyncFunction<T>,
    {
        wait(stream, function, AsyncOrder::Ordered, options)
    }

    /// Emits results as they come: faster when some calls take much longer than others. Results do
    /// not cross watermarks, so what is computed of them by event time does not change.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # #[derive(Clone)]
    /// # struct Lookup;
    /// # impl AsyncFunction<u64> for Lookup {
    /// #     type Out = String;
    /// #     async fn async_invoke(&self, id: u64) -> FunctionResult<Vec<String>> {
    /// #         Ok(vec![format!("user {id}")])
    /// #     }
    /// # }
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// let ids = env.from_collection([1_u64, 2, 3]);
    /// let retry = AsyncRetryStrategy::fixed_delay(3, Duration::from_millis(100));
    /// let options = AsyncOptions::new(Duration::from_secs(5)).retry(retry);
    /// AsyncDataStream::unordered_wait(ids, Lookup, options).print();
    /// # env.execute("async")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn unordered_wait<T, H, P, F>(
        stream: DataStream<T, H, P>,
        function: F,
        options: AsyncOptions<F::Out>,
    ) -> DataStream<F::Out>
    where
        T: Record,
        H: Record,
        P: Pipe<H, Out = T>,
        F: AsyncFunction<T>,
    {
        wait(stream, function, AsyncOrder::Unordered, options)
    }
}

fn wait<T, H, P, F>(
    stream: DataStream<T, H, P>,
    function: F,
    order: AsyncOrder,
    options: AsyncOptions<F::Out>,
) -> DataStream<F::Out>
where
    T: Record,
    H: Record,
    P: Pipe<H, Out = T>,
    F: AsyncFunction<T>,
{
    stream.transform(OperatorInfo::new("Async Wait"), move |context, output| {
        let (function, options) = (function.clone(), options.clone());
        Ok(async_wait(function, order, options, context, output))
    })
}

impl<T: Record, H: Record, P: Pipe<H, Out = T>> DataStream<T, H, P> {
    /// Maps each record by a future; results are in the order of the records. An error of the
    /// future, or a call that takes longer than the options say, fails the task.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3)
    ///     .async_map_ordered(
    ///         |n| async move { Ok::<_, std::io::Error>(n * n) },
    ///         AsyncOptions::new(Duration::from_secs(1)),
    ///     )
    ///     .print();
    /// # env.execute("async map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_map_ordered<U, E, F, Fut>(
        self,
        function: F,
        options: AsyncOptions<U>,
    ) -> DataStream<U>
    where
        U: Record,
        E: Into<BoxError>,
        F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send,
    {
        wait(self, AsyncFn::new(function), AsyncOrder::Ordered, options)
    }

    /// Maps each record by a future; results are emitted as they come, but do not cross watermarks.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), flott::Error> {
    /// # let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3)
    ///     .async_map_unordered(
    ///         |n| async move { Ok::<_, std::io::Error>(n * n) },
    ///         AsyncOptions::new(Duration::from_secs(1)).capacity(2),
    ///     )
    ///     .print();
    /// # env.execute("async map")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_map_unordered<U, E, F, Fut>(
        self,
        function: F,
        options: AsyncOptions<U>,
    ) -> DataStream<U>
    where
        U: Record,
        E: Into<BoxError>,
        F: Fn(T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<U, E>> + Send,
    {
        wait(self, AsyncFn::new(function), AsyncOrder::Unordered, options)
    }
}
