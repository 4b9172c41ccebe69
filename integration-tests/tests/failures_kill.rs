//! Processes of a running job that are killed, on YARN: executors, agents, workers, the appmaster. What is left of the
//! job runs again, in new processes, and its result is right.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    ContainerProcess, JobManager, Mode, Running, TestHadoop, check_left_nothing,
    container_processes, expected_sums, kills, largest_counts, test_job, wait_for, wait_until,
};

const PATIENCE: Duration = Duration::from_secs(60);
const AGENT: &str = "flott-taskexecutor";
const WORKER: &str = "program";
const MASTER: &str = "flott-appmaster";
const EXECUTORS: usize = 2;
/// About three seconds of two sources.
const RECORDS: u64 = 12_000;

/// A job that takes a few seconds, in two containers, with an attached client.
struct Job<'a> {
    hadoop: &'a TestHadoop,
    client: Running,
    application: String,
    output: String,
}

impl<'a> Job<'a> {
    fn start(hadoop: &'a TestHadoop, test: &str, mode: Mode, options: &[&str]) -> Result<Self> {
        let output = format!("/out/{test}-{}", mode.name());
        hadoop.hdfs().delete(&output)?;
        let restart = [
            "-Drestart-strategy.type=fixed-delay",
            "-Drestart-strategy.fixed-delay.attempts=1000",
            "-Drestart-strategy.fixed-delay.delay=100 ms",
        ];
        let options: Vec<&str> = restart.iter().chain(options).copied().collect();
        let url = format!("hdfs://{output}");
        let records = RECORDS.to_string();
        let arguments = [
            "--parallelism",
            "2",
            "--records",
            &records,
            "--output",
            &url,
        ];
        let mut client = mode
            .call(hadoop, &options, &test_job("slow-counts")?, arguments)
            .deadline(PATIENCE * (2 + kills() / 5))
            .spawn()?;
        let application = client.wait_for_application_id(PATIENCE)?;
        Ok(Self {
            hadoop,
            client,
            application,
            output,
        })
    }

    fn manager(&self) -> Result<JobManager> {
        let yarn = self.hadoop.yarn();
        yarn.wait_for_job_manager(&self.application, PATIENCE)
    }

    /// The processes with that name, of executors or of the appmaster.
    fn processes(&self, program: &str) -> Result<Vec<ContainerProcess>> {
        let mut all = container_processes(&self.application)?;
        all.retain(|process| process.program() == program);
        if program == WORKER {
            // The other one is the driver of application mode.
            all.retain(|process| !process.is_of_master());
        }
        Ok(all)
    }

    /// Waits until the job runs in as many workers as it needs, none of which is one of these; gives them.
    fn running_workers(&self, but: &BTreeSet<i32>) -> Result<Vec<ContainerProcess>> {
        let what = format!("the job of {} to run in new workers", self.application);
        wait_for(&what, PATIENCE, || {
            let Some(manager) = self.hadoop.yarn().job_manager(&self.application)? else {
                return Ok(None);
            };
            let workers = self.processes(WORKER)?;
            let fresh = workers.len() == EXECUTORS
                && workers.iter().all(|worker| !but.contains(&worker.pid));
            // An appmaster may end or not serve yet.
            let runs = manager
                .only_job()
                .and_then(|job| manager.is_running(&job))
                .unwrap_or(false);
            Ok((fresh && runs).then_some(workers))
        })
    }

    /// Waits for the end, which is a good one.
    fn check_result(self) -> Result<()> {
        let call = self.client.wait()?;
        ensure!(call.success(), "{}", call.text());
        let report = self
            .hadoop
            .yarn()
            .wait_for_end(&self.application, PATIENCE)?;
        assert_eq!(report.final_status, "SUCCEEDED");
        let sums = largest_counts(&self.hadoop.hdfs().read_output(&self.output)?)?;
        assert_eq!(sums, expected_sums(RECORDS, 100));
        check_left_nothing(self.hadoop, &self.application)
    }
}

fn containers(processes: &[ContainerProcess]) -> BTreeSet<String> {
    processes
        .iter()
        .map(|process| process.container.clone())
        .collect()
}

fn kill_all(processes: &[ContainerProcess]) {
    for process in processes {
        // Its parent's death may have ended it in the meantime.
        let _ = process.kill();
    }
}

/// Kills again and again, each time after the job runs again.
fn kill_often(
    test: &str,
    kill: impl Fn(&Job<'_>, &ContainerProcess) -> Result<()>,
    check: impl Fn(&BTreeSet<String>, &BTreeSet<String>) -> bool,
) -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let tolerated = ["-Dyarn.maximum-failed-containers=1000"];
    let job = Job::start(&hadoop, test, Mode::PerJob, &tolerated)?;
    let mut killed = BTreeSet::new();
    for round in 0..kills() as usize {
        let before = job.running_workers(&killed)?;
        let victim = &before[round % before.len()];
        kill(&job, victim)?;
        killed.insert(victim.pid);
        let after = job.running_workers(&killed)?;
        let (before, after) = (containers(&before), containers(&after));
        ensure!(
            check(&before, &after),
            "round {round}: {before:?}, then {after:?}"
        );
    }
    job.check_result()
}

/// Exactly one container was replaced.
fn one_is_new(before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    after.len() == EXECUTORS && after.difference(before).count() == 1
}

/// Kills everything in the container of a worker.
fn kill_executor(job: &Job<'_>, victim: &ContainerProcess) -> Result<()> {
    let mut all = container_processes(&job.application)?;
    all.retain(|process| process.container == victim.container);
    kill_all(&all);
    Ok(())
}

#[test]
fn killed_executors_are_replaced() -> Result<()> {
    kill_often("killed-executors", kill_executor, one_is_new)
}

#[test]
fn too_many_killed_executors_end_the_job() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let tolerated = ["-Dyarn.maximum-failed-containers=1"];
    let job = Job::start(&hadoop, "too-many-killed", Mode::PerJob, &tolerated)?;
    let first = job.running_workers(&BTreeSet::new())?;
    kill_executor(&job, &first[0])?;
    let second = job.running_workers(&BTreeSet::from([first[0].pid]))?;
    kill_executor(&job, &second[0])?;
    let call = job.client.wait()?;
    call.check_failed(&["2 containers failed", "yarn.maximum-failed-containers"])?;
    call.check_said_once("yarn.maximum-failed-containers")?;
    let report = hadoop.yarn().wait_for_end(&job.application, PATIENCE)?;
    assert_eq!(report.final_status, "FAILED");
    check_left_nothing(&hadoop, &job.application)
}

#[test]
fn workers_die_with_their_agent() -> Result<()> {
    let kill = |job: &Job<'_>, victim: &ContainerProcess| {
        let agents = job.processes(AGENT)?;
        let mut agents = agents.into_iter();
        let agent = agents.find(|agent| agent.container == victim.container);
        agent.context("a worker without an agent")?.kill()?;
        wait_until("the worker to end with its agent", PATIENCE, || {
            let workers = job.processes(WORKER)?;
            Ok(workers.iter().all(|worker| worker.pid != victim.pid))
        })
    };
    kill_often("killed-agents", kill, one_is_new)
}

#[test]
fn killed_workers_are_replaced_in_their_containers() -> Result<()> {
    let kill = |_: &Job<'_>, victim: &ContainerProcess| victim.kill();
    kill_often("killed-workers", kill, |before, after| before == after)
}

/// Kills the appmaster's container as a crash of its node would, once the job runs; gives the executors of then.
fn kill_master(job: &Job<'_>) -> Result<Vec<ContainerProcess>> {
    let workers = job.running_workers(&BTreeSet::new())?;
    let mut executors = container_processes(&job.application)?;
    executors.retain(|process| !process.is_of_master());
    let mut master = container_processes(&job.application)?;
    master.retain(ContainerProcess::is_of_master);
    ensure!(
        master.iter().any(|process| process.program() == MASTER) && !workers.is_empty(),
        "{master:?}"
    );
    kill_all(&master);
    Ok(executors)
}

#[test]
fn the_second_appmaster_runs_the_job_again() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let job = Job::start(&hadoop, "killed-master", mode, &[])?;
        let executors = kill_master(&job)?;
        let old: BTreeSet<i32> = executors.iter().map(|process| process.pid).collect();
        job.running_workers(&old)?;
        wait_until(
            "the executors of the first attempt to end",
            PATIENCE,
            || {
                let processes = container_processes(&job.application)?;
                Ok(processes.iter().all(|process| !old.contains(&process.pid)))
            },
        )?;
        assert_eq!(hadoop.yarn().attempts(&job.application)?, 2);
        job.check_result()?;
    }
    Ok(())
}

#[test]
fn without_a_second_attempt_the_application_fails() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let attempts = ["-Dyarn.application-attempts=1"];
        let job = Job::start(&hadoop, "killed-only-master", mode, &attempts)?;
        kill_master(&job)?;
        let call = job.client.wait()?;
        call.check_failed(&["FAILED", &job.application, "exited with"])?;
        // The rest of what YARN says repeats itself.
        call.check_said_once("failed 1 times")?;
        let report = hadoop.yarn().wait_for_end(&job.application, PATIENCE)?;
        assert_eq!(report.state, "FAILED");
        ensure!(!report.diagnostics.trim().is_empty(), "YARN says why");
        check_left_nothing(&hadoop, &job.application)?;
        if hadoop.hdfs().status(&job.output)?.is_some() {
            assert_eq!(hadoop.hdfs().read_output(&job.output)?, "");
        }
    }
    Ok(())
}

#[test]
fn the_jobmanager_tells_who_was_lost() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let job = Job::start(&hadoop, "told-worker", Mode::PerJob, &[])?;
    let workers = job.running_workers(&BTreeSet::new())?;
    let manager = job.manager()?;
    let id = manager.only_job()?;
    workers[0].kill()?;
    // A peer's closed link may be told first; the end of the process explains it when it is known.
    let mut told = String::new();
    wait_until("the killed worker in REST", PATIENCE, || {
        told = manager.exceptions(&id)?["root-exception"].to_string();
        Ok(told.contains("SIGKILL") && told.contains(&workers[0].container))
    })
    .with_context(|| told)?;
    ensure!(manager.failures(&id)? == 1, "one kill is one failure");
    job.check_result()
}
