//! Flink has options of several letters after one dash, and options that have another form here.

use std::ffi::OsString;

/// Options of several letters after one dash, and what clap knows them as.
const LONG: [(&str, &str); 7] = [
    ("-sae", "--shutdownOnAttachedExit"),
    ("-cm", "--claimMode"),
    ("-rm", "--claimMode"),
    ("-yid", "--yarnapplicationId"),
    ("-type", "--type"),
    ("-detached", "--detached"),
    ("-full", "--full"),
];

/// Options of commands with a program whose value is the next argument.
const WITH_VALUE: [&str; 11] = [
    "-t",
    "--target",
    "-p",
    "--parallelism",
    "-D",
    "-s",
    "--fromSavepoint",
    "--claimMode",
    "-cm",
    "-rm",
    "--restoreMode",
];

/// Commands that end with a program and what belongs to it.
const WITH_PROGRAM: [&str; 3] = ["run", "run-application", "info"];

/// Arguments as clap understands them, or why they cannot be right.
pub(crate) fn normalize(args: impl IntoIterator<Item = OsString>) -> Result<Vec<OsString>, String> {
    let mut args = args.into_iter();
    let mut normal: Vec<OsString> = args.by_ref().take(2).collect();
    let command = normal.get(1).and_then(|command| command.to_str());
    let has_program = command.is_some_and(|command| WITH_PROGRAM.contains(&command));
    while let Some(arg) = args.next() {
        let text = arg.to_str().unwrap_or_default();
        let is_option = text.starts_with('-') && text != "-";
        if text == "--" || (has_program && !is_option) {
            normal.push(arg);
            break;
        }
        if !is_option {
            normal.push(arg);
            continue;
        }
        let instead = if has_program {
            with_program(text)
        } else {
            without_program(text)
        };
        if let Some(instead) = instead {
            return Err(format!("{text} is not an option of Flott: {instead}"));
        }
        let takes_value = has_program && WITH_VALUE.contains(&text);
        normal.push(long(text).map_or(arg, Into::into));
        if takes_value {
            normal.extend(args.next());
        }
    }
    normal.extend(args);
    Ok(normal)
}

/// The long form of an option, if it has another one; `-yid=x` becomes `--yarnapplicationId=x`.
fn long(option: &str) -> Option<String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let (_, long) = LONG.iter().find(|(short, _)| *short == name)?;
    Some(value.map_or_else(|| (*long).to_owned(), |value| format!("{long}={value}")))
}

/// What to write instead of an option that commands for running clusters have in Flink.
fn without_program(option: &str) -> Option<&'static str> {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "-e" | "--executor" => Some("write -t"),
        "-j" | "--jarfile" => Some("no program is needed to dispose of a savepoint"),
        "-z" | "--zookeeperNamespace" => Some("there is no high availability by ZooKeeper"),
        _ => None,
    }
}

/// What to write instead of an option that commands with a program have in Flink.
fn with_program(option: &str) -> Option<&'static str> {
    let (name, _) = option.split_once('=').unwrap_or((option, ""));
    let instead = match name {
        "-m" | "--jobmanager" => "choose the target with -t (-t yarn-per-job, -t local)",
        "-c" | "--class" => "a program is one executable with one main()",
        "-C" | "--classpath" => "ship files with -Dyarn.ship-files=<file>;<file>",
        "-yjm" | "--yarnjobManagerMemory" => "write -Djobmanager.memory.process.size=<size>",
        "-ytm" | "--yarntaskManagerMemory" => "write -Dtaskmanager.memory.process.size=<size>",
        "-ys" | "--yarnslots" => "write -Dtaskmanager.numberOfTaskSlots=<slots>",
        "-ynm" | "--yarnname" => "write -Dyarn.application.name=<name>",
        "-yqu" | "--yarnqueue" => "write -Dyarn.application.queue=<queue>",
        "-ynl" | "--yarnnodeLabel" => "write -Dyarn.application.node-label=<label>",
        "-yt" | "--yarnship" => "write -Dyarn.ship-files=<file>;<file>",
        "-yd" | "--yarndetached" => "write -d",
        "-yid" | "--yarnapplicationId" => "sessions are not supported yet",
        "-yn" | "--yarncontainer" => "as many containers are started as the job's slots need",
        _ if option.starts_with("-yD") => "write -Dkey=value",
        _ => return None,
    };
    Some(instead)
}
