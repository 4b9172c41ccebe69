//! What breaks, and when.

use flott_model::{ContainerId, ExecutionAttemptId, FailureClass, JobId};

use crate::plan::Jobs;
use crate::world::{Happening, ProcessId, World};

impl World {
    /// Breaks something, and comes back until the world is healed.
    pub(crate) fn blow(&mut self) {
        if !self.faulty() {
            return;
        }
        let calm = self.plan.calm_ms;
        let pause = self.random.millis(calm / 2..calm * 3 / 2);
        self.after(pause, Happening::Blow);
        let containers: Vec<ContainerId> = self.containers.keys().cloned().collect();
        let workers: Vec<ProcessId> = self.processes.keys().cloned().collect();
        let kinds = match self.plan.kind {
            Jobs::Pipelined => 6,
            Jobs::Staged | Jobs::Sized => 8,
            Jobs::Checkpointed => 10,
        };
        let kind = self.random.within(0..kinds);
        let container = self.random.pick(&containers).cloned();
        let worker = self.random.pick(&workers).cloned();
        if self.plan.kind == Jobs::Checkpointed && kind >= 6 {
            self.blow_checkpoints(kind);
            return;
        }
        match (kind, container, worker) {
            (0, Some(container), _) => {
                let blame = self.random.percent(50);
                self.kill_container(&container, blame);
            }
            (1, Some(container), _) => self.sever_agent(&container),
            (2, _, Some(worker)) => self.sever_worker(&worker),
            (3, _, Some(worker)) => self.fail_user_code(&worker),
            (6 | 7, _, _) => self.damage_partition(),
            (_, _, Some(worker)) => self.kill_worker(&worker, "killed by SIGSEGV"),
            _ => (),
        }
    }

    fn blow_checkpoints(&mut self, kind: u64) {
        let jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        let job = self.random.pick(&jobs).copied();
        match (kind, job) {
            (6 | 7, _) => self.begin_outage(),
            (8, Some(job)) => self.take_over(job),
            (_, Some(job)) => self.lose_enumerators(job),
            _ => (),
        }
    }

    fn fail_user_code(&mut self, process: &ProcessId) {
        let tasks: Vec<ExecutionAttemptId> =
            self.processes[process].tasks.keys().copied().collect();
        let Some(attempt) = self.random.pick(&tasks).copied() else {
            return;
        };
        let fatal = self.random.percent(5);
        let class = if fatal {
            FailureClass::Fatal
        } else {
            FailureClass::UserCode
        };
        if fatal {
            self.record.of(process.0).fatal = true;
        }
        self.fail_task(process, attempt, class, "the user's function panicked");
    }
}
