//! What is asked for, granted, replaced, released, given up.

use std::time::Duration;

use flott_model::{ContainerId, Failure, FailureClass, JobId, ResourceProfile, SlotId};

use super::ResourceCore;
use crate::SlotRequirement;
use crate::resource::{
    ContainerLoss, ResourceAction, ResourceEvent, ResourceSettings, ResourceTimer, SlotSize,
};

struct Script {
    core: ResourceCore,
    seconds: u64,
}

fn id(container: &str) -> ContainerId {
    ContainerId(container.to_owned())
}

/// A core and that many mebibytes.
fn profile(mebibytes: u64) -> ResourceProfile {
    ResourceProfile {
        cpu_millicores: 1000,
        task_heap_bytes: mebibytes << 20,
        ..ResourceProfile::default()
    }
}

impl Script {
    /// Containers of two slots, each of a core and 300 MiB.
    fn new(maximum_failed_containers: Option<u32>) -> Self {
        let core = ResourceCore::new(ResourceSettings {
            slots_per_container: 2,
            default_slot: SlotSize {
                memory_bytes: 300 << 20,
                cpu_millicores: 1000,
            },
            idle_timeout: Duration::from_secs(30),
            registration_timeout: Duration::from_secs(300),
            maximum_failed_containers,
        });
        Self { core, seconds: 0 }
    }

    /// Job 1 holds both slots of `a` and one of `b`.
    fn three_held() -> Self {
        let mut script = Self::new(None);
        script.require(1, 3);
        script.bring("a");
        script.bring("b");
        script
    }

    fn send(&mut self, event: ResourceEvent) -> Vec<String> {
        let now = Duration::from_secs(self.seconds);
        self.core.handle(now, event).iter().map(describe).collect()
    }

    fn require(&mut self, job: u128, slots: u32) -> Vec<String> {
        self.require_sized(job, slots, &[])
    }

    /// Slots of default size, and some of other sizes: mebibytes and number.
    fn require_sized(&mut self, job: u128, slots: u32, sized: &[(u64, u32)]) -> Vec<String> {
        let mut slots = SlotRequirement::of_default_size(slots);
        for (mebibytes, count) in sized {
            slots.add(Some(profile(*mebibytes)), *count);
        }
        let job = JobId(job);
        self.send(ResourceEvent::Required { job, slots })
    }

    fn release(&mut self, job: u128, container: &str, index: u32) -> Vec<String> {
        let slots = vec![SlotId {
            container: id(container),
            index,
        }];
        self.send(ResourceEvent::Released {
            job: JobId(job),
            slots,
        })
    }

    fn allocate(&mut self, container: &str) -> Vec<String> {
        self.allocate_for(None, container)
    }

    fn allocate_for(&mut self, mebibytes: Option<u64>, container: &str) -> Vec<String> {
        let host = "h".to_owned();
        self.send(ResourceEvent::ContainerAllocated {
            container: id(container),
            host,
            profile: mebibytes.map(profile),
        })
    }

    fn register(&mut self, container: &str) -> Vec<String> {
        self.register_with(2, container)
    }

    fn register_with(&mut self, slots: u32, container: &str) -> Vec<String> {
        let host = "h".to_owned();
        self.send(ResourceEvent::AgentRegistered {
            container: id(container),
            host,
            slots,
        })
    }

    /// A container of one slot that was made for so many mebibytes.
    fn bring_sized(&mut self, mebibytes: u64, container: &str) -> Vec<String> {
        self.allocate_for(Some(mebibytes), container);
        self.register_with(1, container)
    }

    fn refuse(&mut self, mebibytes: u64) -> Vec<String> {
        self.send(ResourceEvent::ContainersRefused {
            profile: Some(profile(mebibytes)),
            failure: Failure::new(FailureClass::Fatal, "too large"),
        })
    }

    fn bring(&mut self, container: &str) {
        self.allocate(container);
        self.register(container);
    }

    fn complete(&mut self, container: &str, loss: ContainerLoss, why: &str) -> Vec<String> {
        let failure = Failure::new(FailureClass::Transient, why);
        self.send(ResourceEvent::ContainerCompleted {
            container: id(container),
            loss,
            failure,
        })
    }

    fn lose_agent(&mut self, container: &str) -> Vec<String> {
        let failure = Failure::new(FailureClass::Transient, "connection lost");
        self.send(ResourceEvent::AgentLost {
            container: id(container),
            failure,
        })
    }

    fn fire(&mut self, timer: ResourceTimer) -> Vec<String> {
        self.send(ResourceEvent::TimerFired(timer))
    }
}

fn describe(action: &ResourceAction) -> String {
    match action {
        ResourceAction::SetOutstanding {
            profile: None,
            containers,
        } => format!("outstanding {containers}"),
        ResourceAction::SetOutstanding {
            profile: Some(profile),
            containers,
        } => {
            let mebibytes = profile.task_heap_bytes >> 20;
            format!("outstanding {containers} of {mebibytes}")
        }
        ResourceAction::Launch(container) => format!("launch {container}"),
        ResourceAction::ReleaseContainer { container, reason } => {
            format!("release {container}: {reason}")
        }
        ResourceAction::Grant { job, slots } => {
            let names: Vec<String> = slots
                .iter()
                .map(|offer| {
                    let mebibytes = offer.profile.map(|it| it.task_heap_bytes >> 20);
                    let need = mebibytes.map_or(String::new(), |size| format!(" for {size}"));
                    format!("{}/{}{need}", offer.slot.container, offer.slot.index)
                })
                .collect();
            format!("grant {}: {}", job.0, names.join(" "))
        }
        ResourceAction::NotifyLost {
            job,
            container,
            failure,
        } => {
            format!("lost {}: {container}: {failure}", job.0)
        }
        ResourceAction::GiveUp { job, failure } => format!("give up {}: {failure}", job.0),
        ResourceAction::ScheduleTimer(timer, due) => {
            let name = match timer {
                ResourceTimer::Registration(container) => format!("registration {container}"),
                ResourceTimer::Idle(container, period) => format!("idle {container} {period}"),
            };
            format!("timer {name} at {}s", due.as_secs())
        }
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn exactly_the_missing_containers_are_asked_for() {
    let mut script = Script::new(None);
    assert_eq!(script.require(1, 3), ["outstanding 2"]);
    assert_eq!(script.require(1, 3), NOTHING, "doubled");
    assert_eq!(
        script.allocate("a"),
        ["launch a", "timer registration a at 300s", "outstanding 1"]
    );
    assert_eq!(script.allocate("a"), NOTHING, "doubled");
    assert_eq!(
        script.allocate("b"),
        ["launch b", "timer registration b at 300s", "outstanding 0"]
    );
    assert_eq!(
        script.allocate("c"),
        [
            "release c: surplus: nobody needs it any more",
            "outstanding 0"
        ]
    );
    assert_eq!(
        script.register("b"),
        ["timer idle b 1 at 30s", "grant 1: b/0 b/1"],
        "the timer is stale when it fires"
    );
    assert_eq!(
        script.register("a"),
        ["timer idle a 2 at 30s", "grant 1: a/0"]
    );
    assert_eq!(script.register("a"), NOTHING, "the connection was renewed");
    assert_eq!(
        (script.core.total_slots(), script.core.free_slots()),
        (4, 1)
    );
    assert_eq!(script.core.pending_containers(), 0);
}

#[test]
fn requirements_of_jobs_add_up_and_are_met_in_order() {
    let mut script = Script::new(None);
    assert_eq!(script.require(2, 1), ["outstanding 1"]);
    assert_eq!(script.require(1, 2), ["outstanding 2"]);
    script.allocate("a");
    assert_eq!(
        script.register("a")[1..],
        ["grant 2: a/0", "grant 1: a/1"],
        "who asked first is served first"
    );
    assert_eq!(
        script.require(1, 1),
        ["outstanding 0"],
        "who wants less is asked for less"
    );
}

#[test]
fn what_is_given_back_is_granted_again() {
    let mut script = Script::three_held();
    assert_eq!(script.require(2, 2), ["grant 2: b/1", "outstanding 1"]);
    assert_eq!(script.release(2, "a", 0), NOTHING, "it is not theirs");
    script.require(1, 2);
    assert_eq!(script.release(1, "a", 0), ["grant 2: a/0", "outstanding 0"]);
    assert_eq!(script.release(1, "a", 9), NOTHING);
    assert_eq!(script.release(1, "z", 0), NOTHING);
}

#[test]
fn the_end_of_a_job_frees_its_slots_and_idle_containers_go() {
    let mut script = Script::three_held();
    script.seconds = 50;
    assert_eq!(
        script.require(1, 0),
        ["timer idle a 3 at 80s", "timer idle b 4 at 80s"]
    );
    assert_eq!(script.require(1, 0), NOTHING, "doubled");
    assert_eq!(
        script.fire(ResourceTimer::Idle(id("a"), 1)),
        NOTHING,
        "an earlier period's"
    );
    assert_eq!(script.require(2, 1), ["grant 2: a/0"]);
    assert_eq!(
        script.fire(ResourceTimer::Idle(id("a"), 3)),
        NOTHING,
        "it is used again"
    );
    assert_eq!(
        script.fire(ResourceTimer::Idle(id("b"), 4)),
        ["release b: idle (resourcemanager.taskmanager-timeout)"]
    );
    assert_eq!(script.fire(ResourceTimer::Idle(id("b"), 4)), NOTHING);
    assert_eq!(
        script.complete("b", ContainerLoss::Surroundings, "released"),
        NOTHING
    );
}

#[test]
fn a_lost_container_is_told_to_its_holders_and_replaced() {
    let mut script = Script::three_held();
    script.require(2, 1);
    assert_eq!(
        script.complete("b", ContainerLoss::Surroundings, "node lost"),
        [
            "lost 1: b: node lost",
            "lost 2: b: node lost",
            "outstanding 1"
        ]
    );
    assert_eq!(
        script.complete("b", ContainerLoss::Surroundings, "node lost"),
        NOTHING
    );
    assert_eq!(script.core.failed_containers(), 0);
    script.allocate("c");
    assert_eq!(script.register("c")[1..], ["grant 1: c/0", "grant 2: c/1"]);
}

#[test]
fn a_lost_agent_is_a_lost_container_and_its_end_may_count_later() {
    let mut script = Script::three_held();
    assert_eq!(
        script.lose_agent("b"),
        [
            "release b: its agent was lost",
            "lost 1: b: connection lost",
            "outstanding 1"
        ]
    );
    assert_eq!(script.lose_agent("b"), NOTHING);
    let gone = ["release b: it was given up before its agent registered"];
    assert_eq!(script.register("b"), gone, "nothing comes back");
    assert_eq!(script.allocate("b"), ["outstanding 1"], "not launched");
    script.complete("b", ContainerLoss::Application, "exit code 137");
    script.complete("b", ContainerLoss::Application, "exit code 137");
    assert_eq!(script.core.failed_containers(), 1);
}

#[test]
fn an_agent_nobody_asked_for_is_welcome() {
    let mut script = Script::new(None);
    assert_eq!(script.register("s"), ["timer idle s 1 at 30s"]);
    assert_eq!(script.require(1, 2), ["grant 1: s/0 s/1"]);
    let view = script.core.containers().next().unwrap();
    assert_eq!(
        (view.host, view.registered, view.slots.len()),
        ("h", true, 2)
    );
}

#[test]
fn failed_launches_and_silent_agents_are_replaced_and_counted() {
    let mut script = Script::new(None);
    script.require(1, 1);
    script.allocate("a");
    let failure = Failure::new(FailureClass::Transient, "refused");
    let failed = ResourceEvent::LaunchFailed {
        container: id("a"),
        failure,
    };
    assert_eq!(
        script.send(failed.clone()),
        ["release a: its launch failed", "outstanding 1"]
    );
    assert_eq!(script.send(failed), NOTHING);
    script.allocate("b");
    assert_eq!(
        script.fire(ResourceTimer::Registration(id("b"))),
        [
            "release b: its agent did not register in time",
            "outstanding 1"
        ]
    );
    assert_eq!(script.fire(ResourceTimer::Registration(id("b"))), NOTHING);
    assert_eq!(script.core.failed_containers(), 2);
    script.bring("c");
    assert_eq!(
        script.fire(ResourceTimer::Registration(id("c"))),
        NOTHING,
        "it did register"
    );
}

#[test]
fn too_many_failures_end_the_wait_with_the_last_reason() {
    let mut script = Script::new(Some(1));
    script.require(1, 1);
    script.require(2, 1);
    script.allocate("a");
    assert_eq!(
        script.complete("a", ContainerLoss::Application, "exit code 1"),
        ["outstanding 1"]
    );
    script.allocate("b");
    let why = "2 containers failed, 1 are tolerated (yarn.maximum-failed-containers); \
               the last one, b: exit code 2";
    assert_eq!(
        script.complete("b", ContainerLoss::Application, "exit code 2"),
        [format!("give up 1: {why}"), format!("give up 2: {why}")],
        "nothing is outstanding any more"
    );
    assert_eq!(script.require(1, 0), NOTHING);
    assert_eq!(
        script.require(3, 1),
        [format!("give up 3: {why}")],
        "newcomers hear it too"
    );
    let surplus = [
        "release c: surplus: nobody needs it any more",
        "outstanding 0",
    ];
    assert_eq!(script.allocate("c"), surplus);
    assert_eq!(
        script.register("s")[1..],
        ["grant 2: s/0", "grant 3: s/1"],
        "what is there is still granted"
    );
}

#[test]
fn a_driver_that_cannot_go_on() {
    let mut script = Script::new(None);
    script.require(1, 1);
    let failure = Failure::new(FailureClass::Fatal, "the application was killed");
    assert_eq!(
        script.send(ResourceEvent::DriverFailed(failure)),
        ["outstanding 0", "give up 1: the application was killed"]
    );
}

#[test]
fn a_container_that_ended_before_its_allocation_was_told_is_not_launched() {
    let mut script = Script::new(None);
    script.require(1, 1);
    assert_eq!(
        script.complete("a", ContainerLoss::Surroundings, "preempted"),
        NOTHING
    );
    assert_eq!(
        script.allocate("a"),
        ["outstanding 1"],
        "the driver must not count it as delivered"
    );
    assert_eq!(script.core.pending_containers(), 1);
}

mod sized;
