//! The environment: where a program's graph is built, and what it knows of its surroundings.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use flott_config::{Configuration, options};
use flott_model::OnceValue;
use flott_protocol::environment::Role;
use flott_record::{Record, codec};
use flott_runtime::plan::{NodeFactory, TeeFactory};

use crate::error::Error;
use crate::execute::{JobExecutionResult, Launch, run_job};
use crate::graph::{Chaining, OperatorInfo, Prepared, StreamGraph, StreamNode};

type SubmissionCheck = Box<dyn FnOnce() -> Result<(), Box<dyn std::error::Error>>>;

/// Where a program builds its jobs. Cheap to clone; all clones are the same environment.
#[derive(Clone)]
pub struct StreamExecutionEnvironment(Rc<RefCell<Inner>>);

struct Inner {
    launch: Launch,
    graph: StreamGraph,
    once: Vec<OnceValue>,
    on_submit: Vec<SubmissionCheck>,
    execute_index: u32,
    parallelism: u32,
    max_parallelism: Option<u32>,
}

impl StreamExecutionEnvironment {
    /// The environment of this process: embedded if the program was simply started, otherwise what
    /// its launcher (`flott run`, an appmaster, a task executor) made it.
    pub fn get() -> Result<Self, Error> {
        let launch = Launch::detect()?;
        let parallelism = launch.configuration().get(&options::PARALLELISM_DEFAULT);
        let max = launch
            .configuration()
            .get(&options::PIPELINE_MAX_PARALLELISM);
        Ok(Self(Rc::new(RefCell::new(Inner {
            launch,
            graph: StreamGraph::default(),
            once: Vec::new(),
            on_submit: Vec::new(),
            execute_index: 0,
            parallelism,
            max_parallelism: u32::try_from(max).ok().filter(|max| *max > 0),
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
        // A check may ask the environment, so nothing of it is borrowed meanwhile.
        let checks = std::mem::take(&mut self.0.borrow_mut().on_submit);
        let checked = self.inner().launch.is_first_submission();
        for check in checks.into_iter().filter(|_| checked) {
            check().map_err(|error| Error::Submission(error.to_string()))?;
        }
        let mut inner = self.0.borrow_mut();
        let graph = std::mem::take(&mut inner.graph);
        // A worker of a later job runs what is before that job, too: it needs these values as well.
        let once = inner.once.clone();
        let index = inner.execute_index;
        inner.execute_index += 1;
        let max_parallelism = inner.max_parallelism;
        let launch = &mut inner.launch;
        run_job(launch, graph, job_name, index, once, max_parallelism)
    }

    fn inner(&self) -> Ref<'_, Inner> {
        self.0.borrow()
    }

    /// What was built so far, for tests of graphs.
    #[cfg(test)]
    pub(crate) fn take_graph(&self) -> crate::graph::StreamGraph {
        std::mem::take(&mut self.0.borrow_mut().graph)
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
