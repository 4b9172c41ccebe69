//! Spreads containers over nodes as far as that is quick: a scheduler that fills one node at its
//! heartbeat would put them all there. Pure: no clock, no calls.

use std::collections::BTreeMap;

use flott_hadoop::yarn::NodeId;

/// How many containers are held on each node.
#[derive(Debug, Default)]
pub(crate) struct Spread(BTreeMap<NodeId, u32>);

impl Spread {
    /// Whether to keep a new container on `node`; if so it counts as held.
    ///
    /// `total` containers are to be held in the end, on `nodes` NodeManagers. With `patience` a
    /// container above its node's fair share is given back, so that another node gets its turn.
    pub(crate) fn accept(&mut self, node: &NodeId, total: u32, nodes: u32, patience: bool) -> bool {
        let fair = total.div_ceil(nodes.max(1)).max(1);
        let held = self.0.get(node).copied().unwrap_or_default();
        let accepted = !patience || held < fair;
        if accepted {
            self.0.insert(node.clone(), held + 1);
        }
        accepted
    }

    /// A container on `node` ended.
    pub(crate) fn release(&mut self, node: &NodeId) {
        if let Some(held) = self.0.get_mut(node) {
            *held -= 1;
            if *held == 0 {
                self.0.remove(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> NodeId {
        NodeId {
            host: "h".to_owned(),
            port,
        }
    }

    #[test]
    fn each_node_gets_its_share_while_there_is_patience() {
        let mut spread = Spread::default();
        let mut accept = |port, patience| spread.accept(&node(port), 4, 3, patience);
        // Four containers on three nodes: two per node at most.
        assert!(accept(1, true) && accept(1, true));
        assert!(!accept(1, true));
        assert!(accept(2, true));
        assert!(accept(1, false), "without patience anything is taken");
    }

    #[test]
    fn what_ended_makes_room() {
        let mut spread = Spread::default();
        assert!(spread.accept(&node(1), 2, 2, true));
        assert!(!spread.accept(&node(1), 2, 2, true));
        spread.release(&node(1));
        assert!(spread.accept(&node(1), 2, 2, true));
        spread.release(&node(7));
        assert!(
            spread.accept(&node(7), 0, 0, true),
            "one container is always fair"
        );
    }
}
