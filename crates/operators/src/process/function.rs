//! What functions return.

use std::error::Error;

use crate::TaskError;

/// Any error of the user's code: `?` makes one of every error type, `"text".into()` of a text.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What functions return. An error fails the task: the job restarts or fails, with a message that
/// names operator, subtask and record (or timer).
pub type FunctionResult<T = ()> = Result<T, BoxError>;

/// The failure of a task by the user's error, whose causes are told too.
#[cold]
pub(crate) fn user_error(error: &(dyn Error + 'static)) -> TaskError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Some errors repeat their cause in their own text.
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = inner.source();
    }
    TaskError::user(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the order cannot be read")]
    struct Unreadable(#[source] std::num::ParseIntError);

    #[test]
    fn causes_are_told_once() {
        let cause = "x".parse::<i32>().unwrap_err();
        let error = user_error(&Unreadable(cause));
        assert_eq!(
            error.message,
            "the order cannot be read: invalid digit found in string"
        );
    }
}
