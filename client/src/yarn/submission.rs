//! What YARN is told about an application: its name, queue and limits, the files and the command
//! of its ApplicationMaster.

use flott_config::MemorySize;
use flott_config::options::{
    CONTAINERIZED_MASTER_ENV, JOBMANAGER_MEMORY_PROCESS_SIZE, PIPELINE_NAME,
    YARN_APPLICATION_ATTEMPT_FAILURES_VALIDITY_INTERVAL, YARN_APPLICATION_ATTEMPTS,
    YARN_APPLICATION_NAME, YARN_APPLICATION_NODE_LABEL, YARN_APPLICATION_PRIORITY,
    YARN_APPLICATION_QUEUE, YARN_APPLICATION_TYPE, YARN_APPMASTER_VCORES, YARN_MODIFY_ACLS,
    YARN_TAGS, YARN_VIEW_ACLS,
};
use flott_hadoop::Credentials;
use flott_hadoop::yarn::{
    Access, ApplicationId, LaunchContext, LocalResource, LocalResourceKind, Resource, ShellCommand,
    SubmissionContext, Visibility,
};
use flott_protocol::application::{APPMASTER_FILE, SECRET_KEY, SPEC_FILE, StagedFile};

use crate::settings::Settings;

const APPLICATION_TYPE: &str = "Flott";
/// Limits of YARN.
const MAX_TAGS: usize = 10;
const MAX_TAG_LENGTH: usize = 100;

/// Builds the submission of an application with these files.
pub(crate) fn submission<'a>(
    id: ApplicationId,
    settings: &Settings,
    user: &str,
    job_name: &str,
    files: impl Iterator<Item = &'a StagedFile>,
    secret: &[u8],
) -> anyhow::Result<SubmissionContext> {
    let command = ShellCommand::new(&format!("./{APPMASTER_FILE}"))
        .stdout("jobmanager.out")
        .stderr("jobmanager.err");
    let mut credentials = Credentials::default();
    credentials
        .secrets
        .insert(SECRET_KEY.to_owned(), secret.to_vec());
    let mut launch = LaunchContext::new(command).credentials(credentials);
    for (name, value) in settings.prefixed(&CONTAINERIZED_MASTER_ENV) {
        launch = launch.env(name, &value);
    }
    launch = launch.env("HADOOP_USER_NAME", user);
    for (access, key) in [
        (Access::View, &YARN_VIEW_ACLS),
        (Access::Modify, &YARN_MODIFY_ACLS),
    ] {
        if let Some(list) = settings.text(key) {
            launch = launch.access(access, &list);
        }
    }
    for file in files {
        launch = launch.local_resource(&file.name, local_resource(file));
    }
    let name = settings.text(&YARN_APPLICATION_NAME);
    let name = name
        .or_else(|| settings.text(&PIPELINE_NAME))
        .unwrap_or_else(|| job_name.to_owned());
    let mut submission = SubmissionContext::new(id, name, master_resource(settings)?, launch);
    let application_type = settings.text(&YARN_APPLICATION_TYPE);
    submission.application_type = application_type.unwrap_or_else(|| APPLICATION_TYPE.to_owned());
    submission.queue = queue(settings);
    // -1 leaves it to YARN.
    submission.priority = Some(settings.get(&YARN_APPLICATION_PRIORITY)).filter(|n| *n >= 0);
    submission.max_attempts = settings.get(&YARN_APPLICATION_ATTEMPTS);
    let validity = settings.get(&YARN_APPLICATION_ATTEMPT_FAILURES_VALIDITY_INTERVAL);
    submission.failures_validity_ms = u64::try_from(validity).ok();
    submission.tags = tags(&settings.text(&YARN_TAGS).unwrap_or_default())?;
    submission.node_label = settings.text(&YARN_APPLICATION_NODE_LABEL);
    Ok(submission)
}

/// The queue an application goes to.
pub(crate) fn queue(settings: &Settings) -> String {
    settings
        .text(&YARN_APPLICATION_QUEUE)
        .unwrap_or_else(|| "default".to_owned())
}

/// Size of the ApplicationMaster's container.
pub(crate) fn master_resource(settings: &Settings) -> anyhow::Result<Resource> {
    Ok(Resource {
        memory_mb: container_mb(settings.get(&JOBMANAGER_MEMORY_PROCESS_SIZE))?,
        vcores: i32::try_from(settings.get(&YARN_APPMASTER_VCORES))?,
    })
}

/// YARN counts in mebibytes.
pub(crate) fn container_mb(size: MemorySize) -> anyhow::Result<i64> {
    Ok(i64::try_from(size.bytes().div_ceil(1 << 20))?)
}

fn local_resource(file: &StagedFile) -> LocalResource {
    let visibility = match (file.public, file.name.as_str()) {
        (true, _) => Visibility::Public,
        (false, SPEC_FILE) => Visibility::Application,
        (false, _) => Visibility::Private,
    };
    LocalResource {
        url: file.url.clone(),
        size: file.size,
        modification_time: i64::try_from(file.modification_time_ms).unwrap_or(i64::MAX),
        kind: LocalResourceKind::File,
        visibility,
    }
}

fn tags(value: &str) -> anyhow::Result<Vec<String>> {
    let tags: Vec<String> = value
        .split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect();
    anyhow::ensure!(
        tags.len() <= MAX_TAGS,
        "yarn.tags has {} tags, YARN takes {MAX_TAGS}",
        tags.len()
    );
    for tag in &tags {
        anyhow::ensure!(
            tag.len() <= MAX_TAG_LENGTH && tag.is_ascii(),
            "yarn.tags: YARN takes tags of at most {MAX_TAG_LENGTH} ASCII characters, not '{tag}'"
        );
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_have_yarns_limits() {
        assert_eq!(tags("a, b ,,c").unwrap(), ["a", "b", "c"]);
        assert!(tags("").unwrap().is_empty());
        assert!(
            tags(&"x,".repeat(11))
                .unwrap_err()
                .to_string()
                .contains("11 tags")
        );
        assert!(
            tags(&"x".repeat(101))
                .unwrap_err()
                .to_string()
                .contains("at most 100")
        );
    }

    #[test]
    fn only_what_all_may_read_is_public() {
        let file = |name: &str, public| StagedFile {
            name: name.to_owned(),
            public,
            ..StagedFile::default()
        };
        let visibility = |name, public| local_resource(&file(name, public)).visibility;
        assert_eq!(visibility("flott-appmaster", true), Visibility::Public);
        assert_eq!(visibility("flott-appmaster", false), Visibility::Private);
        assert_eq!(visibility("program", false), Visibility::Private);
        assert_eq!(visibility(SPEC_FILE, false), Visibility::Application);
    }
}
