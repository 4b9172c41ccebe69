//! Slot sharing groups that say what their slots must offer.

use flott::prelude::*;
use flott::{Error, MemorySize, RuntimeExecutionMode, SlotSharingGroup};
use flott_model::{Exchange, JobGraph};
use flott_protocol::environment::Role;

use crate::child;
use crate::plan::launch;
use crate::support::{Collected, environment, run};

fn sized(name: &str, cores: f64, mebibytes: u32) -> SlotSharingGroup {
    let group = SlotSharingGroup::new_builder(name).set_cpu_cores(cores);
    let group = group.set_task_heap_memory_mb(mebibytes);
    group.build().unwrap()
}

#[test]
fn a_job_runs_in_slots_of_all_sizes() {
    let env = environment(2);
    // More than the machine's share of one of many slots, less than the machine.
    let half = SlotSharingGroup::new_builder("half")
        .set_cpu_cores(1000.0)
        .set_task_heap_memory(MemorySize::from_bytes(machine_memory() / 2))
        .build()
        .unwrap();
    let sums = env
        .from_sequence(1, 1_000)
        .key_by(|n| n % 7)
        .sum(|n| n)
        .slot_sharing_group(half)
        .rebalance()
        .map(|n| n)
        .slot_sharing_group("default");
    let out = Collected::from(sums);
    assert_eq!(run(&env, &out).len(), 1_000);
}

#[test]
fn what_the_machine_does_not_have_is_refused_with_its_limit() {
    let env = environment(1);
    let group = SlotSharingGroup::new_builder("huge")
        .set_cpu_cores(1.0)
        .set_task_heap_memory(MemorySize::from_bytes(machine_memory() + 1))
        .build()
        .unwrap();
    env.from_sequence(1, 9).slot_sharing_group(group).discard();
    let Err(Error::Ended { failure, .. }) = env.execute("huge") else {
        panic!("it fits");
    };
    let message = failure.unwrap().message;
    let limit = format!("has {} MiB", machine_memory() >> 20);
    assert!(message.contains(&limit), "{message}");
}

#[test]
fn two_sizes_of_a_group_are_an_error_that_names_both() {
    let env = environment(1);
    env.register_slot_sharing_group(sized("a", 1.0, 100))
        .unwrap();
    let conflict = env.register_slot_sharing_group(sized("a", 1.0, 200));
    let message = conflict.unwrap_err().to_string();
    for part in ["group 'a'", "100 MiB task heap", "200 MiB task heap"] {
        assert!(message.contains(part), "{message}");
    }

    let env = environment(1);
    let numbers = env
        .from_sequence(1, 9)
        .slot_sharing_group(sized("a", 1.0, 100));
    numbers.discard().slot_sharing_group(sized("a", 2.0, 100));
    let message = env.execute("two sizes").unwrap_err().to_string();
    assert!(
        message.contains("(1 core, 100 MiB task heap) and (2 cores,"),
        "{message}"
    );
}

#[test]
fn resources_can_be_forbidden() {
    let env = environment(1);
    env.configure("cluster.fine-grained-resource-management.enabled", "false")
        .unwrap();
    env.register_slot_sharing_group(sized("unused", 1.0, 100))
        .unwrap();
    env.from_sequence(1, 9).discard();
    env.execute("nobody is in it").unwrap();
    let numbers = env.from_sequence(1, 9);
    numbers.slot_sharing_group(sized("a", 1.0, 100)).discard();
    let message = env.execute("forbidden").unwrap_err().to_string();
    assert!(message.contains("slot sharing group 'a'"), "{message}");
    assert!(
        message.contains("cluster.fine-grained-resource-management.enabled is false"),
        "{message}"
    );
}

/// In a child: two groups, of which one says its size; records could be exchanged at once.
pub(crate) fn sized_batch() {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.set_runtime_mode(RuntimeExecutionMode::Batch);
    env.configure("execution.batch-shuffle-mode", "ALL_EXCHANGES_PIPELINED")
        .unwrap();
    if let Ok(value) = std::env::var("ALL_BLOCKING") {
        env.configure("fine-grained.shuffle-mode.all-blocking", &value)
            .unwrap();
    }
    env.register_slot_sharing_group(sized("counts", 0.25, 64))
        .unwrap();
    let counts = env.from_sequence(1, 9).key_by(|n| n % 2).sum(|n| n);
    counts.slot_sharing_group("counts").discard();
    env.execute("sized batch").unwrap();
}

fn plan_of_sized_batch(all_blocking: &str) -> JobGraph {
    let mut program = child::command("sized-batch");
    program.env("ALL_BLOCKING", all_blocking);
    launch(&mut program, Role::Plan, 1).remove(0)
}

#[test]
fn the_plan_says_what_groups_ask_for_and_how_they_exchange() {
    let graph = plan_of_sized_batch("false");
    let profile = graph.resources_of("counts").unwrap();
    assert_eq!(profile.to_string(), "0.25 cores, 64 MiB task heap");
    assert_eq!(graph.group_resources.len(), 1);
    let exchange = |graph: &JobGraph| graph.edges[0].exchange();
    assert_eq!(exchange(&graph), Exchange::Pipelined);
    assert_eq!(exchange(&plan_of_sized_batch("true")), Exchange::Blocking);
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total
        .and_then(|total| total.split_whitespace().next())
        .unwrap();
    kibibytes.parse::<u64>().unwrap() << 10
}
