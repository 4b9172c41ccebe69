//! Proof on a real cluster: submits itself as an ApplicationMaster, which registers, gets containers, sees one exit with
//! status 7 and one stop with -105, and finishes. Usage: `yarn_probe` with HADOOP_CONF_DIR set; the executable and the
//! configuration are localized from this machine, so the NodeManagers must run on it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use flott_hadoop::yarn::rest::ApplicationState;
use flott_hadoop::yarn::{
    AllocateInput, AmClient, Ask, Container, ContainerId, ContainerState, ContainerStatus,
    FinalStatus, LaunchContext, LocalResource, LocalResourceKind, NodeManagerClient, Resource,
    ResourceManagerRest, ShellCommand, SubmissionContext, Visibility,
};
use flott_hadoop::{Credentials, HadoopConf, RpcOptions, conf};

const SETTINGS: &str = "hadoop.json";
const HOSTILE: &str = "a \"b\" $HOME `id` 'c' \\ {{USER}} <LOG_DIR>\nline 2";
const DEADLINE: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::var_os("CONTAINER_ID").is_some() {
        master().await
    } else {
        client().await
    }
}

async fn client() -> Result<()> {
    let conf = HadoopConf::load(None)?;
    let rest = ResourceManagerRest::new(&conf, conf::current_user())?;
    report(&format!(
        "cluster {:?}, queues {:?}",
        rest.cluster_info().await?,
        rest.queues().await?
    ));
    report(&format!("{} nodes", rest.nodes().await?.len()));
    let directory = std::env::temp_dir().join(format!("flott-yarn-probe-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let result = submit_and_watch(&conf, &rest, &directory).await;
    std::fs::remove_dir_all(&directory)?;
    result
}

async fn submit_and_watch(
    conf: &HadoopConf,
    rest: &ResourceManagerRest,
    directory: &Path,
) -> Result<()> {
    let settings = directory.join(SETTINGS);
    std::fs::write(&settings, serde_json::to_vec(&conf.entries())?)?;
    let program = directory.join("yarn_probe");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let new = rest.new_application().await?;
    report(&format!("{} maximum {}", new.id, new.max_capability));
    let mut credentials = Credentials::default();
    credentials
        .secrets
        .insert("probe.secret".to_owned(), b"\xfb\xff secret".to_vec());
    let command = ShellCommand::new("./yarn_probe")
        .arg(HOSTILE)
        .stdout("stdout")
        .stderr("stderr");
    let launch = LaunchContext::new(command)
        .local_resource("yarn_probe", local(&program)?)
        .local_resource(SETTINGS, local(&settings)?)
        .env("PROBE_VALUE", HOSTILE)
        .env("RUST_BACKTRACE", "0")
        .credentials(credentials);
    let resource = Resource {
        memory_mb: 256,
        vcores: 1,
    };
    let mut submission = SubmissionContext::new(new.id, "yarn_probe", resource, launch);
    submission.tags = vec!["probe".to_owned()];
    rest.submit(&submission).await?;
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < DEADLINE {
        let app = rest.report(new.id).await?;
        if last != Some(app.state) {
            report(&format!(
                "{:.1}s {}",
                start.elapsed().as_secs_f32(),
                app.state.name()
            ));
            last = Some(app.state);
        }
        if app.state.is_terminal() {
            report(&format!(
                "{} of {}: {} {}",
                new.id, app.user, app.final_status, app.diagnostics
            ));
            report(&format!(
                "{} {:?}",
                app.am_container_logs.unwrap_or_default(),
                app.am_rpc_address
            ));
            ensure!(
                app.state == ApplicationState::Finished && app.final_status == "SUCCEEDED",
                "it failed"
            );
            ensure!(
                app.diagnostics.contains("all proved"),
                "unexpected diagnostics"
            );
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rest.kill(new.id, "the probe took too long").await?;
    bail!("not finished within {DEADLINE:?}")
}

fn local(path: &Path) -> Result<LocalResource> {
    let metadata = path.metadata()?;
    Ok(LocalResource {
        url: format!("file://{}", path.display()),
        size: metadata.len(),
        // Java's local file system reports milliseconds.
        modification_time: metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000,
        kind: LocalResourceKind::File,
        visibility: Visibility::Application,
    })
}

async fn master() -> Result<()> {
    let argument = std::env::args().nth(1).context("no argument")?;
    let settings: BTreeMap<String, String> = serde_json::from_slice(&std::fs::read(SETTINGS)?)?;
    let conf = HadoopConf::from_map(settings);
    let credentials = Credentials::of_container()?;
    let mut client = AmClient::new(&conf, &credentials)?;
    let registration = client.register("127.0.0.1", -1, "").await?;
    report(&format!("registered: {registration:?}"));
    let result = prove(&mut client, &conf, &credentials, &argument).await;
    let (status, diagnostics) = match &result {
        Ok(()) => (FinalStatus::Succeeded, "all proved".to_owned()),
        Err(error) => (FinalStatus::Failed, format!("{error:#}")),
    };
    client.finish(status, &diagnostics, "").await?;
    result
}

async fn prove(
    client: &mut AmClient,
    conf: &HadoopConf,
    credentials: &Credentials,
    argument: &str,
) -> Result<()> {
    arrived_intact(credentials, argument)?;
    let attempt = std::env::var("CONTAINER_ID")?
        .parse::<ContainerId>()?
        .attempt;
    reject_a_huge_ask(client).await?;

    let resource = Resource {
        memory_mb: 256,
        vcores: 1,
    };
    let asked = |count| AllocateInput {
        asks: [(
            42,
            Ask {
                priority: 1,
                resource,
                count,
                node_label: None,
            },
        )]
        .into(),
        progress: 0.5,
        ..AllocateInput::default()
    };
    let containers = allocate(client, 3, asked).await?;
    ensure!(
        containers
            .iter()
            .all(|c| c.id.attempt == attempt && c.allocation_request_id == 42)
    );
    let nodes = NodeManagerClient::new(client.nm_tokens(), RpcOptions::from_conf(conf)?);
    let [failing, sleeping, unused] = &containers[..] else {
        bail!("wrong number of containers")
    };

    run(client, &nodes, credentials, failing, sleeping).await?;
    give_back(client, &nodes, unused).await
}

fn arrived_intact(credentials: &Credentials, argument: &str) -> Result<()> {
    ensure!(argument == HOSTILE, "the argument arrived as {argument:?}");
    let value = std::env::var("PROBE_VALUE")?;
    ensure!(value == HOSTILE, "the variable arrived as {value:?}");
    ensure!(
        credentials
            .secrets
            .get("probe.secret")
            .is_some_and(|s| s == b"\xfb\xff secret"),
        "the secret differs"
    );
    Ok(())
}

/// One container fails by itself, the other is stopped.
async fn run(
    client: &mut AmClient,
    nodes: &NodeManagerClient,
    credentials: &Credentials,
    failing: &Container,
    sleeping: &Container,
) -> Result<()> {
    let script = "test \"$1\" = \"$PROBE_VALUE\" && grep -q probe.secret \"$HADOOP_TOKEN_FILE_LOCATION\" && exit 7; exit 8";
    let command = ShellCommand::new("sh")
        .arg("-c")
        .arg(script)
        .arg("sh")
        .arg(HOSTILE);
    let launch = LaunchContext::new(command)
        .env("PROBE_VALUE", HOSTILE)
        .credentials(credentials.for_workers());
    nodes.start(failing, &launch).await?;
    nodes
        .start(
            sleeping,
            &LaunchContext::new(ShellCommand::new("sleep").arg("300")),
        )
        .await?;
    let again = nodes
        .start(sleeping, &launch)
        .await
        .expect_err("a second start must fail");
    report(&format!("second start: {again}"));
    let status = ended(client, failing, &[]).await?;
    ensure!(
        status.exit_status == 7,
        "exit status {}: {}",
        status.exit_status,
        status.diagnostics
    );
    let running = nodes
        .status(&sleeping.node, sleeping.id)
        .await?
        .context("the sleeping container is unknown")?;
    ensure!(
        running.state == ContainerState::Running,
        "it is {:?}",
        running.state
    );
    nodes.stop(&sleeping.node, sleeping.id).await?;
    let status = ended(client, sleeping, &[]).await?;
    ensure!(
        status.exit_status == -105,
        "exit status {}",
        status.exit_status
    );
    Ok(())
}

/// A container that was never started is released.
async fn give_back(
    client: &mut AmClient,
    nodes: &NodeManagerClient,
    unused: &Container,
) -> Result<()> {
    ensure!(
        nodes.status(&unused.node, unused.id).await?.is_none(),
        "an unstarted container is known"
    );

    let status = ended(client, unused, &[unused.id]).await?;
    ensure!(
        status.exit_status == -100,
        "exit status {}",
        status.exit_status
    );
    Ok(())
}

async fn reject_a_huge_ask(client: &mut AmClient) -> Result<()> {
    let resource = Resource {
        memory_mb: 10_000_000,
        vcores: 1,
    };
    let ask = Ask {
        priority: 1,
        resource,
        count: 1,
        node_label: None,
    };
    let input = AllocateInput {
        asks: [(1, ask)].into(),
        ..AllocateInput::default()
    };
    let error = client
        .allocate(&input)
        .await
        .expect_err("a huge ask must be rejected");
    report(&format!("huge ask: {error}"));
    Ok(())
}

async fn allocate(
    client: &mut AmClient,
    count: u32,
    asked: impl Fn(u32) -> AllocateInput,
) -> Result<Vec<Container>> {
    let start = Instant::now();
    let mut containers = Vec::new();
    while start.elapsed() < DEADLINE {
        let missing = count - u32::try_from(containers.len())?;
        let allocation = client.allocate(&asked(missing)).await?;
        containers.extend(allocation.containers);
        ensure!(
            containers.len() <= usize::try_from(count)?,
            "more containers than wanted"
        );
        if containers.len() == usize::try_from(count)? {
            report(&format!(
                "{count} containers after {:.1}s",
                start.elapsed().as_secs_f32()
            ));
            return Ok(containers);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!("only {} of {count} containers", containers.len())
}

/// Heartbeats until the container has ended; nothing may be allocated meanwhile.
async fn ended(
    client: &mut AmClient,
    container: &Container,
    releases: &[ContainerId],
) -> Result<ContainerStatus> {
    let input = AllocateInput {
        releases: releases.to_vec(),
        progress: 0.9,
        ..AllocateInput::default()
    };
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        let allocation = client.allocate(&input).await?;
        ensure!(
            allocation.containers.is_empty(),
            "a container nobody asked for"
        );
        if let Some(status) = allocation
            .completed
            .into_iter()
            .find(|status| status.id == container.id)
        {
            report(&format!("{}: {}", container.id, status.explanation()));
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    bail!("{} did not end", container.id)
}

#[expect(clippy::print_stderr, reason = "an example's output is for people")]
fn report(text: &str) {
    eprintln!("{text}");
}
