//! Files in HDFS through WebHDFS, so that what our own HDFS code wrote is read by other code.

use anyhow::{Context, Result};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::http::Http;

/// WebHDFS as one user.
#[derive(Debug)]
pub struct WebHdfs {
    http: Http,
    address: String,
    user: String,
}

/// What a listing says of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStatus {
    /// Name within its directory; empty for the status of a path itself.
    pub path_suffix: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub length: u64,
    pub owner: String,
    pub permission: String,
    pub modification_time: u64,
}

impl FileStatus {
    pub fn is_directory(&self) -> bool {
        self.kind == "DIRECTORY"
    }
}

impl WebHdfs {
    pub(crate) fn new(address: &str, user: &str) -> Result<Self> {
        Ok(Self {
            http: Http::new()?,
            address: address.to_owned(),
            user: user.to_owned(),
        })
    }

    /// Writes a whole file; an existing one is replaced.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<()> {
        // The NameNode's answer names the DataNode; only the second request carries the content.
        let url = self.url(path, "CREATE&overwrite=true&noredirect=true");
        let answer: Value = serde_json::from_slice(&self.http.send(Method::PUT, &url, None)?)?;
        let location = answer["Location"]
            .as_str()
            .context("the NameNode named no DataNode to write to")?;
        self.http
            .send(Method::PUT, location, Some(content.into()))?;
        Ok(())
    }

    pub fn get(&self, path: &str) -> Result<Vec<u8>> {
        self.http.send(Method::GET, &self.url(path, "OPEN"), None)
    }

    pub fn get_text(&self, path: &str) -> Result<String> {
        String::from_utf8(self.get(path)?).with_context(|| format!("{path} is not UTF-8"))
    }

    /// What a directory holds, or the file itself.
    pub fn list(&self, path: &str) -> Result<Vec<FileStatus>> {
        let mut answer = self.http.get_json(&self.url(path, "LISTSTATUS"))?;
        Ok(serde_json::from_value(
            answer["FileStatuses"]["FileStatus"].take(),
        )?)
    }

    /// `None` when there is nothing of that name.
    pub fn status(&self, path: &str) -> Result<Option<FileStatus>> {
        match self.http.get_json(&self.url(path, "GETFILESTATUS")) {
            Ok(mut answer) => Ok(Some(serde_json::from_value(answer["FileStatus"].take())?)),
            Err(error) if format!("{error:#}").contains("FileNotFoundException") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The text of all finished files below a directory, as [`crate::read_output`] reads local ones.
    pub fn read_output(&self, directory: &str) -> Result<String> {
        let mut text = String::new();
        for entry in self.list(directory)? {
            if entry.path_suffix.starts_with(['.', '_']) {
                continue;
            }
            let path = format!("{directory}/{}", entry.path_suffix);
            text += &if entry.is_directory() {
                self.read_output(&path)?
            } else {
                self.get_text(&path)?
            };
        }
        Ok(text)
    }

    pub fn make_directory(&self, path: &str, permission: &str) -> Result<()> {
        let url = self.url(path, &format!("MKDIRS&permission={permission}"));
        self.http.send(Method::PUT, &url, None)?;
        Ok(())
    }

    pub fn set_permission(&self, path: &str, permission: &str) -> Result<()> {
        let url = self.url(path, &format!("SETPERMISSION&permission={permission}"));
        self.http.send(Method::PUT, &url, None)?;
        Ok(())
    }

    /// Gives a file or directory to another user.
    pub fn set_owner(&self, path: &str, owner: &str) -> Result<()> {
        let url = self.url(path, &format!("SETOWNER&owner={owner}"));
        self.http.send(Method::PUT, &url, None)?;
        Ok(())
    }

    /// How many bytes all replicas below a directory may take.
    pub fn set_space_quota(&self, path: &str, bytes: u64) -> Result<()> {
        let url = self.url(path, &format!("SETQUOTA&storagespacequota={bytes}"));
        self.http.send(Method::PUT, &url, None)?;
        Ok(())
    }

    /// All files below a directory with their paths, those that are hidden or unfinished included.
    pub fn walk(&self, directory: &str) -> Result<Vec<(String, FileStatus)>> {
        let mut files = Vec::new();
        for entry in self.list(directory)? {
            let path = format!("{directory}/{}", entry.path_suffix);
            if entry.is_directory() {
                files.extend(self.walk(&path)?);
            } else {
                files.push((path, entry));
            }
        }
        Ok(files)
    }

    /// Deletes a file or a whole directory; whether there was one.
    pub fn delete(&self, path: &str) -> Result<bool> {
        let url = self.url(path, "DELETE&recursive=true");
        let answer: Value = serde_json::from_slice(&self.http.send(Method::DELETE, &url, None)?)?;
        Ok(answer["boolean"] == Value::Bool(true))
    }

    fn url(&self, path: &str, operation: &str) -> String {
        format!(
            "http://{}/webhdfs/v1{path}?op={operation}&user.name={}",
            self.address, self.user
        )
    }
}
