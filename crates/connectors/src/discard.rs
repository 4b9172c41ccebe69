//! A sink that forgets.

use std::task::Poll;

use flott_network::Batch;
use flott_operators::TaskError;
use flott_operators::sink::api::{Sink, SinkWriter};
use flott_operators::sink::{SinkContext, SinkRecordContext, SinkRecords};
use flott_record::Record;

/// Takes everything, keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardSink;

impl<In: Record> Sink<In> for DiscardSink {
    type Writer = DiscardWriter;

    fn create_writer(&self, _: &SinkContext) -> Result<DiscardWriter, TaskError> {
        Ok(DiscardWriter)
    }
}

/// Discards for [`DiscardSink`].
#[derive(Debug, Clone, Copy, Default)]
pub struct DiscardWriter;

impl<In: Record> SinkWriter<In> for DiscardWriter {
    type Committable = ();

    fn write(&mut self, _: In, _: &SinkRecordContext) -> Result<(), TaskError> {
        Ok(())
    }

    fn write_batch(
        &mut self,
        batch: &mut Batch<In>,
        _: &mut SinkRecords<'_>,
    ) -> Result<(), TaskError> {
        batch.clear();
        Ok(())
    }

    fn prepare_commit(&mut self, _: bool) -> Result<Poll<Vec<()>>, TaskError> {
        Ok(Poll::Ready(Vec::new()))
    }
}
