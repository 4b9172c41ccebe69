//! Words through a socket of the test, which hangs up when it has seen their counts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::count_words;

use crate::program::Example;

const TEXTS: [&str; 2] = [
    "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\n",
    "The slings and arrows of outrageous fortune,\nOr to take arms against a sea of troubles\n",
];

#[test]
fn counts_of_all_windows_add_up() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port().to_string();
    let mut running = Example::new("socket-window-wordcount")?
        .args(["--host", "127.0.0.1", "--port", &port, "--window", "100"])
        .parallelism(2)
        .spawn()?;
    let mut printed = BufReader::new(running.child.stdout.take().context("no stdout")?).lines();
    let (mut connection, _) = listener.accept()?;
    let mut counted = BTreeMap::new();
    let mut sent = String::new();
    for text in TEXTS {
        connection.write_all(text.as_bytes())?;
        sent += text;
        let expected = count_words(&sent);
        // A line per word and window: as long as words are missing there is another line to come.
        while counted != expected {
            let line = printed
                .next()
                .context("it ended before all was counted")??;
            let line = line
                .split_once("> ")
                .map_or(line.as_str(), |(_, said)| said);
            let (word, count) = line.split_once(" : ").context("what is that line?")?;
            let sum = counted.entry(word.to_owned()).or_insert(0);
            *sum += count.parse::<u64>()?;
            let limit = expected.get(word).copied().unwrap_or_default();
            ensure!(*sum <= limit, "{word} is counted {sum} times, not {limit}");
        }
    }
    drop(connection);
    ensure!(printed.next().is_none(), "something is counted twice");
    running.wait()
}

#[test]
fn it_has_something_to_count_if_nobody_sends_anything() -> Result<()> {
    let printed = Example::new("socket-window-wordcount")?.run()?;
    let mut counted = BTreeMap::new();
    for line in printed.lines() {
        let (word, count) = line.split_once(" : ").context("what is that line?")?;
        *counted.entry(word.to_owned()).or_insert(0) += count.parse::<u64>()?;
    }
    let sent = "to be or not to be that is the question to be continued";
    assert_eq!(counted, count_words(sent));
    Ok(())
}
