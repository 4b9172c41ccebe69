//! WordCount on the embedded cluster: no Hadoop in sight.

use anyhow::{Result, ensure};
use flott_integration_tests::{
    FlottCommand, count_words, dist_directory, largest_counts, read_output, repository_root,
};

fn local(parallelism: &str, input: &std::path::Path, output: &std::path::Path) -> FlottCommand {
    FlottCommand::new()
        .args(["run", "-t", "local", "-p", parallelism])
        .args([dist_directory().join("examples/wordcount")])
        .args([
            "--input".as_ref(),
            input.as_os_str(),
            "--output".as_ref(),
            output.as_os_str(),
        ])
}

#[test]
fn the_novels_are_counted_as_an_independent_count_does() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let input = repository_root().join("examples/data/jane-austen.txt");
    let expected = count_words(&std::fs::read_to_string(&input)?);
    for parallelism in ["1", "3"] {
        let output = directory.path().join(parallelism);
        let call = local(parallelism, &input, &output).run()?;
        ensure!(call.success(), "{}", call.text());
        ensure!(call.stdout.contains("Job Runtime: "), "{}", call.text());
        assert_eq!(
            largest_counts(&read_output(&output)?)?,
            expected,
            "parallelism {parallelism}"
        );
    }
    Ok(())
}

#[test]
fn every_update_is_written_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (input, output) = (directory.path().join("in"), directory.path().join("out"));
    std::fs::create_dir(&input)?;
    std::fs::write(input.join("1.txt"), "to be or not to be")?;
    std::fs::write(input.join("2.txt"), "To-be,\n\nTO_BE\n")?;
    let call = local("2", &input, &output).run()?;
    ensure!(call.success(), "{}", call.text());
    let text = read_output(&output)?;
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "be 1", "be 2", "be 3", "not 1", "or 1", "to 1", "to 2", "to 3", "to_be 1"
        ]
    );
    Ok(())
}

#[test]
fn an_empty_file_gives_an_empty_result() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let (input, output) = (directory.path().join("empty"), directory.path().join("out"));
    std::fs::write(&input, "")?;
    let call = local("2", &input, &output).run()?;
    ensure!(call.success(), "{}", call.text());
    assert_eq!(read_output(&output)?, "");
    Ok(())
}
