//! Hadoop's client configuration: finding the `*-site.xml` files, merging them, and typed access.
//!
//! Only the defaults of the keys used here are known. Nothing is read after loading except environment variables
//! named by `${env.…}`.

mod address;
mod defaults;
mod expand;
mod rm;
mod user;
mod xml;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

pub use address::HostPort;
pub use rm::{RmAddress, RmService};
pub use user::current_user;

/// Read in this order: later files win, except over `final` properties.
const SITE_FILES: [&str; 3] = ["core-site.xml", "hdfs-site.xml", "yarn-site.xml"];

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// No place to look for the files.
    #[error(
        "no Hadoop configuration: set HADOOP_CONF_DIR to the directory with core-site.xml, hdfs-site.xml and \
         yarn-site.xml (YARN_CONF_DIR and HADOOP_HOME were not set either)"
    )]
    NoDirectory,
    /// The place named does not exist.
    #[error("{origin} names {}, which is not a directory", path.display())]
    NotADirectory {
        /// Where the name came from, for example `HADOOP_CONF_DIR`.
        origin: String,
        /// The path named.
        path: PathBuf,
    },
    /// A file that is needed is not there.
    #[error("{} is missing in the Hadoop configuration directory (given by {origin})", path.display())]
    MissingFile {
        /// Where the directory came from.
        origin: String,
        /// The missing file.
        path: PathBuf,
    },
    /// A file is there but cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file is not well-formed.
    #[error("{}, line {line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A setting has a value that cannot be understood.
    #[error("Hadoop setting {key}: `{value}` is not {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// Its expanded value.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A setting without a default is not there.
    #[error("Hadoop setting {key} is not set ({hint})")]
    Unset {
        /// The key.
        key: String,
        /// What to do.
        hint: String,
    },
}

/// Merged settings of the site files.
#[derive(Debug, Clone, Default)]
pub struct HadoopConf {
    values: BTreeMap<String, String>,
    finals: BTreeSet<String>,
    directory: Option<PathBuf>,
}

impl HadoopConf {
    /// Loads from `directory`, or from where the environment points: `HADOOP_CONF_DIR`, `YARN_CONF_DIR`,
    /// `HADOOP_HOME/etc/hadoop`, in this order.
    pub fn load(directory: Option<&Path>) -> Result<Self, ConfError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (origin, path) = discover(directory, variable).ok_or(ConfError::NoDirectory)?;
        Self::from_directory(&path, &origin)
    }

    fn from_directory(path: &Path, origin: &str) -> Result<Self, ConfError> {
        if !path.is_dir() {
            return Err(ConfError::NotADirectory {
                origin: origin.to_owned(),
                path: path.to_owned(),
            });
        }
        let mut conf = Self {
            directory: Some(path.to_owned()),
            ..Self::default()
        };
        for (index, name) in SITE_FILES.iter().enumerate() {
            let file = path.join(name);
            let content = match std::fs::read_to_string(&file) {
                Ok(content) => content,
                // Only core-site.xml is needed by everybody; YARN's addresses are checked when asked for.
                Err(error) if error.kind() == io::ErrorKind::NotFound && index > 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(ConfError::MissingFile {
                        origin: origin.to_owned(),
                        path: file,
                    });
                }
                Err(source) => return Err(ConfError::Read { path: file, source }),
            };
            conf.merge(&content).map_err(|error| ConfError::Malformed {
                path: file,
                line: error.line,
                reason: error.reason,
            })?;
        }
        Ok(conf)
    }

    fn merge(&mut self, content: &str) -> Result<(), xml::Malformed> {
        for property in xml::parse(content)? {
            if self.finals.contains(&property.name) {
                tracing::debug!(
                    key = property.name,
                    "ignoring override of a final Hadoop setting"
                );
                continue;
            }
            if property.is_final {
                self.finals.insert(property.name.clone());
            }
            self.values.insert(property.name, property.value);
        }
        Ok(())
    }

    /// Settings that were shipped with [`HadoopConf::entries`].
    pub fn from_map(values: BTreeMap<String, String>) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }

    /// The directory the files came from, unless the settings were shipped.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Overrides a setting, `final` or not: the caller is the client itself.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.values.insert(key.into(), value.into());
    }

    /// The expanded value, or the expanded default Hadoop has for it.
    pub fn get(&self, key: &str) -> Option<String> {
        self.raw(key)
            .map(|raw| expand::expand(raw, &|name| self.raw(name).map(str::to_owned)))
    }

    /// The expanded value, or `default` if the key is neither set nor known.
    pub fn get_or(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or_else(|| default.to_owned())
    }

    /// Whether a site file sets the key.
    pub fn is_set(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    fn raw(&self, key: &str) -> Option<&str> {
        self.values
            .get(key)
            .map(String::as_str)
            .or_else(|| defaults::default_of(key))
    }

    fn parsed<T>(
        &self,
        key: &str,
        default: T,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ConfError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) if value.trim().is_empty() => Ok(default),
            Some(value) => parse(value.trim()).ok_or_else(|| ConfError::Invalid {
                key: key.to_owned(),
                value,
                expected,
            }),
        }
    }

    /// A truth value.
    pub fn bool(&self, key: &str, default: bool) -> Result<bool, ConfError> {
        self.parsed(key, default, "true or false", |value| {
            match value.to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }
        })
    }

    /// A number, decimal or `0x…`.
    pub fn u64(&self, key: &str, default: u64) -> Result<u64, ConfError> {
        self.parsed(key, default, "a number", |value| {
            match value
                .strip_prefix("0x")
                .or_else(|| value.strip_prefix("0X"))
            {
                Some(hex) => u64::from_str_radix(hex, 16).ok(),
                None => value.parse().ok(),
            }
        })
    }

    /// A time in milliseconds; the units ns, us, ms, s, m, h, d are understood.
    pub fn duration_ms(&self, key: &str, default: u64) -> Result<u64, ConfError> {
        self.parsed(key, default, "a time such as 500, 30s or 5m", parse_millis)
    }

    /// An address.
    pub fn host_port(&self, key: &str, default_port: u16) -> Result<HostPort, ConfError> {
        let value = self.get(key).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| ConfError::Unset {
            key: key.to_owned(),
            hint: self.hint("core-site.xml or yarn-site.xml"),
        })?;
        HostPort::parse(&value, Some(default_port)).ok_or_else(|| ConfError::Invalid {
            key: key.to_owned(),
            value,
            expected: "an address host:port",
        })
    }

    /// The default file system, for example `hdfs://nameservice`.
    pub fn fs_default(&self) -> String {
        if !self.is_set("fs.defaultFS") && self.is_set("fs.default.name") {
            return self.get_or("fs.default.name", "file:///");
        }
        self.get_or("fs.defaultFS", "file:///")
    }

    /// Whether the cluster demands Kerberos or tokens everywhere.
    pub fn is_secure(&self) -> bool {
        !self
            .get_or("hadoop.security.authentication", "simple")
            .eq_ignore_ascii_case("simple")
    }

    /// Expanded core and HDFS settings, for an HDFS client that does not expand by itself.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let is_file_system =
            |key: &String| !key.starts_with("yarn.") && !key.starts_with("mapreduce.");
        self.values
            .keys()
            .filter(|key| is_file_system(key))
            .filter_map(|key| Some((key.clone(), self.get(key)?)))
            .collect()
    }

    /// All expanded settings except secrets, to ship to processes on nodes that have no configuration.
    pub fn entries(&self) -> BTreeMap<String, String> {
        self.values
            .keys()
            .filter(|key| !is_sensitive(key))
            .filter_map(|key| Some((key.clone(), self.get(key)?)))
            .collect()
    }

    fn hint(&self, file: &str) -> String {
        match &self.directory {
            Some(directory) => format!("looked for {file} in {}", directory.display()),
            None => format!("set it in {file}"),
        }
    }
}

fn discover(
    explicit: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Option<(String, PathBuf)> {
    if let Some(directory) = explicit {
        return Some(("the configured directory".to_owned(), directory.to_owned()));
    }
    for name in ["HADOOP_CONF_DIR", "YARN_CONF_DIR"] {
        if let Some(value) = variable(name) {
            return Some((name.to_owned(), PathBuf::from(value)));
        }
    }
    variable("HADOOP_HOME").map(|home| {
        (
            "HADOOP_HOME".to_owned(),
            Path::new(&home).join("etc/hadoop"),
        )
    })
}

fn parse_millis(value: &str) -> Option<u64> {
    let digits = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    match value[digits..].trim() {
        "ns" => Some(number / 1_000_000),
        "us" => Some(number / 1_000),
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    }
}

/// Names Hadoop itself redacts: passwords and keys stay on the client.
fn is_sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "secret",
        "secret.key",
        "secretkey",
        "credential",
        "keystore.pass",
        "oauth.token",
    ]
    .iter()
    .any(|end| key.ends_with(end))
}

#[cfg(test)]
mod tests;
