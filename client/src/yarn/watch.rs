//! Follows an application: through the ResourceManager until its JobManager can be asked, then
//! through the JobManager, and again through the ResourceManager when that is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use flott_hadoop::yarn::rest::ApplicationState;
use flott_hadoop::yarn::{ApplicationId, ApplicationReport};
use flott_model::{Failure, FailureClass, JobStatus};
use flott_protocol::program::{JobEnded, JobStarted};

use super::resource_manager::{ResourceManager, job_manager_address};
use crate::console::Console;
use crate::jobs::{JobDetails, JobManager};
use crate::report::Report;

/// How often to look while a job starts.
const STARTING_INTERVAL: Duration = Duration::from_millis(100);
/// How often to look at a running job.
const RUNNING_INTERVAL: Duration = Duration::from_millis(500);
/// For so long a ResourceManager may be away (it restarts, or another takes over).
const ABSENCE_LIMIT: Duration = Duration::from_secs(120);

/// An application that is being followed.
pub(crate) struct Watch<'a> {
    rm: &'a ResourceManager,
    console: &'a Console,
    http: reqwest::Client,
    id: ApplicationId,
    job_manager: Option<JobManager>,
    jobs: BTreeMap<String, Job>,
    /// Whether the jobs are known from the start (per-job), or found there (application).
    is_per_job: bool,
    absent_since: Option<tokio::time::Instant>,
}

/// A job, as far as it is known.
#[derive(Debug, Default)]
struct Job {
    is_running: bool,
    ended: Option<JobEnded>,
}

/// What one look showed.
#[derive(PartialEq, Eq)]
enum Seen {
    /// It goes on.
    Nothing,
    /// The application has ended, and all its jobs with it.
    ApplicationEnded,
}

impl<'a> Watch<'a> {
    /// Follows the only job of an application.
    pub(crate) fn job(
        rm: &'a ResourceManager,
        console: &'a Console,
        id: ApplicationId,
        job: &str,
    ) -> Self {
        let mut watch = Self::application(rm, console, id);
        watch.is_per_job = true;
        watch.jobs.insert(job.to_owned(), Job::default());
        watch
    }

    /// Follows whatever jobs appear in an application.
    pub(crate) fn application(
        rm: &'a ResourceManager,
        console: &'a Console,
        id: ApplicationId,
    ) -> Self {
        Self {
            rm,
            console,
            http: rm.http().clone(),
            id,
            job_manager: None,
            jobs: BTreeMap::new(),
            is_per_job: false,
            absent_since: None,
        }
    }

    /// Until a job is RUNNING with all its subtasks, or it is clear that none will be.
    pub(crate) async fn until_running(&mut self, report: &Report) -> anyhow::Result<()> {
        while !self.is_running() && !self.is_over() {
            if self.look(report).await? == Seen::ApplicationEnded {
                break;
            }
            if !self.is_running() && !self.is_over() {
                tokio::time::sleep(STARTING_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// Until everything has ended.
    pub(crate) async fn until_end(&mut self, report: &Report) -> anyhow::Result<()> {
        while !self.is_over() {
            if self.look(report).await? == Seen::ApplicationEnded {
                break;
            }
            if !self.is_over() {
                tokio::time::sleep(RUNNING_INTERVAL).await;
            }
        }
        self.console.end_progress();
        Ok(())
    }

    /// Whether a job was seen with all its subtasks running, or finished.
    pub(crate) fn is_running(&self) -> bool {
        self.jobs.values().any(|job| job.is_running)
    }

    /// How a job ended, if it did.
    pub(crate) fn result(&self, job: &str) -> Option<JobEnded> {
        self.jobs.get(job)?.ended.clone()
    }

    /// In an application there may always come another job.
    fn is_over(&self) -> bool {
        self.is_per_job && self.jobs.values().all(|job| job.ended.is_some())
    }

    async fn look(&mut self, report: &Report) -> anyhow::Result<Seen> {
        if let Some(manager) = self.job_manager.clone() {
            match self.ask_job_manager(&manager, report).await {
                // With all jobs ended only the ResourceManager knows when the application does.
                Ok(()) if self.jobs.values().any(|job| job.ended.is_none()) => {
                    return Ok(Seen::Nothing);
                }
                Ok(()) => (),
                Err(_) => self.job_manager = None,
            }
        }
        self.ask_resource_manager(report).await
    }

    async fn ask_resource_manager(&mut self, report: &Report) -> anyhow::Result<Seen> {
        let application = match self.rm.report(self.id).await {
            Ok(application) => application,
            Err(error) => {
                let since = *self
                    .absent_since
                    .get_or_insert_with(tokio::time::Instant::now);
                if since.elapsed() > ABSENCE_LIMIT {
                    return Err(error);
                }
                self.console
                    .progress("Waiting for the ResourceManager", "it does not answer");
                return Ok(Seen::Nothing);
            }
        };
        self.absent_since = None;
        let Some(application) = application else {
            anyhow::bail!(
                "the ResourceManager does not know application {} any more",
                self.id
            );
        };
        if application.state.is_terminal() {
            self.conclude(&application, report);
            return Ok(Seen::ApplicationEnded);
        }
        match job_manager_address(&application) {
            Some(address) if application.state == ApplicationState::Running => {
                self.job_manager = Some(JobManager::at(&self.http, address));
            }
            _ => {
                let detail = waiting_for(&application.diagnostics);
                self.console
                    .progress("Waiting for YARN to start the JobManager", detail);
            }
        }
        Ok(Seen::Nothing)
    }

    async fn ask_job_manager(
        &mut self,
        manager: &JobManager,
        report: &Report,
    ) -> anyhow::Result<()> {
        if !self.is_per_job {
            for id in manager.job_ids().await? {
                if !self.jobs.contains_key(&id) {
                    let started = JobStarted {
                        job: id.clone(),
                        detached: false,
                    };
                    report.started(&started, self.console);
                    self.jobs.insert(id, Job::default());
                }
            }
        }
        let waiting: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.ended.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for id in waiting {
            let Some(details) = manager.job(&id).await? else {
                self.console.progress("Waiting for the JobManager", "");
                continue;
            };
            let ended = if details.is_terminal() {
                Some(ended(manager, &id, &details).await?)
            } else {
                self.show(&details);
                None
            };
            let job = self.jobs.entry(id).or_default();
            job.is_running |= details.is_running();
            if let Some(ended) = ended {
                // In an application main() may have cancelled it: the application's end tells what to think of that.
                let is_open = !self.is_per_job && ended.status == JobStatus::Canceled.number();
                if !is_open {
                    report.ended(&ended, self.console);
                }
                job.ended = Some(ended);
            }
        }
        if self.jobs.is_empty() {
            self.console.progress("Waiting for main()", "");
        }
        Ok(())
    }

    fn show(&self, details: &JobDetails) {
        let (ready, all) = details.ready_subtasks();
        if details.is_running() {
            let finished = details.finished_subtasks();
            self.console
                .progress("Running", &format!("{finished} of {all} tasks finished"));
        } else if details.state == "RUNNING" {
            self.console
                .progress("Starting tasks", &format!("{ready} of {all} run"));
        } else {
            self.console
                .progress(&format!("The job is {}", details.state), "");
        }
    }

    /// Cancelled jobs of an application that went well were cancelled by its `main()`.
    fn tell_cancelled(&self, application: JobStatus, report: &Report) {
        let ended = self.jobs.values().filter_map(|job| job.ended.as_ref());
        for ended in ended.filter(|job| job.status == JobStatus::Canceled.number()) {
            let told = JobEnded {
                as_wanted: application == JobStatus::Finished,
                ..ended.clone()
            };
            report.ended(&told, self.console);
        }
    }

    /// The application is gone: what its jobs did not tell themselves, its end tells.
    fn conclude(&mut self, last: &ApplicationReport, report: &Report) {
        let status = status_of(last);
        if !self.is_per_job {
            self.tell_cancelled(status, report);
        }
        for (id, job) in self.jobs.iter_mut().filter(|(_, job)| job.ended.is_none()) {
            let ended = JobEnded {
                job: id.clone(),
                status: status.number(),
                failure: (status != JobStatus::Finished).then(|| failure_of(last)),
                runtime_ms: elapsed_ms(last),
                accumulators: Vec::new(),
                as_wanted: false,
            };
            report.ended(&ended, self.console);
            job.is_running |= status == JobStatus::Finished;
            job.ended = Some(ended);
        }
        if !self.is_per_job {
            let failed = status != JobStatus::Finished;
            let failure = failed.then(|| (state_of(last), cause_of(last)));
            report.application_ended(&self.id.to_string(), failure);
        }
    }
}

/// How a job that has ended did that, as its JobManager tells.
async fn ended(manager: &JobManager, id: &str, details: &JobDetails) -> anyhow::Result<JobEnded> {
    let status = JobStatus::ALL
        .iter()
        .find(|status| status.as_str() == details.state);
    let status = status.copied().unwrap_or(JobStatus::Failed);
    let failure = match status {
        JobStatus::Finished => None,
        _ => manager.failure(id).await?,
    };
    let accumulators = match status {
        JobStatus::Finished => manager.accumulators(id).await?,
        _ => Vec::new(),
    };
    // Last, because the cluster may end once this was fetched.
    let runtime = manager.runtime_ms(id).await.unwrap_or_default();
    let runtime_ms = runtime.unwrap_or_else(|| u64::try_from(details.duration).unwrap_or(0));
    Ok(JobEnded {
        job: id.to_owned(),
        status: status.number(),
        failure,
        runtime_ms,
        accumulators,
        as_wanted: false,
    })
}

pub(super) fn status_of(application: &ApplicationReport) -> JobStatus {
    match application.final_status.as_str() {
        "SUCCEEDED" => JobStatus::Finished,
        "KILLED" => JobStatus::Canceled,
        _ => JobStatus::Failed,
    }
}

/// What YARN calls the end of an application.
fn state_of(application: &ApplicationReport) -> &str {
    match application.state {
        ApplicationState::Finished => &application.final_status,
        state => state.name(),
    }
}

fn elapsed_ms(application: &ApplicationReport) -> u64 {
    u64::try_from(application.finished_time - application.started_time).unwrap_or(0)
}

fn cause_of(application: &ApplicationReport) -> String {
    let cause = match application.diagnostics.trim() {
        "" => "YARN says no more",
        text => text,
    };
    match application
        .am_container_logs
        .as_deref()
        .filter(|url| !url.is_empty())
    {
        // It could not say why by itself.
        Some(url) if application.state == ApplicationState::Failed => {
            format!("{cause}\nThe JobManager's logs: {url}")
        }
        _ => cause.to_owned(),
    }
}

/// The sentence in what YARN says of an application that waits: between a date and figures.
fn waiting_for(diagnostics: &str) -> &str {
    let line = diagnostics.lines().next().unwrap_or_default();
    let sentence = match line.split_once("] ") {
        Some((date, sentence)) if date.starts_with('[') => sentence,
        _ => line,
    };
    sentence
        .split(" Details :")
        .next()
        .unwrap_or_default()
        .trim()
        .trim_end_matches('.')
}

fn failure_of(application: &ApplicationReport) -> Failure {
    let cause = cause_of(application);
    let message = format!("the application is {}: {cause}", state_of(application));
    Failure::new(FailureClass::Fatal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(state: &str, final_status: &str) -> ApplicationReport {
        let report = serde_json::json!({
            "id": "application_1_0001", "state": state, "finalStatus": final_status,
            "diagnostics": "AM exited\n", "startedTime": 1000, "finishedTime": 3500,
            "amContainerLogs": "http://node:8042/logs",
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn the_end_of_an_application_is_the_end_of_its_jobs() {
        for (state, final_status, status, cause) in [
            (
                "FINISHED",
                "SUCCEEDED",
                JobStatus::Finished,
                "is SUCCEEDED: AM exited",
            ),
            (
                "FINISHED",
                "FAILED",
                JobStatus::Failed,
                "is FAILED: AM exited",
            ),
            (
                "KILLED",
                "KILLED",
                JobStatus::Canceled,
                "is KILLED: AM exited",
            ),
            (
                "FAILED",
                "FAILED",
                JobStatus::Failed,
                "is FAILED: AM exited\nThe JobManager's logs: ",
            ),
        ] {
            let application = application(state, final_status);
            assert_eq!(status_of(&application), status);
            let message = failure_of(&application).message;
            assert!(message.contains(cause), "{message}");
            assert_eq!(elapsed_ms(&application), 2500);
        }
    }

    #[test]
    fn what_yarn_waits_for_is_one_sentence() {
        let said = "[Sun Nov 22 17:45:34 +0000 2026] Application is Activated, waiting for resources \
                    to be assigned for AM.  Details : AM Partition = <DEFAULT_PARTITION> ; …";
        let sentence = "Application is Activated, waiting for resources to be assigned for AM";
        assert_eq!(waiting_for(said), sentence);
        assert_eq!(waiting_for(""), "");
        assert_eq!(
            waiting_for("AM container is launched"),
            "AM container is launched"
        );
    }
}
