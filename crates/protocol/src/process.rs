//! How a child process ended, in words, for whoever started it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use flott_model::FailureClass;
use nix::sys::signal::Signal;

/// Rust's exit code of a process whose `main` panicked.
const PANIC_CODE: i32 = 101;

/// `killed by SIGKILL`, `exit code 101 (panic)`, …
pub fn describe_exit(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return match code {
            PANIC_CODE => format!("exit code {code} (panic)"),
            code => format!("exit code {code}"),
        };
    }
    let number = status.signal().unwrap_or_default();
    let Ok(signal) = Signal::try_from(number) else {
        return format!("killed by signal {number}");
    };
    let hint = match signal {
        Signal::SIGKILL => ", as the kernel does when memory runs out",
        Signal::SIGABRT => ", as a program does to itself when it aborts",
        Signal::SIGSEGV => ", an invalid memory access",
        _ => "",
    };
    format!("killed by {}{hint}", signal.as_str())
}

/// Whether the program is to blame, or who killed it.
pub fn exit_class(status: ExitStatus) -> FailureClass {
    match status.signal().map(Signal::try_from) {
        Some(Ok(Signal::SIGKILL | Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP)) => {
            FailureClass::Transient
        }
        _ => FailureClass::UserCode,
    }
}

/// That much of the end of a stderr goes into a report.
const TAIL_BYTES: u64 = 4096;

/// The last lines of a file.
pub fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is cut in its middle unless it is the file's first.
    let whole = if start == 0 {
        &text[..]
    } else {
        text.split_once('\n').map_or("", |cut| cut.1)
    };
    Ok(whole.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exits_are_said_in_words() {
        for (raw, words, by) in [
            (0, "exit code 0", FailureClass::UserCode),
            (3 << 8, "exit code 3", FailureClass::UserCode),
            (101 << 8, "exit code 101 (panic)", FailureClass::UserCode),
            (
                9,
                "killed by SIGKILL, as the kernel",
                FailureClass::Transient,
            ),
            (6, "killed by SIGABRT, as a program", FailureClass::UserCode),
            (11, "killed by SIGSEGV", FailureClass::UserCode),
            (15, "killed by SIGTERM", FailureClass::Transient),
            (50, "killed by signal 50", FailureClass::UserCode),
        ] {
            let status = ExitStatus::from_raw(raw);
            assert!(
                describe_exit(status).starts_with(words),
                "{}",
                describe_exit(status)
            );
            assert_eq!(exit_class(status), by, "{words}");
        }
    }

    #[test]
    fn the_tail_begins_with_a_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("err");
        std::fs::write(&path, "short\n").unwrap();
        assert_eq!(tail(&path).unwrap(), "short");
        std::fs::write(&path, "0123456789\n".repeat(1000)).unwrap();
        let tail = tail(&path).unwrap();
        assert!(tail.len() < 4096 && tail.lines().all(|line| line == "0123456789"));
    }
}
