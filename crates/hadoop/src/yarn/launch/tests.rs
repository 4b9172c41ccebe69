//! Launch contexts: what a real bash makes of commands and variables.

use std::process::Command;

use proptest::prelude::*;

use super::*;

/// What a NodeManager does to commands and values before it writes its script.
fn expanded_by_node_manager(text: &str) -> String {
    text.replace("<LOG_DIR>", "/tmp/flott-no-logs")
        .replace("<CPS>", ":")
        .replace("{{", "$")
        .replace("}}", "")
}

/// Runs a launch context the way a NodeManager does and returns what the program got: arguments, then `V`.
fn launched(arguments: &[&str], value: &str) -> Vec<String> {
    let mut command = ShellCommand::new("printf").arg("%s\\0");
    for argument in arguments {
        command = command.arg(argument);
    }
    let context = LaunchContext::new(command.arg_of_variable("V"))
        .env("V", value)
        .to_proto()
        .unwrap();
    let value = expanded_by_node_manager(context.environment[0].value());
    let command = expanded_by_node_manager(&context.command[0]);
    let script = format!("#!/bin/bash\nexport V=\"{value}\"\nexec /bin/bash -c \"{command}\"\n");
    let output = Command::new("/bin/bash")
        .arg("-c")
        .arg(script)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn hostile_arguments_and_values_arrive_as_they_are() {
    let hostile = [
        "plain",
        "",
        "it's",
        "\"quoted\"",
        "`id`",
        "$HOME ${HOME} $(id)",
        "back\\slash\\",
        "two\nlines\n",
        "{{HOME}} {{{x}}}",
        "<LOG_DIR> <CPS> <",
        "; rm -rf x & | > < *?~ #!",
        "ünïcode 你好",
    ];
    for value in hostile {
        assert_eq!(
            launched(&hostile, value),
            hostile.iter().copied().chain([value]).collect::<Vec<_>>()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_text_arrives_as_it_is(argument in "[ -~\n]{0,30}", value in "[ -~\n]{0,30}") {
        prop_assert_eq!(launched(&[&argument], &value), vec![argument, value]);
    }
}

#[test]
fn plain_commands_stay_readable() {
    let command = ShellCommand::new("./flott")
        .arg("--role=agent")
        .stdout("stdout")
        .stderr("stderr");
    assert_eq!(
        command.to_yarn(),
        "exec ./flott --role=agent 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr"
    );
}

fn resource(url: &str) -> LocalResource {
    LocalResource {
        url: url.to_owned(),
        size: 5,
        modification_time: 1_700_000_000_000,
        kind: LocalResourceKind::File,
        visibility: Visibility::Application,
    }
}

#[test]
fn urls_without_port_say_so() {
    for (url, host, port, file) in [
        ("hdfs://ns/a b/c%20", Some("ns"), -1, "/a b/c%20"),
        ("hdfs://nn.example:8020/x", Some("nn.example"), 8020, "/x"),
        ("file:///tmp/x", None, -1, "/tmp/x"),
    ] {
        let parsed = split_url("n", url).unwrap();
        assert_eq!(
            (parsed.host.as_deref(), parsed.port(), parsed.file()),
            (host, port, file)
        );
    }
    let parsed = split_url("n", "hdfs://user@ns/x").unwrap();
    assert_eq!((parsed.user_info(), parsed.host()), ("user", "ns"));
    for url in [
        "/plain/path",
        "hdfs://ns",
        "hdfs://ns/",
        "://x/y",
        "hdfs://ns:port/x",
    ] {
        let context = LaunchContext::default().local_resource("jar", resource(url));
        assert!(context.to_proto().is_err(), "{url}");
        assert!(context.to_json().unwrap_err().to_string().contains("jar"));
    }
}

#[test]
fn bad_names_and_nul_are_errors() {
    for name in ["", "1A", "A-B", "A B", "A=B", "É"] {
        let context = LaunchContext::default().env(name, "x");
        assert_eq!(
            context.to_proto().unwrap_err(),
            LaunchError::VariableName(name.to_owned())
        );
    }
    assert!(LaunchContext::default().env("A", "x\0").to_proto().is_err());
    assert!(
        LaunchContext::new(ShellCommand::new("a").arg("\0"))
            .to_json()
            .is_err()
    );
}

#[test]
fn json_for_rest() {
    let mut credentials = Credentials::default();
    credentials.secrets.insert("s".to_owned(), vec![0xfb, 0xff]);
    let context = LaunchContext::new(ShellCommand::new("./am"))
        .local_resource("am", resource("hdfs://ns/am"))
        .env("K", "a\"b")
        .access(Access::View, "alice ops")
        .credentials(credentials)
        .to_json()
        .unwrap();
    assert_eq!(
        context,
        json!({
            "local-resources": {"entry": [{"key": "am", "value": {
                "resource": "hdfs://ns/am", "size": 5, "timestamp": 1_700_000_000_000i64,
                "type": "FILE", "visibility": "APPLICATION"}}]},
            "environment": {"entry": [{"key": "K", "value": "a\\\"b"}]},
            "commands": {"command": "exec ./am"},
            "application-acls": {"entry": [{"key": "VIEW_APP", "value": "alice ops"}]},
            "credentials": {"tokens": {"entry": []}, "secrets": {"entry": [{"key": "s", "value": "-_8"}]}},
        })
    );
}
