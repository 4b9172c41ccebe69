//! Roles plan, submit and driver: the graph goes to whoever started the program.

use std::sync::Arc;

use flott_model::{JobId, JobStatus};
use flott_protocol::environment::Role;
use flott_protocol::program::{
    Collected, JobAccumulator, JobEnded, Snapshot, What, program_message,
};
use flott_runtime::plan::Plan;

use super::Launch;
use super::job::{Access, Job, Leftovers};
use super::line::Line;
use crate::error::Error;

/// Submits the job; its records are read if `collects`.
pub(super) fn start(
    launch: &Launch,
    plan: Plan,
    collects: bool,
    leftovers: Leftovers,
) -> Result<Arc<Job>, Error> {
    let line = launch
        .line()
        .ok_or_else(|| Error::Role("nobody takes its jobs".to_owned()))?;
    let kind = if collects {
        program_message::Kind::Collect(plan.graph)
    } else {
        program_message::Kind::Execute(plan.graph)
    };
    if launch.role() == Role::Plan {
        line.tell(kind)?;
        // The launcher has what it wants; nothing of the program after this matters.
        std::process::exit(0);
    }
    let started = line.submit(kind)?;
    let id = parse(&started.job)?;
    let access = LaunchedJob {
        job: started.job,
        line: Arc::clone(line),
    };
    let leftovers = Some(leftovers);
    Ok(Job::new(
        id,
        started.detached,
        Arc::new(access),
        leftovers,
        true,
    ))
}

pub(super) fn parse(job: &str) -> Result<JobId, Error> {
    job.parse()
        .map_err(|error: flott_model::ParseIdError| Error::Role(error.to_string()))
}

/// A job that the launcher looks after.
struct LaunchedJob {
    job: String,
    line: Arc<Line>,
}

impl Access for LaunchedJob {
    fn wait(&self) -> Result<JobEnded, Error> {
        self.line.wait(&self.job)
    }

    fn ended(&self) -> Option<JobEnded> {
        self.line.ended(&self.job)
    }

    fn status(&self) -> Result<JobStatus, Error> {
        let answer = self.line.ask(&self.job, What::Status, 0)?;
        JobStatus::from_number(answer.status).ok_or_else(|| {
            Error::Unanswered(format!(
                "the status has the unknown number {}",
                answer.status
            ))
        })
    }

    fn cancel(&self) -> Result<(), Error> {
        self.line.ask(&self.job, What::Cancel, 0).map(drop)
    }

    fn accumulators(&self) -> Result<Vec<JobAccumulator>, Error> {
        let answer = self.line.ask(&self.job, What::Accumulators, 0)?;
        Ok(answer.accumulators)
    }

    fn snapshot(&self, wish: Snapshot) -> Result<String, Error> {
        self.line.snapshot(&self.job, wish)
    }

    fn collected(&self, from: u64) -> Result<Collected, Error> {
        loop {
            let answer = self.line.ask(&self.job, What::Collected, from)?;
            let found = answer.collected.unwrap_or_default();
            if found != Collected::default() {
                return Ok(found);
            }
        }
    }
}
