//! The launcher's side of the socket: greets each program that connects, hands its `execute()`
//! calls to a handler, and answers.

use std::sync::Arc;

use flott_model::JobGraph;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::{
    Hello, JobEnded, JobStarted, LauncherMessage, ProgramMessage, launcher_message,
    program_message, read_message, write_message,
};

/// What a launcher does with the jobs of a program.
#[async_trait::async_trait]
pub trait ExecuteHandler: Send + Sync + 'static {
    /// `execute()` was called with this graph: submits it, or says why not.
    async fn execute(&self, graph: JobGraph) -> Result<JobStarted, String>;

    /// Waits for the end of a job that [`ExecuteHandler::execute`] started attached.
    async fn wait(&self, started: &JobStarted) -> JobEnded;

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

async fn serve_program(mut stream: UnixStream, hello: Hello, handler: Arc<dyn ExecuteHandler>) {
    if let Err(error) = converse(&mut stream, hello, handler.as_ref()).await {
        // The program's exit tells more; whoever started it watches that.
        tracing::debug!(%error, "the connection to the program ended");
    }
}

async fn converse(
    stream: &mut UnixStream,
    hello: Hello,
    handler: &dyn ExecuteHandler,
) -> std::io::Result<()> {
    answer(stream, launcher_message::Kind::Hello(hello)).await?;
    while let Some(message) = read_message::<ProgramMessage>(stream).await? {
        match message.kind {
            Some(program_message::Kind::Execute(graph)) => match handler.execute(graph).await {
                Ok(started) => {
                    let kind = launcher_message::Kind::Started(started.clone());
                    answer(stream, kind).await?;
                    if !started.detached {
                        let ended = handler.wait(&started).await;
                        answer(stream, launcher_message::Kind::Ended(ended)).await?;
                    }
                }
                Err(reason) => answer(stream, launcher_message::Kind::Refused(reason)).await?,
            },
            Some(program_message::Kind::Started(started)) => {
                handler.embedded_started(started).await;
            }
            Some(program_message::Kind::Ended(ended)) => handler.embedded_ended(ended).await,
            // A kind of a later version.
            None => (),
        }
    }
    Ok(())
}

async fn answer(stream: &mut UnixStream, kind: launcher_message::Kind) -> std::io::Result<()> {
    write_message(stream, &LauncherMessage { kind: Some(kind) }).await
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
        let started = JobStarted {
            job: job.clone(),
            detached: false,
        };
        let ended = JobEnded {
            job,
            runtime_ms: 7,
            ..JobEnded::default()
        };
        let detached = JobStarted {
            job: "detached".to_owned(),
            detached: true,
        };
        assert_eq!(
            next(&mut stream).await,
            launcher_message::Kind::Started(started)
        );
        assert_eq!(
            next(&mut stream).await,
            launcher_message::Kind::Ended(ended)
        );
        let refused = launcher_message::Kind::Refused("it is bad".to_owned());
        assert_eq!(next(&mut stream).await, refused);
        assert_eq!(
            next(&mut stream).await,
            launcher_message::Kind::Started(detached)
        );
        server.abort();
    }
}
