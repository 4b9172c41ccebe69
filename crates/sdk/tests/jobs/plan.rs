//! The graph of a program, as its launcher gets it.

use std::process::Command;
use std::sync::{Arc, Mutex};

use flott::Role;
use flott::prelude::*;
use flott_model::{JobGraph, JobStatus, ShipStrategy};
use flott_protocol::environment::{ROLE, SOCKET};
use flott_protocol::program::{
    Answer, Ask, Collected, ExecuteHandler, Frame, Hello, JobEnded, JobStarted, What, serve,
};
use tokio::net::UnixListener;

use crate::child;

/// Accepts and finishes every job that is not called `refused`.
#[derive(Default)]
struct Launcher(Mutex<Vec<JobGraph>>);

#[async_trait::async_trait]
impl ExecuteHandler for Launcher {
    async fn execute(&self, graph: JobGraph) -> Result<JobStarted, String> {
        let refused = graph.name == "refused";
        self.0.lock().unwrap().push(graph);
        if refused {
            return Err("no room".to_owned());
        }
        Ok(JobStarted {
            job: "0123456789abcdef0123456789abcdef".to_owned(),
            detached: false,
        })
    }

    async fn ask(&self, ask: Ask) -> Answer {
        assert_eq!(ask.what(), What::Collected);
        let mut frames: Vec<Frame> = [40_i64, 50, 60]
            .iter()
            .map(|row| {
                let mut bytes = Vec::new();
                flott_record::codec::encode(row, &mut bytes).unwrap();
                let (rows, last) = (1, *row == 60);
                Frame { rows, bytes, last }
            })
            .collect();
        frames.drain(..usize::try_from(ask.from).unwrap());
        let over = frames.is_empty();
        let failure = String::new();
        Answer {
            id: ask.id,
            collected: Some(Collected {
                frames,
                over,
                failure,
            }),
            ..Answer::default()
        }
    }

    async fn wait(&self, started: &JobStarted) -> JobEnded {
        JobEnded {
            job: started.job.clone(),
            status: JobStatus::Finished.number(),
            runtime_ms: 5,
            ..JobEnded::default()
        }
    }
}

/// Runs a program in a role to its end; gives the graphs it submitted.
pub(crate) fn launch(program: &mut Command, role: Role, attempt: u32) -> Vec<JobGraph> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let launcher = Arc::new(Launcher::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let guard = runtime.enter();
    let listener = UnixListener::bind(&socket).unwrap();
    drop(guard);
    let hello = Hello {
        attempt,
        configuration: [("parallelism.default".to_owned(), "2".to_owned())].into(),
        given: vec!["parallelism.default".to_owned()],
        ..Hello::default()
    };
    runtime.spawn(serve(listener, hello, Arc::clone(&launcher) as _));
    let output = program
        .env(ROLE, role.as_str())
        .env(SOCKET, &socket)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    std::mem::take(&mut *launcher.0.lock().unwrap())
}

/// In a child: the program whose plan is looked at.
pub(crate) fn word_count() {
    let env = StreamExecutionEnvironment::get().unwrap();
    env.from_collection(["to be or not to be".to_owned()])
        .rebalance()
        .flat_map(|line| flott::text::words(line).map(|word| (word, 1_u64)))
        .name("tokenizer")
        .uid("tokenizer")
        .key_by_ref(|(word, _)| word)
        .sum(|(_, n)| n)
        .map(|(word, n)| format!("{word} {n}"))
        .print()
        .set_parallelism(1);
    env.execute("WordCount").unwrap();
    unreachable!("in the role plan, execute() does not return");
}

#[test]
fn the_plan_of_a_program() {
    let graphs = launch(&mut child::command("word-count"), Role::Plan, 1);
    let [graph] = graphs.as_slice() else {
        panic!("{graphs:?}");
    };
    graph.validate().unwrap();
    let vertices: Vec<_> = graph
        .vertices
        .iter()
        .map(|vertex| (vertex.name.as_str(), vertex.parallelism))
        .collect();
    assert_eq!(
        vertices,
        [
            ("Source: Collection", 1),
            ("tokenizer", 2),
            ("Keyed Sum -> Map", 2),
            ("Sink: Print to Std. Out", 1)
        ]
    );
    let edges: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (edge.source, edge.target, edge.ship()))
        .collect();
    assert_eq!(
        edges,
        [
            (0, 1, ShipStrategy::Rebalance),
            (1, 2, ShipStrategy::Hash),
            (2, 3, ShipStrategy::Rebalance)
        ]
    );
    assert_ne!(graph.edges[1].key_schema, 0);
    assert_eq!(graph.configuration["parallelism.default"], "2");
    assert_eq!(graph.args, ["child::entry", "--exact", "--nocapture"]);
}
