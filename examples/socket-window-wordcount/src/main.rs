//! Counts words that come through a socket, in windows of the clock on the wall.
//!
//! ```text
//! nc -lk 9999                                                  # in another terminal; type
//! cargo run -p socket-window-wordcount -- --port 9999
//! ```
//! Without `--port` a thread of the program sends a few lines and then hangs up. Each window prints
//! `word : count`; what comes after the last full window is not printed, as the job ends with the
//! connection.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use flott::prelude::*;
use flott::text::words;
use flott::window::TumblingProcessingTimeWindows;

/// Counts words that come through a socket, in windows of processing time.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the text server is.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// Its port; default: the program itself sends some text, which works on one machine only.
    #[arg(long)]
    port: Option<u16>,
    /// The size of the windows, in milliseconds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
}

/// What is sent if there is no server.
const LINES: [&str; 3] = [
    "to be or not to be",
    "that is the question",
    "to be continued",
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get()?;
    let size = Duration::from_millis(arguments.window);
    let (host, port) = match arguments.port {
        Some(port) => (arguments.host, port),
        // Only the process that submits the job has a server; the others are told its port.
        None => {
            let port = env.once("port", || serve(size).map_err(|error| format!("{error:#}")))?;
            let port = port.map_err(anyhow::Error::msg)?;
            (Ipv4Addr::LOCALHOST.to_string(), port)
        }
    };
    env.socket_text_stream(&host, port)
        .flat_map(|line| words(line).map(|word| (word, 1_u64)))
        .name("tokenizer")
        .key_by_ref(|(word, _)| word)
        .window(TumblingProcessingTimeWindows::of(size))
        .sum(|(_, count)| count)
        .name("counter")
        .map(|(word, count)| format!("{word} : {count}"))
        .print();
    env.execute("Socket Window WordCount")?;
    Ok(())
}

/// Sends the lines to the first who connects, and hangs up when their window has ended.
fn serve(window: Duration) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("opening a port")?;
    let port = listener
        .local_addr()
        .context("the port of the text")?
        .port();
    std::thread::spawn(move || {
        let (mut reader, _) = listener.accept()?;
        for line in LINES {
            writeln!(reader, "{line}")?;
        }
        // The lines are in one window or two; both have ended by then, on a busy machine too.
        std::thread::sleep(3 * window + Duration::from_secs(1));
        std::io::Result::Ok(())
    });
    Ok(port)
}
