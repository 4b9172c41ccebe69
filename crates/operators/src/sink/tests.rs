//! A sink in memory under the suite, what goes wrong in writers, and the queue to their I/O.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use flott_filesystem::FileSystems;
use flott_network::{Batch, Control};

use super::api::{Committer, Sink, SinkWriter};
use super::{
    CommitStage, CommitterContext, Confirm, Confirmation, Driven, Inbox, SinkContext, SinkOperator,
    SinkRecordContext, any_committer, conformance,
};
use crate::{BatchSink, SubtaskContext, TaskError};

/// Commits numbers to a set, each as a pair of itself and a number of its own.
#[derive(Clone, Default)]
struct ToSet(Arc<Mutex<BTreeSet<u64>>>);

struct Numbers(Vec<u64>);

impl Sink<u64> for ToSet {
    type Writer = Numbers;

    fn create_writer(&self, _: &SinkContext) -> Result<Numbers, TaskError> {
        Ok(Numbers(Vec::new()))
    }

    fn create_committer(
        &self,
        _: &CommitterContext,
    ) -> Result<Option<Box<dyn Committer<Vec<u64>>>>, TaskError> {
        let set = Arc::clone(&self.0);
        Ok(Some(Box::new(move |all: Vec<Vec<u64>>| {
            set.lock().unwrap().extend(all.into_iter().flatten());
            Ok(())
        })))
    }
}

impl SinkWriter<u64> for Numbers {
    type Committable = Vec<u64>;

    fn write(&mut self, number: u64, _: &SinkRecordContext) -> Result<(), TaskError> {
        self.0.push(number);
        Ok(())
    }

    fn prepare_commit(&mut self, _: bool) -> Result<Poll<Vec<Vec<u64>>>, TaskError> {
        Ok(Poll::Ready(vec![std::mem::take(&mut self.0)]))
    }
}

#[test]
fn the_suite_accepts_a_sink_that_commits() {
    let records: Vec<u64> = (0..100).collect();
    conformance::check(&Arc::new(FileSystems::local()), &records, || {
        let sink = ToSet::default();
        let set = Arc::clone(&sink.0);
        (sink, move || set.lock().unwrap().iter().copied().collect())
    });
}

/// Tells what it was told.
#[derive(Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl SinkWriter<u64> for Diary {
    type Committable = ();

    fn write(&mut self, record: u64, context: &SinkRecordContext) -> Result<(), TaskError> {
        if record == 13 {
            return Err(TaskError::user("an unlucky number"));
        }
        let (time, watermark) = (context.timestamp(), context.current_watermark());
        let entry = format!(
            "{record} {time:?} {watermark} {}",
            context.current_processing_time()
        );
        self.0.lock().unwrap().push(entry);
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), TaskError> {
        self.0
            .lock()
            .unwrap()
            .push(format!("watermark {watermark}"));
        Ok(())
    }

    fn time(&mut self, now: i64) -> Result<(), TaskError> {
        self.0.lock().unwrap().push(format!("time {now}"));
        Ok(())
    }

    fn prepare_commit(&mut self, _: bool) -> Result<Poll<Vec<()>>, TaskError> {
        Ok(Poll::Ready(Vec::new()))
    }
}

fn batch(rows: &[(u64, i64)]) -> Batch<u64> {
    let mut batch = Batch::default();
    for (row, time) in rows {
        batch.push(*row, *time);
    }
    batch
}

#[test]
fn times_and_watermarks_reach_the_writer_in_order() {
    let context = SubtaskContext::for_tests("diary");
    let diary = Diary::default();
    let told = Arc::clone(&diary.0);
    let mut sink = SinkOperator::new(Driven(diary), &context);
    sink.batch(&mut batch(&[(1, i64::MIN)])).unwrap();
    sink.control(Control::Watermark(5)).unwrap();
    context.clock.set(70);
    sink.time(70).unwrap();
    sink.batch(&mut batch(&[(2, 6), (3, 7)])).unwrap();
    sink.control(Control::End).unwrap();
    sink.time(71).unwrap();
    assert!(sink.settle().unwrap());
    let expected = [
        "1 None -9223372036854775808 0",
        "watermark 5",
        "time 70",
        "2 Some(6) 5 70",
        "3 Some(7) 5 70",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn an_error_names_operator_and_record() {
    let context = SubtaskContext::for_tests("Sink: diary");
    let mut sink = SinkOperator::new(Driven(Diary::default()), &context);
    sink.batch(&mut batch(&[(1, 0), (2, 0)])).unwrap();
    let error = sink
        .batch(&mut batch(&[(3, 0), (13, 0), (4, 0)]))
        .unwrap_err();
    assert_eq!(
        error.message,
        "operator 'Sink: diary', record 4: an unlucky number"
    );
    let told = |name: &str| context.metrics.counter(name).count();
    assert_eq!(told("numRecordsSend"), 2);
    assert_eq!(told("numRecordsSendErrors"), 1);
}

#[tokio::test]
async fn committables_without_a_committer_are_an_error() {
    struct NoCommitter;
    impl Sink<u64> for NoCommitter {
        type Writer = Numbers;
        fn create_writer(&self, _: &SinkContext) -> Result<Numbers, TaskError> {
            Ok(Numbers(Vec::new()))
        }
    }
    let io = tokio::runtime::Handle::current();
    let commit = any_committer::<u64, _>(Arc::new(NoCommitter), move |files| {
        CommitterContext::new(files, io.clone(), 0, Vec::new())
    });
    let files = Arc::new(FileSystems::local());
    let stage = CommitStage::Checkpoint;
    commit(Arc::clone(&files), stage, Vec::new()).await.unwrap();
    let mut bytes = Vec::new();
    flott_record::codec::encode(&vec![1_u64], &mut bytes).unwrap();
    let error = commit(Arc::clone(&files), stage, vec![bytes])
        .await
        .unwrap_err();
    assert!(error.message.contains("no committer"), "{error}");
    let error = commit(files, stage, vec![vec![0xff; 3]]).await.unwrap_err();
    assert!(error.message.contains("cannot be read"), "{error}");
}

fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        std::thread::yield_now();
    }
}

#[test]
fn an_outbox_loses_nothing_and_ends_when_all_is_taken() {
    let context = SinkContext::new(&SubtaskContext::for_tests("sink"), Vec::new());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&taken);
    let mut outbox = context.outbox(2, move |mut inbox| async move {
        while let Some(number) = inbox.recv().await {
            shared.lock().unwrap().push(number);
        }
        Ok(())
    });
    for number in 0..1_000 {
        outbox.push(number);
    }
    until(|| matches!(outbox.finish().unwrap(), Poll::Ready(())).then_some(()));
    assert_eq!(outbox.finish().unwrap(), Poll::Ready(()));
    assert_eq!(*taken.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn whoever_finds_the_queue_closed_is_told_why() {
    let context = SinkContext::new(&SubtaskContext::for_tests("sink"), Vec::new());
    for _ in 0..300 {
        let mut outbox = context.outbox(1, |mut inbox: Inbox<()>| async move {
            inbox.recv().await;
            Err(TaskError::transient("the disk is full"))
        });
        let error = until(|| {
            outbox.push(());
            outbox.settle().err()
        });
        assert_eq!(error.message, "the disk is full");
    }
    let mut outbox = context.outbox(1, |_: Inbox<()>| async { panic!("a mistake") });
    let error = until(|| outbox.finish().err());
    assert!(error.message.contains("panicked"), "{error}");
}

#[test]
fn a_confirmation_comes_or_is_given_up() {
    let context = SinkContext::new(&SubtaskContext::for_tests("sink"), Vec::new());
    // It ends when told, so that everything has been sent before.
    let (end, mut told) = tokio::sync::oneshot::channel::<()>();
    let mut outbox = context.outbox(4, |mut inbox: Inbox<Option<Confirm<u8>>>| async move {
        while let Some(confirm) = inbox.recv().await {
            if let Some(confirm) = confirm {
                confirm.confirm(7);
            } else {
                let _ = (&mut told).await;
                return Err(TaskError::transient("enough"));
            }
        }
        Ok(())
    });
    let (confirm, mut seven) = context.confirmation();
    let (never, mut given_up) = context.confirmation::<u8>();
    for item in [Some(confirm), None, Some(never)] {
        outbox.push(item);
    }
    assert!(outbox.settle().unwrap());
    let poll = |one: &mut Confirmation<u8>| match one.poll() {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    };
    assert_eq!(until(|| poll(&mut seven)), Some(7));
    end.send(()).unwrap();
    assert_eq!(until(|| poll(&mut given_up)), None);
    assert_eq!(until(|| outbox.settle().err()).message, "enough");
}
