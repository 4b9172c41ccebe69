//! Roles plan, submit and driver: the graph goes to whoever started the program.

use std::time::Duration;

use flott_model::{JobId, JobStatus};
use flott_protocol::environment::Role;
use flott_protocol::program::{JobEnded, launcher_message, program_message};
use flott_runtime::plan::Plan;

use super::{JobExecutionResult, Launch};
use crate::error::Error;

pub(super) fn execute(launch: &mut Launch, plan: Plan) -> Result<JobExecutionResult, Error> {
    launch.tell(program_message::Kind::Execute(plan.graph))?;
    if launch.role() == Role::Plan {
        // The launcher has what it wants; nothing of the program after this matters.
        std::process::exit(0);
    }
    let started = match launch.hear()? {
        launcher_message::Kind::Started(started) => started,
        launcher_message::Kind::Refused(reason) => return Err(Error::Refused(reason)),
        launcher_message::Kind::Hello(_) | launcher_message::Kind::Ended(_) => {
            return Err(Error::Role(
                "the process that started this program is confused".into(),
            ));
        }
    };
    if started.detached {
        let job_id = parse(&started.job)?;
        return Ok(JobExecutionResult::without_end(job_id, true));
    }
    match launch.hear()? {
        launcher_message::Kind::Ended(ended) => result(ended),
        launcher_message::Kind::Refused(reason) => Err(Error::Refused(reason)),
        launcher_message::Kind::Hello(_) | launcher_message::Kind::Started(_) => Err(Error::Role(
            "the process that started this program is confused".into(),
        )),
    }
}

fn parse(job: &str) -> Result<JobId, Error> {
    job.parse()
        .map_err(|error: flott_model::ParseIdError| Error::Role(error.to_string()))
}

/// The result of a job that ended, or its failure as an error.
pub(super) fn result(ended: JobEnded) -> Result<JobExecutionResult, Error> {
    let job = parse(&ended.job)?;
    match JobStatus::from_number(ended.status) {
        Some(JobStatus::Finished) => Ok(JobExecutionResult {
            job_id: job,
            net_runtime: Duration::from_millis(ended.runtime_ms),
            detached: false,
            accumulators: ended.accumulators.into_iter().map(Into::into).collect(),
        }),
        status => Err(Error::Ended {
            job,
            status: status.unwrap_or(JobStatus::Failed),
            failure: ended.failure.map(Box::new),
        }),
    }
}
