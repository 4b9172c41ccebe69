//! The ResourceManager, with the few additions a command needs: waiting for the end of an
//! application, and addresses a person or a client can use.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use flott_hadoop::HadoopConf;
use flott_hadoop::conf::RmService;
use flott_hadoop::yarn::rest::NewApplication;
use flott_hadoop::yarn::{
    ApplicationId, ApplicationReport, ResourceManagerRest, RestError, SubmissionContext,
};

const KILL_INTERVAL: Duration = Duration::from_millis(200);

/// The ResourceManager of a cluster.
#[derive(Debug)]
pub(crate) struct ResourceManager {
    rest: ResourceManagerRest,
    /// For JobManagers.
    http: reqwest::Client,
    web: String,
    tracking: RefCell<BTreeMap<ApplicationId, String>>,
}

impl ResourceManager {
    /// The one of a configuration; does not connect yet.
    pub(crate) fn new(hadoop: &HadoopConf, user: &str) -> anyhow::Result<Self> {
        let servers = hadoop.resource_managers(RmService::Web)?;
        let web = servers
            .first()
            .map(|server| server.address.to_string())
            .unwrap_or_default();
        Ok(Self {
            rest: ResourceManagerRest::new(hadoop, user)?,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .context("cannot use HTTP")?,
            web,
            tracking: RefCell::default(),
        })
    }

    /// For requests to JobManagers.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Where it is asked first.
    pub(crate) fn address(&self) -> &str {
        &self.web
    }

    /// Names of all queues. Only an active ResourceManager answers.
    pub(crate) async fn queues(&self) -> anyhow::Result<Vec<String>> {
        self.rest
            .queues()
            .await
            .context("the YARN cluster cannot be used")
    }

    /// Reserves an id, and says how large containers may be.
    pub(crate) async fn new_application(&self) -> anyhow::Result<NewApplication> {
        self.rest
            .new_application()
            .await
            .context("the YARN cluster cannot be used")
    }

    /// Submits.
    pub(crate) async fn submit(&self, submission: &SubmissionContext) -> anyhow::Result<()> {
        Ok(self.rest.submit(submission).await?)
    }

    /// What is known of an application; `None` if nothing is.
    pub(crate) async fn report(
        &self,
        id: ApplicationId,
    ) -> anyhow::Result<Option<ApplicationReport>> {
        let report = match self.rest.report(id).await {
            Ok(report) => report,
            Err(RestError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if let Some(url) = report
            .tracking_url
            .as_ref()
            .filter(|url| url.contains(&id.to_string()))
        {
            self.tracking.borrow_mut().insert(id, url.clone());
        }
        Ok(Some(report))
    }

    /// Where a person can see an application.
    pub(crate) fn tracking_url(&self, id: ApplicationId) -> String {
        let known = self.tracking.borrow().get(&id).cloned();
        known.unwrap_or_else(|| format!("http://{}/proxy/{id}/", self.web))
    }

    /// Kills an application and waits until it is dead. Fine if there is none.
    pub(crate) async fn kill(&self, id: ApplicationId, why: &str) -> anyhow::Result<()> {
        loop {
            match self.rest.kill(id, why).await {
                Ok(true) | Err(RestError::NotFound { .. }) => return Ok(()),
                Ok(false) => tokio::time::sleep(KILL_INTERVAL).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the end of an application.
    pub(crate) async fn until_terminal(&self, id: ApplicationId) -> anyhow::Result<()> {
        while self
            .report(id)
            .await?
            .is_some_and(|report| !report.state.is_terminal())
        {
            tokio::time::sleep(KILL_INTERVAL).await;
        }
        Ok(())
    }
}

/// Where the JobManager of an application can be asked, once it runs.
pub(crate) fn job_manager_address(report: &ApplicationReport) -> Option<&str> {
    let address = report.am_rpc_address.as_deref()?;
    let (host, port) = address.rsplit_once(':')?;
    let usable =
        !host.is_empty() && host != "N/A" && port.parse::<u16>().is_ok_and(|port| port > 0);
    usable.then_some(address)
}
