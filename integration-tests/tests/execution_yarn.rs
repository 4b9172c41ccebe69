//! Programs that collect records, run jobs side by side and cancel them, on YARN.

use std::time::Duration;

use anyhow::{Result, ensure};
use flott_integration_tests::{Mode, TestHadoop, check_left_nothing, test_job};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn collected_records_and_a_job_made_of_them() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        let output = format!("/out/collects-{}", mode.name());
        hadoop.hdfs().delete(&output)?;
        let url = format!("hdfs://{output}");
        let arguments = ["rows", "--records", "100000", "--output", &url];
        let program = test_job("collects")?;
        let call = mode
            .call(&hadoop, &["-p", "2"], &program, arguments)
            .run()?;
        ensure!(call.success(), "{}", call.text());
        // The second job was deployed with what a worker saw of the first.
        let text = hadoop.hdfs().read_output(&output)?;
        ensure!(text.contains("count 100000\n"), "{text}");
        ensure!(text.contains("sum 5000050000\n"), "{text}");
        let first = call.stdout.split("JobID ").nth(1).unwrap_or_default();
        let first = first.split_whitespace().next().unwrap_or_default();
        ensure!(
            first.len() == 32 && text.contains(&format!("job {first}\n")),
            "{text}"
        );
        for id in call.application_ids() {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "SUCCEEDED");
            check_left_nothing(&hadoop, &id)?;
        }
    }
    Ok(())
}

#[test]
fn two_jobs_side_by_side_that_nobody_waits_for() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for (mode, applications) in [(Mode::PerJob, 2), (Mode::Application, 1)] {
        let output = format!("/out/beside-{}", mode.name());
        hadoop.hdfs().delete(&output)?;
        let url = format!("hdfs://{output}");
        let program = test_job("collects")?;
        let call = mode
            .call(&hadoop, &[], &program, ["beside", "--output", &url])
            .run()?;
        ensure!(call.success(), "{}", call.text());
        let ids = call.application_ids();
        ensure!(ids.len() == applications, "{}", call.text());
        ensure!(
            call.stdout.matches("Job Runtime: ").count() == 2,
            "{}",
            call.text()
        );
        for name in ["one", "other"] {
            let text = hadoop.hdfs().read_output(&format!("{output}/{name}"))?;
            assert_eq!(text, format!("{name}\n"));
        }
        for id in ids {
            let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
            assert_eq!(report.final_status, "SUCCEEDED");
            check_left_nothing(&hadoop, &id)?;
        }
    }
    Ok(())
}

#[test]
fn a_job_that_main_cancels_is_no_failure() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for mode in Mode::BOTH {
        for what in ["cancel", "limit"] {
            let program = test_job("collects")?;
            let call = mode.call(&hadoop, &["-p", "2"], &program, [what]).run()?;
            ensure!(call.success(), "{what}: {}", call.text());
            for id in call.application_ids() {
                let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
                // Per-job the application is the job.
                let expected = match mode {
                    Mode::PerJob => "KILLED",
                    Mode::Application => "SUCCEEDED",
                };
                assert_eq!(report.final_status, expected, "{what}");
                check_left_nothing(&hadoop, &id)?;
            }
        }
    }
    Ok(())
}
