//! Brings an application onto the cluster: checks what can be checked before anything exists,
//! stages, submits, and looks whether YARN took it as it was meant.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use flott_config::executor_vcores;
use flott_config::options::{
    JOBMANAGER_MEMORY_PROCESS_SIZE, TASKMANAGER_MEMORY_PROCESS_SIZE, YARN_APPMASTER_VCORES,
    YARN_FILE_REPLICATION, YARN_SHIP_FILES, YARN_STAGING_DIRECTORY,
};
use flott_filesystem::FileSystems;
use flott_hadoop::HadoopConf;
use flott_hadoop::yarn::rest::NewApplication;
use flott_hadoop::yarn::{ApplicationId, Resource};
use flott_model::JobGraph;
use flott_protocol::application::{
    APPMASTER_FILE, ApplicationSpec, DeploymentMode, PROGRAM_FILE, StagedFile,
};
use prost::Message as _;

use super::created::{Created, Phase};
use super::resource_manager::ResourceManager;
use super::resources::{self, Ask, ShippedFile};
use super::staging::{LocalFile, StagingArea};
use super::submission;
use crate::console::{Console, size};
use crate::settings::Settings;
use crate::target::ProgramCall;

/// At most so many directories of forgotten applications are looked at in one submission.
const OLD_APPLICATIONS: usize = 16;

/// A cluster, and a program that is ready to be brought there.
pub(crate) struct Deployer {
    pub(crate) rm: ResourceManager,
    pub(crate) area: StagingArea,
    pub(crate) created: Created,
    hadoop: HadoopConf,
    settings: Settings,
    user: String,
    files: Vec<LocalFile>,
    engine: PathBuf,
    shipped: Vec<ShippedFile>,
    program: ProgramCall,
}

/// What an application is to do.
pub(crate) enum Work {
    /// Execute one job.
    Job(Box<JobGraph>),
    /// Run `main()`.
    Main,
}

impl Deployer {
    /// Finds the cluster. Does not connect to anything yet.
    pub(crate) fn new(settings: &Settings, program: &ProgramCall) -> anyhow::Result<Self> {
        let hadoop = super::hadoop(settings)?;
        let user = settings.user().to_owned();
        let shipped = settings.get(&YARN_SHIP_FILES).unwrap_or_default();
        let shipped = resources::shipped_files(&shipped)?;
        Ok(Self {
            rm: ResourceManager::new(hadoop, &user)?,
            area: staging_area(hadoop, settings, &user)?,
            created: Created::default(),
            hadoop: hadoop.clone(),
            settings: settings.clone(),
            user,
            files: Vec::new(),
            engine: resources::engine_directory()?,
            shipped,
            program: program.clone(),
        })
    }

    /// Everything that does not need to know what the work is: cluster reachable, queue there,
    /// files read.
    pub(crate) async fn prepare(&mut self, console: &Console) -> anyhow::Result<()> {
        console.progress("Looking at the cluster", "");
        let files = resources::read_all(&self.engine, &self.program.path, &self.shipped);
        let (files, ()) = futures::try_join!(files, self.check_cluster())?;
        self.files = files;
        Ok(())
    }

    async fn check_cluster(&self) -> anyhow::Result<()> {
        let queue = submission::queue(&self.settings);
        resources::check_queue(&queue, &self.rm.queues().await?)?;
        self.area
            .check()
            .await
            .context("the staging area cannot be used")
    }

    /// Submits an application and returns its id; it is registered in `created`.
    pub(crate) async fn deploy(
        &self,
        work: Work,
        attached: bool,
        console: &Console,
    ) -> anyhow::Result<ApplicationId> {
        let NewApplication { id, max_capability } = self.rm.new_application().await?;
        resources::check_capacity(&self.asks(&work)?, &max_capability)?;
        let name = id.to_string();
        self.created.set(id, Phase::Prepared);
        let staged = self
            .stage(&name, console)
            .await
            .context("cannot stage the application")?;
        let spec = self.spec(work, attached, &name, &staged)?;
        let job_name = spec.graph.as_ref().map(|graph| graph.name.clone());
        let job_name = job_name
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| self.program_name());
        let spec_file = self
            .area
            .write_spec(&name, Bytes::from(spec.encode_to_vec()))
            .await
            .context("cannot stage the application")?;
        let secret: [u8; 32] = rand::random();
        let submission = submission::submission(
            id,
            &self.settings,
            &self.user,
            &job_name,
            staged.iter().chain([&spec_file]),
            &secret,
        )?;
        // Before: if the answer is lost, YARN may have it nevertheless.
        self.created.set(id, Phase::Submitted);
        self.rm.submit(&submission).await?;
        self.check_owner(id).await?;
        console.line(&format!("Submitted application {id}"));
        console.line(&format!("Tracking URL: {}", self.rm.tracking_url(id)));
        Ok(id)
    }

    async fn stage(&self, application: &str, console: &Console) -> anyhow::Result<Vec<StagedFile>> {
        self.area.create_application(application).await?;
        let staged = self
            .area
            .stage_all(application, &self.files, console)
            .await?;
        let uploaded: u64 = staged.iter().map(|staged| staged.uploaded_bytes).sum();
        if uploaded > 0 {
            console.note(&format!("Uploaded {}", size(uploaded)));
        }
        Ok(staged.into_iter().map(|staged| staged.file).collect())
    }

    fn spec(
        &self,
        work: Work,
        attached: bool,
        application: &str,
        staged: &[StagedFile],
    ) -> anyhow::Result<ApplicationSpec> {
        let program = staged.iter().find(|file| file.name == PROGRAM_FILE);
        let program = program.context("the program was not staged")?;
        let (mode, graph) = match work {
            Work::Job(mut graph) => {
                graph.executable_sha256.clone_from(&program.sha256);
                (DeploymentMode::PerJob, Some(*graph))
            }
            Work::Main => (DeploymentMode::Application, None),
        };
        let for_executors = staged.iter().filter(|file| file.name != APPMASTER_FILE);
        Ok(ApplicationSpec {
            mode: mode.into(),
            configuration: self.settings.effective(),
            hadoop: self.hadoop.entries(),
            user: self.user.clone(),
            graph,
            args: self.program.args.clone(),
            executor_resources: for_executors.cloned().collect(),
            staging_directory: self.area.application_url(application),
            attached,
            given: self.settings.given(),
        })
    }

    /// The containers that will be asked for.
    fn asks(&self, work: &Work) -> anyhow::Result<Vec<Ask>> {
        let configuration = self.settings.configuration();
        let memory = self.settings.get(&TASKMANAGER_MEMORY_PROCESS_SIZE);
        let executor = Resource {
            memory_mb: submission::container_mb(memory)?,
            vcores: i32::try_from(executor_vcores(configuration))?,
        };
        let mut asks = vec![
            Ask {
                purpose: "JobManager".to_owned(),
                resource: submission::master_resource(&self.settings)?,
                memory_key: JOBMANAGER_MEMORY_PROCESS_SIZE.key(),
                vcores_key: YARN_APPMASTER_VCORES.key(),
            },
            Ask {
                purpose: "TaskManager".to_owned(),
                resource: executor,
                memory_key: TASKMANAGER_MEMORY_PROCESS_SIZE.key(),
                vcores_key: "yarn.containers.vcores or taskmanager.numberOfTaskSlots",
            },
        ];
        if let Work::Job(job) = work {
            asks.extend(resources::asks_of(configuration, job)?);
        }
        Ok(asks)
    }

    fn program_name(&self) -> String {
        let name = self
            .program
            .path
            .file_name()
            .unwrap_or(self.program.path.as_os_str());
        name.to_string_lossy().into_owned()
    }

    /// An application that belongs to somebody else could not read its files.
    async fn check_owner(&self, id: ApplicationId) -> anyhow::Result<()> {
        let Some(report) = self.rm.report(id).await? else {
            bail!("the ResourceManager accepted application {id}, but does not know it");
        };
        ensure!(
            report.user == self.user,
            "the ResourceManager took application {id} as one of user '{}', not of '{}': it does \
             not accept user names over HTTP (hadoop.http.filter.initializers, \
             hadoop.http.authentication.type=simple)",
            report.user,
            self.user
        );
        Ok(())
    }

    /// Removes what earlier submissions left in the staging area. Not worth failing for.
    pub(crate) async fn tidy(&self) -> anyhow::Result<()> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        for name in self
            .area
            .old_applications(now_ms)
            .await?
            .iter()
            .take(OLD_APPLICATIONS)
        {
            let Ok(id) = name.parse::<ApplicationId>() else {
                continue;
            };
            if self
                .rm
                .report(id)
                .await?
                .is_none_or(|report| report.state.is_terminal())
            {
                self.area.remove_application(name).await?;
            }
        }
        self.area.remove_unused(now_ms).await?;
        Ok(())
    }
}

fn staging_area(
    hadoop: &HadoopConf,
    settings: &Settings,
    user: &str,
) -> anyhow::Result<StagingArea> {
    let files = FileSystems::new(hadoop.to_map(), Some(user.to_owned()), None)?;
    let configured = settings.text(&YARN_STAGING_DIRECTORY);
    if configured.is_none() && !hadoop.fs_default().starts_with("hdfs:") {
        bail!(
            "the default file system of this cluster is {} (fs.defaultFS), where nodes cannot find \
             files: set fs.defaultFS in core-site.xml, or yarn.staging-directory",
            hadoop.fs_default()
        );
    }
    let (files, root) = files
        .resolve(configured.as_deref().unwrap_or(".flott"))
        .context("the staging directory (yarn.staging-directory) cannot be used")?;
    // -1 leaves it to the file system.
    let replication = u32::try_from(settings.get(&YARN_FILE_REPLICATION)).ok();
    Ok(StagingArea::new(files, root, replication))
}
