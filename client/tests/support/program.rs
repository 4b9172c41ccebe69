//! The other end of the launcher's socket: what a program linked with the SDK would say.

use flott_model::{
    Failure, FailureClass, JobGraph, JobStatus, JobVertex, OperatorMeta, PROTOCOL_VERSION,
    SnapshotKind,
};
use flott_protocol::environment::SOCKET;
use flott_protocol::program::{
    Ask, JobEnded, JobStarted, LauncherMessage, ProgramMessage, Snapshot, What, launcher_message,
    program_message, read_message, write_message,
};
use tokio::net::UnixStream;

/// Plays the program that FAKE_PROGRAM names; does nothing without a launcher.
pub(crate) fn run_as_program() {
    let (Ok(socket), Ok(behaviour)) = (std::env::var(SOCKET), std::env::var("FAKE_PROGRAM")) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let code = runtime.block_on(play(&behaviour, &socket));
    std::process::exit(code);
}

async fn play(behaviour: &str, socket: &str) -> i32 {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let hello = next(&mut stream).await;
    let Some(launcher_message::Kind::Hello(hello)) = hello else {
        return 90;
    };
    match behaviour {
        "no-execute" => 0,
        "fails" => {
            eprintln!("Error: no such input");
            7
        }
        "panics" => panic!("on purpose"),
        "job" => job(&mut stream, PROTOCOL_VERSION, None).await,
        "other-version" => job(&mut stream, 4711, None).await,
        "savepoint" => {
            let wish = Snapshot {
                kind: SnapshotKind::Savepoint.number(),
                directory: "hdfs:///sp".to_owned(),
                cancel: false,
            };
            job(&mut stream, PROTOCOL_VERSION, Some(wish)).await
        }
        "drain" => {
            let wish = Snapshot {
                kind: SnapshotKind::DrainWithSavepoint.number(),
                ..Snapshot::default()
            };
            job(&mut stream, PROTOCOL_VERSION, Some(wish)).await
        }
        "parallelism" => {
            eprintln!(
                "parallelism {:?}",
                hello.configuration.get("parallelism.default")
            );
            job(&mut stream, PROTOCOL_VERSION, None).await
        }
        "embedded" => embedded(&mut stream, None).await,
        "embedded-failure" => embedded(&mut stream, Some("map broke")).await,
        _ => 91,
    }
}

/// A job; with a wish, of which a savepoint is taken.
async fn job(stream: &mut UnixStream, protocol_version: u32, wish: Option<Snapshot>) -> i32 {
    let meta = OperatorMeta {
        uid: vec![1; 16],
        name: "source".to_owned(),
    };
    let vertex = JobVertex {
        uid: vec![1; 16],
        name: "Source: fake".to_owned(),
        operators: vec![meta],
        parallelism: 2,
        max_parallelism: 128,
        slot_sharing_group: "default".to_owned(),
    };
    let graph = JobGraph {
        name: "fake job".to_owned(),
        vertices: vec![vertex],
        protocol_version,
        ..JobGraph::default()
    };
    say(stream, program_message::Kind::Execute(graph)).await;
    match next(stream).await {
        Some(launcher_message::Kind::Started(started)) if started.detached => 0,
        Some(launcher_message::Kind::Started(started)) if wish.is_some() => {
            ask(stream, started.job, wish).await
        }
        Some(launcher_message::Kind::Started(_)) => match next(stream).await {
            Some(launcher_message::Kind::Ended(ended)) => match ended.failure {
                Some(failure) => {
                    eprintln!("Error: the job failed: {failure}");
                    1
                }
                None => 0,
            },
            _ => 92,
        },
        Some(launcher_message::Kind::Refused(reason)) => {
            eprintln!("Error: refused: {reason}");
            1
        }
        _ => 93,
    }
}

/// Has a savepoint taken, prints where it is, and waits for the end of the job.
async fn ask(stream: &mut UnixStream, job: String, wish: Option<Snapshot>) -> i32 {
    let ask = Ask {
        id: 7,
        job,
        what: What::Snapshot.into(),
        snapshot: wish,
        ..Ask::default()
    };
    say(stream, program_message::Kind::Ask(ask)).await;
    let mut path = None;
    while path.is_none() {
        match next(stream).await {
            Some(launcher_message::Kind::Answer(answer)) if !answer.failure.is_empty() => {
                eprintln!("Error: no savepoint: {}", answer.failure);
                return 1;
            }
            Some(launcher_message::Kind::Answer(answer)) => path = Some(answer.path),
            Some(launcher_message::Kind::Ended(_)) => (),
            _ => return 94,
        }
    }
    eprintln!("savepoint: {}", path.unwrap_or_default());
    0
}

async fn embedded(stream: &mut UnixStream, failure: Option<&str>) -> i32 {
    let job = "0123456789abcdef0123456789abcdef".to_owned();
    say(
        stream,
        program_message::Kind::Started(JobStarted {
            job: job.clone(),
            detached: false,
        }),
    )
    .await;
    let status = if failure.is_some() {
        JobStatus::Failed
    } else {
        JobStatus::Finished
    };
    let ended = JobEnded {
        job,
        status: status.number(),
        failure: failure.map(|text| Failure::new(FailureClass::UserCode, text)),
        runtime_ms: 12,
        ..JobEnded::default()
    };
    say(stream, program_message::Kind::Ended(ended)).await;
    i32::from(failure.is_some())
}

async fn say(stream: &mut UnixStream, kind: program_message::Kind) {
    write_message(stream, &ProgramMessage { kind: Some(kind) })
        .await
        .unwrap();
}

async fn next(stream: &mut UnixStream) -> Option<launcher_message::Kind> {
    read_message::<LauncherMessage>(stream).await.ok()??.kind
}
