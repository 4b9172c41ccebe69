//! Speaks another protocol version than any cluster does: a job graph that says so, and nothing else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// Length, then Execute (field 1) of two bytes: the graph, with protocol version (field 9) 99.
const EXECUTE: [u8; 8] = [0, 0, 0, 4, 0x0a, 2, 9 << 3, 99];
/// Hello, and the answer.
const ANSWERS: usize = 2;

fn main() -> anyhow::Result<()> {
    let mut launcher = UnixStream::connect(std::env::var("FLOTT_SOCKET")?)?;
    launcher.write_all(&EXECUTE)?;
    for _ in 0..ANSWERS {
        let mut length = [0; 4];
        launcher.read_exact(&mut length)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        launcher.read_exact(&mut answer)?;
    }
    anyhow::bail!("the other protocol was not understood")
}
