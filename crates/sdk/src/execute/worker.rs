//! Role worker: `main()` ran again to find the code; from here on the process obeys its JobMaster.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use flott_model::{Failure, FailureClass};
use flott_protocol::message::{RegisterWorker, WorkerMessage, WorkerSpec, worker_message};
use flott_protocol::rpc::{Token, connect_worker};
use flott_runtime::plan::Plan;
use flott_runtime::worker::Worker;

use super::job::Job;
use super::{Launch, engine, plan_of, record, restore_prepared, runtime_mode};
use crate::error::Error;
use crate::graph::StreamGraph;

/// Exit code of a worker that cannot serve its job.
const EXIT_UNFIT: i32 = 78;
/// Exit code of a worker that lost its JobMaster or could not begin.
const EXIT_LOST: i32 = 75;

/// The job of an earlier `execute()`, as it was; at the one whose job the process serves this does not return.
pub(super) fn execute(
    launch: &Launch,
    graph: StreamGraph,
    name: &str,
    execute_index: u32,
) -> Result<Arc<Job>, Error> {
    let Some(spec) = launch.spec().cloned() else {
        return Err(Error::Role("a worker without description".into()));
    };
    if execute_index < spec.graph.execute_index {
        // This process serves a later one of the same main().
        return record::replay(&spec.graph.once, execute_index);
    }
    let mode = runtime_mode(launch.configuration(), &graph)?;
    restore_prepared(&graph, &spec.graph.once);
    let plan = plan_of(launch, graph, name, execute_index, Vec::new(), mode);
    watch_agent();
    let code = match engine::run_threaded(|| serve(spec, plan)) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            EXIT_LOST
        }
    };
    std::process::exit(code)
}

/// The agent keeps the worker's standard input open: its end is the agent's end, and a byte says for
/// how many milliseconds sources are to pause, because memory is scarce.
fn watch_agent() {
    std::thread::spawn(|| {
        let mut bytes = [0_u8; 64];
        loop {
            match std::io::stdin().read(&mut bytes) {
                Ok(0) => {
                    tracing::error!("the task executor is gone");
                    std::process::exit(EXIT_LOST);
                }
                Ok(read) => {
                    let longest = bytes[..read].iter().max().copied().unwrap_or_default();
                    flott_runtime::pause_sources(Duration::from_millis(u64::from(longest)));
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
                Err(_) => return,
            }
        }
    });
}

async fn serve(spec: WorkerSpec, mut plan: Plan) -> i32 {
    let token = Token::from_bytes(&spec.token);
    let (messages, commands) = match connect_worker(&spec.job_master, &spec.job, &token).await {
        Ok(connected) => connected,
        Err(error) => {
            tracing::error!("cannot reach the JobMaster: {error}");
            return EXIT_LOST;
        }
    };
    if let Some(difference) = plan.graph.first_difference(&spec.graph) {
        let message = format!(
            "main() built another graph on the worker than was submitted: {difference}. What \
             main() reads (arguments, environment, files, time) must be the same everywhere; \
             use env.once() for what is not"
        );
        tracing::error!("{message}");
        // Who does not say first who it is, is not heard.
        let who = RegisterWorker {
            job: spec.job,
            container: spec.container,
            incarnation: spec.incarnation,
            // Nobody will connect.
            data_address: String::new(),
            pid: std::process::id(),
        };
        let failure = Failure::new(FailureClass::Fatal, message);
        for kind in [
            worker_message::Kind::Register(who),
            worker_message::Kind::Unfit(failure),
        ] {
            // A JobMaster that is gone needs no answer.
            let _ = messages.send(WorkerMessage { kind: Some(kind) }).await;
        }
        // Until the JobMaster has it: it ends the connection.
        let mut commands = commands;
        let told = async { while commands.recv().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), told).await;
        return EXIT_UNFIT;
    }
    plan.graph = spec.graph.clone();
    match (Worker {
        spec,
        plan: Arc::new(plan),
        messages,
        commands,
    })
    .run()
    .await
    {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error}");
            EXIT_LOST
        }
    }
}
