//! The full name of a metric, for reporters that put all metrics of a cluster into one place.

use std::collections::BTreeMap;

use crate::name::filter_name;

/// What the variables of a [`ScopeFormat`] stand for, by name without the angle brackets: `host`, `tm_id`, `job_name`,
/// `job_id`, `task_name`, `operator_name`, `subtask_index`, …
pub type ScopeVariables = BTreeMap<String, String>;

/// How a scope is written: text with variables in angle brackets, as in Flink's `metrics.scope.*`.
///
/// ```
/// use flott_metrics::{ScopeFormat, ScopeVariables};
///
/// let mut variables = ScopeVariables::new();
/// variables.insert("host".into(), "node1".into());
/// variables.insert("operator_name".into(), "Source: clicks".into());
/// let format = ScopeFormat::new("<host>.<operator_name>.<unknown>");
/// assert_eq!(format.render(&variables), "node1.Source__clicks.<unknown>");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeFormat(String);

impl ScopeFormat {
    /// Flink's default of `metrics.scope.task`.
    pub const TASK: &str = "<host>.taskmanager.<tm_id>.<job_name>.<task_name>.<subtask_index>";
    /// Flink's default of `metrics.scope.operator`.
    pub const OPERATOR: &str =
        "<host>.taskmanager.<tm_id>.<job_name>.<operator_name>.<subtask_index>";

    /// A format. Parts are separated by dots.
    pub fn new(format: &str) -> Self {
        Self(format.to_owned())
    }

    /// The scope, with each known variable replaced; unknown ones stay as they are, for everybody to see.
    pub fn render(&self, variables: &ScopeVariables) -> String {
        let part = |part: &str| {
            let name = part
                .strip_prefix('<')
                .and_then(|rest| rest.strip_suffix('>'));
            match name.and_then(|name| variables.get(name)) {
                Some(value) => filter_name(value),
                None => part.to_owned(),
            }
        };
        let parts: Vec<String> = self.0.split('.').map(part).collect();
        parts.join(".")
    }
}
