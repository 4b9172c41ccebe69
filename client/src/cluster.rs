//! A cluster that runs already, and its JobManager: found by the application on YARN, or by address.

use anyhow::{Context as _, bail, ensure};
use flott_config::options::{EXECUTION_TARGET, YARN_APPLICATION_ID};
use flott_hadoop::yarn::ApplicationId;
use flott_model::JobId;

use crate::cli::{self, ClusterArgs};
use crate::console::Console;
use crate::jobs::JobManager;
use crate::settings::Settings;
use crate::target::Target;
use crate::yarn;

/// What a command says that does not know where to ask.
const WHICH: &str = "which cluster? give its application on YARN with -yid <application> (yarn \
                     application -list shows them), or the address of its REST interface with -m \
                     <host>:<port>";

/// Where a command is to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Application(ApplicationId),
    Address(String),
}

/// The configuration of a command, and which cluster is meant, if that is said.
pub(crate) struct Cluster {
    pub(crate) settings: Settings,
    place: Option<Place>,
}

impl Cluster {
    /// Reads what the command line and the configuration say. Does not connect to anything.
    pub(crate) fn load(args: &ClusterArgs, console: &Console) -> anyhow::Result<Self> {
        let given = cli::Settings {
            parallelism: None,
            define: args.define.clone(),
        };
        let mut flags = Vec::new();
        if let Some(application) = &args.application {
            flags.push((YARN_APPLICATION_ID.key(), application.clone()));
        }
        if let Some(target) = &args.target {
            flags.push((EXECUTION_TARGET.key(), target.clone()));
        }
        let settings = Settings::load(&given, &flags, console)?;
        if let Some(target) = &args.target {
            ensure!(
                target.parse::<Target>()? != Target::Local,
                "jobs of -t local run in the program's own process, which this command cannot ask"
            );
        }
        let application = settings.text(&YARN_APPLICATION_ID);
        Ok(Self {
            place: place(args.job_manager.as_deref(), application.as_deref())?,
            settings,
        })
    }

    /// Whether it is said which cluster is meant.
    pub(crate) fn is_named(&self) -> bool {
        self.place.is_some()
    }

    /// The cluster's JobManager.
    pub(crate) async fn job_manager(&self) -> anyhow::Result<JobManager> {
        match &self.place {
            None => bail!(WHICH),
            Some(Place::Address(address)) => {
                let http = reqwest::Client::builder().no_proxy().build();
                let http = http.context("cannot use HTTP")?;
                Ok(JobManager::at(&http, address))
            }
            Some(Place::Application(id)) => yarn::job_manager(*id, &self.settings).await,
        }
    }
}

fn place(address: Option<&str>, application: Option<&str>) -> anyhow::Result<Option<Place>> {
    match (address, application) {
        (Some("yarn-cluster"), None) => bail!("-m yarn-cluster does not say which one: {WHICH}"),
        (Some("yarn-cluster") | None, Some(application)) => {
            let id = application.trim().parse();
            let id = id.with_context(|| {
                let key = YARN_APPLICATION_ID.key();
                format!("'{application}' ({key}, -yid) names no application")
            })?;
            Ok(Some(Place::Application(id)))
        }
        (Some(_), Some(_)) => bail!("-m and -yid both say which cluster is meant: give one"),
        (Some(address), None) => {
            let port = address
                .rsplit_once(':')
                .map(|(_, port)| port.parse::<u16>());
            ensure!(
                matches!(port, Some(Ok(1..))),
                "'{address}' (-m) is no address of a REST interface: <host>:<port> expected"
            );
            Ok(Some(Place::Address(address.to_owned())))
        }
        (None, None) => Ok(None),
    }
}

/// The id of a job as a user gives it.
pub(crate) fn job_id(text: Option<&str>) -> anyhow::Result<String> {
    let text =
        text.context("which job? give its id; flott list shows the ids of a cluster's jobs")?;
    let id: JobId = text.parse()?;
    Ok(id.to_string())
}

/// A directory and a job's id that may have changed places: the value of an option is optional, so
/// that the only argument after it is the id.
pub(crate) fn directory_and_job(
    directory: Option<String>,
    job: Option<String>,
) -> (Option<String>, Option<String>) {
    let directory = directory.filter(|directory| !directory.is_empty());
    match (directory, job) {
        (Some(only), None) => (None, Some(only)),
        both => both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_in_one_way() {
        let application = "application_1700000000000_0001";
        let found = place(None, Some(application)).unwrap();
        let id = application.parse().unwrap();
        assert_eq!(found, Some(Place::Application(id)));
        assert_eq!(
            place(Some("yarn-cluster"), Some(application)).unwrap(),
            found
        );
        let found = place(Some("node:8081"), None).unwrap();
        assert_eq!(found, Some(Place::Address("node:8081".to_owned())));
        assert_eq!(place(None, None).unwrap(), None);
        for (address, application, expected) in [
            (Some("node:8081"), Some(application), "give one"),
            (Some("yarn-cluster"), None, "-yid"),
            (Some("node"), None, "<host>:<port>"),
            (Some("node:0"), None, "<host>:<port>"),
            (None, Some("job_1"), "'job_1'"),
        ] {
            let error = place(address, application).unwrap_err();
            assert!(error.to_string().contains(expected), "{error:#}");
        }
    }

    #[test]
    fn ids_and_directories() {
        let id = "0123456789ABCDEF0123456789abcdef";
        assert_eq!(job_id(Some(id)).unwrap(), id.to_lowercase());
        let message = job_id(Some("xyz")).unwrap_err().to_string();
        assert!(message.contains("'xyz'"), "{message}");
        assert!(job_id(None).unwrap_err().to_string().contains("which job?"));
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            directory_and_job(text("/sp"), text(id)),
            (text("/sp"), text(id))
        );
        assert_eq!(directory_and_job(text(id), None), (None, text(id)));
        assert_eq!(directory_and_job(text(""), text(id)), (None, text(id)));
        assert_eq!(directory_and_job(None, None), (None, None));
    }
}
