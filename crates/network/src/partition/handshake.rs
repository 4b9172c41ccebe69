//! The first bytes of a connection to a partition server: which job it is for, and the proofs that
//! both ends know that job's token.
//!
//! ```text
//! consumer: "FLP1" | version u16 | job u128 | nonce       server: verdict | nonce | proof
//! consumer: proof                                          server: verdict
//! verdict : 0, or 1 | length u16 | why not
//! ```
//! A proof is an HMAC over job and both nonces. They differ by role, so that neither end can answer
//! with what the other one sent.

use flott_model::JobId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAGIC: &[u8; 4] = b"FLP1";
const VERSION: u16 = 1;
const NONCE_BYTES: usize = 32;
const PROOF_BYTES: usize = 32;
const HELLO_BYTES: usize = 4 + 2 + 16 + NONCE_BYTES;
const MAX_REASON_BYTES: usize = 512;
const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;

type Nonce = [u8; NONCE_BYTES];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Consumer,
    Server,
}

struct Proof<'a> {
    token: &'a [u8],
    job: JobId,
    consumer: &'a Nonce,
    server: &'a Nonce,
}

impl Proof<'_> {
    fn mac(&self, role: Role) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.token).expect("HMAC takes a key of any length");
        mac.update(match role {
            Role::Consumer => b"flott partition consumer",
            Role::Server => b"flott partition server",
        });
        mac.update(&self.job.0.to_le_bytes());
        mac.update(self.consumer);
        mac.update(self.server);
        mac
    }

    fn make(&self, role: Role) -> [u8; PROOF_BYTES] {
        self.mac(role).finalize().into_bytes().into()
    }

    /// In constant time.
    fn verify(&self, role: Role, proof: &[u8]) -> bool {
        self.mac(role).verify_slice(proof).is_ok()
    }
}

fn nonce() -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce);
    nonce
}

fn refusal(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason.into())
}

/// The consumer's side. The server proves itself first.
pub(super) async fn dial<S>(stream: &mut S, job: JobId, token: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let consumer = nonce();
    let mut hello = Vec::with_capacity(HELLO_BYTES);
    hello.extend_from_slice(MAGIC);
    hello.extend_from_slice(&VERSION.to_le_bytes());
    hello.extend_from_slice(&job.0.to_le_bytes());
    hello.extend_from_slice(&consumer);
    stream.write_all(&hello).await?;
    read_verdict(stream).await?;
    let (mut server, mut theirs) = ([0; NONCE_BYTES], [0; PROOF_BYTES]);
    stream.read_exact(&mut server).await?;
    stream.read_exact(&mut theirs).await?;
    let proof = Proof {
        token,
        job,
        consumer: &consumer,
        server: &server,
    };
    if !proof.verify(Role::Server, &theirs) {
        return Err(refusal("it could not prove that it belongs to this job"));
    }
    stream.write_all(&proof.make(Role::Consumer)).await?;
    read_verdict(stream).await
}

/// The server's side: the job that the consumer belongs to.
pub(super) async fn listen<S>(
    stream: &mut S,
    token_of: &(dyn Fn(JobId) -> Vec<u8> + Send + Sync),
) -> io::Result<JobId>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut hello = [0; HELLO_BYTES];
    stream.read_exact(&mut hello).await?;
    let (magic, rest) = hello.split_at(4);
    let (version, rest) = rest.split_at(2);
    if magic != MAGIC || version != VERSION.to_le_bytes() {
        return refuse(stream, "this server speaks another version of the protocol").await;
    }
    let (job, consumer) = rest
        .split_first_chunk::<16>()
        .and_then(|(job, rest)| Some((job, rest.first_chunk::<NONCE_BYTES>()?)))
        .ok_or(io::ErrorKind::InvalidData)?;
    let job = JobId(u128::from_le_bytes(*job));
    let token = token_of(job);
    if token.is_empty() {
        return refuse(stream, "this server does not know the job").await;
    }
    let server = nonce();
    let proof = Proof {
        token: &token,
        job,
        consumer,
        server: &server,
    };
    let mut answer = vec![ACCEPTED];
    answer.extend_from_slice(&server);
    answer.extend_from_slice(&proof.make(Role::Server));
    stream.write_all(&answer).await?;
    let mut theirs = [0; PROOF_BYTES];
    stream.read_exact(&mut theirs).await?;
    if !proof.verify(Role::Consumer, &theirs) {
        return refuse(stream, "the token is not that of the job").await;
    }
    stream.write_all(&[ACCEPTED]).await?;
    Ok(job)
}

async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, reason: &str) -> io::Result<JobId> {
    let mut message = vec![REFUSED];
    message.extend_from_slice(&(reason.len() as u16).to_le_bytes());
    message.extend_from_slice(reason.as_bytes());
    stream.write_all(&message).await?;
    Err(refusal(reason))
}

async fn read_verdict<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    match stream.read_u8().await? {
        ACCEPTED => Ok(()),
        REFUSED => {
            let length = usize::from(stream.read_u16_le().await?).min(MAX_REASON_BYTES);
            let mut reason = vec![0; length];
            stream.read_exact(&mut reason).await?;
            let reason = String::from_utf8_lossy(&reason).into_owned();
            Err(refusal(format!("refused: {reason}")))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it does not speak this protocol",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn meet(ours: &[u8], theirs: &'static [u8]) -> (io::Result<()>, io::Result<JobId>) {
        let (mut consumer, mut server) = tokio::io::duplex(256);
        let token_of = move |_| theirs.to_vec();
        let listening = async move { listen(&mut server, &token_of).await };
        let dialing = async move { dial(&mut consumer, JobId(7), ours).await };
        tokio::join!(dialing, listening)
    }

    #[tokio::test]
    async fn both_ends_must_know_the_token() {
        let (dialed, listened) = meet(b"token", b"token").await;
        dialed.unwrap();
        assert_eq!(listened.unwrap(), JobId(7));
        let (dialed, listened) = meet(b"token", b"other").await;
        let reason = dialed.unwrap_err().to_string();
        assert!(reason.contains("could not prove"), "{reason}");
        listened.unwrap_err();
        let (dialed, listened) = meet(b"token", b"").await;
        let reason = dialed.unwrap_err().to_string();
        assert!(reason.contains("does not know the job"), "{reason}");
        listened.unwrap_err();
    }

    #[tokio::test]
    async fn a_consumer_without_the_token_is_refused() {
        let (mut consumer, mut server) = tokio::io::duplex(256);
        let cheating = async move {
            let mut hello = [0; HELLO_BYTES];
            hello[..4].copy_from_slice(MAGIC);
            hello[4..6].copy_from_slice(&VERSION.to_le_bytes());
            consumer.write_all(&hello).await.unwrap();
            let mut answer = [0; 1 + NONCE_BYTES + PROOF_BYTES];
            consumer.read_exact(&mut answer).await.unwrap();
            // What the server sent is no proof of the consumer.
            let (_, proof) = answer.split_at(1 + NONCE_BYTES);
            consumer.write_all(proof).await.unwrap();
            read_verdict(&mut consumer).await
        };
        let token_of = |_| b"token".to_vec();
        let listening = async move { listen(&mut server, &token_of).await };
        let (cheated, listened) = tokio::join!(cheating, listening);
        let reason = cheated.unwrap_err().to_string();
        assert!(reason.contains("not that of the job"), "{reason}");
        listened.unwrap_err();
    }

    #[tokio::test]
    async fn strangers_are_told_so() {
        let (mut consumer, mut server) = tokio::io::duplex(256);
        consumer.write_all(&[b'x'; HELLO_BYTES]).await.unwrap();
        let token_of = |_| b"token".to_vec();
        listen(&mut server, &token_of).await.unwrap_err();
        let reason = read_verdict(&mut consumer).await.unwrap_err().to_string();
        assert!(reason.contains("another version"), "{reason}");
    }
}
