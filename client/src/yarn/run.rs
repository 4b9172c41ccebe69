//! Targets `yarn-per-job` and `yarn-application`: from the program to the end of its jobs, and
//! whatever may come between.

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use flott_config::options::EXECUTION_SHUTDOWN_ON_ATTACHED_EXIT;
use flott_hadoop::yarn::ApplicationId;
use futures::FutureExt as _;

use super::created::Phase;
use super::deployer::{Deployer, Work};
use super::resource_manager::job_manager_address;
use super::watch::Watch;
use crate::console::Console;
use crate::jobs::JobManager;
use crate::report::Report;
use crate::settings::Settings;
use crate::signals::{Interrupt, Signals};
use crate::target::{ProgramCall, Target};

/// How long jobs may take to stop after an interruption with -sae.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a program on YARN.
pub(crate) async fn run(
    target: Target,
    call: ProgramCall,
    settings: &Settings,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let mut deployer = Deployer::new(settings, &call)?;
    let attached = settings.is_attached();
    let stop_on_exit = settings.get(&EXECUTION_SHUTDOWN_ON_ATTACHED_EXIT);
    let prepared = tokio::select! {
        prepared = deployer.prepare(console) => prepared,
        // Nothing exists yet.
        signal = signals.next() => return Ok(ExitCode::from(signal.exit_code())),
    };
    prepared?;
    let run = Run {
        deployer,
        call,
        settings: settings.clone(),
        attached,
        console: Rc::clone(console),
    };
    let work = async {
        match target {
            Target::YarnApplication => run.application().await,
            _ => run.per_job().await,
        }
    };
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work).catch_unwind() => Ok(outcome),
        signal = signals.next() => Err(signal),
    };
    console.end_progress();
    let clean_up = async {
        match &outcome {
            Err(_) if attached && stop_on_exit => run.stop_running().await,
            _ => (),
        }
        let why = if outcome.is_err() {
            "its client was interrupted"
        } else {
            "its start failed"
        };
        run.deployer
            .created
            .clean_up(why, &run.deployer.rm, &run.deployer.area, console)
            .await;
    };
    tokio::select! {
        () = clean_up => (),
        signal = signals.next() => {
            console.note("Interrupted again: not everything may have been removed.");
            return Ok(ExitCode::from(signal.exit_code()));
        }
    }
    match outcome {
        Ok(Ok(result)) => result.map(|()| ExitCode::SUCCESS),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(signal) => Ok(run.interrupted(signal)),
    }
}

pub(super) struct Run {
    pub(super) deployer: Deployer,
    pub(super) call: ProgramCall,
    pub(super) settings: Settings,
    pub(super) attached: bool,
    pub(super) console: Rc<Console>,
}

impl Run {
    /// `main()` runs beside its jobs in one application.
    async fn application(&self) -> anyhow::Result<()> {
        let report = Report::default();
        let id = self
            .deployer
            .deploy(Work::Main, self.attached, &self.console)
            .await?;
        let mut watch = Watch::application(&self.deployer.rm, &self.console, id);
        watch.until_running(&report).await?;
        self.note_phase(&watch, id);
        if self.attached {
            watch.until_end(&report).await?;
            self.deployer.created.set(id, Phase::Ended);
        } else if watch.is_running() {
            self.console.end_progress();
            self.console
                .note(&format!("The job is RUNNING. {}", self.how_to_follow(id)));
        }
        self.tidy().await;
        report.conclude(None)
    }

    pub(super) fn note_phase(&self, watch: &Watch<'_>, id: ApplicationId) {
        let phase = if watch.is_running() {
            Phase::Running
        } else {
            Phase::Ended
        };
        self.deployer.created.set(id, phase);
    }

    /// After the user has seen the result: old files are nobody's hurry.
    pub(super) async fn tidy(&self) {
        if let Err(error) = self.deployer.tidy().await {
            self.console.note(&format!(
                "warning: old files stay in the staging area: {error:#}"
            ));
        }
    }

    /// -sae: what runs is cancelled, and killed if that does not help.
    async fn stop_running(&self) {
        let Deployer { rm, created, .. } = &self.deployer;
        for id in created.in_phase(Phase::Running) {
            self.console.note(&format!("Stopping application {id}"));
            let cancel = async {
                let report = rm.report(id).await?;
                let address = report.as_ref().and_then(job_manager_address);
                let manager = JobManager::at(rm.http(), address.context("no JobManager")?);
                for job in manager.job_ids().await? {
                    manager.cancel(&job).await?;
                }
                rm.until_terminal(id).await
            };
            match tokio::time::timeout(STOP_TIMEOUT, cancel).await {
                Ok(Ok(())) => created.set(id, Phase::Ended),
                // clean_up() kills it.
                _ => created.set(id, Phase::Submitted),
            }
        }
    }

    fn interrupted(&self, signal: Interrupt) -> ExitCode {
        for id in self.deployer.created.in_phase(Phase::Running) {
            self.console.note(&format!(
                "Application {id} goes on running. {}",
                self.how_to_follow(id)
            ));
        }
        ExitCode::from(signal.exit_code())
    }

    pub(super) fn how_to_follow(&self, id: ApplicationId) -> String {
        let url = self.deployer.rm.tracking_url(id);
        format!(
            "Follow it at {url}, list its jobs with: flott list -yid {id}, end it with: yarn \
             application -kill {id}"
        )
    }
}
