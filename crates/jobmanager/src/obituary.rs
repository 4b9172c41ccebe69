//! What is said of a job whose JobMaster came to an end that it could not tell of itself.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use flott_model::{Failure, FailureClass, JobStatus};
use tokio::sync::watch;

use crate::snapshot::{FailureSnapshot, JobSnapshot, unix_millis};

/// Another hand on a job's snapshot.
#[derive(Debug)]
pub(crate) struct Obituary(pub(crate) Arc<watch::Sender<JobSnapshot>>);

impl Obituary {
    /// Runs a JobMaster; if it panics, the job has FAILED with what the panic says.
    pub(crate) async fn watch(self, master: impl Future<Output = ()> + Send + 'static) {
        // In a task of its own: that is what catches the panic.
        let Err(error) = tokio::spawn(master).await else {
            return;
        };
        // Else the threads end, and the JobManager with them.
        if let Ok(panic) = error.try_into_panic() {
            self.panicked(&text_of(&*panic));
        }
    }

    fn panicked(&self, text: &str) {
        let now = unix_millis();
        let message = format!(
            "the JobMaster panicked: {text}. This is a defect of Flott, not of the job; the log of the \
             JobManager says where"
        );
        self.0.send_if_modified(|job| {
            if job.status.is_terminal() {
                return false;
            }
            tracing::error!(job = %job.id, message);
            let root = Failure {
                timestamp_ms: now,
                ..Failure::new(FailureClass::Fatal, message)
            };
            let concurrent = Vec::new();
            job.failures.insert(0, FailureSnapshot { root, concurrent });
            job.status = JobStatus::Failed;
            job.timestamps.insert(JobStatus::Failed, now);
            true
        });
    }
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is not text".to_owned())
}

#[cfg(test)]
mod tests {
    use flott_model::{JobGraph, JobId};
    use flott_protocol::message::JobBundle;

    use super::*;
    use crate::view::JobView;

    fn view() -> JobView {
        let id = JobId::derive("a cluster", 0);
        JobView::new(
            id,
            Arc::new(JobGraph::default()),
            Arc::new(JobBundle::default()),
        )
    }

    #[tokio::test]
    async fn a_job_whose_jobmaster_panics_has_failed() {
        let view = view();
        let mut snapshot = view.subscribe();
        let watched = view.obituary().watch(async move {
            let _view = view;
            panic!("slot {} is nobody's", 3);
        });
        watched.await;
        let job = snapshot.wait_for(|job| job.status.is_terminal()).await;
        let job = job.unwrap().clone();
        assert_eq!(job.status, JobStatus::Failed);
        let root = &job.failures[0].root;
        assert!(
            root.message.contains("panicked: slot 3 is nobody's"),
            "{root}"
        );
        assert_eq!(root.class(), FailureClass::Fatal);
        assert!(job.timestamps.contains_key(&JobStatus::Failed));
    }

    #[tokio::test]
    async fn a_jobmaster_that_ends_leaves_the_job_as_it_is() {
        let view = view();
        let snapshot = view.subscribe();
        let obituary = view.obituary();
        obituary.watch(async move { drop(view) }).await;
        assert_ne!(snapshot.borrow().status, JobStatus::Failed);
    }
}
