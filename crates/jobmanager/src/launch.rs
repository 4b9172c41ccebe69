//! What a worker process is told at its start.

use std::collections::BTreeMap;
use std::sync::Arc;

use flott_coordination::job::{SlotOffer, WorkerId};
use flott_model::{JobGraph, JobId, SlotId};
use flott_protocol::message::{JobBundle, StartWorker, WorkerSpec};
use prost::Message;

use crate::settings::DispatcherSettings;

/// How many cores each of a job's slots stands for.
#[derive(Debug, Default)]
pub(crate) struct SlotCores(BTreeMap<SlotId, u32>);

impl SlotCores {
    /// Notes what slots were granted for: a need without a profile is one of one core.
    pub(crate) fn note(&mut self, offers: &[SlotOffer]) {
        let cores = offers.iter().map(|offer| {
            let cores = offer.profile.map_or(1, |profile| profile.whole_cores());
            (offer.slot.clone(), cores)
        });
        self.0.extend(cores);
    }

    fn of(&self, worker: &WorkerId, slots: &[u32]) -> u32 {
        let cores = slots.iter().map(|index| {
            let slot = SlotId {
                container: worker.container.clone(),
                index: *index,
            };
            self.0.get(&slot).copied().unwrap_or(1)
        });
        cores.sum::<u32>().max(1)
    }
}

/// Everything about the workers of one job that is the same for all.
#[derive(Debug)]
pub(crate) struct WorkerLaunch {
    pub(crate) cores: SlotCores,
    pub(crate) job: JobId,
    pub(crate) settings: Arc<DispatcherSettings>,
    pub(crate) graph: Arc<JobGraph>,
    pub(crate) bundle: Arc<JobBundle>,
}

impl WorkerLaunch {
    pub(crate) fn start_worker(
        &self,
        worker: &WorkerId,
        host: &str,
        slots: Vec<u32>,
    ) -> StartWorker {
        let job = self.job.to_string();
        let settings = &self.settings;
        let spec = WorkerSpec {
            token: settings.secret.worker_token(&job).as_bytes().to_vec(),
            job: job.clone(),
            incarnation: worker.incarnation.0,
            container: worker.container.0.clone(),
            host: host.to_owned(),
            job_master: settings.job_master.clone(),
            epoch: settings.epoch.0,
            graph: JobGraph::clone(&self.graph),
            hadoop: settings.hadoop.clone(),
            user: settings.user.clone(),
            threads: self.cores.of(worker, &slots),
            slots: slots.clone(),
            // The agent fills in what only it knows: of its container.
            ..WorkerSpec::default()
        };
        StartWorker {
            job,
            incarnation: worker.incarnation.0,
            slots,
            bundle: JobBundle::clone(&self.bundle),
            spec: spec.encode_to_vec(),
            epoch: settings.epoch.0,
            args: self.graph.args.clone(),
            environment: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flott_model::{ContainerId, Incarnation, ResourceProfile};

    use super::*;

    #[test]
    fn a_worker_has_a_thread_for_each_core_of_its_slots() {
        let container = ContainerId("a".to_owned());
        let offer = |index, cores: Option<u32>| SlotOffer {
            slot: SlotId {
                container: container.clone(),
                index,
            },
            host: String::new(),
            profile: cores.map(|cpu_millicores| ResourceProfile {
                cpu_millicores,
                ..ResourceProfile::default()
            }),
        };
        let mut cores = SlotCores::default();
        cores.note(&[offer(0, None), offer(1, Some(2500)), offer(2, Some(100))]);
        let worker = WorkerId {
            container: container.clone(),
            incarnation: Incarnation(1),
        };
        assert_eq!(cores.of(&worker, &[0, 1]), 4);
        assert_eq!(cores.of(&worker, &[2]), 1);
        assert_eq!(cores.of(&worker, &[]), 1, "it polls something");
    }
}
