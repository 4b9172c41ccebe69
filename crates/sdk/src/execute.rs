//! `execute()`: what it does depends on the role of the process.

mod embedded;
mod engine;
mod job;
mod launch;
mod line;
mod record;
mod submit;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flott_config::{
    BatchShuffleMode, CheckpointingMode, Configuration, RuntimeExecutionMode, options,
};
use flott_connectors::file::SubmissionStage;
use flott_filesystem::FileSystems;
use flott_jobmanager::SubmitError;
use flott_metrics::accumulators::Accumulator;
use flott_model::{Exchange, JobId, JobStatus, OnceValue, RuntimeMode};
use flott_protocol::environment::Role;
use flott_protocol::program::JobEnded;
use flott_runtime::BufferTimeout;
use flott_runtime::plan::Plan;

pub(crate) use job::{Job, Keeper};
pub(crate) use launch::Launch;
pub(crate) use record::Executed;

use crate::client::JobAccumulators;
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
    accumulators: JobAccumulators,
}

impl JobExecutionResult {
    /// Nobody waited for the job.
    fn without_end(job_id: JobId, detached: bool) -> Self {
        Self {
            job_id,
            net_runtime: Duration::ZERO,
            detached,
            accumulators: JobAccumulators::default(),
        }
    }

    /// What the subtasks of the job accumulated under a name. Fails if there is no such accumulator, or if it is of another
    /// type. In a program that did not wait (detached) there are none.
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
        self.accumulators.result::<A>(name)
    }

    /// The names of the job's accumulators, in order.
    pub fn accumulator_names(&self) -> impl Iterator<Item = &str> {
        self.accumulators.names()
    }
}

/// The result of a job that ended, or its failure as an error.
fn result(ended: JobEnded) -> Result<JobExecutionResult, Error> {
    let job = submit::parse(&ended.job)?;
    match JobStatus::from_number(ended.status) {
        Some(JobStatus::Finished) => Ok(JobExecutionResult {
            job_id: job,
            net_runtime: Duration::from_millis(ended.runtime_ms),
            detached: false,
            accumulators: JobAccumulators::new(ended.accumulators),
        }),
        status => Err(Error::Ended {
            job,
            status: status.unwrap_or(JobStatus::Failed),
            failure: ended.failure.map(Box::new),
        }),
    }
}

/// An `execute()` of the program.
pub(crate) struct Request<'a> {
    pub(crate) name: &'a str,
    /// Which one, from 0.
    pub(crate) index: u32,
    /// What `once` fixed so far.
    pub(crate) once: Vec<OnceValue>,
    /// Whether the program reads the records of the job.
    pub(crate) collects: bool,
    /// How the earlier ones went.
    pub(crate) executed: &'a [Executed],
}

/// Builds the plan and starts it as the role says; returns when the job is accepted.
pub(crate) fn start_job(
    launch: &Launch,
    mut graph: StreamGraph,
    request: Request<'_>,
) -> Result<Arc<Job>, Error> {
    let Request {
        name,
        index,
        mut once,
        collects,
        executed,
    } = request;
    if launch.role() == Role::Worker {
        return worker::execute(launch, graph, name, index);
    }
    let mode = runtime_mode(launch.configuration(), &graph)?;
    check_unaligned(launch.configuration())?;
    if launch.has_workers_elsewhere() {
        once.extend(record::values(executed)?);
        once.extend(launch.configured());
    }
    let files = launch.file_systems()?;
    let abandoned = abandonable(&mut graph);
    let prepared = prepare(&mut graph, &files, launch.stage()).and_then(|found| {
        once.extend(found);
        let plan = plan_of(launch, graph, name, index, once, mode);
        plan.graph.validate()?;
        match SubmitError::of_graph(launch.configuration(), &plan.graph) {
            None => Ok(plan),
            Some(refusal) => Err(Error::Refused(refusal.to_string())),
        }
    });
    let plan = match prepared {
        Ok(plan) => plan,
        Err(error) => {
            abandon(abandoned, &files);
            return Err(error);
        }
    };
    let leftovers = job::Leftovers::new(abandoned, files);
    let started = match launch.role() {
        Role::Embedded => embedded::start_job(launch, plan, leftovers.clone()),
        Role::Plan | Role::Submit | Role::Driver | Role::Worker => {
            submit::start(launch, plan, collects, leftovers.clone())
        }
    };
    if started.as_ref().is_err_and(Error::job_is_over) {
        leftovers.remove();
    }
    started
}

/// What nodes want removed if the job does not finish.
fn abandonable(graph: &mut StreamGraph) -> Vec<(Prepared, Abandon)> {
    let nodes = graph.nodes.iter_mut();
    nodes
        .filter_map(|node| Some((Arc::clone(&node.prepared), node.abandon.take()?)))
        .collect()
}

/// Removes what the job left; what cannot be removed stays, the job's failure matters more.
fn abandon(abandoned: Vec<(Prepared, Abandon)>, files: &FileSystems) {
    // Connections die with the runtime they were made in.
    let files = Arc::new(files.detached());
    engine::run(async {
        for (prepared, abandon) in abandoned {
            let Some(prepared) = prepared.get() else {
                continue; // Its check failed, or was not reached.
            };
            if let Err(error) = abandon(Arc::clone(&files), prepared.clone()).await {
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
    mode: RuntimeMode,
) -> Plan {
    let configuration = launch.configuration();
    let batch_exchange = batch_exchange(configuration, &graph);
    let max_parallelism = configuration.get(&options::PIPELINE_MAX_PARALLELISM);
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
            max_parallelism: u32::try_from(max_parallelism).ok().filter(|max| *max > 0),
            buffer_timeout: buffer_timeout(configuration),
            mode,
            batch_exchange,
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
                source
                    .operators
                    .last()
                    .map_or("a source", |source| source.name.as_str())
            ))),
        },
    }
}

/// Refuses what unaligned checkpoints cannot be combined with, as Flink does.
fn check_unaligned(configuration: &Configuration) -> Result<(), Error> {
    if !configuration.get(&options::EXECUTION_CHECKPOINTING_UNALIGNED) {
        return Ok(());
    }
    let unaligned = options::EXECUTION_CHECKPOINTING_UNALIGNED.key();
    let refused = |key: &str, value: &str, why: &str| {
        Err(Error::Configuration(format!(
            "{unaligned} and {key}: {value} exclude each other: {why}"
        )))
    };
    if configuration.get(&options::EXECUTION_CHECKPOINTING_MODE) == CheckpointingMode::AtLeastOnce {
        let key = options::EXECUTION_CHECKPOINTING_MODE.key();
        return refused(
            key,
            "AT_LEAST_ONCE",
            "there no barrier waits, so that none has anything to overtake",
        );
    }
    let most = configuration.get(&options::EXECUTION_CHECKPOINTING_MAX_CONCURRENT);
    if most > 1 {
        let key = options::EXECUTION_CHECKPOINTING_MAX_CONCURRENT.key();
        return refused(
            key,
            &most.to_string(),
            "only one barrier can overtake at a time",
        );
    }
    Ok(())
}

fn batch_exchange(configuration: &Configuration, graph: &StreamGraph) -> Exchange {
    if configuration.get(&options::FINE_GRAINED_SHUFFLE_MODE_ALL_BLOCKING)
        && !graph.group_resources().is_empty()
    {
        return Exchange::Blocking;
    }
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
