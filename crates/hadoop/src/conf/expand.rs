//! Expansion of `${…}` as Hadoop does it: other keys, `${env.NAME}`, `${env.NAME:-default}`, a few system properties.

use super::user::current_user;

/// Hadoop's own limit; also what ends a cycle.
const MAX_SUBSTITUTIONS: usize = 20;

/// Replaces variables, innermost first. What cannot be resolved stays as it is, as in Hadoop.
pub(super) fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = text.to_owned();
    // Everything before this index is known to hold nothing that resolves.
    let mut from = 0;
    let mut substitutions = 0;
    while let Some((start, end)) = innermost(&text, from) {
        let name = &text[start + 2..end];
        let Some(value) = variable(name, lookup) else {
            from = end + 1;
            continue;
        };
        if substitutions == MAX_SUBSTITUTIONS {
            tracing::warn!(
                variable = name,
                "Hadoop setting refers to itself or is nested too deeply"
            );
            break;
        }
        substitutions += 1;
        text.replace_range(start..=end, &value);
    }
    text
}

/// Bounds of the first `${…}` at or after `from` that holds no other.
fn innermost(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut search = from;
    loop {
        let end = search + text[search..].find('}')?;
        if let Some(start) = text[from..end].rfind("${") {
            return Some((from + start, end));
        }
        search = end + 1;
    }
}

fn variable(name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(name) = name.strip_prefix("env.") {
        let of = |name: &str| std::env::var(name).ok();
        if let Some((name, default)) = name.split_once(":-") {
            return Some(
                of(name)
                    .filter(|value| !value.is_empty())
                    .unwrap_or_else(|| default.to_owned()),
            );
        }
        if let Some((name, default)) = name.split_once('-') {
            return Some(of(name).unwrap_or_else(|| default.to_owned()));
        }
        return of(name);
    }
    match name {
        "user.name" => Some(current_user()),
        "user.home" => std::env::var("HOME").ok(),
        "java.io.tmpdir" => Some("/tmp".to_owned()),
        _ => lookup(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lookup = |name: &str| {
            Some(match name {
                "a" => "1".to_owned(),
                "b" => "<${a}>".to_owned(),
                "which" => "a".to_owned(),
                "loop" => "x${loop}".to_owned(),
                "ping" => "${pong}".to_owned(),
                "pong" => "${ping}".to_owned(),
                _ => return None,
            })
        };
        assert_eq!(expand(text, &lookup), expected, "{text}");
    }

    #[test]
    fn keys_nested_and_unknown() {
        check("no variable", "no variable");
        check("${a}-${b}", "1-<1>");
        check("${${which}}", "1");
        check("${unknown}/${a}", "${unknown}/1");
        check("${", "${");
        check("}${a}", "}1");
        check("$a {a}", "$a {a}");
    }

    #[test]
    fn environment_with_defaults() {
        let path = std::env::var("PATH").unwrap();
        check("${env.PATH}", &path);
        check("${env.FLOTT_SURELY_UNSET}", "${env.FLOTT_SURELY_UNSET}");
        check("${env.FLOTT_SURELY_UNSET:-d e}", "d e");
        check("${env.FLOTT_SURELY_UNSET-${a}}", "1");
    }

    #[test]
    fn cycles_end() {
        check("${ping}", "${ping}");
        check(
            "${loop}",
            &format!("{}${{loop}}", "x".repeat(MAX_SUBSTITUTIONS)),
        );
    }

    #[test]
    fn unresolved_variables_do_not_use_up_the_limit_wrongly() {
        let many = "${nope}".repeat(30);
        check(&format!("{many}${{a}}"), &format!("{many}1"));
    }
}
