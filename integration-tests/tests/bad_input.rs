//! What goes wrong by the user's hand or the cluster's state: one clear sentence, a non-zero exit, nothing left behind.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use flott_integration_tests::{
    FlottCommand, Output, TestHadoop, container_processes, dist_directory, wait_until,
};
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(60);

fn wordcount() -> std::path::PathBuf {
    dist_directory().join("examples/wordcount")
}

/// A failed call whose stderr says all of these, without a Rust panic or a backtrace.
fn check_says(call: &Output, words: &[&str]) -> Result<()> {
    ensure!(!call.success(), "it did not fail: {}", call.text());
    let said = call.stderr.to_lowercase();
    for word in words {
        ensure!(
            said.contains(&word.to_lowercase()),
            "no {word:?} in {}",
            call.text()
        );
    }
    ensure!(
        !said.contains("panicked at") && !said.contains("rust_backtrace"),
        "{}",
        call.text()
    );
    Ok(())
}

/// The application that this call may have made has ended, and none of its processes live.
fn check_left_nothing(hadoop: &TestHadoop, call: &Output) -> Result<()> {
    let Ok(id) = call.application_id() else {
        return Ok(());
    };
    hadoop.yarn().wait_for_end(&id, PATIENCE)?;
    wait_until(&format!("the processes of {id} to end"), PATIENCE, || {
        Ok(container_processes(&id)?.is_empty())
    })
}

fn per_job(hadoop: &TestHadoop, options: &[&str], input: &str, output: &str) -> Result<Output> {
    FlottCommand::on(hadoop)
        .args(["run", "-t", "yarn-per-job"])
        .args(options)
        .args([wordcount()])
        .args(["--input", input, "--output", output])
        .run()
}

fn local(program: &Path) -> Result<Output> {
    FlottCommand::new()
        .args(["run", "-t", "local"])
        .args([program])
        .run()
}

#[test]
fn no_cluster_is_configured() -> Result<()> {
    let call = FlottCommand::new()
        .args(["run", "-t", "yarn-per-job"])
        .args([wordcount()])
        .run()?;
    check_says(&call, &["HADOOP_CONF_DIR"])
}

#[test]
fn the_resource_manager_cannot_be_reached() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let directory = tempfile::tempdir()?;
    for file in ["core-site.xml", "hdfs-site.xml", "yarn-site.xml"] {
        let text = std::fs::read_to_string(hadoop.conf_directory().join(file))?;
        let address = hadoop.property("yarn-site.xml", "yarn.resourcemanager.webapp.address")?;
        // Nothing listens at port 1.
        std::fs::write(
            directory.path().join(file),
            text.replace(&address, "127.0.0.1:1"),
        )?;
    }
    let call = FlottCommand::new()
        .env("HADOOP_CONF_DIR", directory.path())
        .args(["run", "-t", "yarn-per-job"])
        .args([wordcount()])
        .args([
            "--input",
            "hdfs:///data",
            "--output",
            "hdfs:///out/unreachable",
        ])
        .run()?;
    check_says(&call, &["ResourceManager", "127.0.0.1:1"])
}

#[test]
fn the_queue_is_unknown() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let call = per_job(
        &hadoop,
        &["-Dyarn.application.queue=nowhere"],
        "hdfs:///data",
        "hdfs:///out/no-queue",
    )?;
    check_says(&call, &["nowhere", "queue"])?;
    check_left_nothing(&hadoop, &call)
}

#[test]
fn the_container_is_larger_than_the_maximum() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let call = per_job(
        &hadoop,
        &["-Dtaskmanager.memory.process.size=1t"],
        "hdfs:///data",
        "hdfs:///out/too-large",
    )?;
    check_says(&call, &["taskmanager.memory.process.size"])?;
    check_left_nothing(&hadoop, &call)
}

#[test]
fn the_input_is_missing() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let call = per_job(
        &hadoop,
        &[],
        "hdfs:///data/no-such-input",
        "hdfs:///out/no-input",
    )?;
    check_says(&call, &["/data/no-such-input"])?;
    check_left_nothing(&hadoop, &call)?;
    assert_eq!(
        hadoop.hdfs().status("/out/no-input")?,
        None,
        "no output was begun"
    );
    Ok(())
}

#[test]
fn the_output_exists() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    hadoop.hdfs().put("/data/output-exists/text", "a b c")?;
    hadoop.hdfs().put("/out/output-exists/part-0", "precious")?;
    let call = per_job(
        &hadoop,
        &[],
        "hdfs:///data/output-exists",
        "hdfs:///out/output-exists",
    )?;
    check_says(&call, &["/out/output-exists", "exist"])?;
    assert_eq!(
        hadoop.hdfs().get_text("/out/output-exists/part-0")?,
        "precious"
    );
    check_left_nothing(&hadoop, &call)
}

#[test]
fn the_application_would_belong_to_somebody_else() -> Result<()> {
    let filters = "hadoop.http.filter.initializers=\
                   org.apache.hadoop.security.HttpCrossOriginFilterInitializer,org.apache.hadoop.http.lib.StaticUserWebFilter";
    let hadoop = TestHadoop::start_own(&["--conf", filters])?;
    hadoop.hdfs().put("/data/text", "a b c")?;
    let call = per_job(&hadoop, &[], "hdfs:///data/text", "hdfs:///out/foreign")?;
    check_says(&call, &["dr.who", hadoop.user()])?;
    for application in hadoop.yarn().applications()? {
        // What dr.who owns cannot be killed by others on every cluster, but it must have been tried or have failed.
        hadoop.yarn().wait_for_end(&application.id, PATIENCE)?;
    }
    Ok(())
}

#[test]
fn the_name_node_is_away() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    let killed = hadoop.kill("nn")?;
    let call = per_job(
        &hadoop,
        &[],
        "hdfs:///data/text",
        "hdfs:///out/no-name-node",
    );
    killed.restart()?;
    let call = call?;
    check_says(&call, &["cannot"])?;
    check_left_nothing(&hadoop, &call)
}

#[test]
fn the_program_is_none() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let make = |name: &str, content: &[u8], mode: u32| -> Result<_> {
        let path = directory.path().join(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(path)
    };
    check_says(
        &local(&directory.path().join("gone"))?,
        &["there is no program", "gone"],
    )?;
    check_says(&local(directory.path())?, &["not a file"])?;
    check_says(
        &local(&make("script", b"#!/bin/sh\n", 0o755)?)?,
        &["script"],
    )?;
    check_says(&local(&make("job.jar", b"PK\x03\x04", 0o644)?)?, &["JAR"])?;
    check_says(
        &local(&make("text", b"hello", 0o755)?)?,
        &["not an executable"],
    )?;
    let mut foreign = std::fs::read(wordcount())?;
    foreign[18] = 22;
    check_says(&local(&make("foreign", &foreign, 0o755)?)?, &["s390x"])?;
    let mine = std::fs::read(wordcount())?;
    check_says(&local(&make("locked", &mine, 0o644)?)?, &["chmod +x"])
}

#[test]
fn the_program_is_no_job() -> Result<()> {
    check_says(&local(Path::new("/bin/true"))?, &["execute()"])?;
    check_says(&local(Path::new("/bin/false"))?, &["main()"])
}

#[test]
fn options_are_wrong() -> Result<()> {
    for (options, words) in [
        (&["-Dkey"] as &[&str], &["'='"] as &[&str]),
        (
            &["-Dparallelism.default=many"],
            &["parallelism.default", "many"],
        ),
        (
            &["-Dtaskmanager.memory.process.size=12 parsecs"],
            &["taskmanager.memory.process.size", "parsecs"],
        ),
        (&["-p", "0"], &["0"]),
        (&["-t", "mesos"], &["mesos"]),
    ] {
        let call = FlottCommand::new()
            .args(["run", "-t", "local"])
            .args(options)
            .args([wordcount()])
            .run()?;
        check_says(&call, words)?;
    }
    Ok(())
}

#[test]
fn interrupted_before_it_runs_it_leaves_no_ghost() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    hadoop.hdfs().put("/data/interrupted", "a b c")?;
    // More executors than the cluster can hold: the job waits for containers until it is interrupted.
    let options = [
        "-p",
        "64",
        "-Dtaskmanager.memory.process.size=2200m",
        "-Dtaskmanager.numberOfTaskSlots=1",
    ];
    let mut running = FlottCommand::on(&hadoop)
        .args(["run", "-t", "yarn-per-job"])
        .args(options)
        .args([wordcount()])
        .args([
            "--input",
            "hdfs:///data/interrupted",
            "--output",
            "hdfs:///out/interrupted",
        ])
        .spawn()?;
    let id = running.wait_for_application_id(PATIENCE)?;
    hadoop.yarn().wait_for_state(&id, "RUNNING", PATIENCE)?;
    running.signal(Signal::SIGINT)?;
    let call = running.wait()?;
    ensure!(!call.success(), "{}", call.text());
    assert_eq!(hadoop.yarn().wait_for_end(&id, PATIENCE)?.state, "KILLED");
    check_left_nothing(&hadoop, &call)
}
