//! The threads of this process, as the operating system lists them.

use std::path::Path;

use flott_protocol::message::ThreadInspected;

/// Processor time is counted in ticks of 10 ms on every Linux that is built with the usual USER_HZ.
const TICK_MS: u64 = 10;

/// All threads, by id. Empty where there is no `/proc`.
pub(super) fn list() -> Vec<ThreadInspected> {
    let mut threads: Vec<ThreadInspected> = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .filter_map(|entry| read(&entry.ok()?.path()))
        .collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

fn read(directory: &Path) -> Option<ThreadInspected> {
    // A thread may end while the list is read.
    let text = std::fs::read_to_string(directory.join("stat")).ok()?;
    parse(&text)
}

/// `17 (name) S 1 …`: the name may hold blanks and brackets.
fn parse(stat: &str) -> Option<ThreadInspected> {
    let (before, after) = stat.rsplit_once(')')?;
    let (id, name) = before.split_once('(')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?;
    // User and system time are fields 14 and 15; the state is field 3.
    let ticks = |field: Option<&str>| field?.parse::<u64>().ok();
    let mut times = fields.skip(10);
    let (user, system) = (ticks(times.next())?, ticks(times.next())?);
    Some(ThreadInspected {
        name: name.to_owned(),
        id: id.trim().parse().ok()?,
        state: match state {
            "R" => "RUNNABLE",
            "D" => "BLOCKED",
            "Z" | "X" => "TERMINATED",
            _ => "WAITING",
        }
        .to_owned(),
        cpu_ms: (user + system) * TICK_MS,
        frames: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_a_thread() {
        let line = "42 (odd (name) x) R 1 1 1 0 -1 64 9 0 0 0 150 25 0 0 20 0 9 0 77 1 2";
        let thread = parse(line).unwrap();
        assert_eq!((thread.id, thread.name.as_str()), (42, "odd (name) x"));
        assert_eq!((thread.state.as_str(), thread.cpu_ms), ("RUNNABLE", 1_750));
        for broken in [
            "",
            "42",
            "42 (x",
            "42 (x)",
            "42 (x) S 1 2",
            "x (x) S 1 1 1 1 1 1 1 1 1 1 1 1",
        ] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn this_thread_is_listed() {
        let name = "listed-by-test";
        let thread = std::thread::Builder::new().name(name.to_owned());
        let found = thread.spawn(|| list().iter().any(|one| one.name == "listed-by-test"));
        assert!(found.unwrap().join().unwrap());
    }
}
