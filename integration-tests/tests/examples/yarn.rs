//! Every example as a program on YARN, one application after the other: what it writes to HDFS is
//! what it prints here.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flott_integration_tests::{Mode, TestHadoop, check_left_nothing};

use crate::program::{Example, executable};

const PATIENCE: Duration = Duration::from_secs(120);

/// Those whose generated input is made in the workers, and whose result is the same each time.
const SELF_CONTAINED: [&str; 4] = [
    "top-speed-windowing",
    "click-sessions",
    "fraud-detection",
    "broadcast-rules",
];

#[test]
fn examples_do_the_same_on_yarn() -> Result<()> {
    let hadoop = TestHadoop::shared()?;
    for (index, name) in SELF_CONTAINED.into_iter().enumerate() {
        let mode = Mode::BOTH[index % 2];
        let output = format!("/out/examples/{name}");
        hadoop.hdfs().delete(&output)?;
        let arguments = ["--output".to_owned(), format!("hdfs://{output}")];
        let call = mode
            .call(&hadoop, &["-p", "2"], &executable(name)?, arguments)
            .run()?;
        ensure!(call.success(), "{name}: {}", call.text());
        let id = call.application_id()?;
        let report = hadoop.yarn().wait_for_end(&id, PATIENCE)?;
        assert_eq!(report.final_status, "SUCCEEDED", "{name}");
        let written = hadoop.hdfs().read_output(&output)?;
        let mut written: Vec<String> = written.lines().map(str::to_owned).collect();
        written.sort();
        let here = Example::new(name)?.parallelism(2).lines().context(name)?;
        assert_eq!(written, here, "{name} in mode {}", mode.name());
        check_left_nothing(&hadoop, &id)?;
    }
    Ok(())
}
