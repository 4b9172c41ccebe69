//! What the jobs want, in the order in which they asked.

use std::collections::BTreeMap;

use flott_model::JobId;

use crate::SlotRequirement;

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
    required: SlotRequirement,
    /// Whether the job knows that its need will not be met.
    told: bool,
}

impl Demand {
    /// Replaces the requirement of a job.
    pub(super) fn set(&mut self, job: JobId, required: SlotRequirement) {
        if required.is_empty() {
            self.jobs.remove(&job);
            return;
        }
        let next_turn = &mut self.next_turn;
        let need = self.jobs.entry(job).or_insert_with(|| {
            *next_turn += 1;
            Need {
                turn: *next_turn,
                required: SlotRequirement::none(),
                told: false,
            }
        });
        need.required = required;
        need.told = false;
    }

    /// Every job with its requirement, in order of request.
    pub(super) fn in_order(&self) -> Vec<(JobId, &SlotRequirement)> {
        let mut jobs: Vec<(u64, JobId, &SlotRequirement)> = self
            .jobs
            .iter()
            .map(|(job, need)| (need.turn, *job, &need.required))
            .collect();
        jobs.sort_unstable_by_key(|(turn, _, _)| *turn);
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
        let slots = SlotRequirement::of_default_size;
        let in_order = |demand: &Demand| -> Vec<(u128, u32)> {
            let jobs = demand.in_order().into_iter();
            jobs.map(|(job, slots)| (job.0, slots.total())).collect()
        };
        let mut demand = Demand::default();
        demand.set(JobId(2), slots(4));
        demand.set(JobId(1), slots(1));
        demand.set(JobId(2), slots(5));
        assert_eq!(in_order(&demand), [(2, 5), (1, 1)]);
        demand.set(JobId(2), slots(0));
        demand.set(JobId(2), slots(1));
        assert_eq!(in_order(&demand), [(1, 1), (2, 1)]);
        assert!(demand.tell(JobId(1)));
        assert!(!demand.tell(JobId(1)));
        demand.set(JobId(1), slots(1));
        assert!(demand.tell(JobId(1)), "who asks again is answered again");
        assert!(!demand.tell(JobId(9)));
    }
}
