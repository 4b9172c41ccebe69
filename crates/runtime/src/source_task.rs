//! The task of a source: fills batches and drives the chain behind it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flott_model::SnapshotKind;
use flott_network::{Barrier, Batch, Control, LatencyMarker, Overtakes, batch_rows};
use flott_operators::flow::{Flow, unix_millis};
use flott_operators::source::{Progress, Reader};
use flott_operators::{BatchSink, SubtaskContext, TaskClock, TaskCounters, TaskError};

use crate::barriers::Barriers;
use crate::pacer::{Alarm, BufferTimeout, Pacer, Rest, Waiting};
use crate::pieces::Pieces;
use crate::pressure::Pressure;
use crate::scheduler::{Poll, Tasklet};

/// When the source sends its next latency marker.
struct Markers {
    interval: Duration,
    /// `None`: it sends none.
    next: Option<Instant>,
    vertex: u32,
    subtask: u32,
}

impl Markers {
    fn new(context: &SubtaskContext) -> Self {
        Self {
            interval: context.latency_interval.unwrap_or_default(),
            next: context.latency_interval.map(|_| Instant::now()),
            vertex: context.attempt.vertex.0,
            subtask: context.subtask,
        }
    }

    fn due(&mut self, now: Instant) -> Option<Control> {
        if now < self.next? {
            return None;
        }
        self.next = Some(now + self.interval);
        Some(Control::Marker(LatencyMarker {
            emitted_ms: unix_millis(),
            vertex: self.vertex,
            subtask: self.subtask,
        }))
    }
}

/// A reader in front of its chain.
pub struct SourceTask<R: Reader> {
    reader: R,
    head: Box<dyn BatchSink<R::Out>>,
    pieces: Pieces<R::Out>,
    /// What the reader said when it filled what is in `pieces`.
    progress: Progress,
    /// What the chain must be told before anything else.
    controls: VecDeque<Control>,
    ended: bool,
    barriers: Barriers,
    /// A savepoint after which the source stops: nothing follows its barrier.
    stopped: Option<Barrier>,
    /// What the chain has begun is being let out of it.
    makes_way: bool,
    pacer: Pacer,
    clock: TaskClock,
    alarm: Alarm,
    flow: Arc<Flow>,
    counters: Arc<TaskCounters>,
    markers: Markers,
    pressure: &'static Pressure,
}

impl<R: Reader> SourceTask<R> {
    /// The reader in front of `head`.
    pub fn new(
        reader: R,
        head: Box<dyn BatchSink<R::Out>>,
        timeout: BufferTimeout,
        context: &SubtaskContext,
    ) -> Self {
        Self {
            reader,
            head,
            pieces: Pieces::new(Batch::with_capacity(batch_rows::<R::Out>())),
            progress: Progress::More,
            controls: VecDeque::new(),
            ended: false,
            barriers: Barriers::new(context.checkpoint.clone()),
            stopped: None,
            makes_way: false,
            pacer: Pacer::new(timeout, Arc::clone(&context.counters)),
            clock: context.clock.clone(),
            alarm: Alarm::default(),
            flow: Arc::clone(&context.flow),
            counters: Arc::clone(&context.counters),
            markers: Markers::new(context),
            pressure: Pressure::of_process(),
        }
    }

    /// Tells the chain what it must know, as long as there is room. Whether there still is.
    fn tell(&mut self) -> Result<bool, TaskError> {
        if !self.settle()? {
            return Ok(false);
        }
        while let Some(control) = self.controls.pop_front() {
            self.ended |= control == Control::End;
            self.pacer.processed();
            self.flow.control(control);
            match control {
                Control::Barrier(barrier) => {
                    let began = Instant::now();
                    self.reader.snapshot()?;
                    self.head.control(control)?;
                    self.barriers.told(barrier, began.elapsed());
                }
                _ => self.head.control(control)?,
            }
            if !self.settle()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        if !self.head.settle()? {
            return Ok(false);
        }
        let overtook = self.barriers.settled();
        // There are no channels in front of a source.
        self.barriers.complete(Vec::new(), 0);
        // Without the overdraft that a barrier was allowed there may be no room.
        Ok(!overtook || self.head.settle()?)
    }

    /// Takes what the task was told about checkpoints. One begins between two rows: when all that
    /// the reader gave is on its way.
    fn listen(&mut self) -> Result<(), TaskError> {
        let mut given_up = None;
        let stopped = self.stopped.map(|barrier| barrier.checkpoint);
        self.barriers.listen(|checkpoint| {
            if stopped == Some(checkpoint) {
                given_up = stopped;
            }
        });
        if given_up.is_some() {
            let drained = self.stopped.take().map(|barrier| barrier.kind);
            if drained == Some(SnapshotKind::DrainWithSavepoint) {
                return Err(TaskError::transient(
                    "the savepoint after the end of time has failed, and time does not go back: \
                     the job begins from its latest checkpoint",
                ));
            }
        }
        if let Some(barrier) = self.barriers.take_late(self.pacer.now()) {
            for control in &mut self.controls {
                if let Control::Barrier(told) = control
                    && told.checkpoint == barrier.checkpoint
                {
                    told.overtakes = Overtakes::AtOnce;
                }
            }
        }
        let ends = self.controls.back() == Some(&Control::End);
        self.make_way(ends);
        if self.pieces.is_empty()
            && !ends
            && let Some(barrier) = self.barriers.next()
        {
            self.begin(barrier);
        }
        Ok(())
    }

    /// A barrier that overtakes rows waits: what the chain has begun is let out of it, and so is what the
    /// reader gave already.
    #[inline]
    fn make_way(&mut self, ends: bool) {
        let wanted = !ends && (self.barriers.has_urgent() || self.tells_urgent());
        if wanted {
            // What is in front of a control element stays in front of it.
            if self.controls.is_empty() {
                self.pieces.take_back(self.head.as_mut());
            }
            self.barriers.make_way();
        } else if self.makes_way {
            self.barriers.close_way();
        }
        self.makes_way = wanted;
    }

    /// A barrier that overtakes rows is to be told.
    fn tells_urgent(&self) -> bool {
        self.controls.iter().any(|control| match control {
            Control::Barrier(barrier) => barrier.overtakes_at_once(),
            _ => false,
        })
    }

    fn begin(&mut self, barrier: Barrier) {
        self.reader.controls(&mut self.controls);
        if barrier.kind == SnapshotKind::DrainWithSavepoint {
            self.reader.end(&mut self.controls);
            self.controls.push_back(Control::Watermark(i64::MAX));
        }
        self.controls.push_back(Control::Barrier(barrier));
        if barrier.kind.stops() {
            self.stopped = Some(barrier);
        }
    }

    fn run(&mut self) -> Result<(Poll, Waiting), TaskError> {
        let backpressured = Ok((Poll::Pending, Waiting::Backpressured));
        if let Some(marker) = self.markers.due(self.pacer.now()) {
            self.controls.push_back(marker);
        }
        self.listen()?;
        if !self.tell()? {
            return backpressured;
        }
        if self.ended {
            return Ok((Poll::Done, Waiting::Idle));
        }
        if let Some(now) = self.alarm.take_due(&self.clock) {
            self.pacer.processed();
            self.reader.time(now)?;
            self.head.time(now)?;
            self.add_controls();
            if !self.tell()? {
                return backpressured;
            }
        }
        if self.stopped.is_some() {
            return self.rest();
        }
        if self.pieces.is_empty() {
            if let Some(until) = self.pressure.paused_until(self.pacer.now()) {
                return self.rest_until(Some(until));
            }
            self.progress = self.reader.fill(self.pieces.batch())?;
            self.flow.passed_more(self.pieces.batch().len() as u64);
            if let Some(event_time) = self.pieces.batch().timestamps.last() {
                self.counters
                    .emit_lag
                    .emitted(*event_time, self.clock.now());
            }
            if let Some(control) = self.reader.before() {
                self.controls.push_back(control);
                if !self.tell()? {
                    return backpressured;
                }
            }
        }
        if !self.pieces.is_empty() {
            self.pacer.processed();
            self.pieces.feed(self.head.as_mut())?;
        }
        if !self.pieces.is_empty() {
            return self.go_on();
        }
        self.add_controls();
        match self.progress {
            Progress::End => {
                self.reader.end(&mut self.controls);
                self.controls.push_back(Control::Watermark(i64::MAX));
                self.controls.push_back(Control::End);
                Ok((Poll::Ready, Waiting::Idle))
            }
            // Told before the task rests: what is to be flushed then includes it.
            Progress::More | Progress::Pending if !self.controls.is_empty() => {
                Ok((Poll::Ready, Waiting::Idle))
            }
            Progress::More => self.go_on(),
            Progress::Pending => self.rest(),
        }
    }

    /// What the reader has to say about event time, once all its rows are on their way.
    fn add_controls(&mut self) {
        if self.pieces.is_empty() {
            self.reader.controls(&mut self.controls);
        }
    }

    fn go_on(&mut self) -> Result<(Poll, Waiting), TaskError> {
        if self.pacer.flush_is_due() {
            self.head.flush()?;
            self.pacer.flushed();
        }
        Ok((Poll::Ready, Waiting::Idle))
    }

    fn rest(&mut self) -> Result<(Poll, Waiting), TaskError> {
        self.rest_until(None)
    }

    /// Rests until there is something to do, or until then.
    fn rest_until(&mut self, then: Option<Instant>) -> Result<(Poll, Waiting), TaskError> {
        let until = match self.pacer.rest() {
            Rest::Flush => {
                self.head.flush()?;
                self.pacer.flushed();
                // What did not fit must be announced, or nobody wakes this task when there is room.
                if !self.head.settle()? {
                    return Ok((Poll::Pending, Waiting::Backpressured));
                }
                None
            }
            Rest::FlushAt(at) => Some(at),
            Rest::Nothing => None,
        };
        let until = until.into_iter().chain(self.markers.next).chain(then).min();
        Ok((self.alarm.wait(&self.clock, until), Waiting::Idle))
    }
}

impl<R: Reader> Tasklet for SourceTask<R> {
    fn poll(&mut self) -> Result<Poll, TaskError> {
        self.pacer.begin();
        let (poll, waiting) = self.run()?;
        let poll = self.alarm.no_later_than(self.barriers.deadline(), poll);
        self.pacer.end(poll, waiting);
        Ok(poll)
    }

    fn is_source(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use flott_network::{Message, NO_TIMESTAMP, Wake, Waker, local_channel};
    use flott_operators::checkpoint::ChannelEnd;
    use flott_operators::pipe::{Identity, PipeTo};

    use super::*;
    use crate::exchange::{ExchangeWriter, FirstRouter, OutputHalf, Ports};

    /// Rows by fill; then nothing, for the time being.
    struct Bursts(VecDeque<u64>);

    impl Reader for Bursts {
        type Out = u64;

        fn fill(&mut self, out: &mut Batch<u64>) -> Result<Progress, TaskError> {
            let Some(rows) = self.0.pop_front() else {
                return Ok(Progress::Pending);
            };
            (0..rows).for_each(|row| out.push(row, NO_TIMESTAMP));
            Ok(Progress::Pending)
        }
    }

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_source_pauses_while_memory_is_scarce() {
        let (sender, mut receiver) = local_channel::<u64>(4, Waker::default(), Waker::default());
        let ports = Ports::new(vec![OutputHalf::Local(
            Box::new(sender),
            ChannelEnd::for_tests(0, false),
        )]);
        let writer = ExchangeWriter::new(ports, FirstRouter, Arc::default());
        let context = SubtaskContext::for_tests("Source");
        let mut task = SourceTask::new(
            Bursts(VecDeque::from([1])),
            Box::new(PipeTo::new(Identity, writer, &context)),
            BufferTimeout::After(Duration::ZERO),
            &context,
        );
        let pause = Duration::from_millis(30);
        let began = Instant::now();
        task.pressure = Box::leak(Box::new(Pressure::new()));
        task.pressure.pause(pause);
        let deadline = began + Duration::from_secs(30);
        while !matches!(receiver.receive(), Some(Message::Rows(_))) {
            assert!(Instant::now() < deadline, "it never goes on");
            let _ = task.poll().unwrap();
        }
        assert!(
            began.elapsed() >= pause,
            "it reads before the pause is over"
        );
    }

    #[test]
    fn a_source_that_waits_is_woken_for_what_did_not_fit() {
        let (own, woken) = (Waker::default(), Arc::new(Woken::default()));
        own.bind(Arc::clone(&woken) as Arc<dyn Wake>);
        let (sender, mut receiver) = local_channel::<u64>(1, own, Waker::default());
        let ports = Ports::new(vec![OutputHalf::Local(
            Box::new(sender),
            ChannelEnd::for_tests(0, false),
        )]);
        let writer = ExchangeWriter::new(ports, FirstRouter, Arc::default());
        let context = SubtaskContext::for_tests("Source");
        // A full batch fills the ring; the rest is flushed when the source rests.
        // A port counts a row with the hash of its key.
        let full = batch_rows::<(u64, u64)>() as u64;
        let mut task = SourceTask::new(
            Bursts(VecDeque::from([full + 1])),
            Box::new(PipeTo::new(Identity, writer, &context)),
            BufferTimeout::After(Duration::from_secs(3_600)),
            &context,
        );
        // It rests for a millisecond before it flushes.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut flushed = false;
        while !flushed {
            assert!(Instant::now() < deadline, "it never flushes");
            let _ = task.poll().unwrap();
            flushed = task.pacer.rest() == Rest::Nothing;
        }
        assert!(matches!(receiver.receive(), Some(Message::Rows(_))));
        assert_eq!(
            woken.0.load(Ordering::SeqCst),
            1,
            "there is room for the last row"
        );
        let _ = task.poll().unwrap();
        let Some(Message::Rows(last)) = receiver.receive() else {
            panic!("the last row stays behind");
        };
        assert_eq!(last.rows, [full]);
    }
}
