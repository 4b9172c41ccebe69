//! Asynchronous functions: many calls to the outside world are under way at once, and the task
//! waits for none of them.

mod call;
mod function;
mod operator;
mod retry;

pub use function::{AsyncFn, AsyncFunction, AsyncOptions};
pub use operator::{AsyncOrder, async_wait};
pub use retry::AsyncRetryStrategy;

#[cfg(test)]
mod tests;
