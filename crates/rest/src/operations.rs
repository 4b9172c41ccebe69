//! Operations that outlast a request: one request begins them, others ask what became of them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flott_model::{Failure, JobId};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use crate::exceptions;

/// So many are remembered; beyond that the oldest results are forgotten.
const MAXIMUM_OPERATIONS: usize = 1_000;

/// The name of an operation, which a client may choose: asking twice by one name asks once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TriggerId(Uuid);

impl TriggerId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for TriggerId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let parsed = digits.then(|| Uuid::try_parse(text).ok()).flatten();
        parsed
            .map(Self)
            .ok_or_else(|| format!("32 hexadecimal digits expected, not \"{text}\""))
    }
}

impl fmt::Display for TriggerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// What is done. Names are unique within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// A savepoint of a job, whatever becomes of the job.
    Savepoint(JobId),
    /// A checkpoint of a job, out of turn.
    Checkpoint(JobId),
    /// The disposal of a savepoint.
    Disposal,
}

/// What came of it: fields of the answer, or why there are none.
pub(crate) type Outcome = Result<Value, Failure>;

type Key = (Subject, TriggerId);

#[derive(Debug)]
enum Operation {
    Running,
    Done {
        outcome: Outcome,
        at: Instant,
        fetched: bool,
    },
}

/// All operations that run, or have ended lately.
#[derive(Debug, Clone)]
pub(crate) struct Operations {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    keep: Duration,
    // Held for look-ups and inserts, never across an await.
    known: Mutex<BTreeMap<Key, Operation>>,
    /// How many results nobody has fetched yet, those that are still to come included.
    unfetched: watch::Sender<usize>,
}

/// There are too many operations under way.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Operations {
    /// Results can be fetched for so long.
    pub(crate) fn new(keep: Duration) -> Self {
        let (unfetched, _) = watch::channel(0);
        let inner = Inner {
            keep,
            known: Mutex::default(),
            unfetched,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Begins an operation, unless it was begun before.
    pub(crate) fn begin(
        &self,
        subject: Subject,
        trigger: TriggerId,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<(), TooMany> {
        let key = (subject, trigger);
        let mut known = self.known(Instant::now());
        if known.contains_key(&key) {
            return Ok(());
        }
        if known.len() >= MAXIMUM_OPERATIONS && !forget_oldest(&mut known) {
            return Err(TooMany);
        }
        known.insert(key, Operation::Running);
        self.count(&known);
        drop(known);
        let operations = self.clone();
        tokio::spawn(async move {
            let outcome = work.await;
            let now = Instant::now();
            let done = Operation::Done {
                outcome,
                at: now,
                fetched: false,
            };
            let mut known = operations.known(now);
            known.insert(key, done);
            operations.count(&known);
        });
        Ok(())
    }

    /// The answer to who asks for an operation; `None` if there is none of that name.
    pub(crate) fn look(&self, subject: Subject, trigger: TriggerId) -> Option<Value> {
        self.look_at(Instant::now(), subject, trigger)
    }

    fn look_at(&self, now: Instant, subject: Subject, trigger: TriggerId) -> Option<Value> {
        let mut known = self.known(now);
        let answer = match known.get_mut(&(subject, trigger))? {
            Operation::Running => json!({ "status": { "id": "IN_PROGRESS" }, "operation": null }),
            Operation::Done {
                outcome, fetched, ..
            } => {
                *fetched = true;
                let operation = match outcome {
                    Ok(fields) => fields.clone(),
                    Err(failure) => json!({ "failure-cause": exceptions::serialized(failure) }),
                };
                json!({ "status": { "id": "COMPLETED" }, "operation": operation })
            }
        };
        self.count(&known);
        Some(answer)
    }

    /// Waits until every operation has ended and somebody has fetched what came of it.
    pub(crate) async fn all_fetched(&self) {
        let mut unfetched = self.inner.unfetched.subscribe();
        // The sender lives as long as this.
        let _ = unfetched.wait_for(|count| *count == 0).await;
    }

    /// What is known, without what is too old.
    fn known(&self, now: Instant) -> MutexGuard<'_, BTreeMap<Key, Operation>> {
        let known = self.inner.known.lock();
        // Each change is one call on the map.
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, operation| match operation {
            Operation::Running => true,
            Operation::Done { at, .. } => now.saturating_duration_since(*at) < self.inner.keep,
        });
        known
    }

    fn count(&self, known: &BTreeMap<Key, Operation>) {
        let unfetched = known
            .values()
            .filter(|operation| !matches!(operation, Operation::Done { fetched: true, .. }));
        self.inner.unfetched.send_replace(unfetched.count());
    }
}

/// Whether there was one that has ended.
fn forget_oldest(known: &mut BTreeMap<Key, Operation>) -> bool {
    let ended = known.iter().filter_map(|(key, operation)| match operation {
        Operation::Running => None,
        Operation::Done { at, .. } => Some((*at, *key)),
    });
    let oldest = ended.min();
    oldest.is_some_and(|(_, key)| known.remove(&key).is_some())
}

#[cfg(test)]
mod tests {
    use flott_model::FailureClass;
    use tokio::sync::oneshot;

    use super::*;

    const KEEP: Duration = Duration::from_secs(300);
    const JOB: JobId = JobId(7);

    fn id(number: u128) -> TriggerId {
        TriggerId(Uuid::from_u128(number))
    }

    fn done() -> std::future::Ready<Outcome> {
        std::future::ready(Ok(json!({ "location": "/sp" })))
    }

    /// Lets operations that were begun end.
    async fn settle() {
        tokio::task::yield_now().await;
    }

    #[test]
    fn names_have_one_form() {
        let text = "206b91f8faae818611280f22b46e11ef";
        assert_eq!(text.parse::<TriggerId>().unwrap().to_string(), text);
        for wrong in [
            "",
            "206b",
            "{206b91f8faae818611280f22b46e11ef}",
            "x".repeat(32).as_str(),
        ] {
            assert!(wrong.parse::<TriggerId>().is_err(), "{wrong}");
        }
        let hyphens = "206b91f8-faae-8186-1128-0f22b46e11ef";
        assert!(hyphens.parse::<TriggerId>().is_err());
        assert_ne!(TriggerId::random(), TriggerId::random());
    }

    #[tokio::test]
    async fn an_operation_runs_and_its_result_is_kept_for_a_while() {
        let operations = Operations::new(KEEP);
        let subject = Subject::Savepoint(JOB);
        let (finish, finished) = oneshot::channel::<()>();
        let work = async {
            finished.await.unwrap();
            done().await
        };
        operations.begin(subject, id(1), work).unwrap();
        settle().await;
        let answer = operations.look(subject, id(1)).unwrap();
        assert_eq!(
            answer,
            json!({ "status": { "id": "IN_PROGRESS" }, "operation": null })
        );
        // However long it takes.
        let later = Instant::now() + 2 * KEEP;
        assert_eq!(operations.look_at(later, subject, id(1)), Some(answer));
        finish.send(()).unwrap();
        settle().await;
        let answer = operations.look(subject, id(1)).unwrap();
        assert_eq!(
            answer,
            json!({ "status": { "id": "COMPLETED" }, "operation": { "location": "/sp" } })
        );
        assert_eq!(operations.look(Subject::Checkpoint(JOB), id(1)), None);
        assert_eq!(operations.look(Subject::Savepoint(JobId(8)), id(1)), None);
        assert_eq!(operations.look(subject, id(2)), None);
        let soon = Instant::now() + KEEP / 2;
        assert_eq!(operations.look_at(soon, subject, id(1)), Some(answer));
        let late = Instant::now() + KEEP;
        assert_eq!(operations.look_at(late, subject, id(1)), None);
    }

    #[tokio::test]
    async fn what_is_begun_twice_runs_once() {
        let operations = Operations::new(KEEP);
        operations.begin(Subject::Disposal, id(1), done()).unwrap();
        settle().await;
        let never = std::future::pending();
        operations.begin(Subject::Disposal, id(1), never).unwrap();
        let answer = operations.look(Subject::Disposal, id(1)).unwrap();
        assert_eq!(answer["status"]["id"], "COMPLETED");
    }

    #[tokio::test]
    async fn a_failure_is_an_answer() {
        let operations = Operations::new(KEEP);
        let failure = Failure::new(FailureClass::Transient, "the disk is full");
        let work = std::future::ready(Err(failure));
        operations
            .begin(Subject::Savepoint(JOB), id(1), work)
            .unwrap();
        settle().await;
        let answer = operations.look(Subject::Savepoint(JOB), id(1)).unwrap();
        assert_eq!(answer["status"]["id"], "COMPLETED");
        let cause = &answer["operation"]["failure-cause"];
        assert_eq!(cause["class"], "flott.TransientFailure");
        assert_eq!(cause["stack-trace"], "the disk is full");
        assert_eq!(cause["serialized-throwable"], "");
    }

    #[tokio::test]
    async fn it_is_known_when_everything_was_fetched() {
        let operations = Operations::new(KEEP);
        operations.all_fetched().await;
        operations.begin(Subject::Disposal, id(1), done()).unwrap();
        let fetched = operations.all_fetched();
        tokio::pin!(fetched);
        let at_once = tokio::time::timeout(Duration::ZERO, &mut fetched).await;
        assert!(at_once.is_err());
        operations.look(Subject::Disposal, id(1)).unwrap();
        fetched.await;
    }

    #[tokio::test]
    async fn there_is_a_limit() {
        let operations = Operations::new(KEEP);
        operations.begin(Subject::Disposal, id(0), done()).unwrap();
        settle().await;
        for number in 1..=MAXIMUM_OPERATIONS as u128 {
            let never = std::future::pending();
            operations
                .begin(Subject::Disposal, id(number), never)
                .unwrap();
        }
        assert_eq!(operations.look(Subject::Disposal, id(0)), None);
        let refused = operations.begin(Subject::Disposal, id(0), done());
        assert!(refused.is_err());
    }
}
