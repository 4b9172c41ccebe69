//! A blocking HTTP client for the REST interfaces of Hadoop's daemons.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// One client with a runtime of its own, because the tests that use it are ordinary functions.
#[derive(Debug)]
pub(crate) struct Http {
    runtime: Runtime,
    client: reqwest::Client,
}

impl Http {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            client: reqwest::Client::builder()
                .no_proxy()
                // Daemons are killed here: a connection kept from before would fail the next request.
                .pool_max_idle_per_host(0)
                .timeout(Duration::from_secs(60))
                .build()?,
        })
    }

    pub(crate) fn get_json(&self, url: &str) -> Result<Value> {
        let bytes = self.send(Method::GET, url, None)?;
        serde_json::from_slice(&bytes).with_context(|| format!("the answer of {url} is not JSON"))
    }

    /// Sends a request, follows redirects, and gives the body of a successful answer.
    pub(crate) fn send(&self, method: Method, url: &str, body: Option<Vec<u8>>) -> Result<Vec<u8>> {
        let doing = format!("{method} {url}");
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.body(body);
        }
        self.runtime
            .block_on(successful_body(request))
            .context(doing)
    }

    pub(crate) fn send_json(&self, method: Method, url: &str, body: &Value) -> Result<Vec<u8>> {
        let doing = format!("{method} {url}");
        let request = self.client.request(method, url).json(body);
        self.runtime
            .block_on(successful_body(request))
            .context(doing)
    }
}

async fn successful_body(request: RequestBuilder) -> Result<Vec<u8>> {
    let response: Response = request.send().await?;
    let status = response.status();
    let body = response.bytes().await?;
    if !status.is_success() {
        bail!("status {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(body.to_vec())
}
