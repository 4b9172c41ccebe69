//! Every example: alone with what it generates, and with inputs whose results are computed here in
//! another way. Without Hadoop; what an example does on YARN is `yarn.rs`.

mod click_sessions;
mod custom_connector;
mod enrichment;
mod fraud;
mod log_analysis;
mod order_payment;
mod program;
mod rules;
mod socket;
mod top_speed;
mod yarn;

use anyhow::Result;
use program::Example;

/// All but the one that needs a socket to end: each prints something, the same each time it is
/// sorted, whatever the parallelism.
#[test]
fn each_example_runs_alone_and_does_the_same_each_time() -> Result<()> {
    for name in [
        "wordcount",
        "top-speed-windowing",
        "click-sessions",
        "fraud-detection",
        "broadcast-rules",
        "async-enrichment",
    ] {
        let printed = |parallelism| -> Result<Vec<String>> {
            let output = Example::new(name)?.parallelism(parallelism).run()?;
            let lines = output.lines().map(|line| {
                // Several subtasks say which of them prints.
                let said = line.split_once("> ").map_or(line, |(_, said)| said);
                said.to_owned()
            });
            let mut lines: Vec<String> = lines.collect();
            lines.sort();
            Ok(lines)
        };
        let alone = printed(1)?;
        assert!(alone.len() > 10, "{name} printed {alone:?}");
        assert_eq!(alone, printed(3)?, "{name}");
    }
    Ok(())
}

#[test]
fn each_example_says_how_it_is_called() -> Result<()> {
    for name in program::EXAMPLES {
        let help = Example::new(name)?.args(["--help"]).run()?;
        assert!(help.contains("Usage: "), "{name}: {help}");
    }
    Ok(())
}
