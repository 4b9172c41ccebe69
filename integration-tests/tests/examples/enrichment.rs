//! Names from a directory that the test plays: each visitor is asked for until there is an answer.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use anyhow::Result;

use crate::program::Example;

const VISITS: u64 = 600;
/// Gets no answer.
const SILENT: u64 = 13;
/// Each of those is busy when it is asked first.
const BUSY: u64 = 5;

/// How often each visitor was asked for; a lock, because every connection has a thread.
type Questions = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Answers on a loopback port, until the test process ends.
fn directory() -> Result<(String, Questions)> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?.to_string();
    let questions = Questions::default();
    let known = Arc::clone(&questions);
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for connection in listener.incoming().flatten() {
            // Kept open: whoever asks waits.
            silent.extend(answer(connection, &known));
        }
    });
    Ok((address, questions))
}

/// Answers, or gives the connection back if there is no answer.
fn answer(connection: TcpStream, questions: &Questions) -> Option<TcpStream> {
    let mut connection = BufReader::new(connection);
    let mut question = String::new();
    connection.read_line(&mut question).ok()?;
    let visitor: u64 = question.trim_end().parse().expect("a number is asked for");
    let asked = {
        let mut questions = questions.lock().unwrap();
        let asked = questions.entry(visitor).or_default();
        *asked += 1;
        *asked
    };
    let mut connection = connection.into_inner();
    match visitor {
        SILENT => return Some(connection),
        visitor if visitor % BUSY == 0 && asked == 1 => writeln!(connection, "busy").ok()?,
        visitor => writeln!(connection, "ok Nr. {visitor}").ok()?,
    }
    None
}

#[test]
fn visitors_get_the_names_that_the_directory_tells() -> Result<()> {
    // Each visitor comes once, so that it is known which question is its first.
    let mut csv = String::from("id,visitor\n");
    for id in 0..VISITS {
        csv += &format!("{id},{}\n", VISITS - 1 - id);
    }
    let mut expected: Vec<String> = (0..VISITS)
        .map(|id| match VISITS - 1 - id {
            SILENT => format!("visit {id}: a stranger"),
            visitor => format!("visit {id}: Nr. {visitor}"),
        })
        .collect();
    expected.sort();
    for (order, parallelism) in [(None, 1), (Some("--ordered"), 1), (None, 3)] {
        let (address, questions) = directory()?;
        let lines = Example::new("async-enrichment")?
            .parallelism(parallelism)
            .input("--input", &csv)?
            .args(["--directory", &address])
            .args(order)
            .lines()?;
        assert_eq!(lines, expected, "{order:?}");
        for (visitor, asked) in questions.lock().unwrap().iter() {
            let expected = if visitor % BUSY == 0 { 2 } else { 1 };
            assert_eq!(*asked, expected, "questions for {visitor}");
        }
    }
    Ok(())
}

#[test]
fn the_order_of_the_visits_is_kept_if_that_is_asked_for() -> Result<()> {
    let (address, _) = directory()?;
    let printed = Example::new("async-enrichment")?
        .args(["--visits", "200", "--ordered", "--directory", &address])
        .parallelism(1)
        .run()?;
    let ids: Vec<u64> = printed
        .lines()
        .map(|line| {
            let id = line
                .strip_prefix("visit ")
                .and_then(|rest| rest.split_once(':'));
            id.expect("a visit").0.parse().expect("a number")
        })
        .collect();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    Ok(())
}
