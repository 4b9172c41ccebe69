//! Snapshots of whole operators: written, read back, spread over other numbers of subtasks, damaged.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod damage;
mod evolution;
mod frozen;
mod memory;
mod rescale;
mod round_trip;
mod select;

use flott_state::{
    Compression, OperatorSnapshot, RestorePlace, RestoredOperator, StateBlob, StateError,
};

/// The two blobs of one subtask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Blobs {
    pub(crate) keyed: Vec<u8>,
    pub(crate) operator: Vec<u8>,
}

pub(crate) fn encode(snapshot: &OperatorSnapshot) -> Blobs {
    encode_with(snapshot, Compression::None)
}

pub(crate) fn encode_with(snapshot: &OperatorSnapshot, compression: Compression) -> Blobs {
    let mut blobs = Blobs::default();
    let encoded = snapshot
        .encode(compression, &mut blobs.keyed, &mut blobs.operator)
        .unwrap();
    assert_eq!(encoded.keyed_bytes, blobs.keyed.len() as u64);
    assert_eq!(encoded.operator_bytes, blobs.operator.len() as u64);
    blobs
}

/// The blobs of all old subtasks, as one new subtask of `parallelism` gets them.
pub(crate) fn open(
    blobs: &[Blobs],
    (subtask, parallelism, max_parallelism): (u32, u32, u32),
) -> Result<RestoredOperator, StateError> {
    let boxed = |bytes: &Vec<u8>| Box::new(bytes.clone()) as Box<dyn StateBlob>;
    let old = u32::try_from(blobs.len()).unwrap();
    RestoredOperator::open(
        RestorePlace::new(subtask, parallelism, max_parallelism, old),
        blobs.iter().map(|blobs| boxed(&blobs.keyed)).collect(),
        (0..)
            .zip(blobs.iter().map(|blobs| boxed(&blobs.operator)))
            .collect(),
    )
}

/// Restored by the only subtask from the only subtask.
pub(crate) fn reopen(blobs: &Blobs) -> RestoredOperator {
    open(std::slice::from_ref(blobs), (0, 1, 128)).unwrap()
}
