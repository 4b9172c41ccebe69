//! Who we are to an insecure cluster.

use std::os::unix::fs::MetadataExt;

/// `HADOOP_USER_NAME`, else the name of the process's user id, as Hadoop decides it. Never empty.
pub fn current_user() -> String {
    let variable = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    variable("HADOOP_USER_NAME")
        .or_else(|| {
            let uid = std::fs::metadata("/proc/self").ok()?.uid();
            name_of(uid, &std::fs::read_to_string("/etc/passwd").ok()?)
        })
        .or_else(|| variable("USER"))
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| "nobody".to_owned())
}

fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_of_the_user_id() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\n# comment\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_of(0, passwd).as_deref(), Some("root"));
        assert_eq!(name_of(1000, passwd).as_deref(), Some("alice"));
        assert_eq!(name_of(7, passwd), None);
        assert!(!current_user().is_empty());
    }
}
