//! Programs as drivers: real child processes (a shell), which speak to the launcher through a
//! small helper of this test where they must.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod scripted;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flott_jobmanager::{
    Dispatcher, DispatcherHandle, EmbeddedDriver, ProgramEnd, ProgramLauncher, ProgramSettings,
};
use flott_model::JobStatus;
use flott_protocol::environment::SOCKET;
use flott_protocol::message::JobBundle;
use flott_protocol::program::{
    Hello, LauncherMessage, ProgramMessage, launcher_message, program_message, read_message,
    write_message,
};
use scripted::{Behaviour, Script, graph, settings};
use tokio::net::UnixStream;

fn dispatcher(behaviour: Behaviour) -> DispatcherHandle {
    let script = Script::new(move |_| behaviour);
    Dispatcher::start(
        settings(0),
        Box::new(EmbeddedDriver::new(2, script.factory())),
    )
}

fn program(directory: &Path, script: &str) -> ProgramSettings {
    ProgramSettings {
        executable: "/bin/sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        directory: directory.to_owned(),
        log_directory: directory.to_owned(),
        hello: Hello {
            user: "me".to_owned(),
            attempt: 1,
            ..Hello::default()
        },
        hidden_environment: vec!["HADOOP_TOKEN_FILE_LOCATION".to_owned()],
        environment: BTreeMap::new(),
        bundle: JobBundle::default(),
    }
}

async fn run(dispatcher: &DispatcherHandle, settings: ProgramSettings) -> ProgramEnd {
    let end = ProgramLauncher::run(dispatcher.clone(), settings);
    tokio::time::timeout(Duration::from_secs(20), end)
        .await
        .unwrap()
        .unwrap()
}

/// Speaks as the program would, on the socket that a shell wrote down.
async fn execute(directory: &Path, parallelism: u32) -> launcher_message::Kind {
    let written = directory.join("socket");
    let socket = loop {
        match std::fs::read_to_string(&written) {
            Ok(path) if path.ends_with('\n') => break path.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let kind = Some(program_message::Kind::Execute(graph(parallelism, 0)));
    write_message(&mut stream, &ProgramMessage { kind })
        .await
        .unwrap();
    loop {
        let message: LauncherMessage = read_message(&mut stream).await.unwrap().unwrap();
        match message.kind.unwrap() {
            launcher_message::Kind::Hello(hello) => assert_eq!(hello.user, "me"),
            launcher_message::Kind::Started(started) => assert!(!started.detached),
            end => {
                std::fs::write(directory.join("over"), "").unwrap();
                return end;
            }
        }
    }
}

/// Says where the socket is, waits until the job is over, and ends as told.
fn waiting(end: &str) -> String {
    format!("echo ${SOCKET} > socket; while [ ! -e over ]; do sleep 0.01; done; {end}")
}

#[tokio::test]
async fn a_program_runs_its_job_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let dispatcher = dispatcher(Behaviour::Finish);
    let settings = program(directory.path(), &waiting("echo $FLOTT_ROLE"));
    let (end, answer) = tokio::join!(run(&dispatcher, settings), execute(directory.path(), 1));
    let launcher_message::Kind::Ended(ended) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(ended.status, JobStatus::Finished.number());
    assert!(end.failure.is_none(), "{:?}", end.failure);
    assert_eq!(end.jobs.len(), 1);
    let output = std::fs::read_to_string(directory.path().join("driver.out")).unwrap();
    assert_eq!(output, "driver\n");
}

#[tokio::test]
async fn a_failed_job_is_the_cause_even_if_main_fails_by_it() {
    let directory = tempfile::tempdir().unwrap();
    let dispatcher = dispatcher(Behaviour::Fail("no such luck"));
    let settings = program(directory.path(), &waiting("exit 1"));
    let (end, answer) = tokio::join!(run(&dispatcher, settings), execute(directory.path(), 1));
    let launcher_message::Kind::Ended(ended) = answer else {
        panic!("{answer:?}")
    };
    assert!(ended.failure.unwrap().message.contains("no such luck"));
    assert!(end.failure.is_none(), "{:?}", end.failure);
    assert_eq!(end.jobs[0].status, JobStatus::Failed);
}

#[tokio::test]
async fn a_cancelled_job_is_no_failure_of_main() {
    let directory = tempfile::tempdir().unwrap();
    let dispatcher = dispatcher(Behaviour::Run);
    let settings = program(directory.path(), &waiting("exit 1"));
    let cancel = async {
        let job = loop {
            match dispatcher.jobs().first() {
                Some(job) if job.all_running() => break job.id,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        dispatcher.cancel(job).await;
    };
    let execute = execute(directory.path(), 1);
    let (end, answer, ()) = tokio::join!(run(&dispatcher, settings), execute, cancel);
    let launcher_message::Kind::Ended(ended) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(ended.status, JobStatus::Canceled.number());
    assert!(end.failure.is_none(), "{:?}", end.failure);
    assert_eq!(end.jobs[0].status, JobStatus::Canceled);
}

#[tokio::test]
async fn a_refused_job_is_told_to_both_sides() {
    let directory = tempfile::tempdir().unwrap();
    let dispatcher = dispatcher(Behaviour::Finish);
    let settings = program(directory.path(), &waiting("exit 1"));
    // Parallelism 0 cannot be run.
    let (end, answer) = tokio::join!(run(&dispatcher, settings), execute(directory.path(), 0));
    let launcher_message::Kind::Refused(reason) = answer else {
        panic!("{answer:?}")
    };
    assert!(reason.contains("parallelism 0"), "{reason}");
    assert!(end.failure.unwrap().message.contains("parallelism 0"));
}

#[tokio::test]
async fn a_main_that_fails_or_does_nothing_says_so() {
    let dispatcher = dispatcher(Behaviour::Finish);
    for (script, expected) in [
        ("exit 0", "without calling execute()"),
        (
            "echo wrong argument >&2; exit 2",
            "exit code 2; the end of its stderr:\nwrong argument",
        ),
        ("exit 101", "exit code 101 (panic)"),
        ("kill -KILL $$", "killed by SIGKILL"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let end = run(&dispatcher, program(directory.path(), script)).await;
        let failure = end.failure.unwrap();
        assert!(failure.message.contains(expected), "{script}: {failure}");
        assert!(end.jobs.is_empty());
    }
}

#[tokio::test]
async fn a_job_whose_main_dies_is_cancelled() {
    let directory = tempfile::tempdir().unwrap();
    let dispatcher = dispatcher(Behaviour::Run);
    let script =
        format!("echo ${SOCKET} > socket; while [ ! -e die ]; do sleep 0.01; done; exit 7");
    let settings = program(directory.path(), &script);
    let die = async {
        let job = loop {
            match dispatcher.jobs().first() {
                Some(job) if job.all_running() => break job.id,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        std::fs::write(directory.path().join("die"), "").unwrap();
        job
    };
    let execute = tokio::spawn({
        let directory = directory.path().to_owned();
        async move { execute(&directory, 1).await }
    });
    let (end, job) = tokio::join!(run(&dispatcher, settings), die);
    execute.abort();
    assert_eq!(
        (end.jobs[0].id, end.jobs[0].status),
        (job, JobStatus::Canceled)
    );
    assert!(end.failure.unwrap().message.contains("exit code 7"));
}
