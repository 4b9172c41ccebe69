//! `flott savepoint`: takes a savepoint of a running job, disposes of one, or shows one.

mod info;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context as _, ensure};

use crate::cli::{Format, SavepointAction, SavepointArgs, SavepointCommand};
use crate::cluster::{Cluster, job_id};
use crate::console::Console;
use crate::jobs::SavepointRequest;

/// Does what the options say.
pub(crate) async fn savepoint(
    command: SavepointCommand,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    let SavepointCommand { action, args } = command;
    match (action, &args.dispose) {
        (Some(SavepointAction::Info(args)), _) => info::info(args, console).await,
        (None, Some(path)) => {
            ensure!(
                args.job.is_none() && args.format.is_none() && !args.detached,
                "-d deletes a savepoint, and takes nothing but its path"
            );
            let path = path.clone();
            dispose(&path, &args, console).await
        }
        (None, None) => take(args, console).await,
    }
}

async fn take(args: SavepointArgs, console: &Console) -> anyhow::Result<ExitCode> {
    let job = job_id(args.job.as_deref())?;
    let cluster = Cluster::load(&args.cluster, console)?;
    let manager = cluster.job_manager().await?;
    let format = args.format.unwrap_or_default();
    note_format(format, console);
    let request = SavepointRequest {
        job: &job,
        directory: args.directory.as_deref(),
        format: format.name(),
    };
    let detached = if args.detached {
        " in detached mode"
    } else {
        ""
    };
    console.line(&format!("Triggering savepoint{detached} for job {job}."));
    console.line("Waiting for response...");
    let failed = || format!("cannot take a savepoint of job {job}");
    let begun = manager.begin_savepoint(request, false).await;
    let operation = begun.with_context(failed)?;
    if args.detached {
        console.line(&format!(
            "Successfully trigger manual savepoint, triggerId: {}",
            operation.id
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let location = manager.location(&operation).await.with_context(failed)?;
    console.line(&format!("Savepoint completed. Path: {location}"));
    console.line("You can resume your program from this savepoint with the run command.");
    Ok(ExitCode::SUCCESS)
}

/// Somebody who knows Flink may expect something else.
pub(super) fn note_format(format: Format, console: &Console) {
    if format == Format::Native {
        console.note(
            "note: savepoints have one format, the canonical one, which is also that of checkpoints",
        );
    }
}

/// By the JobManager that is named; without one by this command: the cluster that took the savepoint
/// need not run any more.
async fn dispose(path: &str, args: &SavepointArgs, console: &Console) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::load(&args.cluster, console)?;
    let failed = || format!("cannot dispose of savepoint '{path}'");
    console.line(&format!("Disposing savepoint '{path}'."));
    if cluster.is_named() {
        let manager = cluster.job_manager().await?;
        console.line("Waiting for response...");
        let operation = manager.begin_disposal(path).await.with_context(failed)?;
        manager.result(&operation).await.with_context(failed)?;
    } else {
        let files = cluster.settings.file_systems()?;
        let disposed = flott_jobmanager::dispose_savepoint(&files, path).await;
        disposed.with_context(failed)?;
    }
    console.line(&format!("Savepoint '{path}' disposed."));
    Ok(ExitCode::SUCCESS)
}
