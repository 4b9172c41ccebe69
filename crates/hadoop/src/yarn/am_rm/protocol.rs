//! What an ApplicationMaster tells the ResourceManager and what it makes of the answers, without I/O: the next
//! request, the books of what the ResourceManager believes, and what to repeat after a failover.

use std::collections::{BTreeMap, BTreeSet};

use super::super::proto;
use super::super::types::{Container, ContainerId, ContainerStatus, Incomplete, NodeId, Resource};
use crate::token::Token;

/// Key of an ask; comes back in [`Container::allocation_request_id`] and survives attempts. Not negative.
pub type AllocationRequestId = i64;

/// Containers wanted under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Smaller numbers are more urgent.
    pub priority: i32,
    /// Size of each container.
    pub resource: Resource,
    /// Containers still wanted, not counting those allocated already.
    pub count: u32,
    /// Partition of the cluster.
    pub node_label: Option<String>,
}

/// Wishes at the time of a heartbeat. All are absolute: what is not there is not wanted any more.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AllocateInput {
    /// Containers wanted. Only differences are sent.
    pub asks: BTreeMap<AllocationRequestId, Ask>,
    /// Containers to give back; each need be named only once.
    pub releases: Vec<ContainerId>,
    /// Hosts to avoid.
    pub blacklist: BTreeSet<String>,
    /// From 0 to 1.
    pub progress: f32,
}

/// News about a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeUpdate {
    /// Which one.
    pub node: NodeId,
    /// Its state.
    pub state: proto::NodeState,
    /// Why it is unhealthy.
    pub health_report: String,
}

impl NodeUpdate {
    /// Whether containers there are, or soon will be, gone.
    pub fn is_leaving(&self) -> bool {
        use proto::NodeState as State;
        !matches!(self.state, State::New | State::Running)
    }
}

/// Containers the ResourceManager wants back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preemption {
    /// Will be killed in any case.
    pub strict: Vec<ContainerId>,
    /// May be kept if others of the same size are given back.
    pub negotiable: Vec<ContainerId>,
}

/// News of one heartbeat. Apply in the order of the fields.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Allocation {
    /// The ResourceManager had forgotten us and we registered again; everything outstanding was repeated.
    pub reregistered: bool,
    /// Nodes that changed.
    pub updated_nodes: Vec<NodeUpdate>,
    /// Containers of earlier attempts that turned up.
    pub previous: Vec<Container>,
    /// Ended containers, possibly unknown or reported before.
    pub completed: Vec<ContainerStatus>,
    /// New containers.
    pub containers: Vec<Container>,
    /// Containers to lose.
    pub preempt: Preemption,
    /// What could still be allocated; advice, not a promise.
    pub limit: Option<Resource>,
    /// NodeManagers in the cluster.
    pub cluster_nodes: i32,
    /// Permissions to talk to NodeManagers, already applied by the client.
    pub nm_tokens: Vec<(NodeId, Token)>,
}

/// Answer to a registration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Registration {
    /// Largest container possible now; grows as nodes join.
    pub max_capability: Resource,
    /// Full path of the queue.
    pub queue: String,
    /// Containers of earlier attempts that still run.
    pub previous_containers: Vec<Container>,
    /// Permissions for their nodes, already applied by the client.
    pub nm_tokens: Vec<(NodeId, Token)>,
}

/// Old-style command; exceptions took its place but it is still defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Register again.
    Resync,
    /// Leave.
    Shutdown,
}

#[derive(Debug)]
struct InFlight {
    request: proto::AllocateRequest,
    outstanding: BTreeMap<AllocationRequestId, Ask>,
    /// Keys with a row in the request.
    rows: BTreeSet<AllocationRequestId>,
    releases: BTreeSet<ContainerId>,
    blacklist: BTreeSet<String>,
}

/// The books.
#[derive(Debug)]
pub struct AmProtocol {
    token: Token,
    response_id: i32,
    /// What the ResourceManager believes to be wanted.
    outstanding: BTreeMap<AllocationRequestId, Ask>,
    /// Released, but not yet reported as ended.
    unconfirmed: BTreeSet<ContainerId>,
    /// Those of `unconfirmed` that this ResourceManager has been told.
    told: BTreeSet<ContainerId>,
    /// What the ResourceManager believes to be avoided.
    blacklist: BTreeSet<String>,
    /// Sent, and not known to be processed or rejected.
    in_flight: Option<InFlight>,
}

impl AmProtocol {
    /// Empty books for the attempt the token stands for.
    pub fn new(token: Token) -> Self {
        Self {
            token,
            response_id: 0,
            outstanding: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            told: BTreeSet::new(),
            blacklist: BTreeSet::new(),
            in_flight: None,
        }
    }

    /// The newest token, for every new connection.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// A fresh ResourceManager knows nothing of this attempt: forget what the old one believed, so that the next
    /// request repeats everything.
    pub fn on_registered(
        &mut self,
        response: proto::RegisterApplicationMasterResponse,
    ) -> Result<Registration, Incomplete> {
        self.forget_server();
        let max_capability = response.maximum_capability.as_ref().map(Resource::from);
        Ok(Registration {
            max_capability: max_capability.unwrap_or_default(),
            queue: response.queue.unwrap_or_default(),
            previous_containers: containers(response.containers_from_previous_attempts)?,
            nm_tokens: nm_tokens(response.nm_tokens_from_previous_attempts)?,
        })
    }

    /// What [`AmProtocol::on_registered`] does when the answer itself was lost.
    pub fn forget_server(&mut self) {
        self.response_id = 0;
        self.outstanding.clear();
        self.told.clear();
        self.blacklist.clear();
        self.in_flight = None;
    }

    /// The request to send. If the last one has neither an answer nor a rejection it is repeated as it was, as the
    /// server then either processes it or repeats its answer; the wishes follow with the next one.
    pub fn next_request(&mut self, input: &AllocateInput) -> proto::AllocateRequest {
        if let Some(in_flight) = &self.in_flight {
            return in_flight.request.clone();
        }
        let mut asks = Vec::new();
        let mut rows = BTreeSet::new();
        let wanted: BTreeMap<_, _> = input
            .asks
            .iter()
            .filter(|(_, ask)| ask.count > 0)
            .map(|(id, ask)| (*id, ask.clone()))
            .collect();
        for (id, old) in &self.outstanding {
            // A row replaces the one with the same priority and id; with another priority it would be added.
            if wanted
                .get(id)
                .is_none_or(|new| new.priority != old.priority)
            {
                asks.push(row(*id, old, 0));
                rows.insert(*id);
            }
        }
        for (id, new) in &wanted {
            if self.outstanding.get(id) != Some(new) {
                asks.push(row(*id, new, new.count));
                rows.insert(*id);
            }
        }
        self.unconfirmed.extend(&input.releases);
        let releases: BTreeSet<_> = self.unconfirmed.difference(&self.told).copied().collect();
        let additions: Vec<_> = input
            .blacklist
            .difference(&self.blacklist)
            .cloned()
            .collect();
        let removals: Vec<_> = self
            .blacklist
            .difference(&input.blacklist)
            .cloned()
            .collect();
        let blacklist_request = (!additions.is_empty() || !removals.is_empty()).then_some(
            proto::ResourceBlacklistRequest {
                blacklist_additions: additions,
                blacklist_removals: removals,
            },
        );
        let progress = if input.progress.is_finite() {
            input.progress.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let request = proto::AllocateRequest {
            ask: asks,
            release: releases.iter().map(|id| (*id).into()).collect(),
            blacklist_request,
            response_id: Some(self.response_id),
            progress: Some(progress),
            tracking_url: None,
        };
        self.in_flight = Some(InFlight {
            request: request.clone(),
            outstanding: wanted,
            rows,
            releases,
            blacklist: input.blacklist.clone(),
        });
        request
    }

    /// The server rejected the request as a whole; nothing of it was applied.
    pub fn on_rejected(&mut self, because_of_releases: bool) {
        if let Some(in_flight) = self.in_flight.take()
            && because_of_releases
        {
            // Not ours to release; asking again would fail again.
            self.unconfirmed
                .retain(|id| !in_flight.releases.contains(id));
        }
    }

    /// Books an answer.
    pub fn on_response(
        &mut self,
        response: proto::AllocateResponse,
    ) -> Result<(Allocation, Option<Command>), Incomplete> {
        let command =
            response
                .a_m_command
                .and_then(|command| match proto::AmCommand::try_from(command) {
                    Ok(proto::AmCommand::Resync) => Some(Command::Resync),
                    Ok(proto::AmCommand::Shutdown) => Some(Command::Shutdown),
                    Err(_) => None,
                });
        // Parse first: an answer that cannot be understood must not be half booked.
        let allocation = allocation_of(&response)?;
        self.response_id = response.response_id.unwrap_or_default();
        let mut rows = BTreeSet::new();
        if let Some(in_flight) = self.in_flight.take() {
            self.outstanding = in_flight.outstanding;
            self.told.extend(in_flight.releases);
            self.blacklist = in_flight.blacklist;
            rows = in_flight.rows;
        }
        for container in &allocation.containers {
            // Containers in this answer were allocated before the request's rows replaced the numbers.
            if !rows.contains(&container.allocation_request_id) {
                self.count_down(container.allocation_request_id);
            }
        }
        for status in &allocation.completed {
            self.unconfirmed.remove(&status.id);
            self.told.remove(&status.id);
        }
        if let Some(token) = response.am_rm_token
            && token.identifier != self.token.identifier
        {
            tracing::info!("the ResourceManager issued a new AMRM token");
            self.token = token.into();
        }
        Ok((allocation, command))
    }

    fn count_down(&mut self, id: AllocationRequestId) {
        if let Some(ask) = self.outstanding.get_mut(&id) {
            ask.count = ask.count.saturating_sub(1);
            if ask.count == 0 {
                self.outstanding.remove(&id);
            }
        }
    }
}

fn row(id: AllocationRequestId, ask: &Ask, count: u32) -> proto::ResourceRequest {
    proto::ResourceRequest {
        priority: Some(proto::Priority {
            priority: Some(ask.priority),
        }),
        resource_name: Some("*".to_owned()),
        capability: Some(ask.resource.into()),
        num_containers: Some(i32::try_from(count).unwrap_or(i32::MAX)),
        relax_locality: Some(true),
        node_label_expression: ask.node_label.clone(),
        allocation_request_id: Some(id),
    }
}

fn containers(list: Vec<proto::Container>) -> Result<Vec<Container>, Incomplete> {
    list.into_iter().map(Container::try_from).collect()
}

fn nm_tokens(list: Vec<proto::NmToken>) -> Result<Vec<(NodeId, Token)>, Incomplete> {
    list.into_iter()
        .map(|entry| {
            let node = entry
                .node_id
                .as_ref()
                .ok_or(Incomplete("the node of an NM token"))?;
            let token = entry.token.ok_or(Incomplete("an NM token"))?;
            Ok((node.try_into()?, token.into()))
        })
        .collect()
}

fn allocation_of(response: &proto::AllocateResponse) -> Result<Allocation, Incomplete> {
    let updated_nodes = response.updated_nodes.iter().map(|report| {
        Ok(NodeUpdate {
            node: report
                .node_id
                .as_ref()
                .ok_or(Incomplete("a node id"))?
                .try_into()?,
            state: report.node_state(),
            health_report: report.health_report.clone().unwrap_or_default(),
        })
    });
    let statuses = response.completed_container_statuses.iter();
    Ok(Allocation {
        reregistered: false,
        updated_nodes: updated_nodes.collect::<Result<_, _>>()?,
        previous: containers(response.containers_from_previous_attempts.clone())?,
        completed: statuses
            .cloned()
            .map(ContainerStatus::try_from)
            .collect::<Result<_, _>>()?,
        containers: containers(response.allocated_containers.clone())?,
        preempt: response
            .preempt
            .as_ref()
            .map(preemption_of)
            .transpose()?
            .unwrap_or_default(),
        limit: response.limit.as_ref().map(Resource::from),
        cluster_nodes: response.num_cluster_nodes.unwrap_or_default(),
        nm_tokens: nm_tokens(response.nm_tokens.clone())?,
    })
}

fn preemption_of(message: &proto::PreemptionMessage) -> Result<Preemption, Incomplete> {
    let ids = |list: &[proto::PreemptionContainer]| {
        list.iter()
            .map(|entry| {
                entry
                    .id
                    .as_ref()
                    .ok_or(Incomplete("a container to preempt"))?
                    .try_into()
            })
            .collect::<Result<Vec<ContainerId>, _>>()
    };
    let strict = message
        .strict_contract
        .as_ref()
        .map(|contract| ids(&contract.container));
    let negotiable = message
        .contract
        .as_ref()
        .map(|contract| ids(&contract.container));
    Ok(Preemption {
        strict: strict.transpose()?.unwrap_or_default(),
        negotiable: negotiable.transpose()?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
