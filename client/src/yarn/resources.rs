//! What an application needs: files of this machine, and containers that the cluster can give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flott_config::options::{TASKMANAGER_MEMORY_NETWORK_FRACTION, TASKMANAGER_MEMORY_NETWORK_MAX};
use flott_config::{Configuration, ExecutorMemory};
use flott_hadoop::yarn::Resource;
use flott_model::JobGraph;
use flott_protocol::application::{APPMASTER_FILE, PROGRAM_FILE, SPEC_FILE, TASKEXECUTOR_FILE};
use futures::future::try_join_all;

use super::staging::{Kind, LocalFile};

/// Names that belong to Flott in a container's working directory.
const RESERVED: [&str; 5] = [
    APPMASTER_FILE,
    TASKEXECUTOR_FILE,
    PROGRAM_FILE,
    SPEC_FILE,
    "container_tokens",
];

/// Each is an entry in every launch context, which YARN keeps in memory.
const MAX_SHIPPED: usize = 500;

/// A container that will be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    /// For what, as in "the … needs".
    pub(crate) purpose: String,
    pub(crate) resource: Resource,
    /// The key that says how much memory, or who else does.
    pub(crate) memory_key: &'static str,
    /// The key that says how many cores, or who else does.
    pub(crate) vcores_key: &'static str,
}

/// Refuses what no node may give. YARN itself would accept it and fail later, or wait forever.
pub(crate) fn check_capacity(asks: &[Ask], maximum: &Resource) -> anyhow::Result<()> {
    for Ask {
        purpose,
        resource,
        memory_key,
        vcores_key,
    } in asks
    {
        ensure!(
            resource.memory_mb <= maximum.memory_mb,
            "a container for the {purpose} needs {} MiB, but the cluster gives at most {} MiB to \
             one container: lower {memory_key}",
            resource.memory_mb,
            maximum.memory_mb
        );
        ensure!(
            resource.vcores <= maximum.vcores,
            "a container for the {purpose} needs {} vcores, but the cluster gives at most {} to \
             one container: lower {vcores_key}",
            resource.vcores,
            maximum.vcores
        );
    }
    Ok(())
}

/// The containers that will be asked for because slots of a job must offer something. Those whose needs
/// a task executor of default size meets are not larger than that one.
pub(crate) fn asks_of(configuration: &Configuration, job: &JobGraph) -> anyhow::Result<Vec<Ask>> {
    let groups = job.group_resources.iter().map(|resources| {
        let (group, profile) = (&resources.group, resources.profile);
        let memory = ExecutorMemory::for_tasks(configuration, profile.memory_bytes());
        let memory = memory.with_context(|| {
            format!(
                "no container is large enough for slot sharing group '{group}' ({profile}): see {} and {}",
                TASKMANAGER_MEMORY_NETWORK_FRACTION.key(),
                TASKMANAGER_MEMORY_NETWORK_MAX.key()
            )
        })?;
        Ok(Ask {
            purpose: format!("slot sharing group '{group}' ({profile})"),
            resource: Resource {
                memory_mb: i64::try_from(memory.process_bytes >> 20)?,
                vcores: i32::try_from(profile.whole_cores())?,
            },
            memory_key: "the memory that the program asks for",
            vcores_key: "the cores that the program asks for",
        })
    });
    groups.collect()
}

/// Refuses a queue that does not exist: YARN itself would accept the application and fail it.
pub(crate) fn check_queue(queue: &str, leaves: &[String]) -> anyhow::Result<()> {
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let exists = leaves.is_empty()
        || leaves
            .iter()
            .any(|leaf| leaf == queue || last(leaf) == queue);
    if !exists {
        bail!(
            "there is no queue '{queue}' (yarn.application.queue); the cluster has {}",
            leaves.join(", ")
        );
    }
    Ok(())
}

/// Flott's executables are beside this one.
pub(crate) fn engine_directory() -> anyhow::Result<PathBuf> {
    let executable = std::env::current_exe().context("cannot find the flott executable")?;
    let executable = executable.canonicalize().unwrap_or(executable);
    let directory = executable
        .parent()
        .context("the flott executable is in no directory")?;
    for name in [APPMASTER_FILE, TASKEXECUTOR_FILE] {
        ensure!(
            directory.join(name).is_file(),
            "{name} is not beside {}: the installation is not complete",
            executable.display()
        );
    }
    Ok(directory.to_owned())
}

/// A file that goes along with the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShippedFile {
    /// Name in the container: of the file, or of the directory and what is below it.
    name: String,
    path: PathBuf,
}

/// The files that yarn.ship-files names, those of directories included.
pub(crate) fn shipped_files(named: &[String]) -> anyhow::Result<Vec<ShippedFile>> {
    let mut files = BTreeMap::new();
    for text in named
        .iter()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
    {
        let path = Path::new(text.strip_prefix("file://").unwrap_or(text));
        let path = path.canonicalize().map_err(|_| {
            anyhow::anyhow!("yarn.ship-files names {text}, which is not there on this machine")
        })?;
        let name = ship_name(&path)?;
        collect(name, path, &mut files).with_context(|| format!("yarn.ship-files names {text}"))?;
    }
    Ok(files
        .into_iter()
        .map(|(name, path)| ShippedFile { name, path })
        .collect())
}

fn collect(
    name: String,
    path: PathBuf,
    files: &mut BTreeMap<String, PathBuf>,
) -> anyhow::Result<()> {
    if path.is_dir() {
        for entry in std::fs::read_dir(&path)? {
            let path = entry?.path();
            collect(format!("{name}/{}", ship_name(&path)?), path, files)?;
        }
        return Ok(());
    }
    ensure!(
        !RESERVED.contains(&name.as_str()),
        "the name {name} belongs to Flott: rename the file"
    );
    if let Some(other) = files.insert(name.clone(), path.clone()) {
        ensure!(
            other == path,
            "{} and {} are both called {name}; each file needs its own name",
            other.display(),
            path.display()
        );
    }
    ensure!(
        files.len() <= MAX_SHIPPED,
        "that are more than {MAX_SHIPPED} files: ship an archive"
    );
    Ok(())
}

fn ship_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no usable name", path.display()))?;
    Ok(name.to_owned())
}

/// Reads and hashes everything the containers need: engine, program, shipped files.
pub(crate) async fn read_all(
    engine: &Path,
    program: &Path,
    shipped: &[ShippedFile],
) -> anyhow::Result<Vec<LocalFile>> {
    let engine_file =
        |name: &str| LocalFile::read(name.to_owned(), engine.join(name), Kind::Engine);
    let mut files = vec![
        engine_file(APPMASTER_FILE),
        engine_file(TASKEXECUTOR_FILE),
        LocalFile::read(PROGRAM_FILE.to_owned(), program.to_owned(), Kind::Program),
    ];
    for ShippedFile { name, path } in shipped {
        files.push(LocalFile::read(name.clone(), path.clone(), Kind::Shipped));
    }
    try_join_all(files).await
}

#[cfg(test)]
mod tests {
    use flott_model::{GroupResources, ResourceProfile};

    use super::*;

    fn ask(memory_mb: i64, vcores: i32) -> Ask {
        Ask {
            purpose: "JobManager".to_owned(),
            resource: Resource { memory_mb, vcores },
            memory_key: "jobmanager.memory.process.size",
            vcores_key: "yarn.appmaster.vcores",
        }
    }

    #[test]
    fn too_large_containers_name_what_to_change() {
        let maximum = Resource {
            memory_mb: 1024,
            vcores: 2,
        };
        check_capacity(&[ask(1024, 2)], &maximum).unwrap();
        let message = check_capacity(&[ask(1, 1), ask(1025, 1)], &maximum)
            .unwrap_err()
            .to_string();
        assert!(message.contains("needs 1025 MiB"), "{message}");
        assert!(message.contains("at most 1024 MiB"), "{message}");
        assert!(
            message.contains("lower jobmanager.memory.process.size"),
            "{message}"
        );
        let message = check_capacity(&[ask(1, 3)], &maximum)
            .unwrap_err()
            .to_string();
        assert!(message.contains("lower yarn.appmaster.vcores"), "{message}");
    }

    #[test]
    fn groups_that_ask_for_too_much_are_named() {
        let resources = GroupResources {
            group: "big".to_owned(),
            profile: ResourceProfile {
                cpu_millicores: 1500,
                task_heap_bytes: 700 << 20,
                ..ResourceProfile::default()
            },
        };
        let job = JobGraph {
            group_resources: vec![resources],
            ..JobGraph::default()
        };
        let configuration = Configuration::default();
        assert_eq!(asks_of(&configuration, &JobGraph::default()).unwrap(), []);
        let asks = asks_of(&configuration, &job).unwrap();
        let expected = Resource {
            memory_mb: 920,
            vcores: 2,
        };
        assert_eq!(asks[0].resource, expected);
        let message = check_capacity(
            &asks,
            &Resource {
                memory_mb: 919,
                ..expected
            },
        );
        let message = message.unwrap_err().to_string();
        for part in [
            "slot sharing group 'big' (1.5 cores, 700 MiB task heap) needs 920 MiB",
            "lower the memory that the program asks for",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn queues_are_known_by_name_and_by_path() {
        let leaves = ["root.default".to_owned(), "root.prod.etl".to_owned()];
        check_queue("default", &leaves).unwrap();
        check_queue("root.prod.etl", &leaves).unwrap();
        check_queue("anything", &[]).unwrap();
        let message = check_queue("nope", &leaves).unwrap_err().to_string();
        assert!(message.contains("no queue 'nope'"), "{message}");
        assert!(message.contains("root.default, root.prod.etl"), "{message}");
    }

    #[test]
    fn shipped_files_exist_and_have_names_of_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, name).unwrap();
            path.display().to_string()
        };
        let (a, b, again, program) = (file("a"), file("b"), file("x/a"), file("program"));
        file("x/y/c");
        let named = [a.clone(), format!(" file://{b}"), String::new(), a.clone()];
        let names =
            |files: Vec<ShippedFile>| files.into_iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(names(shipped_files(&named).unwrap()), ["a", "b"]);
        let tree = directory.path().join("x").display().to_string();
        assert_eq!(names(shipped_files(&[tree]).unwrap()), ["x/a", "x/y/c"]);
        for (named, expected) in [
            (
                vec![a.clone(), "/no/such/file".to_owned()],
                "names /no/such/file",
            ),
            (vec![a, again], "both called a"),
            (vec![program], "belongs to Flott"),
        ] {
            let message = format!("{:#}", shipped_files(&named).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
    }
}
