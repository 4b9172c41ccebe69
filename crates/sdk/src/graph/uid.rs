//! Stable identities of operators: given by the user, or derived from what feeds them.

use std::collections::BTreeMap;

use flott_model::OperatorUid;

use super::OperatorInfo;

/// Gives out uids in order of the program.
#[derive(Default)]
pub(super) struct Uids {
    seen: BTreeMap<(Vec<OperatorUid>, &'static str), u32>,
}

impl Uids {
    /// The uid of an operator that is fed by `upstream`.
    pub(super) fn next(
        &mut self,
        upstream: &[OperatorUid],
        operator: &OperatorInfo,
    ) -> OperatorUid {
        let position = self
            .seen
            .entry((upstream.to_vec(), operator.kind))
            .or_default();
        let generated = OperatorUid::generated(upstream, operator.kind, *position);
        *position += 1;
        operator
            .uid
            .as_deref()
            .map_or(generated, OperatorUid::explicit)
    }
}
