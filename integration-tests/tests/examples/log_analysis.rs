//! The report of a log in both modes, against sums over what the log was made of.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::program::{Example, Random, sorted_lines};

/// Requests, errors, bytes, the largest answer: by hour and path.
type Report = BTreeMap<String, [u64; 4]>;

struct Log {
    text: String,
    report: Report,
    bad: Vec<String>,
}

fn log() -> Log {
    let mut random = Random::new(31);
    let (mut text, mut report, mut bad) = (String::new(), Report::new(), Vec::new());
    for index in 0..20_000_u64 {
        if random.below(100) == 0 {
            let line = format!("what is this? {index}");
            text += &format!("{line}\n");
            bad.push(line);
            continue;
        }
        let (day, hour, path) = (1 + random.below(3), random.below(24), random.below(8));
        let status = [200, 200, 304, 404, 500][random.below(5) as usize];
        let bytes = random.below(3_000);
        let shown = if bytes == 0 {
            "-".to_owned()
        } else {
            bytes.to_string()
        };
        let query = if random.below(2) == 0 { "?q=a+b" } else { "" };
        text += &format!(
            "10.1.1.{} - user [0{day}/Nov/2026:{hour:02}:{:02}:00 +0000] \"GET /p{path}{query} HTTP/1.1\" {status} {shown}\n",
            random.below(200),
            random.below(60)
        );
        let key = format!("0{day}/Nov/2026:{hour:02} /p{path}");
        let [requests, errors, sum, largest] = report.entry(key).or_default();
        *requests += 1;
        *errors += u64::from(status >= 400);
        *sum += bytes;
        *largest = bytes.max(*largest);
    }
    bad.sort();
    Log { text, report, bad }
}

/// For each hour and path the line with the most requests, and how many lines there are in all.
fn last_updates(lines: &[String]) -> Result<Report> {
    let mut report = Report::new();
    for line in lines {
        let mut words = line.split(' ');
        let key = [words.next(), words.next()].map(|word| word.unwrap_or_default());
        let mut numbers = [0; 4];
        for (number, name) in numbers
            .iter_mut()
            .zip(["requests=", "errors=", "bytes=", "largest="])
        {
            let word = words.next().and_then(|word| word.strip_prefix(name));
            let word = word.with_context(|| format!("no {name} in {line:?}"))?;
            *number = word.parse()?;
        }
        let entry = report.entry(key.join(" ")).or_insert(numbers);
        if numbers[0] > entry[0] {
            *entry = numbers;
        }
    }
    Ok(report)
}

#[test]
fn batch_and_streaming_come_to_the_same_report() -> Result<()> {
    let log = log();
    let requests: u64 = log.report.values().map(|[requests, ..]| requests).sum();
    for (mode, lines, parallelism) in [
        ("BATCH", log.report.len() as u64, 1),
        ("BATCH", log.report.len() as u64, 3),
        ("STREAMING", requests, 1),
        ("STREAMING", requests, 3),
    ] {
        let example = Example::new("log-analysis")?
            .set("execution.runtime-mode", mode)
            .parallelism(parallelism)
            .input("--input", &log.text)?;
        let output = example.path("result");
        example
            .args(["--output".as_ref(), output.as_os_str()])
            .run_and(|| {
                let report = sorted_lines(&output.join("report"))?;
                assert_eq!(report.len() as u64, lines, "{mode}");
                assert_eq!(last_updates(&report)?, log.report, "{mode}");
                assert_eq!(sorted_lines(&output.join("bad"))?, log.bad, "{mode}");
                Ok(())
            })?;
    }
    Ok(())
}

#[test]
fn the_program_may_ask_for_batch_itself() -> Result<()> {
    let log = log();
    let example = Example::new("log-analysis")?
        .parallelism(2)
        .input("--input", &log.text)?
        .args(["--batch"]);
    let output = example.path("result");
    example
        .args(["--output".as_ref(), output.as_os_str()])
        .run_and(|| {
            let report = sorted_lines(&output.join("report"))?;
            assert_eq!(report.len(), log.report.len());
            assert_eq!(last_updates(&report)?, log.report);
            Ok(())
        })
}
