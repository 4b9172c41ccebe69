//! Counts of tasks by state, and the one state that stands for several tasks.

use std::collections::BTreeMap;

use flott_model::ExecutionState;
use serde_json::{Map, Value, json};

/// Flink's states that Flott's tasks are never in, but answers name.
const RECONCILING: &str = "RECONCILING";

/// Every state with its count, zero included.
pub(crate) fn counts(states: &BTreeMap<ExecutionState, u32>) -> Map<String, Value> {
    let count = |state: &ExecutionState| states.get(state).copied().unwrap_or_default();
    let named = ExecutionState::ALL
        .iter()
        .map(|state| (state.as_str().to_owned(), count(state)));
    let all = named.chain([(RECONCILING.to_owned(), 0)]);
    all.map(|(name, count)| (name, json!(count))).collect()
}

/// The same as `/jobs/overview` spells it: lower case, with the total.
pub(crate) fn overview_counts(states: &BTreeMap<ExecutionState, u32>) -> Map<String, Value> {
    let total: u32 = states.values().sum();
    let mut lower: Map<String, Value> = counts(states)
        .into_iter()
        .map(|(name, count)| (name.to_lowercase(), count))
        .collect();
    lower.insert("total".to_owned(), json!(total));
    lower
}

/// The state of a vertex: the worst of its tasks', else the least advanced.
pub(crate) fn aggregate(states: impl Iterator<Item = ExecutionState>) -> ExecutionState {
    const WORST_FIRST: [ExecutionState; 3] = [
        ExecutionState::Failed,
        ExecutionState::Canceling,
        ExecutionState::Canceled,
    ];
    let states: Vec<ExecutionState> = states.collect();
    for worst in WORST_FIRST {
        if states.contains(&worst) {
            return worst;
        }
    }
    if states
        .iter()
        .all(|state| *state == ExecutionState::Finished)
        && !states.is_empty()
    {
        return ExecutionState::Finished;
    }
    let unfinished = states
        .iter()
        .filter(|state| **state != ExecutionState::Finished);
    // In order of declaration: Created, Scheduled, Deploying, Initializing, Running.
    unfinished.min().copied().unwrap_or(ExecutionState::Created)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vertex_is_as_its_tasks_are() {
        use ExecutionState::{Canceled, Created, Deploying, Failed, Finished, Running};
        for (states, expected) in [
            (vec![Running, Running], Running),
            (vec![Running, Finished], Running),
            (vec![Running, Deploying], Deploying),
            (vec![Canceled, Failed], Failed),
            (vec![Finished, Canceled], Canceled),
            (vec![Finished, Finished], Finished),
            (vec![], Created),
        ] {
            assert_eq!(
                aggregate(states.clone().into_iter()),
                expected,
                "{states:?}"
            );
        }
    }
}
