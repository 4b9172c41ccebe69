//! `flott cancel`: ends a job, in former times with a savepoint.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;

use crate::cli::{CancelArgs, Format};
use crate::cluster::{Cluster, directory_and_job, job_id};
use crate::console::Console;
use crate::jobs::SavepointRequest;

/// Asks a job to end; a job that has ended is fine.
pub(crate) async fn cancel(args: CancelArgs, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    let with_savepoint = args.with_savepoint.is_some();
    let (directory, job) = directory_and_job(args.with_savepoint, args.job);
    let job = job_id(job.as_deref())?;
    let cluster = Cluster::load(&args.cluster, console)?;
    let manager = cluster.job_manager().await?;
    let failed = || format!("cannot cancel job {job}");
    if !with_savepoint {
        console.line(&format!("Cancelling job {job}."));
        manager.cancel(&job).await.with_context(failed)?;
        console.line(&format!("Cancelled job {job}."));
        return Ok(ExitCode::SUCCESS);
    }
    let request = SavepointRequest {
        job: &job,
        directory: directory.as_deref(),
        format: Format::default().name(),
    };
    console.line(
        "DEPRECATION WARNING: Cancelling a job with savepoint is deprecated. Use \"stop\" instead.",
    );
    let place = request.directory.unwrap_or("default savepoint directory");
    let format = request.format;
    console.line(&format!(
        "Cancelling job {job} with {format} savepoint to {place}."
    ));
    let begun = manager.begin_savepoint(request, true).await;
    let operation = begun.with_context(failed)?;
    let location = manager.location(&operation).await.with_context(failed)?;
    console.line(&format!(
        "Cancelled job {job}. Savepoint stored in {location}."
    ));
    Ok(ExitCode::SUCCESS)
}
