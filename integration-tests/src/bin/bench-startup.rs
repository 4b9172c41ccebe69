//! `cargo xtask bench startup`: what it takes until WordCount runs on YARN. Seconds from the command to all subtasks
//! RUNNING and bytes uploaded, with an empty staging area and with one that knows the program; peak resident memory over
//! all processes of the appmaster's container and of a task executor's. Medians.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{
    FlottCommand, TestHadoop, WebHdfs, container_processes, dist_directory, repository_root,
    wait_until,
};

const INPUT: &str = "/data/bench-startup/text";
/// So long that the job is still running when it has been measured.
const COPIES_OF_THE_TEXT: usize = 10;
const PATIENCE: Duration = Duration::from_secs(300);
const SAMPLE: Duration = Duration::from_millis(20);

/// One run of the job.
#[derive(Debug, Default)]
struct Run {
    seconds: f64,
    uploaded: f64,
    appmaster_mib: f64,
    executor_mib: f64,
}

fn main() -> Result<()> {
    let runs = match std::env::args().nth(1) {
        None => 5,
        Some(text) => text
            .parse()
            .with_context(|| format!("{text:?} is not a number of runs"))?,
    };
    ensure!(runs > 0, "the number of runs must be positive");
    let hadoop = TestHadoop::shared()?;
    let text = std::fs::read(repository_root().join("examples/data/jane-austen.txt"))
        .context("reading the example text")?;
    hadoop.hdfs().put(INPUT, text.repeat(COPIES_OF_THE_TEXT))?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for number in 0..runs {
        hadoop.hdfs().delete(&staging(&hadoop))?;
        cold.push(measure(&hadoop, &format!("cold-{number}"))?);
        warm.push(measure(&hadoop, &format!("warm-{number}"))?);
        println!(
            "run {}: cold {:.2} s, warm {:.2} s",
            number + 1,
            cold[number].seconds,
            warm[number].seconds
        );
    }
    hadoop.hdfs().delete("/data/bench-startup")?;
    report(&cold, &warm);
    Ok(())
}

fn report(cold: &[Run], warm: &[Run]) {
    println!(
        "\nmedians of {} runs                    cold        warm",
        cold.len()
    );
    for (name, value) in [
        (
            "seconds until RUNNING",
            (|run: &Run| run.seconds) as fn(&Run) -> f64,
        ),
        ("bytes uploaded", |run| run.uploaded),
        ("appmaster, peak MiB", |run| run.appmaster_mib),
        ("task executor, peak MiB", |run| run.executor_mib),
    ] {
        let median = |runs: &[Run]| median(runs.iter().map(value).collect());
        println!("{name:<28} {:>14.2} {:>14.2}", median(cold), median(warm));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

/// `-d` returns when all subtasks run; the memory is looked at from then to the end of the job.
fn measure(hadoop: &TestHadoop, name: &str) -> Result<Run> {
    let output = format!("/out/bench-startup-{name}");
    hadoop.hdfs().delete(&output)?;
    let before = sizes(hadoop.hdfs(), &staging(hadoop))?;
    let wordcount = dist_directory().join("examples/wordcount");
    let call = FlottCommand::on(hadoop)
        .args(["run", "-t", "yarn-per-job", "-d", "-p", "2"])
        .args([wordcount.as_os_str()])
        .args([
            "--input",
            &format!("hdfs://{INPUT}"),
            "--output",
            &format!("hdfs://{output}"),
        ])
        .run()?;
    ensure!(call.success(), "the job did not start: {}", call.text());
    let id = call.application_id()?;
    let after = sizes(hadoop.hdfs(), &staging(hadoop))?;
    let uploaded: u64 = after
        .iter()
        .filter(|(file, _)| !before.contains_key(*file))
        .map(|(_, size)| size)
        .sum();
    let peaks = peaks_until_end(hadoop, &id)?;
    let report = hadoop.yarn().application(&id)?;
    ensure!(
        report.final_status == "SUCCEEDED",
        "the job failed: {}",
        report.diagnostics
    );
    hadoop.hdfs().delete(&output)?;
    let appmaster = |container: &str| container.ends_with("_000001");
    let peak = |is_appmaster: bool| {
        let of_kind = peaks
            .iter()
            .filter(|(container, _)| appmaster(container) == is_appmaster);
        of_kind.map(|(_, kib)| *kib).max().map(mib)
    };
    Ok(Run {
        seconds: call.elapsed.as_secs_f64(),
        #[allow(clippy::cast_precision_loss, reason = "a size for people")]
        uploaded: uploaded as f64,
        appmaster_mib: peak(true).context("the appmaster was never seen")?,
        executor_mib: peak(false).context("no task executor was ever seen")?,
    })
}

#[allow(clippy::cast_precision_loss, reason = "a size for people")]
fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn staging(hadoop: &TestHadoop) -> String {
    format!("/user/{}/.flott", hadoop.user())
}

/// Files below a directory: path and modification time, and size.
fn sizes(hdfs: &WebHdfs, directory: &str) -> Result<BTreeMap<(String, u64), u64>> {
    let mut found = BTreeMap::new();
    if hdfs.status(directory)?.is_none() {
        return Ok(found);
    }
    for entry in hdfs.list(directory)? {
        let path = format!("{directory}/{}", entry.path_suffix);
        if entry.is_directory() {
            found.extend(sizes(hdfs, &path)?);
        } else {
            found.insert((path, entry.modification_time), entry.length);
        }
    }
    Ok(found)
}

/// The peak over time of the sum over a container's processes, by container, in KiB.
fn peaks_until_end(hadoop: &TestHadoop, id: &str) -> Result<BTreeMap<String, u64>> {
    let mut peaks: BTreeMap<String, u64> = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut asked = Instant::now();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut sums: BTreeMap<String, u64> = BTreeMap::new();
        let processes = container_processes(id)?;
        for process in &processes {
            *sums.entry(process.container.clone()).or_default() +=
                process.resident_kib().unwrap_or(0);
            known.insert(process.pid);
        }
        for (container, sum) in sums {
            let peak = peaks.entry(container).or_default();
            *peak = sum.max(*peak);
        }
        if processes.is_empty() || asked.elapsed() > Duration::from_secs(1) {
            asked = Instant::now();
            if hadoop.yarn().application(id)?.has_ended() {
                break;
            }
        }
        ensure!(
            Instant::now() < deadline,
            "{id} did not end within {PATIENCE:?}"
        );
        std::thread::sleep(SAMPLE);
    }
    ensure!(!known.is_empty(), "{id} had no process");
    // So that the next run finds the machine idle.
    wait_until("the containers' processes to end", PATIENCE, || {
        Ok(container_processes(id)?.is_empty())
    })?;
    Ok(peaks)
}
