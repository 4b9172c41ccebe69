//! The environment: where a program's graph is built, and what it knows of its surroundings.

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use flott_config::{Configuration, options};
use flott_connectors::collection::CollectionReader;
use flott_connectors::file::{FileSplits, TextReader, enumerate_splits};
use flott_connectors::sequence::SequenceReader;
use flott_model::OnceValue;
use flott_operators::source::Reader;
use flott_operators::{BatchSink, SubtaskContext, TaskError};
use flott_protocol::environment::Role;
use flott_record::{Record, codec};
use flott_runtime::SourceTask;
use flott_runtime::exchange::unbox;
use flott_runtime::plan::{NodeFactory, TeeFactory};
use prost::Message;

use crate::error::Error;
use crate::execute::{JobExecutionResult, Launch, run_job};
use crate::graph::{
    Chaining, OperatorInfo, Prepare, Prepared, StreamGraph, StreamNode, tee_factory,
};
use crate::stream::DataStream;

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

    /// The items, in order, in one subtask.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::get()?;
    /// env.from_collection(["to", "be"].map(String::from)).print();
    /// env.execute("collection")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_collection<T: Record + Sync>(
        &self,
        items: impl IntoIterator<Item = T>,
    ) -> DataStream<T> {
        let items = Arc::new(items.into_iter().collect::<Vec<_>>());
        let make = move |_: &SubtaskContext| Ok(CollectionReader::new(Arc::clone(&items)));
        self.source("Collection", 1, make, None, Prepared::default())
    }

    /// The numbers `from..=to`, split into one range per subtask.
    pub fn from_sequence(&self, from: i64, to: i64) -> DataStream<i64> {
        let make = move |context: &SubtaskContext| {
            Ok(SequenceReader::new(
                from,
                to,
                context.subtask,
                context.parallelism,
            ))
        };
        let parallelism = self.default_parallelism();
        self.source("Sequence", parallelism, make, None, Prepared::default())
    }

    /// The lines of a file, of all files below a directory, or of all that match a glob, on any
    /// file system (`hdfs://…`, `file:///…`; without scheme: the default one). Hidden files
    /// (`.x`, `_x`) are skipped. Files are split by blocks; the list is made at submission.
    pub fn read_text_file(&self, path: &str) -> DataStream<String> {
        let prepared = Prepared::default();
        let (splits, uri) = (Arc::clone(&prepared), path.to_owned());
        let make = move |context: &SubtaskContext| {
            let bytes = splits.get().map(Vec::as_slice).unwrap_or_default();
            let splits = FileSplits::decode(bytes).map_err(|error| {
                TaskError::fatal(format!("the list of input files cannot be read: {error}"))
            })?;
            let own = splits.of_subtask(context.subtask, context.parallelism);
            Ok(TextReader::new(own, context))
        };
        let prepare: Prepare = Box::new(move |at| {
            Box::pin(async move {
                let splits = enumerate_splits(&at.files, &uri, at.parallelism).await?;
                Ok(splits.encode_to_vec())
            })
        });
        self.source(
            "Text Files",
            self.default_parallelism(),
            make,
            Some(prepare),
            prepared,
        )
    }

    fn source<R, F>(
        &self,
        name: &str,
        parallelism: u32,
        make: F,
        prepare: Option<Prepare>,
        prepared: Prepared,
    ) -> DataStream<R::Out>
    where
        R: Reader + 'static,
        F: Fn(&SubtaskContext) -> Result<R, TaskError> + Send + Sync + 'static,
    {
        let factory = NodeFactory::Source(Arc::new(move |context, next, timeout| {
            let reader = make(context)?;
            let next: Box<dyn BatchSink<R::Out>> = unbox(next.main);
            Ok(Box::new(SourceTask::new(reader, next, timeout, context)))
        }));
        let operator = OperatorInfo::named("Source", format!("Source: {name}"));
        let node = StreamNode {
            prepare,
            prepared,
            ..self.new_node(
                vec![operator],
                parallelism,
                factory,
                tee_factory::<R::Out>(),
            )
        };
        DataStream::of_node(self.clone(), self.add_node(node))
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
