//! WordCount on real HDFS and YARN, black box: what the user sees, what YARN says, what is in HDFS afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    FlottCommand, TestHadoop, container_processes, count_words, dist_directory, largest_counts,
    repository_root, wait_for, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(120);
/// So large that a node takes one executor only.
const ONE_EXECUTOR_PER_NODE: &str = "-Dtaskmanager.memory.process.size=2200m";

/// The example text in HDFS, so many times over, and where the result goes.
struct Paths {
    input: String,
    output: String,
}

fn paths(hadoop: &TestHadoop, test: &str, copies: usize) -> Result<Paths> {
    let paths = Paths {
        input: format!("/data/{test}/text"),
        output: format!("/out/{test}"),
    };
    hadoop.hdfs().put(&paths.input, novels()?.repeat(copies))?;
    hadoop.hdfs().delete(&paths.output)?;
    Ok(paths)
}

fn novels() -> Result<String> {
    std::fs::read_to_string(repository_root().join("examples/data/jane-austen.txt"))
        .context("reading the example text")
}

fn wordcount(hadoop: &TestHadoop, verb: &[&str], options: &[&str], paths: &Paths) -> FlottCommand {
    FlottCommand::on(hadoop)
        .args(verb)
        .args(options)
        .args([dist_directory().join("examples/wordcount")])
        .args([
            "--input",
            &format!("hdfs://{}", paths.input),
            "--output",
            &format!("hdfs://{}", paths.output),
        ])
}

const PER_JOB: &[&str] = &["run", "-t", "yarn-per-job"];
const APPLICATION: &[&str] = &["run-application", "-t", "yarn-application"];

/// A word's largest update equals an independent count, and nothing unfinished is left.
fn check_result(hadoop: &TestHadoop, paths: &Paths, copies: u64) -> Result<()> {
    let mut expected = count_words(&novels()?);
    expected.values_mut().for_each(|count| *count *= copies);
    let counted = largest_counts(&hadoop.hdfs().read_output(&paths.output)?)?;
    ensure!(
        counted == expected,
        "{} words counted, {} expected, or other numbers",
        counted.len(),
        expected.len()
    );
    Ok(())
}

/// After the end no process of the application lives on.
fn check_nothing_is_left(id: &str) -> Result<()> {
    wait_until("the processes of the containers to end", PATIENCE, || {
        Ok(container_processes(id)?.is_empty())
    })
}

#[test]
fn per_job() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "per-job", 1)?;
    let call = wordcount(&hadoop, PER_JOB, &["-p", "4"], &paths).run()?;
    ensure!(call.success(), "{}", call.text());
    for text in ["Tracking URL: http", "JobID ", "Job Runtime: "] {
        ensure!(call.stdout.contains(text), "no {text:?} in {}", call.text());
    }
    let id = call.application_id()?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(
        (report.state.as_str(), report.final_status.as_str()),
        ("FINISHED", "SUCCEEDED")
    );
    assert_eq!(
        (report.user.as_str(), report.queue.as_str()),
        (hadoop.user(), "root.default")
    );
    check_result(&hadoop, &paths, 1)?;
    check_nothing_is_left(&id)
}

#[test]
fn application() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "application", 1)?;
    let options = [
        "-p",
        "2",
        "-Dyarn.application.queue=prod",
        "-Dyarn.application.name=novels",
    ];
    let call = wordcount(&hadoop, APPLICATION, &options, &paths).run()?;
    ensure!(call.success(), "{}", call.text());
    let report = hadoop
        .yarn()
        .wait_for_end(&call.application_id()?, PATIENCE)?;
    assert_eq!(report.final_status, "SUCCEEDED");
    assert_eq!(
        (report.queue.as_str(), report.name.as_str()),
        ("root.prod", "novels")
    );
    check_result(&hadoop, &paths, 1)
}

#[test]
fn detached_it_returns_when_the_job_runs_and_executors_are_on_different_nodes() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "detached", 10)?;
    let call = wordcount(
        &hadoop,
        PER_JOB,
        &["-d", "-p", "2", ONE_EXECUTOR_PER_NODE],
        &paths,
    )
    .run()?;
    ensure!(call.success(), "{}", call.text());
    let id = call.application_id()?;
    let nodes: BTreeSet<_> = hadoop
        .yarn()
        .containers(&id)?
        .into_iter()
        .filter(|container| !container.id.ends_with("_000001"))
        .map(|container| container.node)
        .collect();
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    ensure!(
        nodes.len() == 2,
        "two executors on two nodes, not on {nodes:?}"
    );
    assert_eq!(report.final_status, "SUCCEEDED", "{}", report.diagnostics);
    check_result(&hadoop, &paths, 10)
}

#[test]
fn the_second_submission_uploads_no_program() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let cache = format!("/user/{}/.flott/cache", hadoop.user());
    let programs = || -> Result<BTreeSet<(String, u64)>> {
        let mut files = BTreeSet::new();
        for entry in hadoop.hdfs().list(&cache)? {
            for file in hadoop
                .hdfs()
                .list(&format!("{cache}/{}", entry.path_suffix))?
            {
                if !file.path_suffix.starts_with('.') {
                    files.insert((
                        format!("{}/{}", entry.path_suffix, file.path_suffix),
                        file.modification_time,
                    ));
                }
            }
        }
        Ok(files)
    };
    let paths = paths(&hadoop, "second-submission", 1)?;
    let first = wordcount(&hadoop, PER_JOB, &[], &paths).run()?;
    ensure!(first.success(), "{}", first.text());
    let staged = programs()?;
    ensure!(!staged.is_empty(), "the first submission staged something");
    hadoop.hdfs().delete(&paths.output)?;
    let second = wordcount(&hadoop, PER_JOB, &[], &paths).run()?;
    ensure!(second.success(), "{}", second.text());
    ensure!(!second.stderr.contains("Uploaded"), "{}", second.text());
    assert_eq!(programs()?, staged);
    Ok(())
}

#[test]
fn the_logs_of_all_containers_are_kept() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "logs", 1)?;
    let call = wordcount(&hadoop, PER_JOB, &[], &paths).run()?;
    ensure!(call.success(), "{}", call.text());
    let id = call.application_id()?;
    let complete = |text: &str| text.contains("jobmanager.log") && text.contains("taskmanager.log");
    wait_for("the aggregated logs", PATIENCE, || {
        Ok(hadoop.logs(&id)?.filter(|text| complete(text)))
    })?;
    Ok(())
}

/// Starts the job on ten copies of the text, with executors that can be told apart, and gives its id once it runs.
fn start_long_job(hadoop: &TestHadoop, paths: &Paths, options: &[&str]) -> Result<String> {
    let mut all = vec!["-d", "-p", "2", ONE_EXECUTOR_PER_NODE];
    all.extend(options);
    let call = wordcount(hadoop, PER_JOB, &all, paths).run()?;
    ensure!(call.success(), "{}", call.text());
    call.application_id()
}

/// Kills every process of one executor's container at once.
fn kill_an_executor(id: &str) -> Result<()> {
    let processes = container_processes(id)?;
    let executor = processes
        .iter()
        .map(|process| process.container.clone())
        .find(|container| !container.ends_with("_000001"))
        .context("no executor runs")?;
    for process in processes
        .iter()
        .filter(|process| process.container == executor)
    {
        // Its parent's death may have ended it in the meantime.
        let _ = process.kill();
    }
    Ok(())
}

#[test]
fn a_killed_executor_is_replaced_and_the_result_is_right() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "killed-executor", 20)?;
    let restart = [
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=3",
    ];
    let id = start_long_job(&hadoop, &paths, &restart)?;
    kill_an_executor(&id)?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(report.final_status, "SUCCEEDED", "{}", report.diagnostics);
    check_result(&hadoop, &paths, 20)?;
    check_nothing_is_left(&id)
}

#[test]
fn without_a_restart_strategy_a_killed_executor_fails_the_application() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "no-restart", 20)?;
    let id = start_long_job(&hadoop, &paths, &["-Drestart-strategy.type=none"])?;
    kill_an_executor(&id)?;
    let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    assert_eq!(report.final_status, "FAILED");
    ensure!(
        !report.diagnostics.trim().is_empty(),
        "the diagnostics say why"
    );
    check_nothing_is_left(&id)
}

#[test]
fn a_killed_application_leaves_nothing_running() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let paths = paths(&hadoop, "killed-application", 20)?;
    let id = start_long_job(&hadoop, &paths, &[])?;
    hadoop.yarn().kill(&id)?;
    assert_eq!(
        hadoop.yarn().wait_for_end(&id, PATIENCE)?.final_status,
        "KILLED"
    );
    check_nothing_is_left(&id)
}
