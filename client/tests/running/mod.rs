//! Commands for clusters that run already: what they ask, say and end with.

mod savepoint_info;

use serde_json::json;

use super::support::{APPLICATION, Cluster, JOB, Ran, Script, Site, run};

/// A cluster with a running application.
fn running(script: Script) -> (Cluster, Site) {
    super::cluster(Script {
        is_known: true,
        ..script
    })
}

fn flott(site: &Site, words: &str) -> Ran {
    let args: Vec<&str> = words.split_whitespace().collect();
    run(site.flott(&args))
}

/// A savepoint that succeeds.
const STORED: &str = r#"{"location":"hdfs://nn/sp/savepoint-111111-0123456789ab"}"#;

fn stored() -> Script {
    Script {
        operation: STORED,
        ..Script::default()
    }
}

#[test]
fn jobs_are_listed() {
    let (cluster, site) = running(Script::default());
    for place in [
        format!("-yid {APPLICATION}"),
        format!("-t yarn-application -Dyarn.application.id={APPLICATION}"),
        format!("-m yarn-cluster -yid={APPLICATION}"),
        format!("-m {}", cluster.address()),
    ] {
        let ran = flott(&site, &format!("list {place}")).expect(0);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let [waiting, title, job, end, scheduled] = lines[..] else {
            panic!("{place}: {lines:?}");
        };
        assert_eq!(waiting, "Waiting for response...");
        assert_eq!(
            title,
            "------------------ Running/Restarting Jobs -------------------"
        );
        assert!(job.ends_with(&format!(" : {JOB} : x (RUNNING)")), "{job}");
        assert_eq!(end, "-".repeat(62));
        assert_eq!(scheduled, "No scheduled jobs.");
    }
    let ran = flott(&site, &format!("list -s -yid {APPLICATION}")).expect(0);
    assert_eq!(ran.stdout, "Waiting for response...\nNo scheduled jobs.\n");
}

#[test]
fn a_job_is_cancelled() {
    let (cluster, site) = running(Script::default());
    let ran = flott(&site, &format!("cancel -yid {APPLICATION} {JOB}")).expect(0);
    let expected = format!("Cancelling job {JOB}.\nCancelled job {JOB}.\n");
    assert_eq!(ran.stdout, expected);
    assert!(cluster.cancelled());
}

#[test]
fn a_job_is_cancelled_with_a_savepoint() {
    for (words, directory) in [
        (format!("cancel -s hdfs:///sp {JOB}"), json!("hdfs:///sp")),
        (format!("cancel -s {JOB}"), json!(null)),
        (format!("cancel {JOB} -s"), json!(null)),
    ] {
        let (cluster, site) = running(stored());
        let ran = flott(&site, &format!("{words} -yid {APPLICATION}")).expect(0);
        ran.says("DEPRECATION WARNING")
            .says(&format!(
                "Cancelling job {JOB} with CANONICAL savepoint to "
            ))
            .says(&format!(
                "Cancelled job {JOB}. Savepoint stored in \
                 hdfs://nn/sp/savepoint-111111-0123456789ab.\n"
            ));
        let asked = json!({
            "target-directory": directory, "cancel-job": true, "formatType": "CANONICAL",
        });
        let path = format!("/jobs/{JOB}/savepoints");
        assert_eq!(cluster.operations(), [(path, asked)]);
        assert!(!cluster.cancelled());
    }
}

#[test]
fn a_savepoint_is_taken() {
    let (cluster, site) = running(stored());
    let words = format!("savepoint {JOB} hdfs:///sp -type native -yid {APPLICATION}");
    let ran = flott(&site, &words).expect(0);
    let expected = format!(
        "Triggering savepoint for job {JOB}.\n\
         Waiting for response...\n\
         Savepoint completed. Path: hdfs://nn/sp/savepoint-111111-0123456789ab\n\
         You can resume your program from this savepoint with the run command.\n"
    );
    assert_eq!(ran.stdout, expected);
    ran.says("note: savepoints have one format");
    let asked = json!({
        "target-directory": "hdfs:///sp", "cancel-job": false, "formatType": "NATIVE",
    });
    let path = format!("/jobs/{JOB}/savepoints");
    assert_eq!(cluster.operations(), [(path, asked)]);
}

#[test]
fn detached_commands_do_not_wait() {
    for (verb, triggering) in [
        ("savepoint", "Triggering savepoint in detached mode"),
        ("stop", "Triggering stop-with-savepoint in detached mode"),
    ] {
        let (_cluster, site) = running(Script {
            operation: "",
            ..Script::default()
        });
        let ran = flott(&site, &format!("{verb} -detached {JOB} -yid {APPLICATION}")).expect(0);
        let trigger = "2".repeat(32);
        ran.says(&format!("{triggering} for job {JOB}.\n"))
            .says(&format!("savepoint, triggerId: {trigger}\n"));
    }
}

#[test]
fn a_job_is_stopped() {
    for (options, doing, directory, drain) in [
        ("", "Suspending", json!(null), false),
        ("-p hdfs:///sp -d", "Draining", json!("hdfs:///sp"), true),
        ("--drain -p", "Draining", json!(null), true),
    ] {
        let (cluster, site) = running(stored());
        let words = format!("stop -yid {APPLICATION} {options} {JOB}");
        let ran = flott(&site, &words).expect(0);
        let expected = format!(
            "{doing} job \"{JOB}\" with a CANONICAL savepoint.\n\
             Triggering stop-with-savepoint for job {JOB}.\n\
             Waiting for response...\n\
             Savepoint completed. Path: hdfs://nn/sp/savepoint-111111-0123456789ab\n"
        );
        assert_eq!(ran.stdout, expected);
        let asked = json!({
            "targetDirectory": directory, "drain": drain, "formatType": "CANONICAL",
        });
        assert_eq!(cluster.operations(), [(format!("/jobs/{JOB}/stop"), asked)]);
    }
}

#[test]
fn a_program_takes_a_savepoint_of_its_job() {
    let in_directory = json!({
        "target-directory": "hdfs:///sp", "cancel-job": false, "formatType": "CANONICAL",
    });
    let drained = json!({ "targetDirectory": null, "drain": true, "formatType": "CANONICAL" });
    for (behaviour, path, asked) in [
        ("savepoint", "savepoints", in_directory),
        ("drain", "stop", drained),
    ] {
        let (cluster, site) = super::cluster(stored());
        let ran = run(site.run("yarn-per-job", &[], behaviour)).expect(0);
        ran.says("savepoint: hdfs://nn/sp/savepoint-111111-0123456789ab");
        let [(to, body)] = &cluster.operations()[..] else {
            panic!("{:?}", cluster.operations());
        };
        assert!(to.starts_with("/jobs/") && to.ends_with(path), "{to}");
        assert_eq!(*body, asked);
    }
    let failed = r#"{"failure-cause":{"class":"x","stack-trace":"the disk is full"}}"#;
    let (_cluster, site) = super::cluster(Script {
        operation: failed,
        ..Script::default()
    });
    let ran = run(site.run("yarn-per-job", &[], "savepoint")).expect(1);
    ran.says("no savepoint: the disk is full");
}

#[test]
fn a_checkpoint_is_taken_out_of_turn() {
    for (options, extent) in [("", "CONFIGURED"), ("-full", "FULL")] {
        let (cluster, site) = running(Script {
            operation: r#"{"checkpointId":23}"#,
            ..Script::default()
        });
        let words = format!("checkpoint {JOB} {options} -yid {APPLICATION}");
        let ran = flott(&site, &words).expect(0);
        let expected = format!(
            "Triggering checkpoint for job {JOB}.\n\
             Waiting for response...\n\
             Checkpoint 23 for job {JOB} completed.\n\
             You can resume your program from this checkpoint with the run command.\n"
        );
        assert_eq!(ran.stdout, expected);
        let path = format!("/jobs/{JOB}/checkpoints");
        assert_eq!(
            cluster.operations(),
            [(path, json!({ "checkpointType": extent }))]
        );
    }
}

#[test]
fn a_savepoint_is_disposed_of_by_the_cluster() {
    let (cluster, site) = running(Script::default());
    let ran = flott(
        &site,
        &format!("savepoint -d hdfs:///sp/1 -yid {APPLICATION}"),
    )
    .expect(0);
    let expected = "Disposing savepoint 'hdfs:///sp/1'.\n\
                    Waiting for response...\n\
                    Savepoint 'hdfs:///sp/1' disposed.\n";
    assert_eq!(ran.stdout, expected);
    let asked = json!({ "savepoint-path": "hdfs:///sp/1" });
    assert_eq!(
        cluster.operations(),
        [("/savepoint-disposal".to_owned(), asked)]
    );
}

#[test]
fn what_fails_is_said_with_its_cause() {
    let failed = r#"{"failure-cause":{"class":"x","stack-trace":"the disk is full"}}"#;
    for (words, expected) in [
        (
            format!("savepoint {JOB}"),
            format!("cannot take a savepoint of job {JOB}: "),
        ),
        (
            format!("stop {JOB}"),
            format!("cannot stop job {JOB} with a savepoint: "),
        ),
        (
            format!("cancel -s {JOB}"),
            format!("cannot cancel job {JOB}: "),
        ),
        (
            format!("checkpoint {JOB}"),
            format!("cannot take a checkpoint of job {JOB}: "),
        ),
        (
            "savepoint -d /sp".to_owned(),
            "cannot dispose of savepoint '/sp': ".to_owned(),
        ),
    ] {
        for (operation, refusal, cause) in [
            (failed, None, "the disk is full"),
            ("", None, "does not know it (any more)"),
            (
                "{}",
                Some((400, "there is no directory")),
                "there is no directory (http://",
            ),
        ] {
            let (cluster, site) = running(Script {
                operation,
                refusal,
                ..Script::default()
            });
            let ran = flott(&site, &format!("{words} -m {}", cluster.address())).expect(1);
            let error = ran.stderr.lines().last().unwrap();
            assert!(error.starts_with(&format!("error: {expected}")), "{error}");
            assert!(error.contains(cause), "{error}");
        }
    }
}

#[test]
fn clusters_that_cannot_be_asked() {
    // The port was free a moment ago, and nothing listens there now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = free.local_addr().unwrap();
    let ended = |state| Script {
        state: (state, ""),
        ..Script::default()
    };
    for (script, options, expected) in [
        (Script::default(), String::new(), "which cluster?"),
        (
            Script::default(),
            format!("-m {free}"),
            &*format!("the JobManager at {free} cannot"),
        ),
        (Script::default(), "-m node".to_owned(), "<host>:<port>"),
        (Script::default(), "-t local".to_owned(), "-t local"),
        (
            Script::default(),
            "-t yarn-session".to_owned(),
            "not supported yet",
        ),
        (Script::default(), "-yid 17".to_owned(), "'17'"),
        (
            ended("FINISHED"),
            format!("-yid {APPLICATION}"),
            "FINISHED (SUCCEEDED)",
        ),
        (
            ended("FAILED"),
            format!("-yid {APPLICATION}"),
            "does not run any more",
        ),
    ] {
        let (_cluster, site) = running(script);
        flott(&site, &format!("list {options}"))
            .expect(1)
            .says(expected);
    }
    let (cluster, site) = super::cluster(Script::default());
    let ran = flott(&site, &format!("list -yid {APPLICATION}")).expect(1);
    ran.says(&format!(
        "the ResourceManager at {} knows no",
        cluster.address()
    ));
}

#[test]
fn jobs_are_named_by_their_ids() {
    let (cluster, site) = running(Script::default());
    for verb in ["cancel", "stop", "savepoint", "checkpoint"] {
        flott(&site, &format!("{verb} xyz -yid {APPLICATION}"))
            .expect(1)
            .says("'xyz' is not a job id: 32 hexadecimal digits expected");
        flott(&site, &format!("{verb} -yid {APPLICATION}"))
            .expect(1)
            .says("which job?");
    }
    assert_eq!(cluster.operations(), []);
    flott(&site, &format!("savepoint -d /sp {JOB}"))
        .expect(1)
        .says("nothing but its path");
}
