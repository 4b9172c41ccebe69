//! Runs the conformance suite against any URI: `conformance <uri of a new directory> [key=value]…`.
//!
//! The settings are those of core-site and hdfs-site. Ends with 0 if the file system conforms.

use std::collections::BTreeMap;

use flott_filesystem::FileSystems;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let uri = arguments
        .next()
        .ok_or("usage: conformance <uri of a new directory> [key=value]…")?;
    let mut settings = BTreeMap::new();
    for argument in arguments {
        let (key, value) = argument.split_once('=').ok_or("settings are key=value")?;
        settings.insert(key.to_owned(), value.to_owned());
    }
    let (fs, root) = FileSystems::new(settings, None, None)?.resolve(&uri)?;
    match fs.status(&root).await {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(format!("{uri} exists, and the suite would remove it").into()),
    }
    flott_filesystem::conformance::run(fs.as_ref(), &root).await;
    Ok(())
}
