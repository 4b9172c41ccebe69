//! Jobs whose slot sharing groups say what their slots must offer, on YARN: the containers that they get, also after
//! a loss, and what is too large for the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    Mode, Running, TestHadoop, check_left_nothing, container_processes, expected_sums,
    largest_counts, test_job, wait_for,
};

const PATIENCE: Duration = Duration::from_secs(60);
/// About four seconds of two sources.
const RECORDS: u64 = 16_000;
/// What a container for a slot of 700 MiB needs: those, 64 for Flott's processes, 64 in reserve, and a tenth of the
/// whole for the network.
const LARGE_MB: u64 = 920;
/// The scheduler of the development Hadoop gives multiples of 64 MiB.
const LARGE_ALLOCATED_MB: u64 = 960;
const DEFAULT_MB: u64 = 512;

/// A job of two subtasks in each of two groups, of which one asks for much.
fn start(
    hadoop: &TestHadoop,
    mode: Mode,
    name: &str,
    options: &[&str],
) -> Result<(Running, String)> {
    let output = format!("/out/{name}-{}", mode.name());
    hadoop.hdfs().delete(&output)?;
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
    let client = mode
        .call(hadoop, options, &test_job("sized-counts")?, arguments)
        .spawn()?;
    Ok((client, output))
}

fn check_result(hadoop: &TestHadoop, client: Running, id: &str, output: &str) -> Result<()> {
    let call = client.wait()?;
    ensure!(call.success(), "{}", call.text());
    let report = hadoop.yarn().wait_for_end(id, PATIENCE)?;
    assert_eq!(report.final_status, "SUCCEEDED");
    let sums = largest_counts(&hadoop.hdfs().read_output(output)?)?;
    assert_eq!(sums, expected_sums(RECORDS, 100));
    check_left_nothing(hadoop, id)
}

/// How many task executors the application has of each size: memory in MiB, virtual cores.
fn sizes(hadoop: &TestHadoop, id: &str) -> Result<BTreeMap<(u64, u64), usize>> {
    let mut sizes = BTreeMap::new();
    for container in hadoop.yarn().allocated(id)? {
        if !container.is_of_master() {
            *sizes
                .entry((container.memory_mb, container.vcores))
                .or_default() += 1;
        }
    }
    Ok(sizes)
}

#[test]
fn each_group_runs_in_containers_of_its_size() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for (mode, runtime) in [
        (Mode::PerJob, "STREAMING"),
        (Mode::Application, "STREAMING"),
        (Mode::PerJob, "BATCH"),
    ] {
        let option = format!("-Dexecution.runtime-mode={runtime}");
        let name = format!("sized-{}", runtime.to_lowercase());
        let (mut client, output) = start(&hadoop, mode, &name, &[&option])?;
        let id = client.wait_for_application_id(PATIENCE)?;
        let expected = BTreeMap::from([((DEFAULT_MB, 1), 2), ((LARGE_ALLOCATED_MB, 2), 2)]);
        wait_for("containers of both sizes", PATIENCE, || {
            let sizes = sizes(&hadoop, &id)?;
            let so_far = sizes.values().sum::<usize>();
            ensure!(so_far <= 4, "more than the job needs: {sizes:?}");
            Ok((sizes == expected).then_some(()))
        })?;
        let manager = hadoop.yarn().wait_for_job_manager(&id, PATIENCE)?;
        let executors = wait_for("four task executors", PATIENCE, || {
            let executors = manager.task_managers()?;
            Ok((executors.len() == 4).then_some(executors))
        })?;
        let mut known: Vec<(u64, u64)> = executors
            .iter()
            .map(|executor| {
                let memory = &executor["memoryConfiguration"];
                let process = memory["totalProcessMemory"].as_u64().unwrap_or_default();
                let heap = memory["taskHeap"].as_u64().unwrap_or_default();
                (process >> 20, heap >> 20)
            })
            .collect();
        known.sort_unstable();
        let large = (LARGE_MB, 700);
        assert_eq!(known, [(DEFAULT_MB, 320), (DEFAULT_MB, 320), large, large]);
        check_result(&hadoop, client, &id, &output)?;
    }
    Ok(())
}

#[test]
fn a_lost_container_is_replaced_by_one_of_its_size() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let options = [
        "-Drestart-strategy.type=fixed-delay",
        "-Drestart-strategy.fixed-delay.attempts=3",
        "-Drestart-strategy.fixed-delay.delay=100 ms",
    ];
    let (mut client, output) = start(&hadoop, Mode::PerJob, "sized-lost", &options)?;
    let id = client.wait_for_application_id(PATIENCE)?;
    let manager = hadoop.yarn().wait_for_job_manager(&id, PATIENCE)?;
    wait_for("the job to run", PATIENCE, || {
        let runs = manager.only_job().and_then(|job| manager.is_running(&job));
        Ok(runs.unwrap_or(false).then_some(()))
    })?;
    let executors = manager.task_managers()?;
    let large = executors
        .iter()
        .find(|executor| executor["memoryConfiguration"]["totalProcessMemory"] == LARGE_MB << 20);
    let lost = large.and_then(|executor| executor["id"].as_str());
    let lost = lost.context("an executor of the large size")?;
    for process in container_processes(&id)? {
        if process.container == lost && process.program() == "flott-taskexecutor" {
            process.kill()?;
        }
    }
    wait_for("another large container", PATIENCE, || {
        let mut containers = hadoop.yarn().allocated(&id)?;
        containers.retain(|it| it.memory_mb == LARGE_ALLOCATED_MB && it.id != lost);
        Ok((containers.len() == 2).then_some(()))
    })?;
    check_result(&hadoop, client, &id, &output)
}

#[test]
fn what_no_node_can_give_is_refused_with_the_limit() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        for (option, value) in [("--memory-mb", "5000"), ("--cores", "9")] {
            let arguments = ["--output", "hdfs:///out/too-large", option, value];
            let program = test_job("sized-counts")?;
            let call = mode.call(&hadoop, &[], &program, arguments).run()?;
            let (asked, limit) = match option {
                "--memory-mb" => ("5000 MiB task heap", "4096"),
                _ => ("9 cores", "8"),
            };
            call.check_failed(&[asked, limit])?;
            let ids = call.application_ids();
            if mode == Mode::PerJob {
                call.check_failed(&["slot sharing group 'large'"])?;
                ensure!(ids.is_empty(), "refused before anything exists: {ids:?}");
            }
            for id in ids {
                let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
                assert_eq!(report.final_status, "FAILED");
                ensure!(report.diagnostics.contains(limit), "{}", report.diagnostics);
                check_left_nothing(&hadoop, &id)?;
            }
        }
    }
    Ok(())
}

#[test]
fn a_cluster_may_forbid_it() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let program = test_job("sized-counts")?;
    let key = "cluster.fine-grained-resource-management.enabled";
    let option = format!("-D{key}=false");
    let arguments = ["--output", "hdfs:///out/forbidden"];
    for mode in Mode::BOTH {
        let call = mode.call(&hadoop, &[&option], &program, arguments).run()?;
        call.check_failed(&["slot sharing group 'large'", key, "set it to true"])?;
        for id in call.application_ids() {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "FAILED");
            check_left_nothing(&hadoop, &id)?;
        }
    }
    Ok(())
}

#[test]
fn a_job_that_takes_too_much_memory_is_told_where_it_is() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let output = "/out/too-much-memory";
    hadoop.hdfs().delete(output)?;
    let url = format!("hdfs://{output}");
    // Each record is a key of its own, and stays for an hour: a gigabyte in four slots of half of that.
    let arguments = [
        "--parallelism",
        "2",
        "--records",
        "2000",
        "--keys",
        "2000",
        "--per-second",
        "400",
        "--padding",
        "524288",
        "--window-ms",
        "3600000",
        "--output",
        &url,
    ];
    let options = [
        "-Dtaskmanager.memory.process.size=320m",
        "-Drestart-strategy.type=none",
    ];
    let program = test_job("window-counts")?;
    let call = Mode::PerJob
        .call(&hadoop, &options, &program, arguments)
        .run()?;
    // The NodeManager would say "running beyond physical memory limits" and kill the whole container.
    call.check_failed(&[
        "was about to exceed its memory",
        "320 MiB",
        "this worker (job ",
    ])?;
    check_left_nothing(&hadoop, &call.application_id()?)
}
