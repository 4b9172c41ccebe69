//! The processes of YARN's containers on this machine: to measure them and to kill them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that runs in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProcess {
    pub pid: i32,
    pub container: String,
    /// The command line, blank-separated.
    pub command: String,
}

impl ContainerProcess {
    /// The name of the program it runs: `flott-appmaster`, `flott-taskexecutor`, `program` (the user's).
    pub fn program(&self) -> &str {
        let first = self.command.split(' ').next().unwrap_or_default();
        first.rsplit('/').next().unwrap_or_default()
    }

    /// Whether its container is the ApplicationMaster's.
    pub fn is_of_master(&self) -> bool {
        self.container.ends_with("_000001")
    }

    /// Whether one of its threads has a name that begins so. Of a longer one only 15 bytes count.
    pub fn has_thread(&self, name: &str) -> bool {
        let beginning = &name[..name.len().min(15)];
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid));
        // It may end while it is being looked at.
        threads.into_iter().flatten().flatten().any(|thread| {
            let name = std::fs::read_to_string(thread.path().join("comm"));
            name.is_ok_and(|name| name.starts_with(beginning))
        })
    }

    pub fn kill(&self) -> Result<()> {
        kill(Pid::from_raw(self.pid), Signal::SIGKILL)
            .with_context(|| format!("killing process {} ({})", self.pid, self.command))
    }

    /// Resident memory now, in KiB; `None` when the process has ended.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        resident_kib(&status)
    }
}

/// All processes whose container belongs to the application. YARN puts the container's id into the environment of its
/// first process; those it started belong to it too, whatever environment they were given.
pub fn container_processes(application: &str) -> Result<Vec<ContainerProcess>> {
    let needle = format!("{}_", application.trim_start_matches("application"));
    let mut parents = BTreeMap::new();
    let mut containers = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").context("listing /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may end while it is being looked at.
        if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            parents.insert(pid, parent_of(&stat));
        }
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if let Some(container) = container_of(&environment) {
            containers.insert(pid, container);
        }
    }
    let mut found = Vec::new();
    for pid in parents.keys() {
        let ancestors =
            std::iter::successors(Some(*pid), |pid| parents.get(pid).copied().flatten());
        let container = ancestors
            .take(parents.len())
            .find_map(|pid| containers.get(&pid));
        let Some(container) = container.filter(|id| id.contains(&needle)) else {
            continue;
        };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        found.push(ContainerProcess {
            pid: *pid,
            container: container.clone(),
            command: command.trim_end().to_owned(),
        });
    }
    Ok(found)
}

/// The fourth field; the second is a name in parentheses that may contain anything.
fn parent_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn container_of(environment: &[u8]) -> Option<String> {
    environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"CONTAINER_ID="))
        .map(|id| String::from_utf8_lossy(id).into_owned())
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_known_by_name() {
        let own = ContainerProcess {
            pid: std::process::id().cast_signed(),
            container: String::new(),
            command: String::new(),
        };
        assert!(!own.has_thread("a-thread-that-waits"));
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a-thread-that-waits".to_owned());
        let body = move || {
            begin.send(()).unwrap();
            wait.recv()
        };
        let thread = thread.spawn(body).unwrap();
        // From then on it has its name.
        begun.recv().unwrap();
        assert!(own.has_thread("a-thread-that-waits"));
        assert!(own.has_thread("a-thread"));
        drop(end);
        assert!(thread.join().unwrap().is_err());
        let gone = ContainerProcess { pid: -1, ..own };
        assert!(!gone.has_thread("a-thread"));
    }

    #[test]
    fn reads_what_the_kernel_shows() {
        assert_eq!(
            container_of(b"A=1\0CONTAINER_ID=container_1_2_01_000003\0"),
            Some("container_1_2_01_000003".to_owned())
        );
        assert_eq!(container_of(b"A=1\0"), None);
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1234));
        assert_eq!(resident_kib("Name:\tx\n"), None);
        assert_eq!(parent_of("12 (a) b) S 7 12 12 0"), Some(7));
    }
}
