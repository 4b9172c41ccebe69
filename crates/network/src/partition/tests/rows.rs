//! Whatever is written is read: any rows, any memory, any places.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// One producer's input, and where its partition is.
#[derive(Debug, Clone)]
struct Written {
    rows: Vec<(Index, Option<i64>, Vec<u8>)>,
    memory_bytes: usize,
    lz4: bool,
    place: u32,
}

fn rows() -> impl Strategy<Value = Vec<(Index, Option<i64>, Vec<u8>)>> {
    let bytes = prop_oneof![
        20 => proptest::collection::vec(0u8..3, 0..20),
        4 => proptest::collection::vec(any::<u8>(), 100..2000),
        1 => (30_000usize..200_000, any::<u8>()).prop_map(|(length, byte)| vec![byte; length]),
    ];
    proptest::collection::vec((any::<Index>(), any::<Option<i64>>(), bytes), 0..60)
}

fn written() -> impl Strategy<Value = Written> {
    (rows(), 0usize..100_000, any::<bool>(), 0u32..3).prop_map(
        |(rows, memory_bytes, lz4, place)| Written {
            rows,
            memory_bytes,
            lz4,
            place,
        },
    )
}

/// By sub-partition and producer, because the order of producers is open.
fn sorted(mut read: Read) -> Read {
    for rows in read.values_mut() {
        // Stable: the order of each producer stays, which is the first byte of its rows.
        rows.sort_by_key(|row| row.bytes[0]);
    }
    read
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_is_read_once_and_in_order(
        producers in proptest::collection::vec(written(), 1..5),
        sub_partitions in 1u32..40,
        (from, to) in any::<(Index, Index)>(),
        read_ahead_bytes in 0usize..100_000,
    ) {
        let directories: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let servers = [serve(directories[1].path()), serve(directories[2].path())];
        let bounds = [from, to].map(|index| index.index(sub_partitions as usize + 1) as u32);
        let wanted = bounds[0].min(bounds[1])..bounds[0].max(bounds[1]);
        let (mut locations, mut expected) = (Vec::new(), Read::new());
        for (subtask, written) in (0..).zip(&producers) {
            let rows: Vec<(u32, Row)> = written
                .rows
                .iter()
                .map(|(index, timestamp, bytes)| {
                    let mut row = row(&[subtask as u8]);
                    row.bytes.extend_from_slice(bytes);
                    row.timestamp = timestamp.unwrap_or(NO_TIMESTAMP);
                    (index.index(sub_partitions as usize) as u32, row)
                })
                .collect();
            let settings = PartitionWriterSettings {
                memory_bytes: written.memory_bytes,
                compression: if written.lz4 { Compression::Lz4 } else { Compression::None },
                ..writer_settings(sub_partitions)
            };
            let directory = directories[written.place as usize].path();
            write(directory, partition(subtask), settings, &rows);
            for (sub_partition, row) in rows {
                if wanted.contains(&sub_partition) {
                    expected.entry(sub_partition).or_default().push(row);
                }
            }
            locations.push(at(subtask, match written.place {
                0 => PartitionPlace::Here,
                place => served_by(&servers[place as usize - 1]),
            }));
        }
        let settings = PartitionReaderSettings {
            wanted,
            read_ahead_bytes,
            ..reader_settings(sub_partitions)
        };
        let found = read(settings, directories[0].path(), locations);
        prop_assert_eq!(sorted(found.map_err(|(error, _)| error).unwrap()), sorted(expected));
    }
}

#[test]
fn many_regions_of_many_sub_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    const SUB_PARTITIONS: u32 = 300;
    let rows: Vec<(u32, Row)> = (0..100_000u32)
        .map(|index| (index * 7 % SUB_PARTITIONS, row(&index.to_le_bytes())))
        .collect();
    let settings = PartitionWriterSettings {
        memory_bytes: 0,
        ..writer_settings(SUB_PARTITIONS)
    };
    write(directory.path(), partition(0), settings, &rows);
    let index = partition(0)
        .data_path(directory.path())
        .with_extension("index");
    let regions = std::fs::metadata(index).unwrap().len() / u64::from(SUB_PARTITIONS) / 28;
    assert!(regions >= 4, "{regions} regions");
    let mut expected = Read::new();
    for (sub_partition, row) in rows {
        expected.entry(sub_partition).or_default().push(row);
    }
    for place in [PartitionPlace::Here, served_by(&server)] {
        let settings = reader_settings(SUB_PARTITIONS);
        let found = read(settings, directory.path(), vec![at(0, place)]).unwrap();
        assert!(found == expected);
    }
}

#[test]
fn more_partitions_than_stay_open() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let mut expected = Read::new();
    for subtask in 0..200u32 {
        let rows: Vec<(u32, Row)> = (0..3)
            .map(|sub_partition| (sub_partition, row(&subtask.to_le_bytes()[..])))
            .collect();
        write(
            directory.path(),
            partition(subtask),
            writer_settings(3),
            &rows,
        );
        for (sub_partition, row) in rows {
            expected.entry(sub_partition).or_default().push(row);
        }
    }
    for place in [PartitionPlace::Here, served_by(&server)] {
        let locations = (0..200).map(|subtask| at(subtask, place.clone())).collect();
        let found = read(reader_settings(3), directory.path(), locations).unwrap();
        assert!(found == expected);
    }
}

#[test]
fn rows_without_bytes_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let (sleeper, waker) = Sleeper::bound();
    let settings = writer_settings(2);
    let mut writer = PartitionWriter::new(directory.path(), partition(0), settings, io(), waker);
    for _ in 0..200_000 {
        writer.row(1, NO_TIMESTAMP, |_| Ok::<_, ()>(())).unwrap();
    }
    sleeper.until(|| writer.finish().unwrap().then_some(()));
    let (sleeper, waker) = Sleeper::bound();
    let locations = vec![at(0, PartitionPlace::Here)];
    let mut reader = open(reader_settings(2), directory.path(), locations, &waker);
    let mut rows = 0;
    loop {
        match sleeper.until(|| reader.receive().unwrap()) {
            PartitionMessage::Rows(frame) => rows += frame.rows,
            PartitionMessage::EndOfSubPartition(_) => {}
            PartitionMessage::End => break,
        }
    }
    assert_eq!(rows, 200_000);
}

#[test]
fn nobody_wrote_and_nothing_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(
        read(reader_settings(3), directory.path(), vec![]).unwrap(),
        Read::new()
    );
    write(directory.path(), partition(0), writer_settings(3), &[]);
    let settings = || PartitionReaderSettings {
        wanted: 2..2,
        ..reader_settings(3)
    };
    let locations = vec![at(0, PartitionPlace::Here)];
    let found = read(settings(), directory.path(), locations).unwrap();
    assert_eq!(found, Read::new());
    let locations = vec![at(1, PartitionPlace::Here)];
    let (error, missing) = read(settings(), directory.path(), locations).unwrap_err();
    assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
    assert_eq!(missing, [producer(1)]);
}
