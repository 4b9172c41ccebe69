//! From what was on its way in channels to bytes in the file of a checkpoint, or in a message if they
//! are few.

use std::sync::Arc;

use flott_model::{ChannelState, StateHandle};
use flott_operators::TaskError;
use flott_operators::checkpoint::{ChannelEnd, InFlight};

use super::upload::Target;
use super::write::{StateFile, place};

/// Stores what was on its way at the ends of one task. All of it together stays in memory if it is
/// small: a task may have many channels.
pub(super) async fn store(
    in_flight: Vec<InFlight>,
    target: &Target,
    file: &mut StateFile,
) -> Result<Vec<ChannelState>, TaskError> {
    if in_flight.is_empty() {
        return Ok(Vec::new());
    }
    let edges = Arc::clone(&target.edges);
    let schema = move |end: ChannelEnd| edges.get(end.edge.0 as usize).map_or(0, |it| it.schema);
    let encoding = tokio::task::spawn_blocking(move || {
        let encoded = in_flight.into_iter().map(|one| {
            let blob = one.encode(schema(one.channel))?;
            Ok((one.channel, blob))
        });
        encoded.collect::<Result<Vec<_>, TaskError>>()
    });
    let encoded = encoding.await.unwrap_or_else(|error| {
        let message = format!("the encoding of records on their way panicked: {error}");
        Err(TaskError::fatal(message))
    })?;
    let all: usize = encoded.iter().map(|(_, blob)| blob.len()).sum();
    let inline = match target.directory {
        Some(_) if all > target.inline => 0,
        _ => usize::MAX,
    };
    let mut states = Vec::with_capacity(encoded.len());
    for (end, blob) in encoded {
        let state = place(blob, inline, file).await?;
        states.push(described(end, state, target));
    }
    Ok(states)
}

fn described(end: ChannelEnd, state: Option<StateHandle>, target: &Target) -> ChannelState {
    let edge = target.edges.get(end.edge.0 as usize);
    ChannelState {
        edge: edge.map(|edge| edge.name.clone()),
        peer: end.peer,
        received: end.receives,
        ship: edge.map_or(0, |edge| edge.ship),
        state,
    }
}
