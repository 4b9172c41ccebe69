//! The JobManager of an application, by its REST interface: jobs, their tasks and what failed in them.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::http::Http;
use crate::wait::wait_for;

/// A JobManager that was reached.
#[derive(Debug)]
pub struct JobManager {
    http: Http,
    base: String,
}

impl JobManager {
    pub(crate) fn new(address: &str) -> Result<Self> {
        Self::at(&format!("http://{address}"))
    }

    /// Behind that URL, which may be that of YARN's proxy.
    pub(crate) fn at(url: &str) -> Result<Self> {
        Ok(Self {
            http: Http::new()?,
            base: url.trim_end_matches('/').to_owned(),
        })
    }

    /// The ids of all jobs.
    pub fn jobs(&self) -> Result<Vec<String>> {
        let answer = self.get("/jobs")?;
        let jobs = answer["jobs"].as_array().context("no list of jobs")?;
        Ok(jobs
            .iter()
            .filter_map(|job| job["id"].as_str().map(str::to_owned))
            .collect())
    }

    /// The only job.
    pub fn only_job(&self) -> Result<String> {
        let jobs = self.jobs()?;
        anyhow::ensure!(jobs.len() == 1, "one job, not {jobs:?}");
        Ok(jobs[0].clone())
    }

    /// The task executors.
    pub fn task_managers(&self) -> Result<Vec<Value>> {
        let mut answer = self.get("/taskmanagers")?;
        let list = answer["taskmanagers"].take();
        serde_json::from_value(list).context("no list of task executors")
    }

    /// A job's state and its tasks.
    pub fn details(&self, job: &str) -> Result<Value> {
        self.get(&format!("/jobs/{job}"))
    }

    /// What failed in a job.
    pub fn exceptions(&self, job: &str) -> Result<Value> {
        self.get(&format!("/jobs/{job}/exceptions"))
    }

    /// How many failures a job has survived or died of; at most 16 are kept.
    pub fn failures(&self, job: &str) -> Result<usize> {
        let exceptions = self.exceptions(job)?;
        let entries = exceptions["exceptionHistory"]["entries"].as_array();
        Ok(entries.context("no history of failures")?.len())
    }

    /// Whether all subtasks of a job run.
    pub fn is_running(&self, job: &str) -> Result<bool> {
        let details = self.details(job)?;
        let vertices = details["vertices"].as_array().context("no vertices")?;
        let all_run = vertices
            .iter()
            .all(|vertex| vertex["tasks"]["RUNNING"] == vertex["parallelism"]);
        Ok(details["state"] == "RUNNING" && all_run)
    }

    /// Waits until a job has this state.
    pub fn wait_for_state(&self, job: &str, state: &str, limit: Duration) -> Result<Value> {
        wait_for(&format!("job {job} to be {state}"), limit, || {
            let details = self.details(job)?;
            Ok((details["state"] == state).then_some(details))
        })
    }

    /// Cancels a job, as Flink's command line does.
    pub fn cancel(&self, job: &str) -> Result<()> {
        let url = format!("{}/jobs/{job}?mode=cancel", self.base);
        self.http.send_json(Method::PATCH, &url, &json!({}))?;
        Ok(())
    }

    /// The answer to a path of Flink's REST interface.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.http.get_json(&format!("{}{path}", self.base))
    }
}
