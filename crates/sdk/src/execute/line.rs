//! The line to whoever started the program. Jobs of a program run side by side, so what is heard is sorted by a thread that
//! listens; whoever waits for something is woken.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use flott_protocol::program::{
    Answer, Ask, Hello, JobEnded, JobStarted, LauncherMessage, ProgramMessage, Snapshot, What,
    encode_message, launcher_message, program_message, read_message_blocking,
};

use crate::error::Error;

/// A connection to a launcher.
#[derive(Debug)]
pub(crate) struct Line {
    writer: Mutex<UnixStream>,
    heard: Arc<Heard>,
    asked: AtomicU64,
}

/// What the launcher said and nobody has taken yet.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether each job that was submitted was accepted, in order.
    accepted: VecDeque<Result<JobStarted, String>>,
    ended: BTreeMap<String, JobEnded>,
    answers: BTreeMap<u64, Answer>,
    /// Nothing will be heard any more.
    lost: Option<io::ErrorKind>,
}

fn lost(kind: io::ErrorKind) -> Error {
    Error::Io {
        doing: "waiting for the process that started this program",
        source: kind.into(),
    }
}

impl Line {
    /// Connects, and is greeted.
    pub(crate) fn connect(path: &str) -> Result<(Self, Hello), Error> {
        let io = |source| Error::Io {
            doing: "connecting to the process that started this program",
            source,
        };
        let mut socket = UnixStream::connect(path).map_err(io)?;
        let message = read_message_blocking::<LauncherMessage>(&mut socket).map_err(io)?;
        let Some(launcher_message::Kind::Hello(hello)) = message.and_then(|message| message.kind)
        else {
            return Err(Error::Role(
                "the process that started this program does not greet it".into(),
            ));
        };
        let line = Self {
            writer: Mutex::new(socket),
            heard: Arc::default(),
            asked: AtomicU64::new(0),
        };
        Ok((line, hello))
    }

    /// Hears from now on what the launcher says.
    pub(crate) fn listen(&self) -> Result<(), Error> {
        let io = |source| Error::Io {
            doing: "listening to the process that started this program",
            source,
        };
        let mut socket = lock(&self.writer).try_clone().map_err(io)?;
        let heard = Arc::clone(&self.heard);
        let listen = move || {
            loop {
                let kind = match read_message_blocking::<LauncherMessage>(&mut socket) {
                    Ok(Some(message)) => message.kind,
                    Ok(None) => return heard.lose(io::ErrorKind::UnexpectedEof),
                    Err(error) => return heard.lose(error.kind()),
                };
                heard.take(kind);
            }
        };
        let thread = std::thread::Builder::new().name("flott-launcher".to_owned());
        thread.spawn(listen).map(drop).map_err(io)
    }

    /// Says something.
    pub(crate) fn tell(&self, kind: program_message::Kind) -> Result<(), Error> {
        let io = |source| Error::Io {
            doing: "talking to the process that started this program",
            source,
        };
        let message = ProgramMessage { kind: Some(kind) };
        let bytes = encode_message(&message).map_err(io)?;
        lock(&self.writer).write_all(&bytes).map_err(io)
    }

    /// Submits a job, and waits until it is accepted, or not.
    pub(crate) fn submit(&self, kind: program_message::Kind) -> Result<JobStarted, Error> {
        self.tell(kind)?;
        let accepted = self.heard.wait_for(|state| state.accepted.pop_front())?;
        accepted.map_err(Error::Refused)
    }

    /// Waits for the end of a job.
    pub(crate) fn wait(&self, job: &str) -> Result<JobEnded, Error> {
        self.heard.wait_for(|state| state.ended.get(job).cloned())
    }

    /// The end of a job, if it is known.
    pub(crate) fn ended(&self, job: &str) -> Option<JobEnded> {
        lock(&self.heard.state).ended.get(job).cloned()
    }

    /// Asks something about a job.
    pub(crate) fn ask(&self, job: &str, what: What, from: u64) -> Result<Answer, Error> {
        self.ask_for(job, what, from, None)
    }

    /// Has a savepoint or checkpoint taken. Where it is.
    pub(crate) fn snapshot(&self, job: &str, wish: Snapshot) -> Result<String, Error> {
        let answer = self.ask_for(job, What::Snapshot, 0, Some(wish))?;
        Ok(answer.path)
    }

    fn ask_for(
        &self,
        job: &str,
        what: What,
        from: u64,
        snapshot: Option<Snapshot>,
    ) -> Result<Answer, Error> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        self.tell(program_message::Kind::Ask(Ask {
            id,
            job: job.to_owned(),
            what: what.into(),
            from,
            snapshot,
        }))?;
        let answer = self.heard.wait_for(|state| state.answers.remove(&id))?;
        if answer.failure.is_empty() {
            Ok(answer)
        } else {
            Err(Error::Unanswered(answer.failure))
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The thread that listens hears the end.
        let _ = lock(&self.writer).shutdown(Shutdown::Both);
    }
}

impl Heard {
    fn take(&self, kind: Option<launcher_message::Kind>) {
        let mut state = lock(&self.state);
        match kind {
            Some(launcher_message::Kind::Started(started)) => state.accepted.push_back(Ok(started)),
            Some(launcher_message::Kind::Refused(reason)) => state.accepted.push_back(Err(reason)),
            Some(launcher_message::Kind::Ended(ended)) => {
                state.ended.insert(ended.job.clone(), ended);
            }
            Some(launcher_message::Kind::Answer(answer)) => {
                state.answers.insert(answer.id, answer);
            }
            // Said once, before; or of a later version.
            Some(launcher_message::Kind::Hello(_)) | None => (),
        }
        drop(state);
        self.news.notify_all();
    }

    fn lose(&self, kind: io::ErrorKind) {
        lock(&self.state).lost = Some(kind);
        self.news.notify_all();
    }

    fn wait_for<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> Result<T, Error> {
        let mut state = lock(&self.state);
        loop {
            if let Some(found) = found(&mut state) {
                return Ok(found);
            }
            if let Some(kind) = state.lost {
                return Err(lost(kind));
            }
            let woken = self.news.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
