//! Permissions to talk to NodeManagers: arrive with heartbeats, are used by whoever starts containers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::types::NodeId;
use crate::token::Token;

/// Shared, cloneable cache. The ResourceManager sends a node's token only once per attempt, so none is dropped.
#[derive(Debug, Clone, Default)]
pub struct NmTokens {
    /// A std lock: held only to look up or insert, never across an await.
    tokens: Arc<RwLock<BTreeMap<NodeId, Token>>>,
}

impl NmTokens {
    /// The newest token for a node.
    pub fn get(&self, node: &NodeId) -> Option<Token> {
        self.tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(node)
            .cloned()
    }

    /// Adds tokens, replacing older ones of the same nodes.
    pub fn extend(&self, tokens: &[(NodeId, Token)]) {
        self.tokens
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(tokens.iter().cloned());
    }
}
