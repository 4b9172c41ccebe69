//! Finding the JobManager of an application that runs already.

use anyhow::{Context as _, bail};
use flott_hadoop::yarn::ApplicationId;

use super::resource_manager::{ResourceManager, job_manager_address};
use crate::jobs::JobManager;
use crate::settings::Settings;

/// The JobManager of an application.
pub(crate) async fn job_manager(
    id: ApplicationId,
    settings: &Settings,
) -> anyhow::Result<JobManager> {
    let rm = ResourceManager::new(super::hadoop(settings)?, settings.user())?;
    let report = rm.report(id).await;
    let report = report.with_context(|| format!("cannot ask YARN about application {id}"))?;
    let Some(report) = report else {
        bail!(
            "the ResourceManager at {} knows no application {id} (any more)",
            rm.address()
        );
    };
    if report.state.is_terminal() {
        bail!(
            "application {id} does not run any more: it is {} ({}), and its jobs ended with it",
            report.state.name(),
            report.final_status
        );
    }
    let Some(address) = job_manager_address(&report) else {
        bail!(
            "application {id} is {}, its JobManager does not run yet",
            report.state.name()
        );
    };
    Ok(JobManager::at(rm.http(), address))
}
