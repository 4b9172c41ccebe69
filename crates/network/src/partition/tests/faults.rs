//! Damaged files: an error that names the file, never other rows.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn some_rows() -> Vec<(u32, Row)> {
    (0..400u32)
        .map(|index| (index % 5, row(&vec![index as u8; index as usize % 90])))
        .collect()
}

/// A partition of a few regions; its files.
fn written(directory: &Path, compression: Compression) -> [PathBuf; 2] {
    let settings = PartitionWriterSettings {
        memory_bytes: 8000,
        compression,
        ..writer_settings(5)
    };
    write(directory, partition(0), settings, &some_rows());
    let data = partition(0).data_path(directory);
    let index = data.with_extension("index");
    assert!(fs::metadata(&index).unwrap().len() > 36 + 2 * 5 * 28);
    [data, index]
}

/// Reads it from here, and from a server; both must find the damage.
fn check_damage(directory: &Path, file: &Path) -> Result<(), TestCaseError> {
    let server = serve(directory);
    for place in [PartitionPlace::Here, served_by(&server)] {
        let is_here = place == PartitionPlace::Here;
        let result = read(reader_settings(5), directory, vec![at(0, place)]);
        let Err((error, missing)) = result else {
            return Err(TestCaseError::fail("the damage was not found"));
        };
        prop_assert_eq!(missing, [producer(0)]);
        let is_damage = matches!(error, PartitionError::Damaged { .. });
        prop_assert!(is_damage, "{}", error);
        let text = error.to_string();
        let name = file.file_stem().unwrap().to_str().unwrap();
        prop_assert!(text.contains(name), "{}", text);
        if is_here {
            prop_assert!(text.contains(directory.to_str().unwrap()), "{}", text);
        } else {
            prop_assert!(text.contains(server.address()), "{}", text);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn flipped_bits_are_found(which in 0usize..2, place: Index, bit in 0..8, lz4: bool) {
        let directory = tempfile::tempdir().unwrap();
        let compression = if lz4 { Compression::Lz4 } else { Compression::None };
        let path = &written(directory.path(), compression)[which];
        let mut bytes = fs::read(path).unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        fs::write(path, &bytes).unwrap();
        check_damage(directory.path(), path)?;
    }

    #[test]
    fn missing_ends_are_found(which in 0usize..2, place: Index) {
        let directory = tempfile::tempdir().unwrap();
        let path = &written(directory.path(), Compression::None)[which];
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..place.index(bytes.len())]).unwrap();
        check_damage(directory.path(), path)?;
    }
}

#[test]
fn a_file_that_gets_shorter_while_it_is_read_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let rows: Vec<(u32, Row)> = (0..100).map(|_| (0, row(&[3; 100_000]))).collect();
    write(directory.path(), partition(0), writer_settings(1), &rows);
    let (sleeper, waker) = Sleeper::bound();
    let locations = vec![at(0, PartitionPlace::Here)];
    let settings = PartitionReaderSettings {
        read_ahead_bytes: 0,
        ..reader_settings(1)
    };
    let mut reader = open(settings, directory.path(), locations, &waker);
    sleeper.until(|| reader.receive().unwrap());
    let data = partition(0).data_path(directory.path());
    let file = fs::OpenOptions::new().write(true).open(data).unwrap();
    file.set_len(1_000_000).unwrap();
    let error = sleeper.until(|| {
        reader.receive().err().or_else(|| {
            // Rows that were whole are fine; more may be there at once.
            waker.wake();
            None
        })
    });
    assert!(matches!(error, PartitionError::Damaged { .. }), "{error}");
}

#[test]
fn data_without_an_index_and_an_index_without_data_are_no_partition() {
    for which in 0..2 {
        let directory = tempfile::tempdir().unwrap();
        let files = written(directory.path(), Compression::None);
        fs::remove_file(&files[which]).unwrap();
        let locations = vec![at(0, PartitionPlace::Here)];
        let (error, missing) = read(reader_settings(5), directory.path(), locations).unwrap_err();
        assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
        assert_eq!(missing, [producer(0)]);
    }
}

#[test]
fn another_number_of_sub_partitions_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    written(directory.path(), Compression::None);
    let locations = vec![at(0, PartitionPlace::Here)];
    let (error, _) = read(reader_settings(6), directory.path(), locations).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("5 sub-partitions instead of 6"), "{text}");
}

#[test]
fn a_record_above_the_readers_limit_is_refused_before_it_is_allocated() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [(0, row(&[1; 100_000]))];
    write(directory.path(), partition(0), writer_settings(1), &rows);
    let settings = PartitionReaderSettings {
        max_record_bytes: 1000,
        ..reader_settings(1)
    };
    let locations = vec![at(0, PartitionPlace::Here)];
    let (error, _) = read(settings, directory.path(), locations).unwrap_err();
    assert!(error.to_string().contains("impossible length"), "{error}");
}
