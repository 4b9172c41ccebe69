//! Our Hadoop libraries on the real daemons, apart from the programs that use them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_filesystem::{FileSystems, conformance};
use flott_hadoop::HadoopConf;
use flott_integration_tests::{TestHadoop, wait_for};

#[test]
fn hdfs_conforms_like_every_other_file_system() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let conf = HadoopConf::load(Some(&hadoop.conf_directory()))?;
    let user = Some(hadoop.user().to_owned());
    let systems = FileSystems::new(conf.to_map(), user, Some(conf.fs_default().to_owned()))?;
    let root = format!("/data/conformance-{}", std::process::id());
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (hdfs, path) = systems.resolve(&root)?;
        hdfs.mkdirs(&path, 0o755).await?;
        conformance::run(hdfs.as_ref(), &path).await;
        hdfs.delete(&path, true).await?;
        Ok(())
    })
}

/// An ApplicationMaster made of nothing but the library: registers, asks, starts containers with
/// hostile arguments, sees exit statuses 7, -105 and -100, finishes.
#[test]
fn the_yarn_protocols_hold_against_the_daemons() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    let log = tempfile::tempfile()?;
    let mut probe = Command::new(env!("CARGO_BIN_EXE_yarn_probe"))
        .env("HADOOP_CONF_DIR", hadoop.conf_directory())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
        .context("starting the probe")?;
    let status = wait_for("the probe to end", Duration::from_secs(150), || {
        Ok(probe.try_wait()?)
    })?;
    ensure!(
        status.success(),
        "the probe ended with {status}: {}",
        read(log)?
    );
    Ok(())
}

fn read(mut log: std::fs::File) -> Result<String> {
    use std::io::{Read, Seek};
    let mut text = String::new();
    log.rewind()?;
    log.read_to_string(&mut text)?;
    Ok(text)
}
