//! The environment: where a program's graph is built, and what it knows of its surroundings.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flott_config::{Configuration, RuntimeExecutionMode, options};
use flott_model::OnceValue;
use flott_protocol::environment::Role;
use flott_record::{Record, codec};
use flott_runtime::plan::{NodeFactory, TeeFactory};

use crate::client::JobClient;
use crate::error::Error;
use crate::execute::{Executed, Job, JobExecutionResult, Keeper, Launch, Request, start_job};
use crate::graph::{Chaining, OperatorInfo, Prepared, StreamGraph, StreamNode};
use crate::slot_sharing::{Groups, SlotSharingGroup};

type SubmissionCheck = Box<dyn FnOnce() -> Result<(), Box<dyn std::error::Error>>>;

/// Where a program builds its jobs. Cheap to clone; all clones are the same environment.
#[derive(Clone)]
pub struct StreamExecutionEnvironment(Rc<RefCell<Inner>>);

impl fmt::Debug for StreamExecutionEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamExecutionEnvironment")
            .finish_non_exhaustive()
    }
}

struct Inner {
    launch: Launch,
    graph: StreamGraph,
    once: Vec<OnceValue>,
    on_submit: Vec<SubmissionCheck>,
    execute_index: u32,
    parallelism: u32,
    groups: Groups,
    /// How the executes so far went.
    executed: Vec<Executed>,
    // Last: it waits for what runs.
    keeper: Arc<Keeper>,
}

impl StreamExecutionEnvironment {
    /// The environment of this process: embedded if the program was simply started, otherwise what
    /// its launcher (`flott run`, an appmaster, a task executor) made it.
    pub fn get() -> Result<Self, Error> {
        let launch = Launch::detect()?;
        let parallelism = launch.configuration().get(&options::PARALLELISM_DEFAULT);
        Ok(Self(Rc::new(RefCell::new(Inner {
            launch,
            graph: StreamGraph::default(),
            once: Vec::new(),
            on_submit: Vec::new(),
            execute_index: 0,
            parallelism,
            groups: Groups::default(),
            executed: Vec::new(),
            keeper: Arc::default(),
        }))))
    }

    /// What this run of the program is for. The graph must not depend on it.
    pub fn role(&self) -> Role {
        self.inner().launch.role()
    }

    /// The arguments of the program, without its name: the same in every role.
    pub fn args(&self) -> Vec<String> {
        std::env::args().skip(1).collect()
    }

    /// The effective configuration.
    pub fn configuration(&self) -> Configuration {
        self.inner().launch.configuration().clone()
    }

    /// The number of subtasks of operators that set none (`parallelism.default`).
    pub fn default_parallelism(&self) -> u32 {
        self.inner().parallelism
    }

    /// Sets the number of subtasks of operators that set none, for what is built from here on.
    ///
    /// # Panics
    /// If it is 0.
    pub fn set_parallelism(&self, parallelism: u32) -> &Self {
        assert!(parallelism > 0, "the parallelism of a job is at least 1");
        self.0.borrow_mut().parallelism = parallelism;
        self
    }

    /// Sets a key of the configuration for the jobs of this program, and of `parallelism.default` for what is built from here
    /// on. It counts for more than the configuration file, and for less than what the user gives on the command line (`-D`,
    /// `-p`). Fails if the value cannot be read; unknown keys warn.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.configure("restart-strategy.type", "none")?;
    /// let error = env.configure("execution.buffer-timeout.interval", "soon").unwrap_err();
    /// assert!(error.to_string().contains("soon"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure(&self, key: &str, value: &str) -> Result<&Self, Error> {
        let mut inner = self.0.borrow_mut();
        let option = &options::PARALLELISM_DEFAULT;
        let before = inner.launch.configuration().get(option);
        inner.launch.configure(key, value)?;
        let after = inner.launch.configuration().get(option);
        if after != before {
            inner.parallelism = after;
        }
        drop(inner);
        Ok(self)
    }

    /// Takes a checkpoint of the job's state every `interval`, as `execution.checkpointing.interval`: after a
    /// failure the job goes on from the latest one, and each record counts once. How often that may happen is
    /// up to `restart-strategy.type`; with checkpoints it is exponential-delay unless set. Where checkpoints go is
    /// `execution.checkpointing.dir`. STREAMING only; BATCH jobs take none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.enable_checkpointing(Duration::from_secs(10))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the interval is zero.
    pub fn enable_checkpointing(&self, interval: Duration) -> Result<&Self, Error> {
        let key = options::EXECUTION_CHECKPOINTING_INTERVAL.key();
        if interval.is_zero() {
            return Err(Error::Configuration(format!(
                "{key} cannot be 0: without checkpoints, do not set it"
            )));
        }
        self.configure(key, &format!("{} ms", interval.as_millis().max(1)))
    }

    /// Lets the barriers of checkpoints overtake the records in front of them, as
    /// `execution.checkpointing.unaligned.enabled`: a checkpoint then completes under back pressure, and what its
    /// barriers overtook becomes part of it. Savepoints are always aligned.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.enable_checkpointing(Duration::from_secs(10))?;
    /// // Aligned as long as that is quick.
    /// env.enable_unaligned_checkpoints(true).set_aligned_checkpoint_timeout(Duration::from_secs(1));
    /// # Ok(())
    /// # }
    /// ```
    pub fn enable_unaligned_checkpoints(&self, enabled: bool) -> &Self {
        let key = options::EXECUTION_CHECKPOINTING_UNALIGNED.key();
        self.default_to(key, if enabled { "true" } else { "false" })
    }

    /// With unaligned checkpoints: barriers overtake records only when their checkpoint is older than this, as
    /// `execution.checkpointing.aligned-checkpoint-timeout`. Zero: at once. See
    /// [`enable_unaligned_checkpoints`](Self::enable_unaligned_checkpoints).
    pub fn set_aligned_checkpoint_timeout(&self, timeout: Duration) -> &Self {
        let key = options::EXECUTION_CHECKPOINTING_ALIGNED_TIMEOUT.key();
        self.default_to(key, &format!("{} ms", timeout.as_millis()))
    }

    /// Sets a key to a value that can be read.
    fn default_to(&self, key: &str, value: &str) -> &Self {
        let set = self.configure(key, value);
        set.expect("a value of the option's own type can be read");
        self
    }

    /// STREAMING, BATCH, or whatever suits the sources (`execution.runtime-mode`, which the command line may set otherwise).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// use flott::RuntimeExecutionMode;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.set_runtime_mode(RuntimeExecutionMode::Batch);
    /// let sums = env.from_sequence(1, 4).key_by(|n| n % 2).sum(|n| n);
    /// let mut sums = sums.execute_and_collect("sums")?.collect::<Result<Vec<_>, _>>()?;
    /// sums.sort();
    /// // One result per key, not one per update.
    /// assert_eq!(sums, [4, 6]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_runtime_mode(&self, mode: RuntimeExecutionMode) -> &Self {
        let text = match mode {
            RuntimeExecutionMode::Streaming => "STREAMING",
            RuntimeExecutionMode::Batch => "BATCH",
            RuntimeExecutionMode::Automatic => "AUTOMATIC",
        };
        self.default_to(options::EXECUTION_RUNTIME_MODE.key(), text)
    }

    /// Runs every operator in a task of its own (`pipeline.operator-chaining.enabled`, which the command line may set
    /// otherwise); stateless ones that are fused stay together.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.disable_operator_chaining();
    /// env.from_sequence(1, 3).map(|n| n * n).print();
    /// env.execute("unchained")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn disable_operator_chaining(&self) -> &Self {
        let key = options::PIPELINE_OPERATOR_CHAINING_ENABLED.key();
        self.default_to(key, "false")
    }

    /// Sets the number of key groups of operators that set none, which is the most subtasks they can ever have
    /// (`pipeline.max-parallelism`, which the command line may set otherwise). Default: derived from their parallelism.
    ///
    /// # Panics
    /// If it is 0 or more than 32768.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.set_max_parallelism(720);
    /// env.from_sequence(1, 3).key_by(|n| n % 2).sum(|n| n).print();
    /// env.execute("720 key groups")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_max_parallelism(&self, max_parallelism: u32) -> &Self {
        assert!(
            (1..=32_768).contains(&max_parallelism),
            "the maximum parallelism of a job is 1 to 32768"
        );
        let key = options::PIPELINE_MAX_PARALLELISM.key();
        self.default_to(key, &max_parallelism.to_string())
    }

    /// The longest time that records wait in a buffer that is not full; `None`: until it is full
    /// (`execution.buffer-timeout.interval`, which the command line may set otherwise). Rounded down to milliseconds.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.set_buffer_timeout(Some(Duration::from_millis(5)));
    /// env.from_sequence(1, 3).rebalance().print();
    /// env.execute("soon")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_buffer_timeout(&self, timeout: Option<Duration>) -> &Self {
        let enabled = options::EXECUTION_BUFFER_TIMEOUT_ENABLED.key();
        let Some(timeout) = timeout else {
            return self.default_to(enabled, "false");
        };
        let interval = options::EXECUTION_BUFFER_TIMEOUT.key();
        self.default_to(enabled, "true")
            .default_to(interval, &format!("{} ms", timeout.as_millis()))
    }

    /// Says what the slots of a group must offer whose operators are given its name only. Fails if that
    /// name was given another size before.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// use flott::SlotSharingGroup;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let group = SlotSharingGroup::new_builder("squares").set_cpu_cores(0.5).set_task_heap_memory_mb(50);
    /// env.register_slot_sharing_group(group.build()?)?;
    /// env.from_sequence(1, 3).map(|n| n * n).slot_sharing_group("squares").print();
    /// env.execute("squares")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn register_slot_sharing_group(&self, group: SlotSharingGroup) -> Result<&Self, Error> {
        let mut inner = self.0.borrow_mut();
        inner.groups.note(group);
        inner.groups.resources()?;
        drop(inner);
        Ok(self)
    }

    /// Evaluates `value` at submission only, and gives that same value in every worker: for
    /// whatever is not the same everywhere (the time, a random number, a file's content).
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// let started = env.once("started", std::time::SystemTime::now)?;
    /// # let _ = started;
    /// # Ok(())
    /// # }
    /// ```
    pub fn once<T: Record>(&self, name: &str, value: impl FnOnce() -> T) -> Result<T, Error> {
        let recorded = self.inner().launch.recorded(name);
        if let Some(bytes) = recorded {
            return codec::decode(&mut bytes.as_slice()).map_err(|error| {
                Error::Configuration(format!(
                    "the value '{name}' of once() cannot be read: {error}"
                ))
            });
        }
        if self.inner().once.iter().any(|known| known.name == name) {
            return Err(Error::Configuration(format!(
                "the name '{name}' is used by two calls of once(): workers could not tell their \
                 values apart"
            )));
        }
        let value = value();
        let mut bytes = Vec::new();
        codec::encode(&value, &mut bytes).map_err(|error| {
            Error::Configuration(format!(
                "the value '{name}' of once() cannot be stored: {error}"
            ))
        })?;
        self.0.borrow_mut().once.push(OnceValue {
            name: name.to_owned(),
            value: bytes,
        });
        Ok(value)
    }

    /// Runs `check` once, when the next `execute()` submits its job; never on workers, nor when an
    /// appmaster that was lost is replaced.
    pub fn on_submit(
        &self,
        check: impl FnOnce() -> Result<(), Box<dyn std::error::Error>> + 'static,
    ) {
        self.0.borrow_mut().on_submit.push(Box::new(check));
    }

    /// Runs what was built since the last `execute()` and waits for its end (a detached program
    /// goes on at once). On a worker this does not return. May be called inside a tokio runtime.
    pub fn execute(&self, job_name: &str) -> Result<JobExecutionResult, Error> {
        self.submit(job_name, false)?.wait()
    }

    /// As [`StreamExecutionEnvironment::execute`], but returns as soon as the job is accepted; jobs run side by side then.
    /// At its end the program waits for the jobs that have not ended; see [`JobClient`].
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_sequence(1, 3).print();
    /// let job = env.execute_async("numbers")?;
    /// println!("{} was accepted", job.job_id());
    /// job.result()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn execute_async(&self, job_name: &str) -> Result<JobClient, Error> {
        self.submit_client(job_name, false)
    }

    pub(crate) fn submit_client(&self, name: &str, collects: bool) -> Result<JobClient, Error> {
        let job = self.submit(name, collects)?;
        Ok(JobClient::new(job, Arc::clone(&self.inner().keeper)))
    }

    fn submit(&self, name: &str, collects: bool) -> Result<Arc<Job>, Error> {
        // A check may ask the environment, so nothing of it is borrowed meanwhile.
        let checks = std::mem::take(&mut self.0.borrow_mut().on_submit);
        let is_first = self.inner().launch.is_first_submission();
        let mut checks = checks.into_iter().filter(|_| is_first);
        let checked = checks.try_for_each(|check| check());
        let mut inner = self.0.borrow_mut();
        let inner = &mut *inner;
        let mut graph = std::mem::take(&mut inner.graph);
        let resources = inner.groups.resources();
        let request = Request {
            name,
            index: inner.execute_index,
            // A worker of a later job runs what is before that job, too: it needs these values as well.
            once: inner.once.clone(),
            collects,
            executed: &inner.executed,
        };
        inner.execute_index += 1;
        let submitted = match checked {
            Ok(()) => resources.and_then(|resources| {
                graph.resources = resources;
                start_job(&inner.launch, graph, request)
            }),
            Err(error) => Err(Error::Submission(error.to_string())),
        };
        inner.executed.push(Executed::of(&submitted));
        if let Ok(job) = &submitted {
            inner.keeper.add(job);
        }
        submitted
    }

    fn inner(&self) -> Ref<'_, Inner> {
        self.0.borrow()
    }

    /// What was built so far, for tests of graphs.
    #[cfg(test)]
    pub(crate) fn take_graph(&self) -> crate::graph::StreamGraph {
        let mut inner = self.0.borrow_mut();
        let resources = inner.groups.resources().expect("a test of a valid graph");
        StreamGraph {
            resources,
            ..std::mem::take(&mut inner.graph)
        }
    }

    pub(crate) fn new_node(
        &self,
        operators: Vec<OperatorInfo>,
        parallelism: u32,
        factory: NodeFactory,
        tee: TeeFactory,
    ) -> StreamNode {
        StreamNode {
            operators,
            parallelism,
            max_parallelism: None,
            slot_sharing_group: "default".to_owned(),
            chaining: Chaining::Allowed,
            inputs: Vec::new(),
            factory,
            tee,
            sides: BTreeMap::new(),
            committer: None,
            prepare: None,
            abandon: None,
            prepared: Prepared::default(),
            unbounded: false,
            buffer_timeout: None,
            merged: false,
        }
    }

    /// Adds a node; it joins the slot sharing group of what feeds it, if that is one group.
    pub(crate) fn add_node(&self, mut node: StreamNode) -> usize {
        let mut inner = self.0.borrow_mut();
        let mut groups = node
            .inputs
            .iter()
            .map(|edge| inner.graph.nodes[edge.from].slot_sharing_group.clone());
        if let Some(first) = groups.next()
            && groups.all(|group| group == first)
        {
            node.slot_sharing_group = first;
        }
        inner.graph.add(node)
    }

    /// Puts a node into slots of a group.
    pub(crate) fn share_slots(&self, node: usize, group: SlotSharingGroup) {
        let name = self.0.borrow_mut().groups.note(group);
        self.with_node(node, |node| node.slot_sharing_group = name);
    }

    pub(crate) fn next_node(&self) -> usize {
        self.inner().graph.nodes.len()
    }

    pub(crate) fn with_node(&self, node: usize, change: impl FnOnce(&mut StreamNode)) {
        change(&mut self.0.borrow_mut().graph.nodes[node]);
    }

    pub(crate) fn last_operator(&self, node: usize, change: impl FnOnce(&mut OperatorInfo)) {
        self.with_node(node, |node| {
            node.operators.last_mut().map(change).unwrap_or_default()
        });
    }

    pub(crate) fn parallelism_of(&self, node: usize) -> u32 {
        self.inner().graph.nodes[node].parallelism
    }

    pub(crate) fn is_pass_through(&self, node: usize) -> bool {
        self.inner().graph.nodes[node].operators.is_empty()
    }
}
