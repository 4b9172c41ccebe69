//! The command as users and scripts see it: exit codes, words, and what stays in the cluster.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    clippy::print_stderr,
    reason = "this executable is also a program with a stderr"
)]

mod running;
mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message as _;
use support::{Cluster, Ran, Script, Site, finish, run, until};

/// `flott` runs this test executable as its program.
#[test]
fn this_test_is_also_a_program() {
    support::run_as_program();
}

fn cluster(script: Script) -> (Cluster, Site) {
    let cluster = Cluster::start(script);
    let site = Site::new().with_cluster(&cluster.address());
    (cluster, site)
}

/// Runs until `ready`, then interrupts.
fn interrupt(mut command: std::process::Command, signal: Signal, ready: impl Fn() -> bool) -> Ran {
    let child = command.spawn().unwrap();
    until("the command is at work", ready);
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    finish(child)
}

#[test]
fn a_job_in_an_application_of_its_own() {
    let (cluster, site) = cluster(Script::default());
    let ran = run(site.run("yarn-per-job", &["-Dyarn.tags=a,b"], "job")).expect(0);
    ran.says("Submitted application application_1700000000000_0001")
        .says("Tracking URL: http://rm:8088/proxy/application_1700000000000_0001/")
        .says("Job has been submitted with JobID ")
        .says("Program execution finished")
        .says("has finished.")
        .says("Job Runtime: 4321 ms")
        .says("Uploading program");
    let submission = cluster.submission().unwrap();
    assert_eq!(submission["application-type"], "Flott");
    assert_eq!(submission["application-name"], "fake job");
    assert_eq!(
        submission["application-tags"]["tag"],
        serde_json::json!(["a", "b"])
    );
    assert_eq!(submission["max-app-attempts"], 2);
    assert_eq!(
        submission["keep-containers-across-application-attempts"],
        false
    );
    let context = &submission["am-container-spec"];
    let command = "exec ./flott-appmaster 1><LOG_DIR>/jobmanager.out 2><LOG_DIR>/jobmanager.err";
    assert_eq!(context["commands"]["command"], command);
    let secret = context["credentials"]["secrets"]["entry"][0].clone();
    assert_eq!(secret["key"], "flott.application.secret");
    let secret = secret["value"].as_str().unwrap();
    assert_eq!(secret.len(), 43, "32 bytes in base64url");
    assert!(!context["environment"].to_string().contains(secret));
    let resources = context["local-resources"]["entry"].as_array().unwrap();
    let names: Vec<_> = resources
        .iter()
        .map(|entry| entry["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "application.pb",
            "flott-appmaster",
            "flott-taskexecutor",
            "program"
        ]
    );
    // The application is over: its own directory is gone, the cache stays.
    let staged = site.staged();
    assert!(
        staged.iter().all(|path| path.starts_with("cache/")),
        "{staged:?}"
    );
    assert_eq!(cluster.killed(), None);
}

#[test]
fn the_second_submission_uploads_nothing() {
    let (first, site) = cluster(Script::default());
    run(site.run("yarn-per-job", &[], "job")).expect(0);
    drop(first);
    let second = Cluster::start(Script::default());
    let site = site.with_cluster(&second.address());
    let ran = run(site.run("yarn-per-job", &[], "job")).expect(0);
    assert!(!ran.stderr.contains("Upload"), "{}", ran.stderr);
}

#[test]
fn detached_returns_when_the_job_runs() {
    let (cluster, site) = cluster(Script {
        end: "",
        ..Script::default()
    });
    let ran = run(site.run("yarn-per-job", &["-d"], "job")).expect(0);
    ran.says("The job is RUNNING");
    assert!(!ran.stdout.contains("has finished"));
    assert!(cluster.looks() == 3 && cluster.killed().is_none());
    assert!(
        site.staged()
            .iter()
            .any(|path| path.ends_with("_0001/application.pb"))
    );
}

#[test]
fn a_whole_application() {
    let (cluster, site) = cluster(Script::default());
    let ran = run(site.run("yarn-application", &["-Dyarn.application.name=mine"], "job")).expect(0);
    ran.says("Job with JobID 11111111111111111111111111111111 has finished.");
    assert_eq!(cluster.submission().unwrap()["application-name"], "mine");
    let (cluster, site) = self::cluster(Script {
        end: "",
        ..Script::default()
    });
    run(site.run("yarn-application", &["-d"], "job"))
        .expect(0)
        .says("The job is RUNNING");
    assert_eq!(cluster.killed(), None);
}

#[test]
fn a_failed_job_fails_the_command_and_its_cause_is_said_once() {
    for target in ["yarn-per-job", "yarn-application"] {
        let (_cluster, site) = cluster(Script {
            end: "FAILED",
            ..Script::default()
        });
        let ran = run(site.run(target, &[], "job")).expect(1);
        ran.says("is FAILED");
        assert_eq!(
            ran.stderr.matches("word 7 is bad").count(),
            1,
            "{}",
            ran.stderr
        );
        ran.says("map (1/2)");
    }
}

#[test]
fn what_the_cluster_cannot_do_is_said_before_anything_exists() {
    for (script, option, expected) in [
        (
            Script {
                standby: true,
                ..Script::default()
            },
            "-Dx.y=1",
            "standby",
        ),
        (
            Script {
                queue: "prod",
                ..Script::default()
            },
            "-Dx.y=1",
            "there is no queue 'default'",
        ),
        (
            Script::default(),
            "-Dyarn.application.queue=etl",
            "there is no queue 'etl'",
        ),
        (
            Script::default(),
            "-Djobmanager.memory.process.size=9g",
            "lower jobmanager.memory.process.size",
        ),
        (
            Script {
                maximum_mb: 8,
                ..Script::default()
            },
            "-Dx.y=1",
            "at most 8 MiB",
        ),
        (
            Script::default(),
            "-Dyarn.appmaster.vcores=99",
            "lower yarn.appmaster.vcores",
        ),
        (
            Script::default(),
            "-Dyarn.ship-files=/no/file",
            "yarn.ship-files names /no/file",
        ),
        (
            Script::default(),
            "-Dyarn.appmaster.vcores=x",
            "yarn.appmaster.vcores",
        ),
    ] {
        let (cluster, site) = cluster(script);
        run(site.run("yarn-per-job", &[option], "job"))
            .expect(1)
            .says(expected);
        assert_eq!(cluster.submission(), None, "{expected}");
        assert_eq!(site.staged(), Vec::<String>::new(), "{expected}");
    }
}

#[test]
fn unknown_keys_warn_with_the_nearest() {
    let (_cluster, site) = cluster(Script::default());
    let ran = run(site.run(
        "yarn-per-job",
        &["-Dparalelism.default=2", "-p", "3"],
        "parallelism",
    ));
    ran.expect(0)
        .says("parallelism.default")
        .says("parallelism Some(\"3\")");
}

/// What the JobManager is told of the configuration.
fn staged_configuration(site: &Site) -> std::collections::BTreeMap<String, String> {
    let staged = site.staged();
    let spec = staged.iter().find(|path| path.ends_with("application.pb"));
    let spec = std::fs::read(site.path("staging").join(spec.unwrap())).unwrap();
    let spec = flott_protocol::application::ApplicationSpec::decode(&*spec).unwrap();
    spec.configuration
}

#[test]
fn a_job_begins_from_a_savepoint() {
    for target in ["yarn-per-job", "yarn-application"] {
        let (_cluster, site) = cluster(Script {
            end: "",
            ..Script::default()
        });
        let options = ["-d", "-s", "hdfs:///sp/1", "-n", "-rm", "claim"];
        run(site.run(target, &options, "job")).expect(0);
        let configuration = staged_configuration(&site);
        let value = |key: &str| {
            let key = format!("execution.state-recovery.{key}");
            configuration.get(&key).map(String::as_str)
        };
        assert_eq!(value("path"), Some("hdfs:///sp/1"));
        assert_eq!(value("ignore-unclaimed-state"), Some("true"));
        let claim = value("claim-mode").unwrap();
        assert!(claim.eq_ignore_ascii_case("CLAIM"), "{claim}");
    }
    let (cluster, site) = cluster(Script::default());
    for mode in ["legacy", "mine"] {
        run(site.run("yarn-per-job", &["-s", "/sp", "-cm", mode], "job"))
            .expect(1)
            .says("execution.state-recovery.claim-mode")
            .says(mode)
            .says("NO_CLAIM or CLAIM");
    }
    assert_eq!(cluster.submission(), None);
}

#[test]
fn an_application_of_somebody_else_is_killed() {
    let (cluster, site) = cluster(Script {
        owner: "dr.who",
        ..Script::default()
    });
    run(site.run("yarn-per-job", &[], "job"))
        .expect(1)
        .says("user 'dr.who', not of 'alice'");
    assert!(cluster.killed().is_some());
    assert!(site.staged().iter().all(|path| path.starts_with("cache/")));
}

#[test]
fn what_yarn_refuses_later_is_said_with_its_reason() {
    let state = ("FAILED", "Application rejected: the queue is stopped");
    for (target, options) in [
        ("yarn-per-job", &[][..]),
        ("yarn-per-job", &["-d"]),
        ("yarn-application", &[]),
    ] {
        let (_cluster, site) = cluster(Script {
            state,
            ..Script::default()
        });
        let ran = run(site.run(target, options, "job")).expect(1);
        ran.says("the queue is stopped").says("FAILED");
        assert!(site.staged().iter().all(|path| path.starts_with("cache/")));
    }
}

#[test]
fn interrupted_before_running_leaves_no_ghost() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let (cluster, site) = cluster(Script {
            state: ("ACCEPTED", ""),
            ..Script::default()
        });
        let command = site.run("yarn-per-job", &["-d"], "job");
        let ran = interrupt(command, signal, || cluster.submission().is_some());
        ran.expect(128 + signal as i32).says("was killed");
        assert!(cluster.killed().unwrap().contains("interrupted"));
        assert!(site.staged().iter().all(|path| path.starts_with("cache/")));
    }
}

#[test]
fn interrupted_while_running_says_what_goes_on() {
    let (cluster, site) = cluster(Script {
        end: "",
        ..Script::default()
    });
    let command = site.run("yarn-per-job", &[], "job");
    let ran = interrupt(command, Signal::SIGINT, || cluster.was_seen_running());
    ran.expect(130)
        .says("goes on running")
        .says("yarn application -kill application_17");
    assert!(cluster.killed().is_none() && !cluster.cancelled());
}

#[test]
fn interrupted_while_running_with_sae_stops_the_job() {
    let (cluster, site) = cluster(Script {
        end: "",
        ..Script::default()
    });
    let command = site.run("yarn-per-job", &["-sae"], "job");
    let ran = interrupt(command, Signal::SIGINT, || cluster.was_seen_running());
    ran.expect(130).says("Stopping application");
    assert!(cluster.cancelled() && cluster.killed().is_none());
    assert!(site.staged().iter().all(|path| path.starts_with("cache/")));
}

#[test]
fn programs_that_are_none_or_fail() {
    let (cluster, site) = cluster(Script::default());
    for (behaviour, expected) in [
        ("no-execute", "ended without calling execute()"),
        ("fails", "failed before it had a job: exit code 7"),
        ("panics", "it panicked"),
        ("other-version", "protocol version 4711"),
    ] {
        run(site.run("yarn-per-job", &[], behaviour))
            .expect(1)
            .says(expected);
    }
    let here = |name: &str| site.path(name).display().to_string();
    std::fs::write(site.path("script.sh"), "#!/bin/sh\n").unwrap();
    for (program, expected) in [
        ("/bin/true", "is not a Flott job"),
        ("/no/such/program", "there is no program /no/such/program"),
        (&*here("bin"), "is not a file"),
        (&*here("script.sh"), "is a script"),
        (&*here("hadoop/core-site.xml"), "is not an executable"),
    ] {
        run(site.flott(&[
            "run",
            "-t",
            "yarn-per-job",
            "-Dyarn.staging-directory=file:///x",
            program,
        ]))
        .expect(1)
        .says(expected);
    }
    assert_eq!(cluster.submission(), None);
}

#[test]
fn without_a_usable_cluster() {
    let site = Site::new();
    let mut command = site.run("yarn-per-job", &[], "job");
    command.env_remove("HADOOP_CONF_DIR");
    run(command).expect(1).says("HADOOP_CONF_DIR");
    // The port was free a moment ago, and nothing listens there now.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let site = site.with_cluster(&free.to_string());
    run(site.run("yarn-per-job", &[], "job"))
        .expect(1)
        .says(&free.to_string());
    std::fs::remove_file(site.path("bin/flott-appmaster")).unwrap();
    run(site.run("yarn-per-job", &[], "job"))
        .expect(1)
        .says("flott-appmaster is not beside");
}

#[test]
fn a_local_run() {
    let site = Site::new();
    let mut command = site.run("local", &[], "embedded");
    command.env_remove("HADOOP_CONF_DIR");
    run(command)
        .expect(0)
        .says("Job has been submitted with JobID 0123456789abcdef0123456789abcdef")
        .says("Job Runtime: 12 ms");
    let mut command = site.run("local", &[], "embedded-failure");
    command.env_remove("HADOOP_CONF_DIR");
    let ran = run(command).expect(1);
    assert_eq!(ran.stderr.matches("map broke").count(), 1, "{}", ran.stderr);
}

#[test]
fn targets_usage_and_version() {
    let site = Site::new();
    let ran = |args: &[&str]| {
        let mut command = site.flott(args);
        command.env_remove("HADOOP_CONF_DIR");
        run(command)
    };
    ran(&["--version"]).expect(0).says("Version: ");
    ran(&["run", "-h"]).expect(0).says("--detached");
    ran(&[]).expect(1).says("Usage");
    ran(&["run", "--frob", "x"]).expect(1).says("--frob");
    ran(&["run", "-m", "yarn-cluster", "x"])
        .expect(1)
        .says("-t yarn-per-job");
    ran(&["run", "/bin/true"]).expect(1).says("-t local");
    ran(&["run-application", "-t", "local", "/bin/true"])
        .expect(1)
        .says("-t yarn-application");
    std::fs::write(
        site.path("conf/flott-conf.yaml"),
        "execution.target: local\n",
    )
    .unwrap();
    ran(&["run", "/bin/true"])
        .expect(1)
        .says("/bin/true is not a Flott job");
}

#[test]
fn the_plan_of_a_job() {
    let site = Site::new();
    let program = std::env::current_exe().unwrap();
    let args = [
        "info",
        program.to_str().unwrap(),
        "this_test_is_also_a_program",
        "--exact",
    ];
    let mut command = site.flott(&args);
    command
        .env_remove("HADOOP_CONF_DIR")
        .env("FAKE_PROGRAM", "job");
    run(command)
        .expect(0)
        .says("\"type\": \"Source: fake\"")
        .says("\"parallelism\": 2");
}
