//! The launcher's side of the socket: greets each program that connects, hands its `execute()`
//! calls and questions to a handler, and answers. Jobs of a program may run side by side.

use std::sync::Arc;

use flott_model::JobGraph;
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{
    Answer, Ask, Hello, JobEnded, JobStarted, LauncherMessage, ProgramMessage, launcher_message,
    program_message, read_message, write_message,
};

/// What a launcher does with the jobs of a program.
#[async_trait::async_trait]
pub trait ExecuteHandler: Send + Sync + 'static {
    /// `execute()` was called with this graph: submits it, or says why not.
    async fn execute(&self, graph: JobGraph) -> Result<JobStarted, String>;

    /// Waits for the end of a job that [`ExecuteHandler::execute`] started attached.
    async fn wait(&self, started: &JobStarted) -> JobEnded;

    /// As [`ExecuteHandler::execute`], of a job whose records the program reads: never detached.
    async fn collect(&self, graph: JobGraph) -> Result<JobStarted, String> {
        self.execute(graph).await
    }

    /// Answers a question about a job that was started.
    async fn ask(&self, ask: Ask) -> Answer {
        Answer::failed(ask.id, "this launcher does not answer questions")
    }

    /// A job runs embedded in the program.
    async fn embedded_started(&self, _started: JobStarted) {}

    /// An embedded job ended.
    async fn embedded_ended(&self, _ended: JobEnded) {}
}

/// Serves programs on the socket until dropped. Fails only if the socket does.
pub async fn serve(
    listener: UnixListener,
    hello: Hello,
    handler: Arc<dyn ExecuteHandler>,
) -> std::io::Result<()> {
    let mut programs = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                programs.spawn(serve_program(stream, hello.clone(), Arc::clone(&handler)));
            }
            Some(_) = programs.join_next() => (),
        }
    }
}

async fn serve_program(stream: UnixStream, hello: Hello, handler: Arc<dyn ExecuteHandler>) {
    if let Err(error) = converse(stream, hello, handler).await {
        // The program's exit tells more; whoever started it watches that.
        tracing::debug!(%error, "the connection to the program ended");
    }
}

/// The side of the connection to write to; held for one message at a time.
type Writer = Arc<Mutex<OwnedWriteHalf>>;

async fn converse(
    stream: UnixStream,
    hello: Hello,
    handler: Arc<dyn ExecuteHandler>,
) -> std::io::Result<()> {
    let (mut reader, writer) = stream.into_split();
    let writer: Writer = Arc::new(Mutex::new(writer));
    say(&writer, launcher_message::Kind::Hello(hello)).await?;
    // Ends with the connection.
    let mut under_way = JoinSet::new();
    while let Some(message) = read_message::<ProgramMessage>(&mut reader).await? {
        while under_way.try_join_next().is_some() {}
        let started = match message.kind {
            Some(program_message::Kind::Execute(graph)) => handler.execute(graph).await,
            Some(program_message::Kind::Collect(graph)) => handler.collect(graph).await,
            Some(program_message::Kind::Ask(ask)) => {
                let (handler, writer) = (Arc::clone(&handler), Arc::clone(&writer));
                under_way.spawn(async move {
                    let answer = handler.ask(ask).await;
                    say(&writer, launcher_message::Kind::Answer(answer)).await
                });
                continue;
            }
            Some(program_message::Kind::Started(started)) => {
                handler.embedded_started(started).await;
                continue;
            }
            Some(program_message::Kind::Ended(ended)) => {
                handler.embedded_ended(ended).await;
                continue;
            }
            // A kind of a later version.
            None => continue,
        };
        match started {
            Ok(started) => {
                say(&writer, launcher_message::Kind::Started(started.clone())).await?;
                if !started.detached {
                    let (handler, writer) = (Arc::clone(&handler), Arc::clone(&writer));
                    under_way.spawn(async move {
                        let ended = handler.wait(&started).await;
                        say(&writer, launcher_message::Kind::Ended(ended)).await
                    });
                }
            }
            Err(reason) => say(&writer, launcher_message::Kind::Refused(reason)).await?,
        }
    }
    Ok(())
}

/// A program that is gone does not hear it; reading notices that.
async fn say(writer: &Writer, kind: launcher_message::Kind) -> std::io::Result<()> {
    let message = LauncherMessage { kind: Some(kind) };
    write_message(&mut *writer.lock().await, &message).await
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Accepting;

    #[async_trait::async_trait]
    impl ExecuteHandler for Accepting {
        async fn execute(&self, graph: JobGraph) -> Result<JobStarted, String> {
            if graph.name == "bad" {
                return Err("it is bad".to_owned());
            }
            Ok(JobStarted {
                job: graph.name.clone(),
                detached: graph.name == "detached",
            })
        }

        async fn wait(&self, started: &JobStarted) -> JobEnded {
            JobEnded {
                job: started.job.clone(),
                runtime_ms: 7,
                ..JobEnded::default()
            }
        }
    }

    async fn next(stream: &mut UnixStream) -> launcher_message::Kind {
        let message: LauncherMessage = read_message(stream).await.unwrap().unwrap();
        message.kind.unwrap()
    }

    #[tokio::test]
    async fn a_program_is_greeted_served_and_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let hello = Hello {
            user: "me".to_owned(),
            attempt: 1,
            ..Hello::default()
        };
        let server = tokio::spawn(serve(listener, hello.clone(), Arc::new(Accepting)));
        let mut stream = UnixStream::connect(&path).await.unwrap();
        assert_eq!(
            next(&mut stream).await,
            launcher_message::Kind::Hello(hello)
        );
        for name in ["attached", "bad", "detached"] {
            let graph = JobGraph {
                name: name.to_owned(),
                ..JobGraph::default()
            };
            let kind = Some(program_message::Kind::Execute(graph));
            write_message(&mut stream, &ProgramMessage { kind })
                .await
                .unwrap();
        }
        let job = "attached".to_owned();
        let started = |job: &str| {
            launcher_message::Kind::Started(JobStarted {
                job: job.to_owned(),
                detached: job == "detached",
            })
        };
        let ended = launcher_message::Kind::Ended(JobEnded {
            job,
            runtime_ms: 7,
            ..JobEnded::default()
        });
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(next(&mut stream).await);
        }
        // The end of a job comes when it comes.
        let at = answers.iter().position(|answer| *answer == ended).unwrap();
        answers.remove(at);
        assert!(at > 0);
        let refused = launcher_message::Kind::Refused("it is bad".to_owned());
        assert_eq!(answers, [started("attached"), refused, started("detached")]);
        let ask = Ask {
            id: 17,
            job: "attached".to_owned(),
            ..Ask::default()
        };
        let kind = Some(program_message::Kind::Ask(ask));
        write_message(&mut stream, &ProgramMessage { kind })
            .await
            .unwrap();
        let launcher_message::Kind::Answer(answer) = next(&mut stream).await else {
            panic!("not an answer");
        };
        assert_eq!(answer.id, 17);
        assert!(!answer.failure.is_empty());
        server.abort();
    }
}
