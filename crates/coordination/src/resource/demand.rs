//! What the jobs want, in the order in which they asked.

use std::collections::BTreeMap;

use flott_model::JobId;

/// The standing requirement of each job.
#[derive(Debug, Default)]
pub(super) struct Demand {
    jobs: BTreeMap<JobId, Need>,
    /// Jobs are served in this order.
    next_turn: u64,
}

#[derive(Debug)]
struct Need {
    turn: u64,
    required: u32,
    /// Whether the job knows that its need will not be met.
    told: bool,
}

impl Demand {
    /// Replaces the requirement of a job.
    pub(super) fn set(&mut self, job: JobId, required: u32) {
        if required == 0 {
            self.jobs.remove(&job);
            return;
        }
        let next_turn = &mut self.next_turn;
        let need = self.jobs.entry(job).or_insert_with(|| {
            *next_turn += 1;
            Need {
                turn: *next_turn,
                required,
                told: false,
            }
        });
        need.required = required;
        need.told = false;
    }

    /// Every job with its requirement, in order of request.
    pub(super) fn in_order(&self) -> Vec<(JobId, u32)> {
        let mut jobs: Vec<(u64, JobId, u32)> = self
            .jobs
            .iter()
            .map(|(job, need)| (need.turn, *job, need.required))
            .collect();
        jobs.sort();
        jobs.into_iter()
            .map(|(_, job, required)| (job, required))
            .collect()
    }

    /// Notes that a job learns that its need will not be met; whether it did not know.
    pub(super) fn tell(&mut self, job: JobId) -> bool {
        self.jobs
            .get_mut(&job)
            .is_some_and(|need| !std::mem::replace(&mut need.told, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_its_turn_while_its_need_stands() {
        let mut demand = Demand::default();
        demand.set(JobId(2), 4);
        demand.set(JobId(1), 1);
        demand.set(JobId(2), 5);
        assert_eq!(demand.in_order(), [(JobId(2), 5), (JobId(1), 1)]);
        demand.set(JobId(2), 0);
        demand.set(JobId(2), 1);
        assert_eq!(demand.in_order(), [(JobId(1), 1), (JobId(2), 1)]);
        assert!(demand.tell(JobId(1)));
        assert!(!demand.tell(JobId(1)));
        demand.set(JobId(1), 1);
        assert!(demand.tell(JobId(1)), "who asks again is answered again");
        assert!(!demand.tell(JobId(9)));
    }
}
