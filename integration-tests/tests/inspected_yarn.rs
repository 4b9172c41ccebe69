//! What YARN's proxy shows of a running job: where its time goes, down to the user's function, and what its operators did.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    JobManager, Mode, Running, TestHadoop, check_left_nothing, test_job, wait_for,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// The user's function that takes all the time.
const FUNCTION: &str = "grind_for_the_flame_graph";

/// A job that computes until it is cancelled, seen through the proxy.
struct Busy<'a> {
    hadoop: &'a TestHadoop,
    client: Running,
    application: String,
    manager: JobManager,
    job: String,
}

impl<'a> Busy<'a> {
    fn start(hadoop: &'a TestHadoop) -> Result<Self> {
        let options = [
            "-Drest.flamegraph.enabled=true",
            "-Drest.flamegraph.num-samples=40",
        ];
        let mut client = Mode::PerJob
            .call(hadoop, &options, &test_job("busy")?, [""; 0])
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        let yarn = hadoop.yarn();
        let direct = yarn.wait_for_job_manager(&application, PATIENCE)?;
        let job = wait_for("the job to run", PATIENCE, || {
            let job = direct.only_job().ok();
            Ok(job.filter(|job| direct.is_running(job).unwrap_or(false)))
        })?;
        let manager = yarn.proxied_job_manager(&application)?;
        Ok(Self {
            hadoop,
            client,
            application,
            manager,
            job,
        })
    }

    /// The answer to a path below the job's only vertex.
    fn of_vertex(&self, path: &str) -> Result<Value> {
        let details = self.manager.details(&self.job)?;
        let vertex = details["vertices"][0]["id"].as_str();
        let vertex = vertex.with_context(|| format!("no vertex: {details}"))?;
        self.manager
            .get(&format!("/jobs/{}/vertices/{vertex}/{path}", self.job))
    }

    fn end(self) -> Result<()> {
        // The proxy passes no PATCH on; this is how Flink cancels through it.
        self.manager
            .get(&format!("/jobs/{}/yarn-cancel", self.job))?;
        let call = self.client.wait()?;
        ensure!(!call.success(), "a cancelled job is no success");
        check_left_nothing(self.hadoop, &self.application)
    }
}

/// The names from the root of a flame graph to its leaves that lead through a name with that part.
fn has_frame(frame: &Value, part: &str) -> bool {
    let named = frame["name"]
        .as_str()
        .is_some_and(|name| name.contains(part));
    let children = frame["children"].as_array();
    named || children.is_some_and(|children| children.iter().any(|child| has_frame(child, part)))
}

#[test]
fn the_proxy_shows_the_function_that_takes_the_time() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let busy = Busy::start(&hadoop)?;
    let graph = wait_for("the function in the flame graph", PATIENCE, || {
        let graph = busy.of_vertex("flamegraph?type=on_cpu")?;
        Ok(has_frame(&graph["data"], FUNCTION).then_some(graph))
    })?;
    ensure!(graph["endTimestamp"].as_i64() > Some(0), "{graph}");
    ensure!(graph["data"]["value"].as_u64() > Some(0), "{graph}");
    let off = busy.of_vertex("flamegraph?type=off_cpu")?;
    ensure!(!has_frame(&off["data"], FUNCTION), "it never waits: {off}");
    wait_for("the function in the thread dump", PATIENCE, || {
        let executors = busy.manager.get("/taskmanagers")?;
        let executor = executors["taskmanagers"][0]["id"].as_str();
        let executor = executor.with_context(|| format!("no executor: {executors}"))?;
        let dump = busy
            .manager
            .get(&format!("/taskmanagers/{executor}/thread-dump"))?;
        let threads = dump["threadInfos"].as_array().context("no threads")?;
        let is_in = |thread: &&Value| {
            let text = thread["stringifiedThreadInfo"].as_str();
            text.is_some_and(|text| text.contains(FUNCTION))
        };
        let names = threads.iter().filter(is_in).map(|one| &one["threadName"]);
        // The task, and the thread that runs it.
        Ok(names
            .clone()
            .any(|name| name.as_str().is_some_and(|name| name.contains("grind")))
            .then_some(()))
    })?;
    busy.end()
}

#[test]
fn the_proxy_shows_what_each_fused_operator_did() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let busy = Busy::start(&hadoop)?;
    let names = [
        "grind.numRecordsIn",
        "grind.numRecordsOut",
        "even.numRecordsIn",
        "even.numRecordsOut",
        "even.numRecordsInPerSecond",
    ];
    let path = format!("subtasks/0/metrics?get={}", names.join(","));
    let values = wait_for("rows of all operators", PATIENCE, || {
        let told = busy.of_vertex(&path)?;
        let values = names.map(|name| {
            let metrics = told.as_array().into_iter().flatten();
            let mut found = metrics.filter(|metric| metric["id"] == name);
            found.next()?["value"].as_str()?.parse::<f64>().ok()
        });
        Ok(values
            .iter()
            .all(|value| *value > Some(0.0))
            .then_some(values))
    })?;
    let [ground, given, tested, passed, _] = values.map(Option::unwrap_or_default);
    ensure!(ground == given && given == tested, "{values:?}");
    ensure!(passed < tested, "half of them are odd: {values:?}");
    busy.end()
}
