//! `flott list`: the jobs of a running cluster.

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;

use crate::cli::ListArgs;
use crate::cluster::Cluster;
use crate::console::Console;
use crate::jobs::{ListedJob, is_terminal};
use crate::time;

const END: &str = "--------------------------------------------------------------";

/// Prints the jobs that were asked for: without a wish, those that have not ended.
pub(crate) async fn list(args: ListArgs, console: &Rc<Console>) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::load(&args.cluster, console)?;
    let manager = cluster.job_manager().await?;
    console.line("Waiting for response...");
    let jobs = manager.jobs().await.context("cannot list the jobs")?;
    let neither = !args.running && !args.scheduled;
    let sections = Sections {
        running: args.all || args.running || neither,
        scheduled: args.all || args.scheduled || neither,
        terminated: args.all,
    };
    for line in sections.lines(&jobs) {
        console.line(&line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Which jobs to show.
#[derive(Debug, Clone, Copy)]
struct Sections {
    running: bool,
    scheduled: bool,
    terminated: bool,
}

impl Sections {
    /// Jobs are oldest first.
    fn lines(self, jobs: &[ListedJob]) -> Vec<String> {
        let is_scheduled = |job: &&ListedJob| matches!(&*job.state, "CREATED" | "INITIALIZING");
        let (ended, alive): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| is_terminal(&job.state));
        let (scheduled, running): (Vec<_>, Vec<_>) = alive.into_iter().partition(is_scheduled);
        let mut lines = Vec::new();
        if self.running {
            let title = "------------------ Running/Restarting Jobs -------------------";
            section(&mut lines, &running, title, "No running jobs.");
        }
        if self.scheduled {
            let title = "----------------------- Scheduled Jobs -----------------------";
            section(&mut lines, &scheduled, title, "No scheduled jobs.");
        }
        if self.terminated && !ended.is_empty() {
            let title = "---------------------- Terminated Jobs -----------------------";
            section(&mut lines, &ended, title, "");
        }
        lines
    }
}

fn section(lines: &mut Vec<String>, jobs: &[&ListedJob], title: &str, none: &str) {
    if jobs.is_empty() {
        lines.push(none.to_owned());
        return;
    }
    lines.push(title.to_owned());
    lines.extend(jobs.iter().map(|job| {
        let ListedJob {
            jid, name, state, ..
        } = job;
        format!("{} : {jid} : {name} ({state})", time::local(job.start_time))
    }));
    lines.push(END.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(jid: &str, state: &str) -> ListedJob {
        ListedJob {
            jid: jid.to_owned(),
            name: format!("job {jid}"),
            state: state.to_owned(),
            start_time: 1_795_357_423_000,
        }
    }

    const DEFAULT: Sections = Sections {
        running: true,
        scheduled: true,
        terminated: false,
    };

    #[test]
    fn jobs_are_listed_by_what_they_do() {
        let jobs = [
            job("a", "FINISHED"),
            job("b", "RUNNING"),
            job("c", "CREATED"),
            job("d", "RESTARTING"),
            job("e", "SUSPENDED"),
        ];
        let when = time::local(jobs[0].start_time);
        let expected = [
            "------------------ Running/Restarting Jobs -------------------",
            &format!("{when} : b : job b (RUNNING)"),
            &format!("{when} : d : job d (RESTARTING)"),
            &format!("{when} : e : job e (SUSPENDED)"),
            END,
            "----------------------- Scheduled Jobs -----------------------",
            &format!("{when} : c : job c (CREATED)"),
            END,
        ];
        assert_eq!(DEFAULT.lines(&jobs), expected);
        let all = Sections {
            terminated: true,
            ..DEFAULT
        };
        let more = [
            "---------------------- Terminated Jobs -----------------------",
            &format!("{when} : a : job a (FINISHED)"),
            END,
        ];
        assert_eq!(all.lines(&jobs)[expected.len()..], more);
    }

    #[test]
    fn without_jobs_that_is_said() {
        let nothing = ["No running jobs.", "No scheduled jobs."];
        assert_eq!(DEFAULT.lines(&[]), nothing);
        let all = Sections {
            terminated: true,
            ..DEFAULT
        };
        assert_eq!(all.lines(&[]), nothing);
        let scheduled = Sections {
            running: false,
            ..DEFAULT
        };
        assert_eq!(scheduled.lines(&[]), ["No scheduled jobs."]);
    }
}
