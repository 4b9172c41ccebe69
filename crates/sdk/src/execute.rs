//! `execute()`: what it does depends on the role of the process.

mod embedded;
mod engine;
mod launch;
mod submit;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flott_config::{BatchShuffleMode, Configuration, RuntimeExecutionMode, options};
use flott_connectors::file::SubmissionStage;
use flott_filesystem::FileSystems;
use flott_metrics::accumulators::{Accumulator, AccumulatorError, MergedAccumulator};
use flott_model::{Exchange, JobId, OnceValue, RuntimeMode};
use flott_protocol::environment::Role;
use flott_runtime::BufferTimeout;
use flott_runtime::plan::Plan;

pub(crate) use launch::Launch;

use crate::error::Error;
use crate::graph::{Abandon, GraphSettings, Prepared, StreamGraph, Submission, build_plan};

/// How a job ended that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobExecutionResult {
    /// The job.
    pub job_id: JobId,
    /// From acceptance to end; zero if nobody waited for the end (detached).
    pub net_runtime: Duration,
    /// Whether `execute()` returned before the job's end.
    pub detached: bool,
    accumulators: Vec<MergedAccumulator>,
}

impl JobExecutionResult {
    /// Nobody waited for the job.
    fn without_end(job_id: JobId, detached: bool) -> Self {
        Self {
            job_id,
            net_runtime: Duration::ZERO,
            detached,
            accumulators: Vec::new(),
        }
    }

    /// What the subtasks of the job accumulated under a name. Fails if there is no such accumulator, or if it is of another
    /// type. In a program that did not wait (detached), and where `main()` runs again in a worker of a later job, there are
    /// none.
    ///
    /// ```
    /// use flott::accumulators::LongCounter;
    /// use flott::prelude::*;
    ///
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection([1_u64, 2, 3]).discard();
    /// let result = env.execute("numbers")?;
    /// let missing = result.accumulator_result::<LongCounter>("rows").unwrap_err();
    /// assert!(missing.to_string().contains("no accumulator \"rows\""));
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn accumulator_result<A: Accumulator>(&self, name: &str) -> Result<A::Result, Error> {
        let found = self.accumulators.iter().find(|one| one.name == name);
        let found = found.ok_or_else(|| {
            let names: Vec<&str> = self.accumulator_names().collect();
            let known = if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            };
            AccumulatorError::Unknown {
                name: name.to_owned(),
                known,
            }
        })?;
        Ok(found.read::<A>()?.result())
    }

    /// The names of the job's accumulators, in order.
    pub fn accumulator_names(&self) -> impl Iterator<Item = &str> {
        self.accumulators.iter().map(|one| one.name.as_str())
    }
}

/// Builds the plan and runs it as the role says.
pub(crate) fn run_job(
    launch: &mut Launch,
    mut graph: StreamGraph,
    name: &str,
    execute_index: u32,
    mut once: Vec<OnceValue>,
    max_parallelism: Option<u32>,
) -> Result<JobExecutionResult, Error> {
    let mode = runtime_mode(launch.configuration(), &graph)?;
    if launch.role() == Role::Worker {
        return worker::execute(launch, graph, name, execute_index, max_parallelism, mode);
    }
    let abandoned = abandonable(&mut graph);
    let result = prepare(&mut graph, &launch.file_systems()?, launch.stage()).and_then(|found| {
        once.extend(found);
        let plan = plan_of(
            launch,
            graph,
            name,
            execute_index,
            once,
            max_parallelism,
            mode,
        );
        plan.graph.validate()?;
        match launch.role() {
            Role::Embedded => embedded::execute(launch, plan),
            Role::Plan | Role::Submit | Role::Driver | Role::Worker => {
                submit::execute(launch, plan)
            }
        }
    });
    if result.as_ref().is_err_and(Error::job_is_over) {
        abandon(abandoned, &launch.file_systems()?);
    }
    result
}

/// What nodes want removed if the job does not finish.
fn abandonable(graph: &mut StreamGraph) -> Vec<(Prepared, Abandon)> {
    let nodes = graph.nodes.iter_mut();
    nodes
        .filter_map(|node| Some((Arc::clone(&node.prepared), node.abandon.take()?)))
        .collect()
}

/// Removes what the job left; what cannot be removed stays, the job's failure matters more.
fn abandon(abandoned: Vec<(Prepared, Abandon)>, files: &Arc<FileSystems>) {
    engine::run(async {
        for (prepared, abandon) in abandoned {
            let Some(prepared) = prepared.get() else {
                continue; // Its check failed, or was not reached.
            };
            if let Err(error) = abandon(Arc::clone(files), prepared.clone()).await {
                tracing::warn!("{error}");
            }
        }
    });
}

fn plan_of(
    launch: &Launch,
    graph: StreamGraph,
    name: &str,
    execute_index: u32,
    once: Vec<OnceValue>,
    max_parallelism: Option<u32>,
    mode: RuntimeMode,
) -> Plan {
    let configuration = launch.configuration();
    let name = configuration
        .get(&options::PIPELINE_NAME)
        .unwrap_or_else(|| name.to_owned());
    build_plan(
        graph,
        GraphSettings {
            name,
            args: std::env::args().skip(1).collect(),
            once,
            configuration: configuration.to_map(),
            execute_index,
            chaining: configuration.get(&options::PIPELINE_OPERATOR_CHAINING_ENABLED),
            max_parallelism,
            buffer_timeout: buffer_timeout(configuration),
            mode,
            batch_exchange: batch_exchange(configuration),
        },
    )
}

/// What `execution.runtime-mode` means for these sources.
fn runtime_mode(configuration: &Configuration, graph: &StreamGraph) -> Result<RuntimeMode, Error> {
    let mut unbounded = graph.nodes.iter().filter(|node| node.unbounded);
    match configuration.get(&options::EXECUTION_RUNTIME_MODE) {
        RuntimeExecutionMode::Streaming => Ok(RuntimeMode::Streaming),
        RuntimeExecutionMode::Automatic if unbounded.next().is_some() => Ok(RuntimeMode::Streaming),
        RuntimeExecutionMode::Automatic => Ok(RuntimeMode::Batch),
        RuntimeExecutionMode::Batch => match unbounded.next() {
            None => Ok(RuntimeMode::Batch),
            Some(source) => Err(Error::Configuration(format!(
                "execution.runtime-mode is BATCH, but '{}' never ends: bound it, or set STREAMING",
                source.operators.last().map_or("a source", |source| source.name.as_str())
            ))),
        },
    }
}

fn batch_exchange(configuration: &Configuration) -> Exchange {
    match configuration.get(&options::EXECUTION_BATCH_SHUFFLE_MODE) {
        BatchShuffleMode::Blocking => Exchange::Blocking,
        BatchShuffleMode::Pipelined => Exchange::Pipelined,
    }
}

fn buffer_timeout(configuration: &Configuration) -> BufferTimeout {
    if configuration.get(&options::EXECUTION_BUFFER_TIMEOUT_ENABLED) {
        BufferTimeout::After(configuration.get(&options::EXECUTION_BUFFER_TIMEOUT))
    } else {
        BufferTimeout::Never
    }
}

/// The name under which what a node found out is shipped.
fn prepared_name(node: usize) -> String {
    format!("flott.node.{node}")
}

/// Lets sources and sinks look at the world, once; keeps what they found.
fn prepare(
    graph: &mut StreamGraph,
    files: &Arc<FileSystems>,
    stage: SubmissionStage,
) -> Result<Vec<OnceValue>, Error> {
    let mut waiting = Vec::new();
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        if let Some(prepare) = node.prepare.take() {
            let (files, parallelism) = (Arc::clone(files), node.parallelism);
            let future = prepare(Submission {
                files,
                parallelism,
                stage,
            });
            waiting.push((index, Arc::clone(&node.prepared), future));
        }
    }
    // All in one runtime: HDFS connections belong to the one that made them.
    engine::run(async {
        let mut found = Vec::with_capacity(waiting.len());
        for (index, prepared, future) in waiting {
            let value = future
                .await
                .map_err(|error| Error::Submission(error.message))?;
            let _ = prepared.set(value.clone());
            let name = prepared_name(index);
            found.push(OnceValue { name, value });
        }
        Ok(found)
    })
}

/// Gives every node what was found out at submission.
fn restore_prepared(graph: &StreamGraph, once: &[OnceValue]) {
    let by_name: BTreeMap<&str, &OnceValue> = once
        .iter()
        .map(|value| (value.name.as_str(), value))
        .collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Some(value) = by_name.get(prepared_name(index).as_str()) {
            let _ = node.prepared.set(value.value.clone());
        }
    }
}
