//! Who we are towards Hadoop under simple authentication.

/// Explicit user, else `HADOOP_USER_NAME`, else the user of the process.
pub(crate) fn effective_user(explicit: Option<String>) -> String {
    let named = |name: String| {
        let name = name.trim().to_owned();
        (!name.is_empty()).then_some(name)
    };
    explicit
        .and_then(named)
        .or_else(|| std::env::var("HADOOP_USER_NAME").ok().and_then(named))
        .unwrap_or_else(|| name_of(nix::unistd::Uid::effective().as_raw()))
}

/// Name of a user id, or the number where the system knows no name (containers).
pub(crate) fn name_of(uid: u32) -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_user_wins_and_blanks_do_not_count() {
        assert_eq!(effective_user(Some(" alice ".to_owned())), "alice");
        assert_eq!(effective_user(Some("  ".to_owned())), effective_user(None));
        assert_eq!(name_of(0), "root");
        assert_eq!(name_of(4_000_000_001), "4000000001");
    }
}
