//! Which channels this worker receives, and which were opened before it knew.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::NetworkError;
use super::error::ChannelName;
use super::inbound::{InChannel, InLink};
use crate::ChannelId;

/// Channels per link that may wait for their receiver.
const MAX_PARKED: usize = 1 << 16;
/// How many closed channels are remembered, to refuse those that come late.
const MAX_CLOSED: usize = 1 << 14;

#[derive(Default)]
pub(super) struct Registry {
    // A mutex: held while a channel is opened or closed. Order of locks: registry, channel or link.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    receivers: HashMap<ChannelId, Arc<InChannel>>,
    parked: HashMap<ChannelId, (Arc<InLink>, u32)>,
    closed: HashSet<ChannelId>,
    closed_in_order: VecDeque<ChannelId>,
}

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }

    /// Makes a receiver known, and connects it if its sender was here first.
    pub(super) fn register(&self, channel: &Arc<InChannel>) -> Result<(), NetworkError> {
        let mut state = self.state();
        let id = channel.id;
        if state.receivers.contains_key(&id) || state.closed.contains(&id) {
            return Err(NetworkError::AlreadyRegistered {
                channel: ChannelName(id),
            });
        }
        state.receivers.insert(id, Arc::clone(channel));
        if let Some((link, number)) = state.parked.remove(&id) {
            channel.attach(&link, number);
        }
        Ok(())
    }

    /// A sender opens a channel. The error is the reason to refuse it.
    pub(super) fn open(
        &self,
        link: &Arc<InLink>,
        number: u32,
        id: ChannelId,
    ) -> Result<(), &'static str> {
        let mut state = self.state();
        if state.closed.contains(&id) {
            return Err("its receiver is gone");
        }
        if let Some(channel) = state.receivers.get(&id) {
            return if channel.attach(link, number) {
                Ok(())
            } else {
                Err("it has a sender already")
            };
        }
        if state.parked.contains_key(&id) {
            return Err("it is open already");
        }
        if !link.park(number, id, MAX_PARKED) {
            return Err("too many channels wait for their receivers");
        }
        state.parked.insert(id, (Arc::clone(link), number));
        Ok(())
    }

    /// Channels of the link that got no receiver are not open any more.
    pub(super) fn unpark(&self, link: &InLink, ids: impl IntoIterator<Item = ChannelId>) {
        let mut state = self.state();
        for id in ids {
            let same = |entry: &(Arc<InLink>, u32)| std::ptr::eq(Arc::as_ptr(&entry.0), link);
            if state.parked.get(&id).is_some_and(same) {
                state.parked.remove(&id);
            }
        }
    }

    /// A receiver is gone: late frames and late openings of its channel find nothing.
    pub(super) fn close(&self, channel: &Arc<InChannel>) {
        let mut state = self.state();
        let same = |known: &Arc<InChannel>| Arc::ptr_eq(known, channel);
        if !state.receivers.get(&channel.id).is_some_and(same) {
            return;
        }
        state.receivers.remove(&channel.id);
        state.closed.insert(channel.id);
        state.closed_in_order.push_back(channel.id);
        if state.closed_in_order.len() > MAX_CLOSED
            && let Some(oldest) = state.closed_in_order.pop_front()
        {
            state.closed.remove(&oldest);
        }
    }

    /// Fails every receiver: the network is shut down.
    pub(super) fn fail(&self, error: &NetworkError) {
        let receivers: Vec<_> = self.state().receivers.values().cloned().collect();
        for channel in receivers {
            channel.fail(error);
        }
    }
}
