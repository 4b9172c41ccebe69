//! Partitions that are not there, and such as cannot be written.

use super::*;

#[test]
fn what_is_missing_is_told_by_consumer() {
    let directory = tempfile::tempdir().unwrap();
    let edge = Edge {
        directory: directory.path(),
        edge: 0,
        layout: PartitionLayout::new(ShipStrategy::Hash, 4, 1, 8),
        producers: 4,
        memory_bytes: 0,
    };
    for producer in [0, 2] {
        edge.write(producer, KeyRouter::new(by_key(), 1, 8), &[1, 2, 3]);
    }
    let (sleeper, waker) = Sleeper::bound();
    let missing = MissingPartitions::default();
    let channels = vec![InputChannel::new(edge.input(0, 0..4, &waker, &missing))];
    let head = Box::new(Head::default());
    let inputs = OneInput::<Row>::new(channels, head, Arc::default());
    let error = run(inputs, &sleeper).unwrap_err();
    assert_eq!(error.class, FailureClass::Transient);
    assert!(error.message.contains("e1_v0_1_0, e1_v0_3_0"), "{error}");
    assert_eq!(missing.take(attempt(1, 7)), BTreeSet::new());
    let expected = BTreeSet::from([attempt(0, 1), attempt(0, 3)]);
    assert_eq!(missing.take(attempt(1, 0)), expected);
    assert_eq!(missing.take(attempt(1, 0)), BTreeSet::new());
}

#[test]
fn a_partition_that_cannot_be_written_fails_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let edge = Edge {
        directory: &file,
        edge: 0,
        layout: PartitionLayout::new(ShipStrategy::Global, 1, 1, 8),
        producers: 1,
        memory_bytes: 0,
    };
    let (sleeper, waker) = Sleeper::bound();
    let ports = Ports::<Row>::new(vec![edge.output(0, waker)]);
    let mut writer = ExchangeWriter::new(ports, FirstRouter, Arc::default());
    writer.collect((0, 0, 0), NO_TIMESTAMP);
    writer.control(Control::End).unwrap();
    let error = loop {
        match writer.settle() {
            Ok(true) => panic!("it was written"),
            Ok(false) => sleeper.sleep(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.class, FailureClass::Transient);
    let message = error.message;
    assert!(
        message.contains("cannot create") && message.contains("ile"),
        "{message}"
    );
}
