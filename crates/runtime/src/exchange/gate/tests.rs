//! The gate: merging, watermarks, alignment, end of input.

mod overtaking;

use std::sync::Mutex;
use std::time::Duration;

use flott_network::{
    Barrier, Batch, DataFrame, LocalSender, Message, NO_TIMESTAMP, Waker, local_channel,
};
use flott_operators::checkpoint::ChannelEnd;
use flott_operators::{BatchSink, SubtaskContext, TaskClock};
use flott_record::codec;

use super::*;
use crate::exchange::inputs::decode;
use crate::exchange::{InputChannel, OneInput};

#[derive(Clone, Default)]
struct Seen {
    rows: Arc<Mutex<Vec<u64>>>,
    controls: Arc<Mutex<Vec<Control>>>,
}

impl BatchSink<u64> for Seen {
    fn batch(&mut self, batch: &mut Batch<u64>) -> Result<(), TaskError> {
        self.rows.lock().unwrap().append(&mut batch.rows);
        Ok(())
    }
    fn control(&mut self, control: Control) -> Result<(), TaskError> {
        self.controls.lock().unwrap().push(control);
        Ok(())
    }
    fn time(&mut self, _: i64) -> Result<(), TaskError> {
        Ok(())
    }
    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }
}

fn gate(channels: usize) -> (Gate<OneInput<u64>>, Vec<LocalSender<u64>>, Seen) {
    let seen = Seen::default();
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..channels)
        .map(|channel| {
            let (sender, receiver) = local_channel(16, Waker::default(), Waker::default());
            let end = ChannelEnd::for_tests(channel as u32, true);
            (sender, InputChannel::Local(receiver, end))
        })
        .unzip();
    let timeout = BufferTimeout::After(Duration::ZERO);
    let inputs = OneInput::new(receivers, Box::new(seen.clone()), Arc::default());
    let context = SubtaskContext {
        clock: TaskClock::system(),
        ..SubtaskContext::for_tests("Map")
    };
    let gate = Gate::new(inputs, timeout, &context);
    (gate, senders, seen)
}

fn rows(values: &[u64]) -> Message<u64> {
    let mut batch = Batch::default();
    for value in values {
        batch.push(*value, NO_TIMESTAMP);
    }
    Message::Rows(batch)
}

fn controls(seen: &Seen) -> Vec<Control> {
    std::mem::take(&mut *seen.controls.lock().unwrap())
}

#[test]
fn the_watermark_is_the_smallest_of_the_open_channels() {
    let (mut gate, mut senders, seen) = gate(2);
    senders[0].send(Message::Control(Control::Watermark(10)));
    gate.poll().unwrap();
    assert_eq!(controls(&seen), []);
    senders[1].send(Message::Control(Control::Watermark(7)));
    gate.poll().unwrap();
    assert_eq!(controls(&seen), [Control::Watermark(7)]);
    senders[1].send(Message::Control(Control::End));
    gate.poll().unwrap();
    assert_eq!(
        controls(&seen),
        [Control::Watermark(10)],
        "an ended channel holds nothing back"
    );
}

#[test]
fn rows_behind_a_barrier_wait_for_the_other_channels() {
    let (mut gate, mut senders, seen) = gate(2);
    senders[0].send(Message::Control(Control::Barrier(Barrier::for_tests(1))));
    senders[0].send(rows(&[100]));
    senders[1].send(rows(&[1]));
    gate.poll().unwrap();
    assert_eq!(*seen.rows.lock().unwrap(), [1]);
    senders[1].send(Message::Control(Control::Barrier(Barrier::for_tests(1))));
    gate.poll().unwrap();
    assert_eq!(controls(&seen), [Control::Barrier(Barrier::for_tests(1))]);
    assert_eq!(*seen.rows.lock().unwrap(), [1, 100]);
}

#[test]
fn a_channel_that_ends_counts_as_aligned() {
    let (mut gate, mut senders, seen) = gate(2);
    senders[0].send(Message::Control(Control::Barrier(Barrier::for_tests(1))));
    senders[1].send(Message::Control(Control::End));
    gate.poll().unwrap();
    assert_eq!(controls(&seen), [Control::Barrier(Barrier::for_tests(1))]);
}

#[test]
fn the_end_comes_once_after_all_rows() {
    let (mut gate, mut senders, seen) = gate(3);
    for (value, sender) in senders.iter_mut().enumerate() {
        sender.send(rows(&[value as u64]));
        sender.send(Message::Control(Control::End));
    }
    while gate.poll().unwrap() != Poll::Done {}
    assert_eq!(
        controls(&seen),
        [Control::Watermark(i64::MAX), Control::End]
    );
    assert_eq!(seen.rows.lock().unwrap().len(), 3);
}

#[test]
fn frames_are_checked_to_the_last_byte() {
    let mut payload = Vec::new();
    for (timestamp, value) in [(5_i64, 1_u64), (6, 2)] {
        payload.extend_from_slice(&timestamp.to_le_bytes());
        codec::encode(&value, &mut payload).unwrap();
    }
    let frame = |payload: &[u8], rows| DataFrame {
        payload: payload.to_vec(),
        rows,
        has_timestamps: true,
    };
    let mut batch = Batch::<u64>::default();
    decode(&frame(&payload, 2), &mut batch).unwrap();
    assert_eq!(
        (batch.rows.as_slice(), batch.timestamps.as_slice()),
        (&[1, 2][..], &[5, 6][..])
    );
    for (damaged, rows) in [(&payload[..31], 2), (&payload[..], 1), (&payload[..], 3)] {
        let mut batch = Batch::<u64>::default();
        assert!(decode(&frame(damaged, rows), &mut batch).is_err());
    }
}
