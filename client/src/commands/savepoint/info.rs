//! `flott savepoint info`: what is in a savepoint or a retained checkpoint.

mod gather;
mod print;

use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;

use crate::cli::{self, SavepointInfoArgs};
use crate::console::Console;
use crate::settings::Settings;

/// Reads its metadata and the indexes of its states, and prints what they say. No cluster is asked.
pub(super) async fn info(
    args: SavepointInfoArgs,
    console: &Rc<Console>,
) -> anyhow::Result<ExitCode> {
    let given = cli::Settings {
        parallelism: None,
        define: args.define,
    };
    let files = Settings::load(&given, &[], console)?.file_systems()?;
    let stored = flott_jobmanager::load_checkpoint(&files, &args.path).await?;
    let (directory, path) = (stored.directory, stored.path);
    let metadata = stored.metadata;
    let described = {
        let metadata = Arc::clone(&metadata);
        // Reading waits, and must not do so in a task.
        tokio::task::spawn_blocking(move || gather::describe(&files, &directory, &metadata))
    };
    let vertices = described
        .await
        .context("the savepoint's states were not read to the end")??;
    for line in print::lines(&path, &metadata, &vertices) {
        console.line(&line);
    }
    Ok(ExitCode::SUCCESS)
}
