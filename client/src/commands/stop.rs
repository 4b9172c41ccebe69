//! `flott stop`: ends a job with a savepoint from which it can go on.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;

use super::savepoint::note_format;
use crate::cli::StopArgs;
use crate::cluster::{Cluster, directory_and_job, job_id};
use crate::console::Console;
use crate::jobs::SavepointRequest;

/// Asks a job to stop, and waits for its savepoint unless it is detached.
pub(crate) async fn stop(args: StopArgs, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    let (directory, job) = directory_and_job(args.directory, args.job);
    let job = job_id(job.as_deref())?;
    let cluster = Cluster::load(&args.cluster, console)?;
    let manager = cluster.job_manager().await?;
    let format = args.format.unwrap_or_default();
    note_format(format, console);
    let request = SavepointRequest {
        job: &job,
        directory: directory.as_deref(),
        format: format.name(),
    };
    let doing = if args.drain { "Draining" } else { "Suspending" };
    let format = request.format;
    console.line(&format!("{doing} job \"{job}\" with a {format} savepoint."));
    let detached = if args.detached {
        " in detached mode"
    } else {
        ""
    };
    console.line(&format!(
        "Triggering stop-with-savepoint{detached} for job {job}."
    ));
    console.line("Waiting for response...");
    let failed = || format!("cannot stop job {job} with a savepoint");
    let begun = manager.begin_stop(request, args.drain).await;
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
    Ok(ExitCode::SUCCESS)
}
