//! The staged files that containers localize: checked before each launch, and put there again from
//! this container's own copies if somebody removed or replaced them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use flott_filesystem::{CreateOptions, FileSystems, READ_CHUNK, join};
use flott_protocol::application::StagedFile;
use flott_protocol::rpc::hex;
use tokio::io::AsyncReadExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Containers are launched in bursts; one check serves a burst.
const CHECK_VALID_FOR: Duration = Duration::from_secs(1);

/// The files every task executor's container needs.
pub(crate) struct Resources {
    file_systems: FileSystems,
    /// Where files go that must be put there again.
    staging_directory: String,
    /// Where this container's copies are.
    directory: PathBuf,
    // An async mutex: the launches of a burst wait for the check of the first.
    checked: Mutex<Checked>,
}

struct Checked {
    files: Vec<StagedFile>,
    at: Option<Instant>,
}

impl Resources {
    pub(crate) fn new(
        file_systems: FileSystems,
        staging_directory: String,
        directory: PathBuf,
        files: Vec<StagedFile>,
    ) -> Self {
        let checked = Mutex::new(Checked { files, at: None });
        Self {
            file_systems,
            staging_directory,
            directory,
            checked,
        }
    }

    /// The files as they can be localized now.
    pub(crate) async fn usable(&self) -> anyhow::Result<Vec<StagedFile>> {
        let mut checked = self.checked.lock().await;
        if checked.at.is_none_or(|at| at.elapsed() > CHECK_VALID_FOR) {
            for file in &mut checked.files {
                if !self.is_unchanged(file).await? {
                    tracing::warn!(url = file.url, "a staged file is gone or changed");
                    *file = self.stage_again(file).await?;
                }
            }
            checked.at = Some(Instant::now());
        }
        Ok(checked.files.clone())
    }

    /// Removes the application's staging directory.
    pub(crate) async fn remove_staging_directory(&self) -> anyhow::Result<()> {
        if self.staging_directory.is_empty() {
            return Ok(());
        }
        let (files, path) = self.file_systems.resolve(&self.staging_directory)?;
        files.delete(&path, true).await?;
        Ok(())
    }

    async fn is_unchanged(&self, file: &StagedFile) -> anyhow::Result<bool> {
        let (files, path) = self.file_systems.resolve(&file.url)?;
        match files.status(&path).await {
            // The NodeManager compares both exactly.
            Ok(status) => {
                Ok(status.len == file.size
                    && status.modification_time_ms == file.modification_time_ms)
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error).with_context(|| format!("checking {} failed", file.url)),
        }
    }

    /// Never where it was: others may rely on what is there now.
    async fn stage_again(&self, file: &StagedFile) -> anyhow::Result<StagedFile> {
        let copy = self.directory.join(&file.name);
        if self.staging_directory.is_empty() {
            bail!(
                "{} is gone or changed, and there is no staging directory",
                file.url
            );
        }
        let (files, root) = self.file_systems.resolve(&self.staging_directory)?;
        let path = join(&root, &hex(&file.sha256));
        let options = CreateOptions {
            permission: 0o700,
            ..CreateOptions::overwriting()
        };
        let mut writer = files.create(&path, options).await?;
        let written = copy_into(&copy, writer.as_mut()).await;
        if let Err(error) = written {
            // Best effort: the failed copy is the error that matters.
            let _ = writer.abort().await;
            return Err(error);
        }
        writer.close().await?;
        let status = files.status(&path).await?;
        if status.len != file.size {
            bail!(
                "{} is gone or changed, and so is {}",
                file.url,
                copy.display()
            );
        }
        Ok(StagedFile {
            url: files.qualify(&path),
            size: status.len,
            modification_time_ms: status.modification_time_ms,
            public: false,
            ..file.clone()
        })
    }
}

async fn copy_into(
    path: &Path,
    writer: &mut dyn flott_filesystem::FileWriter,
) -> anyhow::Result<()> {
    let open = tokio::fs::File::open(path).await;
    let mut file = open.with_context(|| {
        format!(
            "{} is to be staged again, but cannot be read",
            path.display()
        )
    })?;
    loop {
        let mut chunk = Vec::with_capacity(READ_CHUNK);
        let read = (&mut file)
            .take(READ_CHUNK as u64)
            .read_to_end(&mut chunk)
            .await?;
        if read == 0 {
            return Ok(());
        }
        writer.write(Bytes::from(chunk)).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Area {
        directory: tempfile::TempDir,
        resources: Resources,
        url: String,
    }

    /// A staged file, and the same file in the container.
    async fn area() -> Area {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("container")).unwrap();
        for path in [at("staged"), at("container/program")] {
            std::fs::write(path, "the program").unwrap();
        }
        let file_systems = FileSystems::local();
        let url = format!("file://{}", at("staged").display());
        let (files, path) = file_systems.resolve(&url).unwrap();
        let status = files.status(&path).await.unwrap();
        let file = StagedFile {
            name: "program".to_owned(),
            url: url.clone(),
            size: status.len,
            modification_time_ms: status.modification_time_ms,
            public: true,
            sha256: vec![0xab; 32],
            bundle: true,
        };
        let staging = format!("file://{}", at("staging").display());
        let resources = Resources::new(file_systems, staging, at("container"), vec![file]);
        Area {
            directory,
            resources,
            url,
        }
    }

    #[tokio::test]
    async fn untouched_files_are_used_as_they_are() {
        let area = area().await;
        assert_eq!(area.resources.usable().await.unwrap()[0].url, area.url);
        assert!(!area.directory.path().join("staging").exists());
    }

    #[tokio::test]
    async fn removed_and_changed_files_are_staged_again_from_the_containers_copy() {
        for change in [
            |path: &Path| std::fs::remove_file(path),
            |path: &Path| std::fs::write(path, "another program"),
        ] {
            let area = area().await;
            change(&area.directory.path().join("staged")).unwrap();
            let files = area.resources.usable().await.unwrap();
            assert_ne!(files[0].url, area.url);
            assert!(!files[0].public);
            let path = files[0].url.strip_prefix("file://").unwrap();
            assert_eq!(std::fs::read_to_string(path).unwrap(), "the program");
            area.resources.remove_staging_directory().await.unwrap();
            assert!(!area.directory.path().join("staging").exists());
        }
    }

    #[tokio::test]
    async fn without_a_copy_it_says_what_is_missing() {
        let area = area().await;
        std::fs::remove_file(area.directory.path().join("staged")).unwrap();
        std::fs::remove_file(area.directory.path().join("container/program")).unwrap();
        let error = area.resources.usable().await.unwrap_err();
        assert!(format!("{error:#}").contains("cannot be read"), "{error:#}");
    }
}
