//! `flott checkpoint`: a checkpoint of a running job, out of turn.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;

use crate::cli::CheckpointArgs;
use crate::cluster::{Cluster, job_id};
use crate::console::Console;

/// Asks for a checkpoint and waits until it is complete.
pub(crate) async fn checkpoint(
    args: CheckpointArgs,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    let job = job_id(args.job.as_deref())?;
    let cluster = Cluster::load(&args.cluster, console)?;
    let manager = cluster.job_manager().await?;
    console.line(&format!("Triggering checkpoint for job {job}."));
    console.line("Waiting for response...");
    let failed = || format!("cannot take a checkpoint of job {job}");
    let begun = manager.begin_checkpoint(&job, args.full).await;
    let operation = begun.with_context(failed)?;
    let result = manager.result(&operation).await.with_context(failed)?;
    let number = result["checkpointId"].as_u64();
    let number = number.context("the JobManager does not say which number the checkpoint has")?;
    console.line(&format!("Checkpoint {number} for job {job} completed."));
    console.line("You can resume your program from this checkpoint with the run command.");
    Ok(ExitCode::SUCCESS)
}
