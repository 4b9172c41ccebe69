//! Barriers that overtake rows: whatever the order in which rows, watermarks and barriers come, a job
//! that begins from the snapshots shows each row once, in order, and none too late.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use flott_network::{
    ChannelId, NO_TIMESTAMP, Network, NetworkSettings, Overtakes, RemoteReceiver, RemoteSender,
};
use flott_operators::Collect;
use flott_operators::checkpoint::{
    CheckpointRequest, CheckpointSettings, Checkpoints, InFlight, Recovered, TaskSnapshot,
};
use flott_operators::pipe::Writer;
use flott_state::read_channel;
use proptest::prelude::*;

use super::*;
use crate::exchange::{ExchangeWriter, FirstRouter, InputHalf, OutputHalf, Ports};

const CHANNELS: usize = 3;
const CHECKPOINT: u64 = 5;
/// Rows of each channel in all.
const ROWS: u64 = 40;

/// The rows of each channel as they came, and the watermark.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    rows: Vec<Vec<u64>>,
    watermark: Option<i64>,
}

/// A head that keeps what it sees, and has room when the test says so.
#[derive(Clone, Default)]
struct Head(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    state: State,
    /// At the barrier.
    snapshot: Option<State>,
    late: Vec<u64>,
    /// Taken and not begun with.
    rest: VecDeque<u64>,
    stuck: bool,
}

impl Inner {
    fn process(&mut self, row: u64) {
        let (channel, time) = ((row >> 32) as usize, row & 0xffff_ffff);
        if self.state.watermark >= Some(time as i64) {
            self.late.push(row);
        }
        self.state.rows[channel].push(time);
    }
}

impl BatchSink<u64> for Head {
    fn batch(&mut self, batch: &mut Batch<u64>) -> Result<(), TaskError> {
        // The first row is all there is room for.
        let mut inner = self.0.lock().unwrap();
        let mut rows = batch.rows.drain(..);
        if let Some(first) = rows.next() {
            inner.process(first);
        }
        inner.rest.extend(rows);
        batch.clear();
        Ok(())
    }
    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        let mut inner = self.0.lock().unwrap();
        match control {
            Control::Watermark(watermark) => inner.state.watermark = Some(watermark),
            Control::Barrier(_) => inner.snapshot = Some(inner.state.clone()),
            _ => (),
        }
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        let mut inner = self.0.lock().unwrap();
        if inner.stuck {
            return Ok(false);
        }
        while let Some(row) = inner.rest.pop_front() {
            inner.process(row);
        }
        Ok(true)
    }
    fn take_back(&mut self, batch: &mut Batch<u64>) {
        let rest = std::mem::take(&mut self.0.lock().unwrap().rest);
        batch.rows.splice(0..0, rest);
    }
}

type Taken = Arc<Mutex<Vec<TaskSnapshot>>>;

fn checkpoints(recovered: Vec<Recovered>) -> (Checkpoints, Taken) {
    let (taken, settings) = (
        Taken::default(),
        CheckpointSettings {
            recovered: [(flott_model::EdgeId(0), recovered)].into(),
            ..CheckpointSettings::default()
        },
    );
    let done = Arc::clone(&taken);
    let checkpoints = Checkpoints::new(settings, move |snapshot| {
        done.lock().unwrap().push(snapshot)
    });
    (checkpoints, taken)
}

/// A task that sends to one channel.
struct Source {
    writer: ExchangeWriter<u64, FirstRouter>,
    checkpoints: Checkpoints,
    channel: u64,
    next: u64,
    /// The next row at the barrier, and what it overtook.
    snapshot: Option<(u64, Vec<InFlight>)>,
}

impl Source {
    fn new(
        channel: usize,
        next: u64,
        recovered: Vec<Recovered>,
        to: &Waker,
        between: Option<&Between>,
    ) -> (Self, InputHalf) {
        let receives = ChannelEnd::for_tests(channel as u32, true);
        let sends = ChannelEnd::for_tests(0, false);
        let (half, input) = match between {
            None => {
                let (sender, receiver) = local_channel::<u64>(2, Waker::default(), to.clone());
                (
                    OutputHalf::Local(Box::new(sender), sends),
                    InputHalf::Local(Box::new(receiver), receives),
                )
            }
            Some(between) => {
                let (sender, receiver) = between.channel(channel as u32, to);
                (
                    OutputHalf::Remote(sender, sends),
                    InputHalf::Remote(receiver, receives),
                )
            }
        };
        let (checkpoints, _) = checkpoints(recovered);
        let ports = Ports::new(vec![half]).with_checkpoints(checkpoints.clone());
        let source = Self {
            writer: ExchangeWriter::new(ports, FirstRouter, Arc::default()),
            checkpoints,
            channel: channel as u64,
            next,
            snapshot: None,
        };
        (source, input)
    }

    fn send(&mut self, rows: u64) {
        for _ in 0..rows.min(ROWS - self.next) {
            self.writer
                .collect(self.channel << 32 | self.next, NO_TIMESTAMP);
            self.next += 1;
        }
        self.writer.flush().unwrap();
    }

    fn watermark(&mut self) {
        let watermark = Control::Watermark(self.next as i64 - 1);
        self.writer.control(watermark).unwrap();
    }

    fn barrier(&mut self, barrier: Barrier) {
        if self.snapshot.is_none() {
            self.writer.control(Control::Barrier(barrier)).unwrap();
            let taken = self.checkpoints.take_snapshot(barrier, Default::default());
            self.snapshot = Some((self.next, taken.in_flight));
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// Two workers.
struct Between {
    from: Network,
    to: Network,
    /// Channels are never used again.
    opened: AtomicU32,
}

impl Between {
    fn workers() -> Self {
        let start = |container: &str| {
            Network::start(NetworkSettings {
                token: b"secret".to_vec(),
                container: container.into(),
                // A few rows fill a channel.
                channel_credit_bytes: 2_048,
                channel_floating_bytes: 0,
                frame_bytes: 1_024,
                ..NetworkSettings::default()
            })
            .unwrap()
        };
        Self {
            from: start("from"),
            to: start("to"),
            opened: AtomicU32::new(0),
        }
    }

    fn channel(&self, channel: u32, waker: &Waker) -> (RemoteSender, RemoteReceiver) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let attempt = |vertex| flott_model::ExecutionAttemptId {
            epoch: flott_model::Epoch(1),
            vertex: flott_model::VertexId(vertex),
            subtask: channel,
            attempt: number,
        };
        let id = ChannelId {
            edge: flott_model::EdgeId(0),
            source: attempt(0),
            target: attempt(1),
        };
        let receiver = self.to.receiver(id, waker.clone());
        let sender = self.from.sender(id, self.to.address(), Waker::default());
        (sender, receiver)
    }
}

/// Sources in front of a gate.
struct Job {
    sources: Vec<Source>,
    gate: Gate<OneInput<u64>>,
    head: Head,
    checkpoints: Checkpoints,
    taken: Taken,
}

impl Job {
    fn new(state: State, sources: Vec<(u64, Vec<Recovered>)>, between: Option<&Between>) -> Self {
        let waker = Waker::default();
        let head = Head::default();
        head.0.lock().unwrap().state = state;
        let sources = sources.into_iter().enumerate();
        let (sources, channels): (Vec<_>, Vec<_>) = sources
            .map(|(channel, (next, recovered))| {
                let (source, input) = Source::new(channel, next, recovered, &waker, between);
                (source, InputChannel::new(input))
            })
            .unzip();
        let (checkpoint, taken) = checkpoints(Vec::new());
        let inputs = OneInput::new(channels, Box::new(head.clone()), Arc::default());
        let context = SubtaskContext {
            clock: TaskClock::system(),
            waker,
            checkpoint: checkpoint.clone(),
            ..SubtaskContext::for_tests("Head")
        };
        let gate = Gate::new(inputs, BufferTimeout::After(Duration::ZERO), &context);
        Self {
            sources,
            gate,
            head,
            checkpoints: checkpoint,
            taken,
        }
    }

    fn begin() -> Self {
        Self::begin_between(None)
    }

    fn begin_between(between: Option<&Between>) -> Self {
        let state = State {
            rows: vec![Vec::new(); CHANNELS],
            watermark: None,
        };
        let sources = (0..CHANNELS).map(|_| (0, Vec::new()));
        Self::new(state, sources.collect(), between)
    }

    fn stick(&self, stuck: bool) {
        self.head.0.lock().unwrap().stuck = stuck;
    }

    fn act(&mut self, step: &Step, overtakes: Overtakes) {
        let barrier = Barrier::for_tests(CHECKPOINT).overtaking(overtakes);
        match *step {
            Step::Send(channel, rows) => self.sources[channel].send(rows),
            Step::Watermark(channel) => self.sources[channel].watermark(),
            Step::Settle(channel) => drop(self.sources[channel].writer.settle().unwrap()),
            Step::Barrier(channel) => self.sources[channel].barrier(barrier),
            Step::Poll => drop(self.gate.poll().unwrap()),
            Step::Stuck(stuck) => self.stick(stuck),
        }
    }

    /// Until nothing moves any more.
    fn run_dry(&mut self) {
        self.stick(false);
        for _ in 0..200 {
            for source in &mut self.sources {
                source.writer.settle().unwrap();
            }
            self.gate.poll().unwrap();
        }
    }

    fn end(mut self) -> Head {
        for source in &mut self.sources {
            source.send(ROWS);
            source.watermark();
            source.writer.control(Control::End).unwrap();
        }
        self.stick(false);
        let deadline = Instant::now() + PATIENCE;
        while self.gate.poll().unwrap() != Poll::Done {
            assert!(Instant::now() < deadline, "it never ends");
            for source in &mut self.sources {
                source.writer.settle().unwrap();
            }
        }
        self.head
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize, u64),
    Watermark(usize),
    Settle(usize),
    Barrier(usize),
    Poll,
    Stuck(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..CHANNELS, 1..5_u64).prop_map(|(channel, rows)| Step::Send(channel, rows)),
        2 => (0..CHANNELS).prop_map(Step::Watermark),
        2 => (0..CHANNELS).prop_map(Step::Settle),
        1 => (0..CHANNELS).prop_map(Step::Barrier),
        3 => Just(Step::Poll),
        1 => any::<bool>().prop_map(Step::Stuck),
    ]
}

fn check_whole(head: &Head) -> Result<(), TestCaseError> {
    let inner = head.0.lock().unwrap();
    let whole: Vec<u64> = (0..ROWS).collect();
    for rows in &inner.state.rows {
        prop_assert_eq!(rows, &whole);
    }
    prop_assert_eq!(&inner.late, &Vec::<u64>::new());
    Ok(())
}

/// What each channel's source sends first.
fn recovered(job: &mut Job) -> Vec<(u64, Vec<Recovered>)> {
    let taken = job
        .taken
        .lock()
        .unwrap()
        .pop()
        .expect("the gate took a snapshot");
    let sources = job.sources.iter_mut().enumerate();
    let all = sources.map(|(channel, source)| {
        let (next, sent) = source.snapshot.take().expect("each source has");
        let received = taken.in_flight.iter();
        let received = received.filter(|it| it.channel.peer as usize == channel);
        let mut elements = Vec::new();
        for in_flight in received.chain(&sent) {
            let bytes = in_flight.encode(1).unwrap();
            elements.extend(read_channel(&bytes, 1).unwrap());
        }
        let target = Some(0);
        (next, vec![Recovered { target, elements }])
    });
    all.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn each_row_is_there_once_and_in_time(
        steps in prop::collection::vec(step(), 0..60),
        at_once: bool,
    ) {
        let overtakes = if at_once { Overtakes::AtOnce } else { Overtakes::Never };
        let mut job = Job::begin();
        for step in &steps {
            job.act(step, overtakes);
        }
        // The barriers that have not been sent yet.
        for channel in 0..CHANNELS {
            job.act(&Step::Barrier(channel), overtakes);
        }
        if at_once {
            // Nothing has to be processed for the snapshot, whatever waits in the channels.
            job.stick(false);
            job.gate.poll().unwrap();
            job.gate.poll().unwrap();
        } else {
            job.run_dry();
        }
        prop_assert_eq!(job.taken.lock().unwrap().len(), 1);
        let state = job.head.0.lock().unwrap().snapshot.take().expect("the head was told");
        let again = Job::new(state, recovered(&mut job), None);
        // Who takes a checkpoint goes on undisturbed.
        check_whole(&job.end())?;
        check_whole(&again.end())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same between two workers, where things come when they come.
    #[test]
    fn each_row_is_there_once_between_workers(steps in prop::collection::vec(step(), 0..60)) {
        let between = Between::workers();
        let mut job = Job::begin_between(Some(&between));
        for step in &steps {
            job.act(step, at_once());
        }
        for channel in 0..CHANNELS {
            job.act(&Step::Barrier(channel), at_once());
        }
        job.stick(false);
        let deadline = Instant::now() + PATIENCE;
        while job.taken.lock().unwrap().is_empty() {
            prop_assert!(Instant::now() < deadline, "the barriers never come");
            job.act(&Step::Poll, at_once());
        }
        let state = job.head.0.lock().unwrap().snapshot.take().expect("the head was told");
        let again = Job::new(state, recovered(&mut job), Some(&between));
        check_whole(&job.end())?;
        check_whole(&again.end())?;
    }
}

fn at_once() -> Overtakes {
    Overtakes::AtOnce
}

/// Rows of a channel that a snapshot has, and those that it overtook there.
fn shares(job: &Job, channel: usize) -> (usize, bool) {
    let inner = job.head.0.lock().unwrap();
    let rows = inner
        .snapshot
        .as_ref()
        .map_or(0, |state| state.rows[channel].len());
    let taken = job.taken.lock().unwrap();
    let mut in_flight = taken.iter().flat_map(|it| &it.in_flight);
    (
        rows,
        in_flight.any(|it| it.channel.peer as usize == channel),
    )
}

#[test]
fn the_first_barrier_cuts_at_once_and_the_others_are_waited_for() {
    let mut job = Job::begin();
    for channel in 0..CHANNELS {
        job.act(&Step::Send(channel, 3), at_once());
    }
    job.act(&Step::Barrier(1), at_once());
    job.act(&Step::Poll, at_once());
    assert!(job.head.0.lock().unwrap().snapshot.is_some());
    assert!(job.taken.lock().unwrap().is_empty());
    // Comes behind the snapshot, and in front of the barrier of its channel.
    job.act(&Step::Send(0, 1), at_once());
    job.act(&Step::Poll, at_once());
    job.act(&Step::Barrier(0), at_once());
    job.act(&Step::Barrier(2), at_once());
    job.act(&Step::Poll, at_once());
    assert_eq!(job.taken.lock().unwrap().len(), 1);
    for channel in 0..CHANNELS {
        assert_eq!(shares(&job, channel), (0, true));
    }
}

#[test]
fn the_end_of_a_channel_is_as_good_as_its_barrier() {
    let mut job = Job::begin();
    job.act(&Step::Send(0, 2), at_once());
    job.act(&Step::Barrier(0), at_once());
    job.act(&Step::Barrier(1), at_once());
    job.act(&Step::Poll, at_once());
    assert!(
        job.taken.lock().unwrap().is_empty(),
        "one channel is awaited"
    );
    job.act(&Step::Send(2, 1), at_once());
    job.sources[2].writer.control(Control::End).unwrap();
    // The end is seen behind a row that waits.
    job.act(&Step::Poll, at_once());
    assert_eq!(job.taken.lock().unwrap().len(), 1);
    assert_eq!(shares(&job, 2), (0, true));
}

#[test]
fn whoever_nobody_sends_to_any_more_begins_by_itself() {
    let mut job = Job::begin();
    for source in &mut job.sources {
        source.send(2);
        source.writer.control(Control::End).unwrap();
    }
    let barrier = Barrier::for_tests(CHECKPOINT).overtaking(at_once());
    job.checkpoints.tell(CheckpointRequest::Begin(barrier));
    job.act(&Step::Poll, at_once());
    job.run_dry();
    assert_eq!(job.taken.lock().unwrap().len(), 1);
    for channel in 0..CHANNELS {
        assert_eq!(shares(&job, channel), (0, true));
    }
}

#[test]
fn what_is_given_up_is_forgotten() {
    let mut job = Job::begin();
    job.act(&Step::Send(0, 2), at_once());
    job.act(&Step::Barrier(0), at_once());
    job.act(&Step::Poll, at_once());
    let aborted = flott_model::CheckpointId(CHECKPOINT);
    job.checkpoints.tell(CheckpointRequest::Abort(aborted));
    job.act(&Step::Poll, at_once());
    let given_up = job.taken.lock().unwrap().pop().unwrap();
    assert!(given_up.given_up && given_up.in_flight.is_empty());
    // Its barriers mean nothing any more.
    job.act(&Step::Barrier(1), at_once());
    job.act(&Step::Barrier(2), at_once());
    job.run_dry();
    assert!(job.taken.lock().unwrap().is_empty());
    let next = Barrier::for_tests(CHECKPOINT + 1).overtaking(at_once());
    for source in &mut job.sources {
        source.snapshot = None;
        source.barrier(next);
    }
    job.run_dry();
    let taken = job.taken.lock().unwrap();
    assert_eq!(
        (taken.len(), taken[0].barrier, taken[0].given_up),
        (1, next, false)
    );
}

#[test]
fn a_barrier_between_the_rows_overtakes_when_its_time_is_over() {
    let mut job = Job::begin();
    job.act(&Step::Send(0, 2), at_once());
    job.act(&Step::Send(1, 2), at_once());
    // Triggered at the begin of the epoch: for 32 bits of milliseconds that may be long ago, or not yet.
    let now = flott_operators::flow::unix_millis();
    let waits = Barrier::new(
        flott_model::CheckpointId(CHECKPOINT),
        flott_model::SnapshotKind::Checkpoint,
        now,
    )
    .overtaking(Overtakes::AfterMs(1));
    for source in &mut job.sources[..2] {
        source.barrier(waits);
    }
    job.stick(true);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !job.gate.barriers_are_urgent() {
        assert!(Instant::now() < deadline, "it waits for ever");
        job.act(&Step::Poll, at_once());
    }
    job.stick(false);
    job.act(&Step::Poll, at_once());
    assert_eq!(
        job.head.0.lock().unwrap().snapshot.as_ref().unwrap().rows[0].len(),
        0
    );
    job.sources[2].barrier(waits);
    job.run_dry();
    assert_eq!(job.taken.lock().unwrap().len(), 1);
    assert_eq!(shares(&job, 0), (0, true));
    assert_eq!(shares(&job, 1), (0, true));
    assert_eq!(shares(&job, 2), (0, false));
}
