//! Children: this executable once more, with a configuration directory of its own. The environment
//! of a process decides its configuration, and tests must not change their own.

use std::process::{Command, Stdio};

use flott::StreamExecutionEnvironment;

/// Names the program that a child runs.
const PROGRAM: &str = "FLOTT_TEST_PROGRAM";

/// A command that runs a program of [`entry`].
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child::entry", "--exact", "--nocapture"])
        .env(PROGRAM, program)
        .stdin(Stdio::null());
    command
}

/// Runs a program under these settings; fails with its output if it fails.
pub(crate) fn run(program: &str, settings: &[(&str, &str)]) {
    if let Err(output) = try_run(program, settings) {
        panic!("'{program}' under {settings:?}: {output}");
    }
}

fn try_run(program: &str, settings: &[(&str, &str)]) -> Result<(), String> {
    let directory = tempfile::tempdir().unwrap();
    let text: String = settings
        .iter()
        .map(|(key, value)| format!("{key}: {value}\n"))
        .collect();
    std::fs::write(directory.path().join("flott-conf.yaml"), text).unwrap();
    let output = command(program)
        .env("FLOTT_CONF_DIR", directory.path())
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// In a child: its program. Otherwise: children have the configuration they are given, and their
/// failures are seen.
#[test]
fn entry() {
    match std::env::var(PROGRAM).as_deref() {
        Err(_) => {
            run("parallelism-is-3", &[("parallelism.default", "3")]);
            let wrong = try_run("parallelism-is-3", &[("parallelism.default", "4")]);
            assert!(wrong.unwrap_err().contains("child.rs"));
        }
        Ok("parallelism-is-3") => {
            let env = StreamExecutionEnvironment::get().unwrap();
            assert_eq!(env.default_parallelism(), 3);
        }
        Ok("prints") => crate::sinks::prints(),
        Ok("sinks-survive") => crate::sinks::sinks_survive(),
        Ok("sources-survive") => crate::reading::sources_survive(),
        Ok("sources-keep-together") => crate::reading::sources_keep_together(),
        Ok("restarts-until-it-works") => crate::failures::restarts_until_it_works(),
        Ok("restarts-are-exhausted") => crate::failures::restarts_are_exhausted(),
        Ok("cannot-be-serialized") => crate::failures::cannot_be_serialized(),
        Ok("slow-consumer") => crate::pressure::slow_consumer(),
        Ok("random-pipelines") => crate::random::random_pipelines(),
        Ok("every-exchange") => crate::operators::every_exchange(),
        Ok("many-jobs") => crate::environment::many_jobs(),
        Ok("two-jobs-one-value") => crate::environment::two_jobs_one_value(),
        Ok("main-ends-first") => crate::asynchronous::main_ends_first(),
        Ok("configured") => crate::asynchronous::configured(),
        Ok("collects-then-executes") => crate::collect::collects_then_executes(),
        Ok("sized-batch") => crate::resources::sized_batch(),
        Ok("word-count") => crate::plan::word_count(),
        Ok(other) => panic!("no program is called '{other}'"),
    }
}
