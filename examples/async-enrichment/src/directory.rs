//! A directory of visitors for those who have none: slow, sometimes busy, and not willing to tell
//! everything.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;

/// What an answer takes.
const DELAY: Duration = Duration::from_millis(20);
/// How long somebody waits for an answer who never gets one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves on a free port of this machine for as long as the process lives, and says where.
pub(crate) fn serve() -> anyhow::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port")?;
    let address = listener.local_addr().context("where the directory is")?;
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // Who hangs up early does not want to know.
            std::thread::spawn(move || answer(connection));
        }
    });
    Ok(address.to_string())
}

fn answer(connection: TcpStream) -> std::io::Result<()> {
    /// Every seventh question finds the directory busy.
    static QUESTIONS: AtomicU64 = AtomicU64::new(0);
    let mut question = String::new();
    let mut connection = BufReader::new(connection);
    connection.read_line(&mut question)?;
    std::thread::sleep(DELAY);
    if QUESTIONS.fetch_add(1, Ordering::Relaxed) % 7 == 6 {
        return writeln!(connection.get_mut(), "busy");
    }
    match question.trim_end().parse::<u64>() {
        Ok(99) => {
            std::thread::sleep(PATIENCE);
            Ok(())
        }
        Ok(visitor) => writeln!(connection.get_mut(), "ok visitor number {visitor}"),
        Err(error) => writeln!(connection.get_mut(), "no: {error}"),
    }
}
