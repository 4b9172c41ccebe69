//! `flott info`: the plan of a program's first job, in the form Flink prints it.

use std::process::ExitCode;
use std::rc::Rc;

use flott_model::{GroupResources, JobGraph, JobVertex, ShipStrategy};
use flott_protocol::environment::Role;
use flott_protocol::program::launcher_message;
use serde_json::{Value, json};

use crate::cli::InfoArgs;
use crate::console::Console;
use crate::elf;
use crate::program::{Program, Request};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::target::ProgramCall;

/// Runs `main()` up to its first `execute()` and prints the plan.
pub(crate) async fn info(args: InfoArgs, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(&args.settings, &[], console)?;
    let call = ProgramCall {
        path: args.program.path().into(),
        args: args.program.args()?,
    };
    elf::check_executable(&call.path)?;
    let hello = settings.hello();
    let mut signals = Signals::listen()?;
    let mut program = Program::start(&call.path, &call.args, Role::Plan, hello, console)?;
    loop {
        let request = tokio::select! {
            request = program.next() => request?,
            signal = signals.next() => {
                program.stop().await;
                return Ok(ExitCode::from(signal.exit_code()));
            }
        };
        match request {
            Some(Request::Execute(submitted, connection)) => {
                let graph = submitted.graph;
                let reason = "this run was for the plan only".to_owned();
                connection
                    .answer(launcher_message::Kind::Refused(reason))
                    .await;
                program.stop().await;
                graph.validate()?;
                let plan = serde_json::to_string_pretty(&plan(&graph))?;
                console.line("----------------------- Execution Plan -----------------------");
                console.line(&plan);
                console.line("--------------------------------------------------------------");
                return Ok(ExitCode::SUCCESS);
            }
            Some(_) => (),
            None => {
                let ended = program.ended().await?;
                let failure = ended.failure();
                anyhow::bail!(
                    failure.unwrap_or_else(|| "main() never called execute()".to_owned())
                );
            }
        }
    }
}

fn plan(graph: &JobGraph) -> Value {
    let nodes: Vec<Value> = graph
        .vertices
        .iter()
        .enumerate()
        .map(|(position, vertex)| node(graph, position, vertex))
        .collect();
    let mut plan = json!({ "nodes": nodes });
    let groups: Vec<Value> = graph.group_resources.iter().map(group).collect();
    if !groups.is_empty() {
        plan["slotSharingGroups"] = groups.into();
    }
    plan
}

/// A group whose slots must offer something; memory in bytes.
fn group(resources: &GroupResources) -> Value {
    let profile = &resources.profile;
    json!({
        "name": resources.group,
        "cpuCores": f64::from(profile.cpu_millicores) / 1000.0,
        "taskHeapMemory": profile.task_heap_bytes,
        "taskOffHeapMemory": profile.task_off_heap_bytes,
        "managedMemory": profile.managed_bytes,
    })
}

fn node(graph: &JobGraph, position: usize, vertex: &JobVertex) -> Value {
    let predecessors: Vec<Value> = graph
        .edges
        .iter()
        .filter(|edge| edge.target as usize == position)
        .map(|edge| json!({ "id": edge.source + 1, "ship_strategy": ship(edge.ship()) }))
        .collect();
    let is_target = |vertex: usize| {
        graph
            .edges
            .iter()
            .any(|edge| edge.target as usize == vertex)
    };
    let is_source = |vertex: usize| {
        graph
            .edges
            .iter()
            .any(|edge| edge.source as usize == vertex)
    };
    let pact = match (is_target(position), is_source(position)) {
        (false, _) => "Data Source",
        (true, true) => "Operator",
        (true, false) => "Data Sink",
    };
    let mut node = json!({
        "id": position + 1,
        "type": vertex.name,
        "pact": pact,
        "contents": vertex.name,
        "parallelism": vertex.parallelism,
    });
    if graph.resources_of(&vertex.slot_sharing_group).is_some() {
        node["slotSharingGroup"] = json!(vertex.slot_sharing_group);
    }
    if !predecessors.is_empty() {
        node["predecessors"] = predecessors.into();
    }
    node
}

fn ship(strategy: ShipStrategy) -> &'static str {
    match strategy {
        ShipStrategy::Forward => "FORWARD",
        ShipStrategy::Hash => "HASH",
        ShipStrategy::Rebalance => "REBALANCE",
        ShipStrategy::Rescale => "RESCALE",
        ShipStrategy::Broadcast => "BROADCAST",
        ShipStrategy::Global => "GLOBAL",
        ShipStrategy::Custom => "CUSTOM",
    }
}

#[cfg(test)]
mod tests {
    use flott_model::{JobEdge, ResourceProfile};

    use super::*;

    #[test]
    fn a_plan_names_vertices_and_what_feeds_them() {
        let vertex = |name: &str| JobVertex {
            name: name.to_owned(),
            parallelism: 2,
            ..JobVertex::default()
        };
        let edge = JobEdge {
            source: 0,
            target: 1,
            ship: ShipStrategy::Hash.into(),
            ..JobEdge::default()
        };
        let graph = JobGraph {
            vertices: vec![vertex("Source: text"), vertex("count")],
            edges: vec![edge],
            ..JobGraph::default()
        };
        let expected = json!({ "nodes": [
            { "id": 1, "type": "Source: text", "pact": "Data Source", "contents": "Source: text",
              "parallelism": 2 },
            { "id": 2, "type": "count", "pact": "Data Sink", "contents": "count",
              "parallelism": 2, "predecessors": [{ "id": 1, "ship_strategy": "HASH" }] },
        ]});
        assert_eq!(plan(&graph), expected);
    }

    #[test]
    fn a_plan_names_groups_that_ask_for_something() {
        let vertex = |group: &str| JobVertex {
            name: "Source: text".to_owned(),
            slot_sharing_group: group.to_owned(),
            ..JobVertex::default()
        };
        let resources = GroupResources {
            group: "big".to_owned(),
            profile: ResourceProfile {
                cpu_millicores: 500,
                task_heap_bytes: 700 << 20,
                managed_bytes: 1,
                ..ResourceProfile::default()
            },
        };
        let graph = JobGraph {
            vertices: vec![vertex("default"), vertex("big")],
            group_resources: vec![resources],
            ..JobGraph::default()
        };
        let plan = plan(&graph);
        let expected = json!([{ "name": "big", "cpuCores": 0.5, "taskHeapMemory": 734_003_200,
            "taskOffHeapMemory": 0, "managedMemory": 1 }]);
        assert_eq!(plan["slotSharingGroups"], expected);
        assert_eq!(plan["nodes"][0]["slotSharingGroup"], Value::Null);
        assert_eq!(plan["nodes"][1]["slotSharingGroup"], "big");
    }
}
