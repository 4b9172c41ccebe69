//! What the user sees: results on stdout, progress and notes on stderr. A spinner on a terminal,
//! one plain line for each change of phase elsewhere.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where everything is printed. One per command; not shared between threads.
pub(crate) struct Console {
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    bar: Option<ProgressBar>,
    last: RefCell<Last>,
    /// How many transfers share the bar.
    transfers: Rc<Cell<u32>>,
}

/// The progress that was shown last.
struct Last {
    phase: String,
    detail: String,
    at: Instant,
}

/// Without a terminal, changes within a phase are shown at most this often.
const DETAIL_INTERVAL: Duration = Duration::from_secs(10);

impl Console {
    /// On the streams of this process.
    pub(crate) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style("{spinner} {msg} [{elapsed}]"));
            bar
        });
        Self::with(Box::new(io::stdout()), Box::new(io::stderr()), bar)
    }

    fn with(out: Box<dyn Write>, err: Box<dyn Write>, bar: Option<ProgressBar>) -> Self {
        let last = Last {
            phase: String::new(),
            detail: String::new(),
            at: Instant::now(),
        };
        Self {
            out: RefCell::new(out),
            err: RefCell::new(err),
            bar,
            last: RefCell::new(last),
            transfers: Rc::default(),
        }
    }

    /// A result: what other programs may read.
    pub(crate) fn line(&self, text: &str) {
        self.write(&self.out, text.as_bytes(), true);
    }

    /// A note to the person in front.
    pub(crate) fn note(&self, text: &str) {
        self.write(&self.err, text.as_bytes(), true);
    }

    /// Passes on what a program wrote to its stderr.
    pub(crate) fn forward(&self, bytes: &[u8]) {
        self.write(&self.err, bytes, false);
    }

    /// Where things stand: the phase changes seldom, the detail often.
    pub(crate) fn progress(&self, phase: &str, detail: &str) {
        let mut last = self.last.borrow_mut();
        let same_phase = last.phase == phase;
        if same_phase && last.detail == detail {
            return;
        }
        let text = if detail.is_empty() {
            phase.to_owned()
        } else {
            format!("{phase}: {detail}")
        };
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(text);
        } else if same_phase && last.at.elapsed() < DETAIL_INTERVAL {
            return;
        } else {
            self.note(&text);
        }
        *last = Last {
            phase: phase.to_owned(),
            detail: detail.to_owned(),
            at: Instant::now(),
        };
    }

    /// Shows an upload of known size, on one bar with others at the same time.
    pub(crate) fn transfer(&self, name: &str, total: u64) -> Transfer {
        let Some(bar) = &self.bar else {
            self.note(&format!("Uploading {name} ({})", size(total)));
            return Transfer(None);
        };
        let others = self.transfers.replace(self.transfers.get() + 1);
        if others == 0 {
            bar.reset();
            bar.set_length(total);
            bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes}"));
            bar.set_message("Uploading");
        } else {
            bar.inc_length(total);
        }
        Transfer(Some((bar.clone(), Rc::clone(&self.transfers))))
    }

    /// Takes the spinner away.
    pub(crate) fn end_progress(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn write(&self, stream: &RefCell<Box<dyn Write>>, bytes: &[u8], newline: bool) {
        let write = || {
            let mut stream = stream.borrow_mut();
            // Nobody reads any more (a closed pipe): the job matters more than its messages.
            let _ = stream.write_all(bytes);
            if newline {
                let _ = stream.write_all(b"\n");
            }
            let _ = stream.flush();
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// An upload on its way.
pub(crate) struct Transfer(Option<(ProgressBar, Rc<Cell<u32>>)>);

impl Transfer {
    /// So many bytes more are there.
    pub(crate) fn advance(&self, bytes: u64) {
        if let Some((bar, _)) = &self.0 {
            bar.inc(bytes);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some((bar, transfers)) = &self.0 {
            transfers.set(transfers.get() - 1);
            if transfers.get() == 0 {
                bar.set_style(style("{spinner} {msg} [{elapsed}]"));
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    #[test]
    fn without_a_terminal_there_is_one_line_for_each_phase() {
        let (out, err) = (Sink::default(), Sink::default());
        let console = Console::with(Box::new(out.clone()), Box::new(err.clone()), None);
        console.line("Job has been submitted with JobID 1");
        console.progress("Waiting for containers", "");
        console.progress("Waiting for containers", "");
        console.progress("Starting tasks", "1/4");
        console.progress("Starting tasks", "2/4");
        console.progress("Running", "");
        console.end_progress();
        assert_eq!(out.text(), "Job has been submitted with JobID 1\n");
        assert_eq!(
            err.text(),
            "Waiting for containers\nStarting tasks: 1/4\nRunning\n"
        );
    }

    #[test]
    fn details_are_shown_again_after_a_while() {
        let err = Sink::default();
        let console = Console::with(Box::new(Sink::default()), Box::new(err.clone()), None);
        console.progress("Starting tasks", "1/4");
        console.last.borrow_mut().at = Instant::now() - DETAIL_INTERVAL;
        console.progress("Starting tasks", "3/4");
        assert_eq!(err.text(), "Starting tasks: 1/4\nStarting tasks: 3/4\n");
    }

    #[test]
    fn uploads_at_the_same_time_share_the_bar() {
        let bar = ProgressBar::hidden();
        let console = Console::with(
            Box::new(io::sink()),
            Box::new(io::sink()),
            Some(bar.clone()),
        );
        let (first, second) = (console.transfer("a", 10), console.transfer("b", 20));
        first.advance(10);
        drop(first);
        second.advance(5);
        assert_eq!((bar.position(), bar.length()), (15, Some(30)));
        drop(second);
        let later = console.transfer("c", 7);
        later.advance(1);
        assert_eq!((bar.position(), bar.length()), (1, Some(7)));
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(
            [999, 25_000, 12_340_000].map(size),
            ["999 bytes", "25.0 kB", "12.3 MB"].map(str::to_owned)
        );
    }
}
