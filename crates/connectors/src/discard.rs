//! A sink that forgets.

use std::task::Poll;

use flott_network::Batch;
use flott_operators::TaskError;
use flott_operators::sink::SinkWriter;
use flott_record::Record;

/// Takes everything, keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardWriter;

impl<In: Record> SinkWriter<In> for DiscardWriter {
    fn write(&mut self, batch: &mut Batch<In>) -> Result<(), TaskError> {
        batch.clear();
        Ok(())
    }

    fn settle(&mut self) -> Result<bool, TaskError> {
        Ok(true)
    }

    fn flush(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<Poll<Vec<Vec<u8>>>, TaskError> {
        Ok(Poll::Ready(Vec::new()))
    }
}
