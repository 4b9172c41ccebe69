//! Running on a YARN cluster.

mod attach;
mod created;
mod deployer;
mod per_job;
mod resource_manager;
mod resources;
mod run;
mod staging;
mod submission;
mod watch;

use anyhow::{Context as _, bail};
use flott_hadoop::HadoopConf;

pub(crate) use attach::job_manager;
pub(crate) use run::run;

use crate::settings::Settings;

/// The configuration of the cluster, which must be one that can be spoken to.
fn hadoop(settings: &Settings) -> anyhow::Result<&HadoopConf> {
    let hadoop = settings.hadoop().context(
        "YARN needs the cluster's configuration: set HADOOP_CONF_DIR to the directory with \
         core-site.xml, hdfs-site.xml and yarn-site.xml",
    )?;
    if hadoop.is_secure() {
        bail!(
            "this cluster demands Kerberos (hadoop.security.authentication), which is not \
             supported yet"
        );
    }
    Ok(hadoop)
}
