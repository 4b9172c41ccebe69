//! What this command created in the cluster and has to remove again if it does not come to
//! RUNNING: no ghosts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use flott_hadoop::yarn::ApplicationId;

use super::resource_manager::ResourceManager;
use super::staging::StagingArea;
use crate::console::Console;

/// Cleaning up must not take longer than the patience of whoever pressed Ctrl-C.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// How far an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It has a directory, YARN may not know it.
    Prepared,
    /// YARN knows it (or may: the answer may have been lost).
    Submitted,
    /// Its job runs.
    Running,
    /// It has ended.
    Ended,
}

/// The applications of this command.
#[derive(Debug, Default)]
pub(crate) struct Created(RefCell<BTreeMap<ApplicationId, Phase>>);

impl Created {
    /// An application is now in this phase.
    pub(crate) fn set(&self, id: ApplicationId, phase: Phase) {
        self.0.borrow_mut().insert(id, phase);
    }

    /// The applications in a phase.
    pub(crate) fn in_phase(&self, phase: Phase) -> Vec<ApplicationId> {
        let applications = self.0.borrow();
        applications
            .iter()
            .filter(|(_, at)| **at == phase)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Kills what is not RUNNING, and removes the directories of all that do not run.
    pub(crate) async fn clean_up(
        &self,
        why: &str,
        rm: &ResourceManager,
        area: &StagingArea,
        console: &Console,
    ) {
        for id in self.in_phase(Phase::Submitted) {
            console.progress(&format!("Killing application {id}"), "");
            match tokio::time::timeout(CLEAN_UP_TIMEOUT, rm.kill(id, why)).await {
                Ok(Ok(())) => console.note(&format!("Application {id} was killed: {why}.")),
                Ok(Err(error)) => note_left_behind(console, id, &format!("{error:#}")),
                Err(_) => note_left_behind(console, id, "the ResourceManager does not answer"),
            }
            self.set(id, Phase::Ended);
        }
        for phase in [Phase::Prepared, Phase::Ended] {
            for id in self.in_phase(phase) {
                let name = id.to_string();
                let removal = area.remove_application(&name);
                let failure = match tokio::time::timeout(CLEAN_UP_TIMEOUT, removal).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => format!("{error:#}"),
                    Err(_) => "HDFS does not answer".to_owned(),
                };
                let directory = area.application_url(&name);
                console.note(&format!(
                    "warning: {directory} could not be removed: {failure}"
                ));
            }
        }
    }
}

fn note_left_behind(console: &Console, id: ApplicationId, why: &str) {
    console.note(&format!(
        "warning: application {id} could not be killed ({why}); when the cluster is back: \
         yarn application -kill {id}"
    ));
}
