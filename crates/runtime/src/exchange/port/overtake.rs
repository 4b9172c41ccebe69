//! Barriers that overtake rows in the outputs of a task, and what they overtook, which a restored task
//! sends first.

use flott_network::{Barrier, Batch, Control, DataFrame, Message, NO_TIMESTAMP, RemoteMessage};
use flott_operators::TaskError;
use flott_operators::checkpoint::{ChannelEnd, InFlight, Recovered};
use flott_record::Record;
use flott_state::ChannelElement;

use super::{OutputPort, Ports};
use crate::exchange::Router;
use crate::exchange::inputs::decode;

impl<T: Record> Ports<T> {
    /// Whether a barrier waits for nothing that has found no room.
    pub(super) fn is_urgent(&self, barrier: Barrier) -> bool {
        barrier.overtakes_at_once()
            || barrier.patience_ms(0).is_some() && self.checkpoints.hurried() >= barrier.checkpoint
    }

    /// Puts the barrier in front of what has found no room, and keeps that for the checkpoint.
    pub(super) fn overtake(&mut self, barrier: Barrier) {
        let barrier = barrier.overtaking(flott_network::Overtakes::AtOnce);
        for port in &mut self.ports {
            match port {
                OutputPort::Local { sender, end } => {
                    let mut kept = InFlight::new(*end);
                    sender
                        .overtake(barrier)
                        .for_each(|one| keep(&mut kept, one));
                    self.checkpoints.keep(kept);
                }
                OutputPort::Remote { sender, end, .. } => {
                    self.checkpoints
                        .keep(remote(*end, sender.overtake(barrier)));
                }
                OutputPort::Partition { .. } => (),
            }
        }
    }

    /// Something found no room: whether all is settled nevertheless.
    #[cold]
    pub(super) fn settle_overdraft(&mut self) -> bool {
        let hurried = self.checkpoints.hurried();
        if hurried > self.hurried {
            self.hurried = hurried;
            self.hurry();
        }
        let allowed = self.checkpoints.allowed_overdraft();
        if allowed == 0 {
            return false;
        }
        self.ports.iter().all(|port| match port {
            OutputPort::Local { sender, .. } => sender.overdraft() <= allowed,
            OutputPort::Remote { sender, .. } => sender.waiting() <= allowed,
            OutputPort::Partition { .. } => true,
        })
    }

    /// A barrier that waits between the rows waits no longer.
    fn hurry(&mut self) {
        for port in &mut self.ports {
            match port {
                OutputPort::Local { sender, end } => {
                    let Some(overtaken) = sender.hurry(self.hurried) else {
                        continue;
                    };
                    let mut kept = InFlight::new(*end);
                    overtaken.for_each(|one| keep(&mut kept, one));
                    self.checkpoints.keep(kept);
                }
                OutputPort::Remote { sender, end, .. } => {
                    if let Some(overtaken) = sender.hurry(self.hurried) {
                        self.checkpoints.keep(remote(*end, overtaken));
                    }
                }
                OutputPort::Partition { .. } => (),
            }
        }
    }

    /// Sends what was on its way in the checkpoint that the task begins from.
    pub(in crate::exchange) fn recover(&mut self, router: &mut impl Router<T>) {
        let edge = self.ports.iter().find_map(|port| match port {
            OutputPort::Local { end, .. } | OutputPort::Remote { end, .. } => Some(end.edge),
            OutputPort::Partition { .. } => None,
        });
        let Some(edge) = edge else { return };
        let recovered = self.checkpoints.take_recovered(edge);
        if recovered.is_empty() {
            return;
        }
        if let Err(error) = self.send_all(recovered, router) {
            self.fail_with(error);
        }
        // What found no room is seen by the first `settle` of the task.
        self.take_records_out();
    }

    fn send_all(
        &mut self,
        recovered: Vec<Recovered>,
        router: &mut impl Router<T>,
    ) -> Result<(), TaskError> {
        // Rows that are spread anew come to channels that have them from several: a watermark counts
        // when all are sent, and if each has one.
        let mut watermark = None;
        let mut spread = false;
        for Recovered { target, elements } in recovered {
            match target {
                Some(target) => self.send_to(target, elements)?,
                None => {
                    let last = self.spread(elements, router)?;
                    watermark = if spread { last.min(watermark) } else { last };
                    spread = true;
                }
            }
        }
        if let Some(watermark) = watermark {
            self.control(Control::Watermark(watermark))?;
        }
        Ok(())
    }

    /// Sends elements to one subtask, in order.
    fn send_to(&mut self, target: u32, elements: Vec<ChannelElement>) -> Result<(), TaskError> {
        let leads = |port: &&mut OutputPort<T>| match port {
            OutputPort::Local { end, .. } | OutputPort::Remote { end, .. } => end.peer == target,
            OutputPort::Partition { .. } => false,
        };
        let Some(port) = self.ports.iter_mut().find(leads) else {
            return Err(TaskError::fatal(format!(
                "records that were on their way to subtask {target} cannot be sent: no channel \
                 leads there"
            )));
        };
        for element in elements {
            let message = match element {
                ChannelElement::Rows {
                    payload,
                    rows,
                    timed,
                } => Ok(DataFrame {
                    payload,
                    rows,
                    has_timestamps: timed,
                }),
                ChannelElement::Watermark(watermark) => Err(Control::Watermark(watermark)),
                ChannelElement::Idle => Err(Control::Idle),
                ChannelElement::Active => Err(Control::Active),
            };
            match (&mut *port, message) {
                (OutputPort::Local { sender, .. }, Ok(frame)) => {
                    let mut batch = Batch::default();
                    decode(&frame, &mut batch)?;
                    sender.send(Message::Rows(batch));
                }
                (OutputPort::Local { sender, .. }, Err(control)) => {
                    sender.send(Message::Control(control));
                }
                (OutputPort::Remote { sender, .. }, Ok(frame)) => sender.send(frame),
                (OutputPort::Remote { sender, .. }, Err(control)) => sender.control(control),
                (OutputPort::Partition { .. }, _) => (),
            }
        }
        Ok(())
    }

    /// Sends rows to wherever they belong now. The last watermark among them.
    fn spread(
        &mut self,
        elements: Vec<ChannelElement>,
        router: &mut impl Router<T>,
    ) -> Result<Option<i64>, TaskError> {
        let mut watermark = None;
        for element in elements {
            match element {
                ChannelElement::Rows {
                    payload,
                    rows,
                    timed,
                } => {
                    let frame = DataFrame {
                        payload,
                        rows,
                        has_timestamps: timed,
                    };
                    let mut batch = Batch::default();
                    decode(&frame, &mut batch)?;
                    for (row, timestamp) in batch.drain() {
                        debug_assert!(timed || timestamp == NO_TIMESTAMP);
                        router.route(row, timestamp, self);
                    }
                }
                ChannelElement::Watermark(new) => watermark = watermark.max(Some(new)),
                // Told anew by whoever is idle.
                ChannelElement::Idle | ChannelElement::Active => (),
            }
        }
        self.check()?;
        Ok(watermark)
    }
}

fn keep<T: Record>(kept: &mut InFlight, message: &Message<T>) {
    match message {
        Message::Rows(batch) => kept.rows(batch),
        Message::Control(control) => kept.control(*control),
    }
}

fn remote(end: ChannelEnd, overtaken: Vec<RemoteMessage>) -> InFlight {
    let mut kept = InFlight::new(end);
    for message in overtaken {
        match message {
            RemoteMessage::Data(frame) => kept.frame(frame),
            RemoteMessage::Control(control) => kept.control(control),
        }
    }
    kept
}
