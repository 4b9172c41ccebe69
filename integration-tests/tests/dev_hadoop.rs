//! The cluster that all other suites rely on is real: several nodes, files that come back, daemons that die and return.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use flott_integration_tests::{TestHadoop, container_processes, wait_for, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn at_least_three_nodes_with_names_of_their_own_run() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let running: Vec<_> = hadoop
        .yarn()
        .nodes()?
        .into_iter()
        .filter(|node| node.state == "RUNNING")
        .collect();
    let hosts: BTreeSet<_> = running
        .iter()
        .map(|node| node.node_host_name.as_str())
        .collect();
    ensure!(hosts.len() >= 3, "nodes on different hosts: {running:?}");
    Ok(())
}

#[test]
fn a_file_comes_back_as_it_was_written() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let hdfs = hadoop.hdfs();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = "/data/dev-hadoop-roundtrip/file with blanks";
    let encoded = path.replace(' ', "%20");
    hdfs.put(&encoded, content.clone())?;
    assert_eq!(hdfs.get(&encoded)?, content);
    let listing = hdfs.list("/data/dev-hadoop-roundtrip")?;
    assert_eq!(listing.len(), 1, "{listing:?}");
    assert_eq!(
        (listing[0].path_suffix.as_str(), listing[0].length),
        ("file with blanks", 1_200_000)
    );
    ensure!(
        hdfs.delete("/data/dev-hadoop-roundtrip")?,
        "there was something to delete"
    );
    assert_eq!(hdfs.status("/data/dev-hadoop-roundtrip")?, None);
    Ok(())
}

#[test]
fn permissions_hold() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    hadoop.hdfs_as("alice")?.put("/user/alice/own", "hers")?;
    let status = hadoop.hdfs().status("/user/alice/own")?;
    assert_eq!(status.map(|status| status.owner).as_deref(), Some("alice"));
    let denied = hadoop
        .hdfs_as("mallory")?
        .put("/user/alice/foreign", "his")
        .unwrap_err();
    ensure!(
        format!("{denied:#}").contains("AccessControlException"),
        "{denied:#}"
    );
    hadoop.hdfs().delete("/user/alice/own")?;
    Ok(())
}

#[test]
fn a_container_runs_and_its_log_is_kept() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let yarn = hadoop.yarn();
    let id = yarn.submit_shell(
        "echo written in $CONTAINER_ID; read -r _ < <(tail -f /dev/null)",
        128,
    )?;
    yarn.wait_for_state(&id, "ACCEPTED", PATIENCE)?;
    let processes = wait_for("a process in the container", PATIENCE, || {
        let processes = container_processes(&id)?;
        let tail = processes
            .iter()
            .any(|process| process.command.contains("tail -f"));
        Ok(tail.then_some(processes))
    })?;
    let containers = yarn.containers(&id)?;
    ensure!(
        containers.len() == 1 && containers[0].id == processes[0].container,
        "{containers:?}"
    );
    ensure!(
        processes[0].resident_kib().is_some_and(|kib| kib > 100),
        "{processes:?}"
    );
    for process in &processes {
        // One may end by itself when another is gone.
        let _ = process.kill();
    }
    let report = yarn.wait_for_end(&id, PATIENCE)?;
    assert_eq!(
        (report.state.as_str(), report.user.as_str()),
        ("FAILED", hadoop.user())
    );
    wait_until("the processes to end", PATIENCE, || {
        Ok(container_processes(&id)?.is_empty())
    })?;
    let logs = wait_for("the aggregated log", PATIENCE, || hadoop.logs(&id))?;
    ensure!(logs.contains("written in container_"), "{logs}");
    Ok(())
}

#[test]
fn a_killed_node_returns() -> Result<()> {
    let hadoop = TestHadoop::exclusive()?;
    let running = || -> Result<BTreeSet<String>> {
        let nodes = hadoop.yarn().nodes()?;
        Ok(nodes
            .into_iter()
            .filter(|node| node.state == "RUNNING")
            .map(|node| node.id)
            .collect())
    };
    let before = running()?;
    let killed = hadoop.kill("nm2")?;
    wait_until("the ResourceManager to miss the node", PATIENCE, || {
        Ok(running()?.len() == before.len() - 1)
    })?;
    killed.restart()?;
    assert_eq!(running()?, before, "the same nodes on the same ports");
    Ok(())
}

#[test]
fn a_cluster_may_ignore_who_the_user_is() -> Result<()> {
    let filters = "hadoop.http.filter.initializers=\
        org.apache.hadoop.security.HttpCrossOriginFilterInitializer,org.apache.hadoop.http.lib.StaticUserWebFilter";
    let hadoop = TestHadoop::start_own(&["--conf", filters])?;
    let id = hadoop.yarn().submit_shell("true", 64)?;
    assert_eq!(hadoop.yarn().application(&id)?.user, "dr.who");
    Ok(())
}
