//! What the slot sharing groups of a job ask for.

use std::collections::BTreeSet;

use super::{GraphError, JobGraph};
use crate::{ResourceProfile, VertexId};

impl JobGraph {
    /// What each slot of a group must offer; `None`: whatever a slot of default size does.
    pub fn resources_of(&self, group: &str) -> Option<ResourceProfile> {
        let mut groups = self.group_resources.iter();
        groups
            .find(|known| known.group == group)
            .map(|known| known.profile)
    }

    /// What each slot of a vertex's group must offer; `None` also if there is no such vertex.
    pub fn resources_at(&self, vertex: VertexId) -> Option<ResourceProfile> {
        let vertex = self.vertices.get(vertex.0 as usize)?;
        self.resources_of(&vertex.slot_sharing_group)
    }

    pub(super) fn validate_resources(&self) -> Result<(), GraphError> {
        let vertices = self.vertices.iter();
        let used: BTreeSet<&str> = vertices
            .map(|vertex| vertex.slot_sharing_group.as_str())
            .collect();
        let mut seen = BTreeSet::new();
        for resources in &self.group_resources {
            let group = resources.group.as_str();
            let defect = if !seen.insert(group) {
                Some("its resources are given twice")
            } else if !used.contains(group) {
                Some("no vertex is in it")
            } else {
                resources.profile.defect()
            };
            if let Some(defect) = defect {
                let group = group.to_owned();
                return Err(GraphError::Resources { group, defect });
            }
        }
        Ok(())
    }

    /// The first group that asks for something else than it did.
    pub(super) fn resource_difference(&self, submitted: &Self) -> Option<String> {
        let groups = self
            .group_resources
            .iter()
            .chain(&submitted.group_resources);
        let shown = |profile: Option<ResourceProfile>| {
            profile.map_or("nothing".to_owned(), |profile| format!("({profile})"))
        };
        for group in groups.map(|resources| resources.group.as_str()) {
            let (here, there) = (self.resources_of(group), submitted.resources_of(group));
            if here != there {
                return Some(format!(
                    "slot sharing group '{group}' asks for {}, {} was submitted",
                    shown(here),
                    shown(there)
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::graph;
    use super::*;
    use crate::GroupResources;

    fn asking(group: &str, heap: u64) -> GroupResources {
        GroupResources {
            group: group.to_owned(),
            profile: ResourceProfile {
                cpu_millicores: 500,
                task_heap_bytes: heap,
                ..ResourceProfile::default()
            },
        }
    }

    #[test]
    fn resources_belong_to_a_group_and_so_to_its_vertices() {
        let mut graph = graph();
        graph.vertices[1].slot_sharing_group = "big".to_owned();
        graph.group_resources = vec![asking("big", 1 << 30)];
        graph.validate().unwrap();
        let profile = graph.resources_of("big").unwrap();
        assert_eq!(graph.resources_at(VertexId(1)), Some(profile));
        assert_eq!(graph.resources_at(VertexId(0)), None);
        assert_eq!(graph.resources_at(VertexId(9)), None);
        assert_eq!(graph.resources_of("default"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (groups, expected) in [
            (vec![asking("default", 0)], "task heap memory"),
            (vec![asking("nobody's", 1)], "no vertex is in it"),
            (
                vec![asking("default", 1), asking("default", 1)],
                "given twice",
            ),
        ] {
            let mut graph = graph();
            graph.group_resources = groups;
            let message = graph.validate().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn another_profile_is_another_graph() {
        let mut submitted = graph();
        submitted.group_resources = vec![asking("default", 1 << 20)];
        for (groups, expected) in [
            (
                vec![asking("default", 1 << 21)],
                "'default' asks for (0.5 cores, 2 MiB task heap), (0.5 cores, 1 MiB task heap) was",
            ),
            (
                vec![],
                "'default' asks for nothing, (0.5 cores, 1 MiB task heap) was",
            ),
        ] {
            let mut here = graph();
            here.group_resources = groups;
            assert_ne!(here.fingerprint(), submitted.fingerprint());
            let difference = here.first_difference(&submitted).unwrap();
            assert!(difference.contains(expected), "{difference}");
        }
        assert_eq!(submitted.first_difference(&submitted.clone()), None);
    }
}
