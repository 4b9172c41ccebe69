//! The one task that talks to YARN's ResourceManager: heartbeats, asks, news, the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flott_config::Configuration;
use flott_coordination::resource::ContainerLoss;
use flott_hadoop::rpc::RemoteKind;
use flott_hadoop::yarn::{
    AllocateInput, Allocation, AmClient, AmError, Container, ContainerStatus, FinalStatus, Resource,
};
use flott_jobmanager::DriverEvent;
use flott_model::{ContainerId, Failure, FailureClass};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::asks::{Asks, Kind};
use crate::container_launch::ContainerLaunch;
use crate::sizes::container_size;
use crate::spread::Spread;

/// While containers are outstanding: at first often, because that decides how fast a job starts.
const EAGER_INTERVAL: Duration = Duration::from_millis(150);
const EAGER_FOR: Duration = Duration::from_secs(10);
/// For so long containers are given back for the sake of spreading. A NodeManager's heartbeat,
/// with which it is given containers, comes every second by default.
const SPREAD_PATIENCE: Duration = Duration::from_millis(1500);
/// For so long news of a container's end are asked for as often; after that it is a lost host.
const HURRY_FOR: Duration = Duration::from_secs(3);
/// Container preempted for guaranteed ones: not in the hadoop crate's list of platform faults.
const KILLED_FOR_GUARANTEED: i32 = -108;
const DIAGNOSTICS_LINES: usize = 8;

/// What the loop is told.
#[derive(Debug)]
pub(crate) enum YarnCommand {
    Start(mpsc::Sender<DriverEvent>),
    SetOutstanding(Kind, u32),
    AllocationTaken(Kind),
    Launch(ContainerId),
    Release(ContainerId),
    /// News of a container's end are awaited.
    Hurry,
    /// Give everything back; answered when the ResourceManager knows.
    ReleaseAll(oneshot::Sender<()>),
    /// Unregister, and end.
    Finish {
        status: FinalStatus,
        diagnostics: String,
        done: oneshot::Sender<Result<(), AmError>>,
    },
}

/// What the loop needs to begin.
pub(crate) struct YarnLoop {
    pub(crate) client: AmClient,
    pub(crate) launch: Arc<ContainerLaunch>,
    /// What says how large containers are.
    pub(crate) configuration: Configuration,
    /// The largest container at the time of the registration.
    pub(crate) max_capability: Resource,
    /// Between two heartbeats when nothing is outstanding, …
    pub(crate) idle_interval: Duration,
    /// … and when something is.
    pub(crate) request_interval: Duration,
    pub(crate) tracking_url: String,
    pub(crate) cluster_nodes: u32,
    /// Containers of earlier attempts: nobody adopts them.
    pub(crate) strays: Vec<Container>,
}

/// Runs until Finish, or until YARN does not want this attempt any more.
pub(crate) async fn run(
    parts: YarnLoop,
    mut commands: mpsc::UnboundedReceiver<YarnCommand>,
) -> Result<(), AmError> {
    let releases = parts.strays.iter().map(|container| container.id).collect();
    let mut state = State {
        parts,
        events: None,
        asks: Asks::default(),
        asked_since: None,
        containers: BTreeMap::new(),
        spread: Spread::default(),
        releases,
        hurry_until: None,
        is_urgent: true,
    };
    loop {
        let pause = if state.is_urgent {
            Duration::ZERO
        } else {
            state.pause()
        };
        let due = Instant::now() + pause;
        state.is_urgent = false;
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    None => return Ok(()),
                    Some(YarnCommand::Finish { status, diagnostics, done }) => {
                        let finished = state.finish(status, &diagnostics).await;
                        // Who waits for it may have been stopped meanwhile.
                        let _ = done.send(finished);
                        return Ok(());
                    }
                    Some(YarnCommand::ReleaseAll(done)) => {
                        state.release_all().await?;
                        let _ = done.send(());
                    }
                    Some(command) => state.obey(command).await,
                },
                () = tokio::time::sleep_until(due) => break,
            }
            if state.is_urgent {
                break;
            }
        }
        state.heartbeat().await?;
    }
}

struct State {
    parts: YarnLoop,
    events: Option<mpsc::Sender<DriverEvent>>,
    asks: Asks,
    /// Since when something is outstanding.
    asked_since: Option<Instant>,
    containers: BTreeMap<ContainerId, (Container, Kind)>,
    spread: Spread,
    releases: Vec<flott_hadoop::yarn::ContainerId>,
    /// Until when news are awaited.
    hurry_until: Option<Instant>,
    /// The next heartbeat has news for YARN: do not wait.
    is_urgent: bool,
}

impl State {
    fn pause(&self) -> Duration {
        if self.hurry_until.is_some_and(|until| Instant::now() < until) {
            return EAGER_INTERVAL;
        }
        match self.asked_since {
            None => self.parts.idle_interval,
            Some(since) if since.elapsed() < EAGER_FOR => {
                EAGER_INTERVAL.min(self.parts.request_interval)
            }
            Some(_) => self.parts.request_interval,
        }
    }

    async fn obey(&mut self, command: YarnCommand) {
        match command {
            YarnCommand::Start(events) => self.events = Some(events),
            YarnCommand::SetOutstanding(kind, count) => self.set_wanted(kind, count).await,
            YarnCommand::AllocationTaken(kind) => self.asks.taken(kind),
            YarnCommand::Launch(id) => self.launch(&id),
            YarnCommand::Release(id) => {
                if let Some((container, _)) = self.containers.get(&id) {
                    self.releases.push(container.id);
                    self.is_urgent = true;
                }
            }
            YarnCommand::Hurry => {
                self.hurry_until = Some(Instant::now() + HURRY_FOR);
                self.is_urgent = true;
            }
            // Answered where they are received.
            YarnCommand::ReleaseAll(_) | YarnCommand::Finish { .. } => (),
        }
    }

    async fn set_wanted(&mut self, kind: Kind, count: u32) {
        let size = match container_size(&self.parts.configuration, kind) {
            Ok(size) => size,
            Err(why) if count > 0 => return self.refuse(kind, why).await,
            Err(_) => return, // It was never asked for.
        };
        let before = self.asks.outstanding();
        self.asks.set_wanted(kind, size.resource, count);
        self.note_outstanding(before);
    }

    fn note_outstanding(&mut self, before: u32) {
        let now = self.asks.outstanding();
        self.is_urgent |= now != before;
        if now == 0 {
            self.asked_since = None;
        } else if now > before || self.asked_since.is_none() {
            self.asked_since = Some(Instant::now());
        }
    }

    fn launch(&self, id: &ContainerId) {
        let (Some((container, kind)), Some(events)) = (self.containers.get(id), &self.events)
        else {
            return; // It has ended already, which was reported.
        };
        let (launch, events) = (Arc::clone(&self.parts.launch), events.clone());
        let size = container_size(&self.parts.configuration, *kind);
        let (container, id) = (container.clone(), id.clone());
        tokio::spawn(async move {
            let started = match size {
                Ok(size) => launch.start(&container, size).await,
                Err(why) => Err(anyhow::Error::msg(why)),
            };
            if let Err(error) = started {
                let message = format!("starting a task executor failed: {error:#}");
                let failure = Failure::new(FailureClass::Transient, message)
                    .at(format!("{id} ({})", container.node));
                // Without a ResourceManager nobody needs to know.
                let _ = events
                    .send(DriverEvent::LaunchFailed {
                        container: id,
                        failure,
                    })
                    .await;
            }
        });
    }

    async fn heartbeat(&mut self) -> Result<(), AmError> {
        let input = AllocateInput {
            asks: self.asks.to_yarn(),
            releases: std::mem::take(&mut self.releases),
            ..AllocateInput::default()
        };
        match self.parts.client.allocate(&input).await {
            Ok(allocation) => {
                self.apply(allocation).await;
                Ok(())
            }
            Err(error @ AmError::Rejected { .. }) => {
                self.rejected(&error).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// YARN took nothing of a heartbeat. If that is for the size of containers, it is for those that a
    /// job made a size for rather than for those of default size, which was checked at submission.
    async fn rejected(&mut self, error: &AmError) {
        let too_large = matches!(error, AmError::Rejected { exception }
            if exception.kind == RemoteKind::InvalidResourceRequest);
        let sized = self
            .asks
            .outstanding_kinds()
            .into_iter()
            .filter(|_| too_large);
        let sized: Vec<(Kind, Resource)> = sized.filter(|(kind, _)| kind.is_some()).collect();
        let limit = self.parts.max_capability;
        let (fitting, too_large): (Vec<_>, Vec<_>) = sized
            .into_iter()
            .partition(|(_, size)| size.fits_in(&limit));
        let refused = if too_large.is_empty() {
            fitting
        } else {
            too_large
        };
        if refused.is_empty() {
            let failure = Failure::new(FailureClass::Fatal, format!("{error}"));
            self.report(DriverEvent::Failed(failure)).await;
            self.asks.drop_kind(None);
            self.asked_since = None;
            return;
        }
        for (kind, size) in refused {
            let slot = kind.map_or(String::new(), |profile| profile.to_string());
            let why = format!("a container for a slot that offers {slot} needs {size}; {error}");
            self.refuse(kind, why).await;
        }
        // What was not refused is asked for again at once.
        self.is_urgent = true;
    }

    /// Containers of a kind cannot be had: those who need them are told.
    async fn refuse(&mut self, profile: Kind, why: String) {
        let before = self.asks.outstanding();
        self.asks.drop_kind(profile);
        self.note_outstanding(before);
        let failure = Failure::new(FailureClass::Fatal, why);
        self.report(DriverEvent::Refused { profile, failure }).await;
    }

    async fn apply(&mut self, allocation: Allocation) {
        if let Ok(nodes) = u32::try_from(allocation.cluster_nodes)
            && nodes > 0
        {
            self.parts.cluster_nodes = nodes;
        }
        self.releases
            .extend(allocation.previous.iter().map(|container| container.id));
        for status in allocation.completed {
            self.completed(status).await;
        }
        for container in allocation.containers {
            self.allocated(container).await;
        }
        self.is_urgent |= !self.releases.is_empty();
    }

    async fn allocated(&mut self, container: Container) {
        let held = u32::try_from(self.containers.len()).unwrap_or(u32::MAX);
        let total = held.saturating_add(self.asks.outstanding());
        let patience = self
            .asked_since
            .is_some_and(|since| since.elapsed() < SPREAD_PATIENCE);
        let nodes = self.parts.cluster_nodes;
        let kind = self.asks.kind_of(container.allocation_request_id);
        let kept = kind.filter(|_| self.spread.accept(&container.node, total, nodes, patience));
        let Some(profile) = kept else {
            tracing::debug!(container = %container.id, node = %container.node, "given back");
            self.releases.push(container.id);
            return;
        };
        let id = ContainerId(container.id.to_string());
        let host = container.node.host.clone();
        self.asks.reported(profile);
        self.containers.insert(id.clone(), (container, profile));
        self.report(DriverEvent::Allocated {
            container: id,
            host,
            profile,
        })
        .await;
    }

    async fn completed(&mut self, status: ContainerStatus) {
        let id = ContainerId(status.id.to_string());
        // Unknown: given back before it was reported, or told before.
        let Some((container, _)) = self.containers.remove(&id) else {
            return;
        };
        self.spread.release(&container.node);
        let by_others = status.is_platform_fault() || status.exit_status == KILLED_FOR_GUARANTEED;
        let loss = if by_others {
            ContainerLoss::Surroundings
        } else {
            ContainerLoss::Application
        };
        let failure = Failure::new(FailureClass::Transient, explanation(&status))
            .at(format!("{id} ({})", container.node));
        self.report(DriverEvent::Completed {
            container: id,
            loss,
            failure,
        })
        .await;
    }

    async fn report(&self, event: DriverEvent) {
        if let Some(events) = &self.events {
            // The JobManager may be gone already.
            let _ = events.send(event).await;
        }
    }

    async fn release_all(&mut self) -> Result<(), AmError> {
        self.events = None;
        self.asks.clear();
        self.asked_since = None;
        let held = self.containers.values();
        self.releases
            .extend(held.map(|(container, _)| container.id));
        self.heartbeat().await
    }

    async fn finish(&mut self, status: FinalStatus, diagnostics: &str) -> Result<(), AmError> {
        let url = self.parts.tracking_url.clone();
        self.parts.client.finish(status, diagnostics, &url).await
    }
}

/// How a container ended, for people.
fn explanation(status: &ContainerStatus) -> String {
    let mut text = format!(
        "the task executor's container ended: {}",
        status.explanation()
    );
    let lines = status
        .diagnostics
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.take(DIAGNOSTICS_LINES).collect();
    if !lines.is_empty() {
        text.push_str("; YARN says:\n");
        text.push_str(&lines.join("\n"));
    }
    text
}
