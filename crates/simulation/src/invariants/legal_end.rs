//! Every job ends, and as its history says it may: FINISHED unless the user, the user's code, the
//! restart strategy or the cluster's limits decided otherwise.

use flott_coordination::job::RestartStrategy;
use flott_model::{Failure, JobStatus};

use crate::plan::JobPlan;
use crate::record::JobRecord;
use crate::world::World;

pub(super) fn check(world: &World) -> Result<(), String> {
    for plan in &world.plan.jobs {
        let job = plan.settings.job;
        let record = &world.record.jobs[&job];
        let core = &world.jobs[&job];
        let Some((when, status, failure)) = record.status() else {
            return Err(format!("job {job} never began"));
        };
        if core.status() != status {
            return Err(format!(
                "job {job} is {} and said it is {status}",
                core.status()
            ));
        }
        let legal = match status {
            JobStatus::Finished => true,
            JobStatus::Canceled => record.cancel_requested || record.checks.cancelled(),
            // Never for want of slots: the world has been healthy for longer than any slot timeout
            // lasts before the first one can fire.
            JobStatus::Failed => {
                failure.is_some_and(|failure| may_fail(plan, record, core.restarts(), failure))
            }
            _ => false,
        };
        let allowed = match plan.settings.restart_strategy {
            RestartStrategy::None => 0,
            RestartStrategy::FixedDelay { attempts, .. } => attempts,
            RestartStrategy::FailureRate { .. } | RestartStrategy::ExponentialDelay { .. } => {
                u32::MAX
            }
        };
        if core.restarts() > allowed {
            let restarts = core.restarts();
            return Err(format!("job {job} restarted {restarts} of {allowed} times"));
        }
        if !legal {
            return Err(format!("job {job} ended {status} at {when:?}: {failure:?}"));
        }
    }
    Ok(())
}

fn may_fail(plan: &JobPlan, record: &JobRecord, restarts: u32, failure: &Failure) -> bool {
    let exhausted = match plan.settings.restart_strategy {
        RestartStrategy::None => failure.message.contains("restart-strategy.type is none"),
        RestartStrategy::FixedDelay { attempts, .. } => {
            restarts == attempts && failure.message.contains("exhausted after")
        }
        RestartStrategy::FailureRate { .. } => failure.message.contains("exhausted after"),
        RestartStrategy::ExponentialDelay { .. } => false,
    };
    let uncommitted = failure.message.contains("not committed")
        && (record.refused_commits >= 3 || record.interrupted_commits >= 5);
    let given_up = record.given_up
        && ["maximum-failed-containers", "too large for this cluster"]
            .iter()
            .any(|why| failure.message.contains(why));
    exhausted || uncommitted || given_up || (record.fatal && failure.message.contains("panicked"))
}
