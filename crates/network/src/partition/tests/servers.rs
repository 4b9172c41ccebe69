//! Servers that are not there, not ours, too fast, or killed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

fn large(directory: &Path, subtask: u32) {
    let rows: Vec<(u32, Row)> = (0..400).map(|_| (0, row(&[3; 100_000]))).collect();
    write(directory, partition(subtask), writer_settings(1), &rows);
}

#[test]
fn all_that_is_missing_is_said_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    for subtask in [1, 3] {
        write(
            directory.path(),
            partition(subtask),
            writer_settings(1),
            &[],
        );
    }
    let locations = (0..5)
        .map(|subtask| at(subtask, served_by(&server)))
        .collect();
    let (error, missing) = read(reader_settings(1), directory.path(), locations).unwrap_err();
    assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(server.address()), "{error}");
    assert_eq!(missing, [producer(0), producer(2), producer(4)]);
}

#[test]
fn nobody_listens() {
    let directory = tempfile::tempdir().unwrap();
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let locations = vec![at(4, PartitionPlace::Server(address.clone()))];
    let (error, missing) = read(reader_settings(1), directory.path(), locations).unwrap_err();
    assert!(matches!(error, PartitionError::Lost { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert_eq!(error.class(), flott_model::FailureClass::Transient);
    assert_eq!(missing, [producer(4)]);
}

#[test]
fn a_server_that_says_nothing_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let settings = PartitionReaderSettings {
        connect_timeout: Duration::from_millis(50),
        ..reader_settings(1)
    };
    let locations = vec![at(4, PartitionPlace::Server(address))];
    let (error, missing) = read(settings, directory.path(), locations).unwrap_err();
    assert!(error.to_string().contains("no sign of life"), "{error}");
    assert_eq!(missing, [producer(4)]);
}

#[test]
fn a_killed_server_loses_its_partitions_only() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let servers = directories
        .each_ref()
        .map(|directory| serve(directory.path()));
    for subtask in 0..4 {
        large(directories[subtask as usize % 2].path(), subtask);
    }
    let (sleeper, waker) = Sleeper::bound();
    let locations = (0..4)
        .map(|subtask| at(subtask, served_by(&servers[subtask as usize % 2])))
        .collect();
    let settings = reader_settings(1);
    let mut reader = open(settings, directories[0].path(), locations, &waker);
    sleeper.until(|| reader.receive().unwrap());
    let [_first, second] = servers;
    io().block_on(second.stop());
    let error = loop {
        match sleeper.until(|| reader.receive().transpose()) {
            Ok(PartitionMessage::Rows(_)) => {}
            Ok(other) => panic!("{other:?} though rows are missing"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, PartitionError::Lost { .. }), "{error}");
    let missing: Vec<_> = reader.missing(&error).into_iter().collect();
    assert_eq!(missing, [producer(1), producer(3)]);
}

#[test]
fn two_places_that_fail_are_both_told() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let servers = directories
        .each_ref()
        .map(|directory| serve(directory.path()));
    let (sleeper, waker) = Sleeper::bound();
    let locations = (0..2)
        .map(|subtask| at(subtask, served_by(&servers[subtask as usize])))
        .collect();
    let mut reader = open(reader_settings(1), directories[0].path(), locations, &waker);
    let error = sleeper.until(|| reader.receive().err());
    // The other one may be a little later.
    let both = [producer(0), producer(1)];
    eventually(|| reader.missing(&error).into_iter().eq(both));
}

#[test]
fn consumers_of_other_jobs_get_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    write(directory.path(), partition(0), writer_settings(1), &[]);
    let other_token = PartitionReaderSettings {
        token: b"another token".to_vec(),
        ..reader_settings(1)
    };
    let other_job = PartitionReaderSettings {
        job: JobId(1),
        ..reader_settings(1)
    };
    for (settings, reason) in [
        (other_token, "could not prove"),
        (other_job, "does not know the job"),
    ] {
        let locations = vec![at(0, served_by(&server))];
        let (error, missing) = read(settings, directory.path(), locations).unwrap_err();
        assert!(matches!(error, PartitionError::Lost { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        assert_eq!(missing, [producer(0)]);
    }
}

#[test]
fn rubbish_does_not_stop_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    write(directory.path(), partition(0), writer_settings(1), &[]);
    for length in [0, 3, 54, 5000] {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        // It may hang up before all is written.
        let _ = stream.write_all(&vec![b'x'; length]);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 200);
    }
    let locations = vec![at(0, served_by(&server))];
    read(reader_settings(1), directory.path(), locations).unwrap();
}

#[test]
fn a_reader_that_does_not_read_is_not_filled() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    large(directory.path(), 0);
    for place in [PartitionPlace::Here, served_by(&server)] {
        let (sleeper, waker) = Sleeper::bound();
        let settings = PartitionReaderSettings {
            read_ahead_bytes: 300_000,
            ..reader_settings(1)
        };
        let mut reader = open(settings, directory.path(), vec![at(0, place)], &waker);
        eventually(|| reader.waiting_bytes() > 200_000);
        let (mut rows, mut ended) = (0, false);
        while !ended {
            assert!(reader.waiting_bytes() <= 300_000);
            match sleeper.until(|| reader.receive().unwrap()) {
                PartitionMessage::Rows(frame) => rows += frame.rows,
                PartitionMessage::EndOfSubPartition(_) => {}
                PartitionMessage::End => ended = true,
            }
        }
        assert_eq!(rows, 400);
        assert!(reader.bytes_read() >= 40_000_000);
    }
}

#[test]
fn a_removed_job_leaves_nothing_and_ends_its_fetches() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    large(directory.path(), 0);
    let other = PartitionId {
        job: JobId(9),
        ..partition(0)
    };
    write(directory.path(), other, writer_settings(1), &[]);
    let (sleeper, waker) = Sleeper::bound();
    let locations = || vec![at(0, served_by(&server))];
    let mut reader = open(reader_settings(1), directory.path(), locations(), &waker);
    sleeper.until(|| reader.receive().unwrap());
    io().block_on(server.remove_job(JOB)).unwrap();
    assert!(!job_path(directory.path(), JOB).exists());
    assert!(job_path(directory.path(), JobId(9)).exists());
    let error = loop {
        match sleeper.until(|| reader.receive().transpose()) {
            Ok(PartitionMessage::Rows(_)) => {}
            Ok(other) => panic!("{other:?} of a removed job"),
            Err(error) => break error,
        }
    };
    // The fetch was ended, and when it asked for the rest there was none.
    assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
    let (error, _) = read(reader_settings(1), directory.path(), locations()).unwrap_err();
    assert!(matches!(error, PartitionError::NotFound { .. }), "{error}");
    // There is nothing left to remove, and that is fine.
    io().block_on(server.remove_job(JOB)).unwrap();
    remove_job(directory.path(), JOB).unwrap();
    clear_directory(directory.path()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    clear_directory(&directory.path().join("missing")).unwrap();
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = |ports| PartitionServerSettings {
        directory: directory.path().join("made"),
        host: "::1".into(),
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        ports,
        tokens: Arc::new(|_| Vec::new()),
    };
    let start = |ports| io().block_on(PartitionServer::start(settings(ports)));
    let error = start(vec![port]).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let server = start(vec![port, 0]).unwrap();
    assert!(
        server.address().starts_with("[::1]:"),
        "{}",
        server.address()
    );
    assert!(directory.path().join("made").is_dir());
}

/// Passes on to the server, but cuts each connection after some bytes of its answer.
fn cutting_proxy(server: String, cuts: Vec<usize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for cut in cuts {
            let Ok((mut consumer, _)) = listener.accept() else {
                return;
            };
            let mut upstream = TcpStream::connect(&server).unwrap();
            let mut forward = (consumer.try_clone().unwrap(), upstream.try_clone().unwrap());
            let asking = std::thread::spawn(move || std::io::copy(&mut forward.0, &mut forward.1));
            let mut answer = Vec::new();
            let mut left = cut;
            while left > 0 {
                answer.resize(left.min(10_000), 0);
                let Ok(read @ 1..) = upstream.read(&mut answer) else {
                    break;
                };
                if consumer.write_all(&answer[..read]).is_err() {
                    break;
                }
                left -= read;
            }
            for end in [consumer, upstream] {
                let _ = end.shutdown(std::net::Shutdown::Both);
            }
            let _ = asking.join();
        }
    });
    address
}

fn many_rows() -> Vec<(u32, Row)> {
    (0..3000u32)
        .map(|index| (index % 7, row(&vec![index as u8; index as usize % 400])))
        .collect()
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    let mut expected = Read::new();
    for subtask in 0..3 {
        let settings = PartitionWriterSettings {
            memory_bytes: 50_000,
            ..writer_settings(7)
        };
        write(directory.path(), partition(subtask), settings, &many_rows());
        for (sub_partition, row) in many_rows() {
            expected.entry(sub_partition).or_default().push(row);
        }
    }
    expected.values_mut().for_each(|rows| rows.sort());
    // The handshake's answer has 66 bytes.
    let cuts = [67, 80, 1000, 66, 1001, 30_000, 250_000, 100, usize::MAX];
    let proxy = cutting_proxy(server.address().to_owned(), cuts.to_vec());
    let locations = (0..3)
        .map(|subtask| at(subtask, PartitionPlace::Server(proxy.clone())))
        .collect();
    let mut found = read(reader_settings(7), directory.path(), locations).unwrap();
    found.values_mut().for_each(|rows| rows.sort());
    assert!(found == expected);
}

#[test]
fn a_connection_that_breaks_in_vain_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let server = serve(directory.path());
    write(
        directory.path(),
        partition(0),
        writer_settings(7),
        &many_rows(),
    );
    let cuts = [1000, 66, 66, 66, usize::MAX];
    let proxy = cutting_proxy(server.address().to_owned(), cuts.to_vec());
    let locations = vec![at(0, PartitionPlace::Server(proxy))];
    let (error, missing) = read(reader_settings(7), directory.path(), locations).unwrap_err();
    assert!(matches!(error, PartitionError::Lost { .. }), "{error}");
    assert_eq!(missing, [producer(0)]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    /// What a consumer has is exactly what is left out, whatever chunks the stream was read in.
    #[test]
    fn the_rest_of_a_stream_is_the_rest(
        cut: proptest::sample::Index,
        limits in (1usize..5000, 1usize..5000),
    ) {
        use super::super::scan::{Request, Scan};
        let directory = tempfile::tempdir().unwrap();
        let settings = PartitionWriterSettings {
            memory_bytes: 0,
            ..writer_settings(40)
        };
        // Few sub-partitions have rows, so that there are signs of life between them.
        let rows: Vec<(u32, Row)> = (0..60u32)
            .map(|index| (index % 2 * 37, row(&[index as u8; 100])))
            .collect();
        write(directory.path(), partition(0), settings, &rows);
        let stream = |skip, limit| {
            let request = Request {
                edge: EDGE,
                total: 40,
                wanted: 0..40,
                // One partition many times is many partitions.
                producers: vec![producer(0); 200],
                skip,
            };
            let mut scan = Scan::new(PartitionDirectory::new(directory.path()), JOB, request);
            let mut stream = Vec::new();
            loop {
                let mut chunk = Vec::new();
                let more = scan.fill(&mut chunk, limit);
                stream.extend_from_slice(&chunk);
                if !more {
                    return stream;
                }
            }
        };
        let whole = stream(0, limits.0);
        let known = cut.index(whole.len() + 1);
        proptest::prop_assert!(stream(known as u64, limits.1) == whole[known..]);
    }
}
