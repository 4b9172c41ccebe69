//! What a container is started with: files, environment, command, credentials. The NodeManager pastes environment
//! and command into a bash script between double quotes, so everything literal is quoted here.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::proto;
use crate::token::Credentials;

/// A launch context that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// Not a URL with a scheme and an absolute path.
    #[error(
        "the file {name} of the container has the location `{url}`, which is not a URL with a scheme and a path"
    )]
    Url {
        /// Name in the container.
        name: String,
        /// The location.
        url: String,
    },
    /// Not usable as a shell variable.
    #[error("`{0}` is not a valid name of an environment variable")]
    VariableName(String),
    /// NUL cannot be in arguments or variables.
    #[error("{0} contains a NUL character")]
    Nul(&'static str),
}

/// How a localized file is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalResourceKind {
    /// Linked as it is, executable.
    File,
    /// Unpacked into a directory of its name.
    Archive,
}

/// Who may share a localized file on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody; the file and all its parents must be readable by the world.
    Public,
    /// Applications of the same user.
    Private,
    /// Only this application.
    Application,
}

/// A file to be localized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResource {
    /// For example `hdfs://ns/path`; the path is plain, not percent-encoded.
    pub url: String,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in milliseconds, exactly as the file system reports it.
    pub modification_time: i64,
    /// How it is treated.
    pub kind: LocalResourceKind,
    /// Who may share it.
    pub visibility: Visibility,
}

/// What an access list governs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// See the application and its logs.
    View,
    /// Kill it.
    Modify,
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::View => "VIEW_APP",
            Self::Modify => "MODIFY_APP",
        }
    }
}

/// A command line for bash, replacing the shell with `exec` so that signals reach the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellCommand {
    /// As the inner shell is to see it.
    text: String,
}

impl ShellCommand {
    /// Runs `program`, which is taken literally.
    pub fn new(program: &str) -> Self {
        Self {
            text: format!("exec {}", single_quoted(program)),
        }
    }

    /// Adds an argument, taken literally whatever it contains.
    pub fn arg(mut self, argument: &str) -> Self {
        self.text.push(' ');
        self.text.push_str(&single_quoted(argument));
        self
    }

    /// Adds the value of an environment variable of the container as one argument, for example `NM_HOST`.
    pub fn arg_of_variable(mut self, name: &str) -> Self {
        self.text.push_str(&format!(" \"${{{name}}}\""));
        self
    }

    /// Sends standard output to a file in the container's log directory.
    pub fn stdout(self, file: &str) -> Self {
        self.redirect("1>", file)
    }

    /// Sends standard error to a file in the container's log directory.
    pub fn stderr(self, file: &str) -> Self {
        self.redirect("2>", file)
    }

    fn redirect(mut self, operator: &str, file: &str) -> Self {
        // LOG_DIR is replaced by the NodeManager before any shell sees it; it holds no special characters.
        self.text
            .push_str(&format!(" {operator}{LOG_DIR}/{}", single_quoted(file)));
        self
    }

    /// As YARN takes it.
    pub fn to_yarn(&self) -> String {
        double_quoted(&self.text)
    }
}

const LOG_DIR: &str = "<LOG_DIR>";

/// What a container is started with.
#[derive(Debug, Clone, Default)]
pub struct LaunchContext {
    local_resources: BTreeMap<String, LocalResource>,
    environment: BTreeMap<String, String>,
    command: Option<ShellCommand>,
    credentials: Option<Credentials>,
    access: BTreeMap<Access, String>,
}

impl LaunchContext {
    /// Runs `command` and nothing else.
    pub fn new(command: ShellCommand) -> Self {
        Self {
            command: Some(command),
            ..Self::default()
        }
    }

    /// Makes a file appear under `name` in the working directory.
    pub fn local_resource(mut self, name: impl Into<String>, resource: LocalResource) -> Self {
        self.local_resources.insert(name.into(), resource);
        self
    }

    /// Sets a variable to exactly this value.
    pub fn env(mut self, name: impl Into<String>, value: &str) -> Self {
        // Closing and reopening the quotes keeps NodeManagers from reading {{VAR}} and <CPS> as theirs.
        let value = broken_up(&double_quoted(value), "\"\"");
        self.environment.insert(name.into(), value);
        self
    }

    /// Hands tokens and secrets to the container.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets an access list such as `user1,user2 group1`. The NodeManager uses the first it sees of an application.
    pub fn access(mut self, access: Access, list: impl Into<String>) -> Self {
        self.access.insert(access, list.into());
        self
    }

    fn check(&self) -> Result<(), LaunchError> {
        for (name, value) in &self.environment {
            let mut characters = name.chars();
            let first = characters
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !first || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(LaunchError::VariableName(name.clone()));
            }
            if value.contains('\0') {
                return Err(LaunchError::Nul("an environment variable"));
            }
        }
        if self
            .command
            .as_ref()
            .is_some_and(|command| command.text.contains('\0'))
        {
            return Err(LaunchError::Nul("the command"));
        }
        Ok(())
    }

    /// For a NodeManager.
    pub fn to_proto(&self) -> Result<proto::ContainerLaunchContext, LaunchError> {
        self.check()?;
        let resources = self.local_resources.iter().map(|(name, resource)| {
            Ok(proto::StringLocalResourceMap {
                key: Some(name.clone()),
                value: Some(resource.to_proto(name)?),
            })
        });
        let pair = |(key, value): (&String, &String)| proto::StringStringMap {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        let acl = |(access, list): (&Access, &String)| proto::ApplicationAclMap {
            access_type: Some(match access {
                Access::View => proto::ApplicationAccessType::ViewApp as i32,
                Access::Modify => proto::ApplicationAccessType::ModifyApp as i32,
            }),
            acl: Some(list.clone()),
        };
        Ok(proto::ContainerLaunchContext {
            local_resources: resources.collect::<Result<_, LaunchError>>()?,
            tokens: self
                .credentials
                .as_ref()
                .map(|credentials| credentials.to_bytes().into()),
            service_data: Vec::new(),
            environment: self.environment.iter().map(pair).collect(),
            command: self.command.iter().map(ShellCommand::to_yarn).collect(),
            application_acls: self.access.iter().map(acl).collect(),
            tokens_conf: None,
        })
    }

    /// For the REST interface.
    pub fn to_json(&self) -> Result<Value, LaunchError> {
        self.check()?;
        let mut resources = Vec::new();
        for (name, resource) in &self.local_resources {
            split_url(name, &resource.url)?;
            resources.push(json!({"key": name, "value": resource.to_json()}));
        }
        let text = |(key, value): (&String, &String)| json!({"key": key, "value": value});
        let acl = |(access, list): (&Access, &String)| json!({"key": access.name(), "value": list});
        let mut context = json!({
            "local-resources": {"entry": resources},
            "environment": {"entry": self.environment.iter().map(text).collect::<Vec<_>>()},
            "application-acls": {"entry": self.access.iter().map(acl).collect::<Vec<_>>()},
        });
        if let Some(command) = &self.command {
            context["commands"] = json!({"command": command.to_yarn()});
        }
        if let Some(credentials) = &self.credentials {
            let tokens = credentials.tokens.iter();
            let secrets = credentials.secrets.iter();
            context["credentials"] = json!({
                "tokens": {"entry": tokens
                    .map(|(alias, token)| json!({"key": alias, "value": token.to_url_string()}))
                    .collect::<Vec<_>>()},
                "secrets": {"entry": secrets
                    .map(|(name, secret)| json!({"key": name, "value": URL_SAFE_NO_PAD.encode(secret)}))
                    .collect::<Vec<_>>()},
            });
        }
        Ok(context)
    }
}

impl LocalResource {
    fn to_proto(&self, name: &str) -> Result<proto::LocalResource, LaunchError> {
        Ok(proto::LocalResource {
            resource: Some(split_url(name, &self.url)?),
            size: Some(i64::try_from(self.size).unwrap_or(i64::MAX)),
            timestamp: Some(self.modification_time),
            r#type: Some(match self.kind {
                LocalResourceKind::File => proto::LocalResourceType::File as i32,
                LocalResourceKind::Archive => proto::LocalResourceType::Archive as i32,
            }),
            visibility: Some(match self.visibility {
                Visibility::Public => proto::LocalResourceVisibility::Public as i32,
                Visibility::Private => proto::LocalResourceVisibility::Private as i32,
                Visibility::Application => proto::LocalResourceVisibility::Application as i32,
            }),
            pattern: None,
            should_be_uploaded_to_shared_cache: None,
        })
    }

    fn to_json(&self) -> Value {
        json!({
            "resource": self.url,
            "size": self.size,
            "timestamp": self.modification_time,
            "type": match self.kind {
                LocalResourceKind::File => "FILE",
                LocalResourceKind::Archive => "ARCHIVE",
            },
            "visibility": match self.visibility {
                Visibility::Public => "PUBLIC",
                Visibility::Private => "PRIVATE",
                Visibility::Application => "APPLICATION",
            },
        })
    }
}

fn split_url(name: &str, url: &str) -> Result<proto::Url, LaunchError> {
    let parse = || {
        let (scheme, rest) = url.split_once("://")?;
        let slash = rest.find('/')?;
        let (authority, path) = rest.split_at(slash);
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info.to_owned()), host),
            None => (None, authority),
        };
        // Unset would mean port 0, and name services have no port.
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, i32::from(port.parse::<u16>().ok()?)),
            None => (host, -1),
        };
        let valid = !scheme.is_empty() && path.len() > 1;
        valid.then(|| proto::Url {
            scheme: Some(scheme.to_owned()),
            host: (!host.is_empty()).then(|| host.to_owned()),
            port: Some(port),
            file: Some(path.to_owned()),
            user_info,
        })
    };
    parse().ok_or_else(|| LaunchError::Url {
        name: name.to_owned(),
        url: url.to_owned(),
    })
}

/// One literal word for the inner shell.
fn single_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", broken_up(&word.replace('\'', "'\\''"), "''"))
}

/// Text that survives an outer shell's double quotes unchanged.
fn double_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '"' | '$' | '`') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Puts an empty quotation inside `{{`, `}}` and after `<`, which NodeManagers would otherwise replace.
fn broken_up(text: &str, separator: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = None;
    for character in text.chars() {
        let doubled = matches!(character, '{' | '}') && last == Some(character);
        if doubled || last == Some('<') {
            out.push_str(separator);
        }
        out.push(character);
        last = Some(character);
    }
    out
}

#[cfg(test)]
mod tests;
