//! Where workers keep copies of their state (`execution.checkpointing.local-backup.enabled`). They outlive the workers that
//! wrote them, and neither their job nor the agent.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use flott_config::{Configuration, options};
use flott_protocol::message::WorkerSpec;
use tokio::task::JoinSet;

/// The directories of one container.
#[derive(Debug)]
pub(crate) struct LocalState {
    container: String,
    /// Where they are unless a job says otherwise.
    default: PathBuf,
    /// Those that workers were told.
    told: BTreeSet<PathBuf>,
    /// Jobs that have ended while workers of theirs had not.
    released: BTreeSet<String>,
    /// Deletions, which may take long.
    deleting: JoinSet<()>,
}

impl LocalState {
    /// `default`: the container's own directory on a disk.
    pub(crate) fn new(container: &str, default: PathBuf) -> Self {
        Self {
            container: container.to_owned(),
            default,
            told: BTreeSet::new(),
            released: BTreeSet::new(),
            deleting: JoinSet::new(),
        }
    }

    /// Deletes what an agent before this one left.
    pub(crate) fn clear(&self) {
        remove(&self.default);
    }

    /// Tells a worker where to write, if its job wants copies.
    pub(crate) fn tell(&mut self, spec: &mut WorkerSpec) {
        // What cannot be read is the worker's to complain about.
        let Ok(configuration) = Configuration::from_map(spec.graph.configuration.clone()) else {
            return;
        };
        let directories = directories(&configuration, &self.container, &self.default);
        spec.local_state_dirs = directories
            .iter()
            .map(|directory| directory.to_string_lossy().into_owned())
            .collect();
        self.told.extend(directories);
    }

    /// A job has ended.
    pub(crate) fn release(&mut self, job: &str) {
        self.released.insert(job.to_owned());
    }

    /// Deletes what was released and is not being written any more.
    pub(crate) fn delete_released(&mut self, lives: impl Fn(&str) -> bool) {
        while self.deleting.try_join_next().is_some() {}
        let (told, deleting) = (&self.told, &mut self.deleting);
        self.released.retain(|job| {
            if lives(job) {
                return true;
            }
            let directories: Vec<PathBuf> = told.iter().map(|it| it.join(job)).collect();
            deleting.spawn_blocking(move || directories.iter().for_each(|it| remove(it)));
            false
        });
    }

    /// Deletes everything; all workers have ended.
    pub(crate) async fn end(mut self) {
        self.deleting.shutdown().await;
        let deleting =
            tokio::task::spawn_blocking(move || self.told.iter().for_each(|it| remove(it)));
        if tokio::time::timeout(crate::partitions::END_PATIENCE, deleting)
            .await
            .is_err()
        {
            tracing::warn!("copies of state are left");
        }
    }
}

/// The directories that a job's configuration wants; none if it wants no copies.
fn directories(configuration: &Configuration, container: &str, default: &Path) -> Vec<PathBuf> {
    if !configuration.get(&options::EXECUTION_CHECKPOINTING_LOCAL_BACKUP_ENABLED) {
        return Vec::new();
    }
    let roots = configuration.get(&options::EXECUTION_CHECKPOINTING_LOCAL_BACKUP_DIRS);
    let roots = roots.unwrap_or_default();
    let roots = roots
        .split([',', ':'])
        .map(str::trim)
        .filter(|root| !root.is_empty());
    let named = roots.map(|root| Path::new(root).join(format!("flott-local-state-{container}")));
    let named: Vec<PathBuf> = named.collect();
    if named.is_empty() {
        vec![default.to_owned()]
    } else {
        named
    }
}

fn remove(directory: &Path) {
    match std::fs::remove_dir_all(directory) {
        Ok(()) => (),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
        Err(error) => {
            let directory = directory.display();
            tracing::warn!(%error, %directory, "copies of state are left");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flott_model::JobGraph;

    use super::*;

    fn spec(settings: &[(&str, &str)]) -> WorkerSpec {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        WorkerSpec {
            graph: JobGraph {
                configuration: settings.iter().map(own).collect::<BTreeMap<_, _>>(),
                ..JobGraph::default()
            },
            ..WorkerSpec::default()
        }
    }

    fn told(settings: &[(&str, &str)]) -> Vec<String> {
        let mut state = LocalState::new("c1", PathBuf::from("/own"));
        let mut spec = spec(settings);
        state.tell(&mut spec);
        spec.local_state_dirs
    }

    #[test]
    fn copies_are_where_the_job_wants_them() {
        let enabled = ("execution.checkpointing.local-backup.enabled", "true");
        assert_eq!(told(&[]), Vec::<String>::new());
        assert_eq!(told(&[enabled]), ["/own"]);
        let old = ("state.backend.local-recovery", "true");
        let roots = ("taskmanager.state.local.root-dirs", "/a, /b:/c");
        assert_eq!(
            told(&[old, roots]),
            [
                "/a/flott-local-state-c1",
                "/b/flott-local-state-c1",
                "/c/flott-local-state-c1"
            ]
        );
    }

    #[tokio::test]
    async fn they_go_with_their_job_once_its_worker_has_ended_and_with_the_agent() {
        let disk = tempfile::tempdir().unwrap();
        let own = disk.path().join("own");
        let mut state = LocalState::new("c1", own.clone());
        let of = |job: &str| own.join(job).join("chk-1");
        for job in ["old", "one", "two"] {
            std::fs::create_dir_all(of(job)).unwrap();
            if job == "old" {
                state.clear();
                assert!(!own.exists(), "an agent before this one left it");
            }
        }
        state.tell(&mut spec(&[(
            "execution.checkpointing.local-backup.enabled",
            "true",
        )]));
        state.release("one");
        state.delete_released(|job| job == "one");
        while state.deleting.join_next().await.is_some() {}
        assert!(of("one").exists(), "its worker lives");
        state.delete_released(|_| false);
        while state.deleting.join_next().await.is_some() {}
        assert!(!own.join("one").exists());
        assert!(of("two").exists());
        state.end().await;
        assert!(!own.exists());
    }
}
